"""What is written in a picture can be read: nothing lies over anything else or beyond the edge, numbers are round and true,
names are told letter for letter."""

import random
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from tests.unit.plots.test_pictures import ALL, BETA, METHOD, ORDER, crowd, curve, document

from sirdar.domain.plot_data import PlotKind, Sense
from sirdar.domain.task_table import Column, Kind
from sirdar.plots import draw
from sirdar.plots.scales import log_like
from sirdar.plots.ticks import log_ticks, number_text, round_ticks, tick_texts
from sirdar.plots.words import short_apart, wrapped

LONG = "regularisation_coefficient_of_the_second_derivative"
METHODS = ["euler", "rk4", "implicit midpoint rule with Newton's method", "bdf"]
COLUMNS = [
    ("Regularisation", lambda chance: 10 ** chance.uniform(-6, 2)),
    ("Order", lambda chance: chance.randint(1, 8)),
    ("Method of integration", lambda chance: chance.choice(METHODS)),
    (LONG, lambda chance: chance.uniform(100_000, 100_010)),
    ("p", lambda chance: chance.choice([0.1, 0.2, 0.5])),
]


def parallel(dimensions: int, tasks: int = 60, **more: Any) -> dict[str, Any]:
    """Parameters over powers of ten, whole, of text, far from zero, few."""
    chance = random.Random(dimensions)
    of = [(*COLUMNS[place % 5], place) for place in range(dimensions)]
    kinds = [Kind.TEXT if place % 5 == 2 else Kind.NUMBER for place in range(dimensions)]
    columns = tuple(Column(f"inputs.p{place}", kinds[place], title) for title, _, place in of)
    rows = [(no, *(value(chance) for _, value, _ in of), chance.lognormvariate(0, 2)) for no in range(tasks)]
    return document(columns, rows, kind=PlotKind.PARALLEL, failed=3, **more)


