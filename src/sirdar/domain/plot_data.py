"""What a plot of a job's table shows: which columns, which kind of picture, which points. Pure.

``choose`` finds the columns that were asked for, ``thin`` takes some of very many tasks, ``arrange`` puts the
rows of these columns into series, a grid or lines.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import Any

from sirdar.domain.problems import Problem
from sirdar.domain.task_table import NO, Column, Kind, find_column

MOST_SERIES = 12  # colours that an eye tells apart
MOST_DIMENSIONS = 12
GRID_FROM = 5  # values on each axis, where nobody chose the kind
FULL_ENOUGH = 0.5  # share of a grid's cells that have a value
CELLS_PER_POINT = 4  # of a grid that was asked for
GOLDEN = 2_654_435_769  # of 2**32


class PlotKind(StrEnum):
    """LINE: values over one parameter, joined in its order. SCATTER: points. HEATMAP: a colour for each pair of two parameters.
    PARALLEL: a line for each task through all parameters, its colour the value."""

    LINE = "line"
    SCATTER = "scatter"
    HEATMAP = "heatmap"
    PARALLEL = "parallel"


class Sense(StrEnum):
    """Which value is the best."""

    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; empty where nobody chose. Names are those of columns, or of inputs and outputs."""

    x: str = ""
    y: str = ""
    by: str = ""
    kind: PlotKind | None = None
    best: Sense | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """``y`` is the value. It is shown over ``dimensions``: over x, over x and by, or, of a parallel plot, over them all."""

    y: Column
    dimensions: tuple[Column, ...]
    kind: PlotKind | None
    best: Sense | None
    by_wish: bool  # x and by were named, so that a heat map is not meant unless it was said

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*self.dimensions, self.y)


