"""Which picture a job's table makes: columns, kind, series, grids, lines."""

from typing import Any

import pytest

from sirdar.domain.plot_data import MOST_SERIES, Choice, Grid, Plot, PlotKind, Sense, Wish, arrange, choose, thin
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import FIXED, Column, Kind

A, B, C = (Column(f"inputs.{name}", Kind.NUMBER) for name in "abc")
METHOD = Column("inputs.method", Kind.TEXT)
LOSS = Column("outputs.loss", Kind.NUMBER, "Loss", ("loss",), "K")
NOTE = Column("outputs.note", Kind.TEXT)
COLUMNS = (*FIXED, A, B, NOTE, LOSS)


def names(choice: Choice) -> list[str]:
    return [column.name for column in choice.columns]


def picture(columns: tuple[Column, ...], rows: list[tuple[Any, ...]], **wish: Any) -> Plot:
    return arrange(choose(columns, Wish(**wish)), rows)


@pytest.mark.parametrize(
    ("columns", "wish", "expected"),
    [
        (COLUMNS, {}, ["inputs.a", "inputs.b", "outputs.loss"]),
        ((*FIXED, A, LOSS), {}, ["inputs.a", "outputs.loss"]),
        ((*FIXED, LOSS), {}, ["no", "outputs.loss"]),
        ((*FIXED, METHOD, A, LOSS), {}, ["inputs.a", "inputs.method", "outputs.loss"]),
        (COLUMNS, {"x": "b"}, ["inputs.b", "outputs.loss"]),
        (COLUMNS, {"x": "b", "by": "inputs.a"}, ["inputs.b", "inputs.a", "outputs.loss"]),
        (COLUMNS, {"by": "a"}, ["inputs.b", "inputs.a", "outputs.loss"]),
        (COLUMNS, {"x": "loss", "y": "runS"}, ["outputs.loss", "runS"]),
        ((*FIXED, A, B, C, LOSS), {}, ["inputs.a", "inputs.b", "inputs.c", "outputs.loss"]),
        ((*FIXED, A, B, C, LOSS), {"kind": PlotKind.HEATMAP}, ["inputs.a", "inputs.b", "outputs.loss"]),
        ((*FIXED, A, B, C, LOSS), {"kind": PlotKind.LINE}, ["inputs.a", "outputs.loss"]),
        (
            (*FIXED, A, B, C, LOSS),
            {"kind": PlotKind.PARALLEL, "x": "c"},
            ["inputs.c", "inputs.a", "inputs.b", "outputs.loss"],
        ),
    ],
)
def test_columns_are_those_that_were_named_or_else_those_that_say_most(
    columns: tuple[Column, ...], wish: dict[str, Any], expected: list[str]
) -> None:
    assert names(choose(columns, Wish(**wish))) == expected


def test_a_short_name_is_the_input_for_an_axis_and_the_output_for_the_value() -> None:
    both = (*FIXED, Column("inputs.t", Kind.NUMBER), Column("outputs.t", Kind.NUMBER))
    assert names(choose(both, Wish(x="t", y="t"))) == ["inputs.t", "outputs.t"]