def texts_at_schemes(count: int, kind: PlotKind) -> dict[str, Any]:
    rows = [(no, f"a rather long name of scheme {no % count}", no // count, no * 1e5) for no in range(count * 8)]
    return document((METHOD, ORDER), rows, kind=kind, x="method", by="order", best=Sense.MIN)


LEGIBLE = {
    **ALL,
    **{f"parallel of {count}": parallel(count) for count in (2, 5, 12)},
    "parallel of very many": parallel(5, 1500),
    "parallel of one task": parallel(3, 1),
    "heat map of texts": texts_at_schemes(6, PlotKind.HEATMAP),
    "points at texts": texts_at_schemes(12, PlotKind.SCATTER),
    "many cells": document(
        (BETA, ORDER), [(a * 40 + b, 10 ** (a / 10 - 3), b, a + b + 1.0) for a in range(40) for b in range(40)]
    ),
    "long names": document(
        (Column(f"inputs.{LONG}_and_more_of_it_here", Kind.NUMBER), METHOD),
        [(no, float(no // 3), METHODS[no % 3] * (1 + no % 2), 1.0 + no) for no in range(9)],
    ),
}


def words(figure: Figure) -> Iterator[tuple[Text, Any]]:
    """What is written, and where."""
    figure.canvas.draw()
    outer = {id(label) for axes in figure.axes for label in _unseen(axes)}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text().strip() and text.get_visible() and id(text) not in outer:
            yield text, text.get_window_extent()


def _unseen(axes: Axes) -> Iterator[Text]:
    """Ticks beyond the axes' range, which matplotlib keeps and does not draw."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            inside = low - 1e-9 <= tick.get_loc() <= high + 1e-9
            yield from [label for label in (tick.label1, tick.label2) if not inside or not label.get_visible()]


@pytest.mark.parametrize("name", LEGIBLE)
def test_nothing_that_is_written_lies_over_another_word_or_beyond_the_edge(name: str) -> None:
    figure = draw(LEGIBLE[name], title="Cross-validation of the two-level identification", subject="job x")
    placed = list(words(figure))
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in placed:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (one, box), (other, another) in combinations(placed, 2):
        if one.get_rotation() == other.get_rotation() == 35:
            continue  # slanted words lie beside one another, their boxes do not
        over = min(box.x1, another.x1) - max(box.x0, another.x0)
        under = min(box.y1, another.y1) - max(box.y0, another.y0)
        assert min(over, under) <= 1.5, (one, other)


def test_axes_side_by_side_bear_round_numbers_where_they_belong() -> None:
    axes = draw(parallel(5), log=["none"]).axes[0]
    written = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert {"100000", "100002", "100004"} <= set(written)  # once they were all 1e+05
    assert {"0.1", "0.2", "0.5", "euler", "bdf"} <= set(written)
    assert written["0.2"] == pytest.approx(0.25)
    assert written["100002"] - written["100000"] == pytest.approx(0.2)


def test_what_spans_powers_of_ten_is_logarithmic_unless_somebody_says_otherwise() -> None:
    assert draw(curve()).axes[0].get_xscale() == "log"
    assert draw(curve(), log=["none"]).axes[0].get_xscale() == "linear"
    assert draw(curve(), log=["y"]).axes[0].get_xscale() == "linear"
    assert log_like([0.001, 0.01, 0.1, 1, 10])
    for linear in ([], [1.0, 2, 3], [0.0, 1, 1000], [-1.0, 1, 1000], list(range(1, 1001)), [0.1, 400, 500, 900]):
        assert not log_like(linear)


def test_dollars_are_dollars() -> None:
    rows = [(no, r"$\nosuch$", no, no + 1.0) for no in range(4)]
    told = Column("inputs.a", Kind.TEXT, r"Cost in $ of $\foo$")
    for kind in PlotKind:
        figure = draw(document((told, ORDER), rows, kind=kind, x="a", by="order"), title=r"$\bar$", subject=r"$\job$")
        assert {r"$\bar$"} < {text.get_text() for text, _ in words(figure)}
    assert any("mathdefault" in text.get_text() for text, _ in words(draw(curve())))  # powers of ten are set as such


def test_of_very_many_lines_the_best_stand_out_and_the_caption_says_so() -> None:
    told = "\n".join(text.get_text() for text, _ in words(draw(parallel(3, 5000))))
    assert "5,000 of 5,003 tasks (3 failed) · the 200 best drawn strongly, 3,000 of the others faintly" in told.replace(
        "\n", " "
    )
    drawn = draw(parallel(3, 5000)).axes[0].collections
    assert [len(lines.get_paths()) for lines in drawn] == [3000, 200]
    assert "strongly" not in "\n".join(text.get_text() for text, _ in words(draw(crowd())))


def test_an_empty_cell_is_explained() -> None:
    assert any("grey: no value" in text.get_text() for text, _ in words(draw(ALL["heatmap"])))


def test_numbers_are_written_with_as_many_digits_as_they_need() -> None:
    assert tick_texts([100_000.0, 100_002.5, 100_005.0]) == ["100000.0", "100002.5", "100005.0"]
    assert tick_texts([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert tick_texts([2e7, 4e7]) == ["2e7", "4e7"]
    assert tick_texts([1e-7, 2e-7, 3e-7]) == ["1e-7", "2e-7", "3e-7"]
    assert tick_texts([1_000_000.0, 1_000_001.0]) == ["1e6", "1.000001e6"]
    assert [number_text(value) for value in (0, 0.05, 12345, 1.4e6, -2.5e-9, 0.1 + 0.2, 123456.7)] == [
        "0", "0.05", "12345", "1.4e6", "-2.5e-9", "0.3", "123457",
    ]  # fmt: skip
    assert round_ticks(0.3, 9.2, 6) == [0, 2, 4, 6, 8, 10]
    assert log_ticks(2e-3, 50, 6) == [0.01, 0.1, 1, 10]
    assert log_ticks(2, 30, 6) == [2, 5, 10, 20]
    assert log_ticks(3, 3, 6) == [3, 3]


def test_long_words_are_cut_so_that_they_differ() -> None:
    assert short_apart(["euler", "rk4"], 8) == ["euler", "rk4"]
    assert short_apart(["scheme number 1", "scheme number 2"], 8) == ["sch…er 1", "sch…er 2"]
    assert wrapped("learning_rate_of_the_fit", 10, lines=3) == "learning_\nrate_of_\nthe_fit"
    assert wrapped("one two three four five", 9, lines=2) == "one two\nthree fo…"