@dataclass(frozen=True, slots=True)
class Series:
    """Points in the order of x; ``no`` are the tasks' numbers. ``label``: the value of by, None where there is none."""

    label: Any
    no: tuple[int, ...]
    x: tuple[Any, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """``values[row][column]``: the mean of the tasks at ``y[row]`` and ``x[column]``, None where there is none."""

    x: tuple[Any, ...]
    y: tuple[Any, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A task of a parallel plot: its values in the order of the dimensions, and y."""

    no: int
    values: tuple[Any, ...]
    y: float


@dataclass(frozen=True, slots=True)
class Plot:
    """One of ``series``, ``grid`` and ``lines`` holds what the kind shows. ``best`` is the first of the best tasks.

    ``shown``: tasks in the picture; ``without_value``: those that were looked at and lack one of the values. ``repeated``:
    more than one task stands at a point of a grid, which shows their mean.
    """

    kind: PlotKind
    choice: Choice
    series: tuple[Series, ...] = ()
    grid: Grid | None = None
    lines: tuple[Line, ...] = ()
    best: Line | None = None
    shown: int = 0
    without_value: int = 0
    repeated: bool = False


# ---------------------------------------------------------------- columns


def choose(columns: Sequence[Column], wish: Wish) -> Choice:
    """The columns of the plot. Raises Problem ``invalid_field``, which says what there is."""
    y = _value_column(columns, wish.y)
    best = wish.best or (Sense.MIN if wish.kind is PlotKind.PARALLEL else None)
    named = tuple(_named(columns, name, field, "inputs") for field, name in (("x", wish.x), ("by", wish.by)) if name)
    inputs = tuple(column for column in columns if column.of_input and column != y)
    if wish.kind is PlotKind.PARALLEL or (not named and wish.kind is None and len(inputs) > 2):
        return Choice(y, _parallel(named, inputs), PlotKind.PARALLEL, best or Sense.MIN, bool(wish.kind))
    if wish.x:
        dimensions = named
    else:
        free = tuple(column for column in inputs if column not in named)
        first = next((column for column in free if column.kind is Kind.NUMBER), free[0] if free else NO)
        others = tuple(column for column in free if column != first)
        second = named or (others[:1] if len(others) == 1 or wish.kind is PlotKind.HEATMAP else ())
        dimensions = (first, *second)
    if wish.kind is PlotKind.HEATMAP and len(dimensions) < 2:
        raise Problem(
            "invalid_field",
            "A heat map needs two parameters.",
            field="by",
            expected=_names(column for column in inputs if column not in dimensions) or "a column",
        )
    return Choice(y, dimensions, wish.kind, best, bool(named))


def _value_column(columns: Sequence[Column], name: str) -> Column:
    numbers = [column for column in columns if column.kind is Kind.NUMBER]
    if name:
        found = _named(columns, name, "y", "outputs")
        if found.kind is not Kind.NUMBER:
            raise Problem("invalid_field", f"{found.name} holds no numbers.", field="y", expected=_names(numbers))
        return found
    outputs = [column for column in numbers if column.of_output]
    if not outputs:
        raise Problem(
            "invalid_field",
            "None of the outputs is a number.",
            field="y",
            expected=_names(numbers),
            hint="Name the column to show: y=runS shows how long each task ran.",
        )
    return outputs[0]


def _named(columns: Sequence[Column], name: str, field: str, first: str) -> Column:
    """``a`` is short for ``inputs.a`` or ``outputs.a``; where there are both, ``first`` counts."""
    second = "outputs" if first == "inputs" else "inputs"
    known = {column.name for column in columns}
    candidates = (name, f"{first}.{name}", f"{second}.{name}")
    return find_column(columns, next((one for one in candidates if one in known), name), field)


def _parallel(named: tuple[Column, ...], inputs: tuple[Column, ...]) -> tuple[Column, ...]:
    rest = tuple(column for column in inputs if column not in named)
    dimensions = (*named, *rest)[:MOST_DIMENSIONS]
    if len(dimensions) < 2:
        raise Problem(
            "invalid_field",
            "Parallel coordinates need two parameters or more that differ between the tasks.",
            field="kind",
            expected="line or scatter",
        )
    return dimensions


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)


# ---------------------------------------------------------------- points


def thin(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of these tasks, spread evenly, in their order. The same ones each time.

    Not every n-th: tasks of a sweep repeat their values with a period, and a stride would leave some of them out altogether.
    Multiples of the golden ratio fall evenly among any such classes.
    """
    if len(numbers) <= most:
        return list(numbers)
    spread = sorted(range(len(numbers)), key=lambda place: place * GOLDEN % 2**32)
    return [numbers[place] for place in sorted(spread[:most])]


def arrange(choice: Choice, rows: Iterable[Sequence[Any]]) -> Plot:
    """The plot of rows (number of the task, then the values of ``choice.columns``), in the order of the tasks.

    Raises Problem ``invalid_field`` where the values do not make the kind that was asked for.
    """
    lines, lacking = [], 0
    for no, *values in rows:
        if None in values:
            lacking += 1
        else:
            lines.append(Line(no, tuple(values[:-1]), values[-1]))
    kind = choice.kind or _kind_for(choice, lines)
    plot = Plot(kind, choice, best=_best(choice, lines), shown=len(lines), without_value=lacking)
    if kind is PlotKind.PARALLEL:
        return replace(plot, lines=tuple(lines))
    if kind is PlotKind.HEATMAP:
        return replace(plot, grid=_grid(lines), repeated=len({line.values for line in lines}) < len(lines))
    return replace(plot, series=_series(choice, lines))


def _best(choice: Choice, lines: Sequence[Line]) -> Line | None:
    if choice.best is None or not lines:
        return None
    return (min if choice.best is Sense.MIN else max)(lines, key=lambda line: line.y)


def _kind_for(choice: Choice, lines: Sequence[Line]) -> PlotKind:
    x = choice.dimensions[0]
    at = {line.values for line in lines}
    if len(choice.dimensions) == 2 and _is_grid(choice, at):
        return PlotKind.HEATMAP
    joined = x.kind is Kind.NUMBER and not x.of_output and len(at) == len(lines) > 1
    return PlotKind.LINE if joined and (x.of_input or x == NO) else PlotKind.SCATTER


def _is_grid(choice: Choice, at: set[tuple[Any, ...]]) -> bool:
    """Whether a colour for each pair says more than a line for each value of the second parameter."""
    if not all(column.of_input for column in choice.dimensions):
        return False
    columns, rows = len({x for x, _ in at}), len({by for _, by in at})
    least = MOST_SERIES + 1 if choice.by_wish else GRID_FROM
    return rows >= least and columns >= GRID_FROM and len(at) >= FULL_ENOUGH * rows * columns


def _series(choice: Choice, lines: Sequence[Line]) -> tuple[Series, ...]:
    groups: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.values[1] if len(line.values) > 1 else None].append(line)
    if len(groups) > MOST_SERIES:
        raise Problem(
            "invalid_field",
            f"{choice.dimensions[1].name} has {len(groups)} values; {MOST_SERIES} series at most can be told apart.",
            field="by",
            expected="a column of few values",
            hint="kind=heatmap shows two parameters of many values, kind=parallel shows all.",
        )
    return tuple(_one_series(label, groups[label]) for label in _in_order(groups))


def _one_series(label: Any, lines: Sequence[Line]) -> Series:
    places = {value: place for place, value in enumerate(_in_order({line.values[0] for line in lines}))}
    ordered = sorted(lines, key=lambda line: (places[line.values[0]], line.no))
    return Series(
        label,
        tuple(line.no for line in ordered),
        tuple(line.values[0] for line in ordered),
        tuple(line.y for line in ordered),
    )


def _grid(lines: Sequence[Line]) -> Grid:
    cells: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for line in lines:
        cells[line.values].append(line.y)
    xs, ys = (tuple(_in_order({at[place] for at in cells})) for place in (0, 1))
    if len(xs) * len(ys) > CELLS_PER_POINT * len(cells) + GRID_FROM**2:
        raise Problem(
            "invalid_field",
            f"{len(cells)} pairs of values do not make a grid: it would have {len(xs)} x {len(ys)} cells.",
            field="kind",
            expected="scatter or parallel",
        )
    means = {at: fmean(values) for at, values in cells.items()}
    return Grid(xs, ys, tuple(tuple(means.get((x, y)) for x in xs) for y in ys))


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Numbers by size, then texts by their letters."""
    return sorted(values, key=lambda value: (isinstance(value, str), value if value is not None else 0))