@pytest.mark.parametrize(
    ("columns", "wish", "field", "said"),
    [
        ((*FIXED, A, NOTE), {}, "y", "None of the outputs is a number."),
        (COLUMNS, {"y": "note"}, "y", "outputs.note holds no numbers."),
        (COLUMNS, {"x": "beta"}, "x", "The table has no column 'beta'."),
        (COLUMNS, {"by": "beta"}, "by", "The table has no column 'beta'."),
        ((*FIXED, A, LOSS), {"kind": PlotKind.HEATMAP}, "by", "A heat map needs two parameters."),
        ((*FIXED, A, LOSS), {"kind": PlotKind.PARALLEL}, "kind", "Parallel coordinates need two parameters or more"),
    ],
)
def test_what_cannot_be_shown_is_said_with_the_columns_that_can(
    columns: tuple[Column, ...], wish: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(Problem, match=said) as raised:
        choose(columns, Wish(**wish))
    assert raised.value.field == field
    assert raised.value.expected


def test_one_value_for_each_x_is_a_line_in_the_order_of_x() -> None:
    plot = picture((*FIXED, A, LOSS), [(0, 3, 9.0), (1, 1, 1.0), (2, 2, 4.0)])
    (only,) = plot.series
    assert (plot.kind, only.label, only.x, only.y, only.no) == (
        PlotKind.LINE,
        None,
        (1, 2, 3),
        (1.0, 4.0, 9.0),
        (1, 2, 0),
    )


def test_several_values_at_one_x_are_points() -> None:
    assert picture((*FIXED, A, LOSS), [(0, 1, 9.0), (1, 1, 1.0)]).kind is PlotKind.SCATTER
    assert picture((*FIXED, METHOD, LOSS), [(0, "x", 9.0), (1, "y", 1.0)]).kind is PlotKind.SCATTER
    assert picture((*FIXED, A, LOSS), [(0, 1.0, 9.0), (1, 2.0, 1.0)], x="loss", y="runS").kind is PlotKind.SCATTER


def test_a_second_parameter_of_few_values_makes_series_in_their_order() -> None:
    rows = [(no, a, b, float(a * b)) for no, (a, b) in enumerate((a, b) for b in (10, 2) for a in range(4))]
    plot = picture(COLUMNS, rows)
    assert (plot.kind, [one.label for one in plot.series]) == (PlotKind.LINE, [2, 10])
    assert plot.series[1].y == (0.0, 10.0, 20.0, 30.0)


def test_two_parameters_of_many_values_make_a_grid_of_means_with_gaps() -> None:
    rows = [(a * 6 + b, a, b, float(a + b)) for a in range(6) for b in range(6) if (a, b) != (2, 3)]
    plot = picture(COLUMNS, [*rows, (99, 5, 5, 20.0)])
    assert (plot.kind, plot.repeated) == (PlotKind.HEATMAP, True)
    grid = plot.grid
    assert isinstance(grid, Grid)
    assert (grid.x, grid.y) == (tuple(range(6)), tuple(range(6)))
    assert grid.values[3][2] is None
    assert grid.values[5] == (5.0, 6.0, 7.0, 8.0, 9.0, 15.0)
    assert picture(COLUMNS, rows, x="a", by="b").kind is PlotKind.LINE, "who names a second parameter wants series"


def test_values_that_make_no_grid_are_refused_as_one() -> None:
    rows = [(no, no, no * no, 1.0) for no in range(20)]
    with pytest.raises(Problem, match="20 pairs of values do not make a grid: it would have 20 x 20 cells"):
        picture(COLUMNS, rows, kind=PlotKind.HEATMAP)


def test_more_series_than_colours_are_refused() -> None:
    rows = [(no, 1, no, 1.0) for no in range(MOST_SERIES + 1)]
    with pytest.raises(Problem, match=r"inputs\.b has 13 values; 12 series at most") as raised:
        picture(COLUMNS, rows, x="a", by="b")
    assert raised.value.field == "by"


def test_three_parameters_are_parallel_lines_and_the_best_is_known() -> None:
    rows = [(0, 1, 2, 3, 5.0), (1, 1, 1, 1, 0.5), (2, 2, 2, 2, 0.5), (3, 2, None, 2, 0.1)]
    plot = picture((*FIXED, A, B, C, LOSS), rows)
    assert (plot.kind, plot.shown, plot.without_value, len(plot.lines)) == (PlotKind.PARALLEL, 3, 1, 3)
    assert plot.best == plot.lines[1], "the first of the best"
    largest = picture((*FIXED, A, B, C, LOSS), rows, best=Sense.MAX)
    assert largest.best == largest.lines[0]


def test_no_best_is_marked_unless_asked_for() -> None:
    rows = [(0, 1, 9.0), (1, 2, 1.0)]
    assert picture((*FIXED, A, LOSS), rows).best is None
    best = picture((*FIXED, A, LOSS), rows, best=Sense.MIN).best
    assert best is not None
    assert (best.no, best.y) == (1, 1.0)


def test_nothing_to_show_is_a_plot_without_points() -> None:
    for wish in ({}, {"kind": PlotKind.HEATMAP, "x": "a", "by": "b"}, {"kind": PlotKind.PARALLEL}):
        plot = picture(COLUMNS, [(0, 1, 1, None)], **wish)
        assert (plot.shown, plot.without_value, plot.best) == (0, 1, None)


def test_booleans_and_texts_stand_in_order() -> None:
    flag = Column("inputs.flag", Kind.BOOLEAN)
    plot = picture((*FIXED, flag, METHOD, LOSS), [(0, True, "b", 1.0), (1, False, "a", 2.0)], x="flag", by="method")
    assert [one.label for one in plot.series] == ["a", "b"]


@pytest.mark.parametrize("period", [2, 3, 5, 10, 100])
def test_of_very_many_tasks_some_of_each_value_are_taken(period: int) -> None:
    taken = thin(range(40_000), 20_000)
    assert (len(taken), len(set(taken)), taken == sorted(taken)) == (20_000, 20_000, True)
    counts = [sum(no % period == rest for no in taken) for rest in range(period)]
    assert min(counts) > 0.9 * max(counts)
    assert thin([3, 5], 2) == [3, 5]
