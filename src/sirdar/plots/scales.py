"""Values as positions and colours: numbers as they are, texts and booleans one place each."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib import colormaps
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.colors import LogNorm, Normalize

from sirdar.plots.words import short_apart, value_text

# Okabe and Ito's colours, which people with any colour vision tell apart; the yellow is left out, for it is faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
BEST = "#d62728"
SEQUENCE = colormaps["viridis"]

LONGEST_SLANTED, LONGEST_BESIDE = 24, 24  # letters of a value below and beside the axis
LETTER_INCHES, GAP_INCHES, LINE_INCHES = 0.085, 0.12, 0.19  # of ticks of 10 points


class CannotPlot(Exception):
    """The picture cannot be drawn; the text says why."""


def is_number(column: Mapping[str, str]) -> bool:
    return column["kind"] == "number"


def places_of(values: Iterable[Any]) -> dict[Any, int]:
    """A place for each text, in their order."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def name_places(axis: Axis, names: Sequence[Any], inches: float) -> None:
    """Values as ticks, on an axis of about so many inches: of very many only some, long ones of a lower axis slanted."""
    letters = LONGEST_SLANTED if isinstance(axis, XAxis) else LONGEST_BESIDE
    texts = short_apart([value_text(name) for name in names], letters)
    widest = max(map(len, texts)) * LETTER_INCHES + GAP_INCHES
    slanted = isinstance(axis, XAxis) and any(isinstance(name, str) for name in names) and widest * len(texts) > inches
    each = LINE_INCHES if slanted or isinstance(axis, YAxis) else widest
    step = max(1, -(-len(texts) // max(1, int(inches / each))))
    axis.set_ticks(range(0, len(texts), step), texts[::step])
    if slanted:
        for label in axis.get_ticklabels():
            label.set(rotation=35, horizontalalignment="right", rotation_mode="anchor")


def logarithmic(document: Mapping[str, Any], words: Collection[str]) -> frozenset[str]:
    """Names of the columns that shall have a logarithmic scale: those named, none for ``none``; where nobody says, those
    whose values look like it (``log_like``).

    Raises CannotPlot for a word that names none.
    """
    columns = [*document["dimensions"], document["y"]]
    if not words:
        return frozenset(
            column["name"] for column in columns if is_number(column) and log_like(_values(document, column))
        )
    short = {column["name"].removeprefix("inputs.").removeprefix("outputs."): column["name"] for column in columns}
    known = {**short, **{name: name for name in short.values()}, "x": columns[0]["name"], "y": columns[-1]["name"]}
    if set(words) == {"none"} and "none" not in known:
        return frozenset()
    if unknown := sorted(set(words) - set(known)):
        raise CannotPlot(f"{unknown[0]} is not shown, so it has no scale; shown are {', '.join(short)}")
    return frozenset(known[word] for word in words)


def log_like(values: Sequence[float]) -> bool:
    """Positive, over two powers of ten or more, and half of them crowded in the lowest tenth of a linear axis."""
    return bool(values) and min(values) > 0 and max(values) >= 100 * min(values) and median(values) <= max(values) / 10


def _values(document: Mapping[str, Any], column: Mapping[str, str]) -> list[float]:
    """Of one column of the picture; of a grid, which has cells of one size, only those of the colour."""
    of_y = column["name"] == document["y"]["name"]
    if document["kind"] == "parallel":
        place = document["dimensions"].index(column) if not of_y else None
        return [line["y"] if place is None else line["values"][place] for line in document["lines"]]
    if document["kind"] == "heatmap":
        return [cell for row in document["grid"]["values"] for cell in row if cell is not None] if of_y else []
    if not of_y and column != document["dimensions"][0]:
        return []
    return [value for one in document["series"] for value in one["y" if of_y else "x"]]


def check_log(values: Iterable[float], name: str) -> None:
    """Raises CannotPlot where a value has no logarithm."""
    least = min(values)
    if least <= 0:
        raise CannotPlot(f"{name} has no logarithmic scale here: its smallest value is {least:g}")


def colour_scale(values: Collection[float], *, log: bool, name: str) -> Normalize:
    """From the smallest to the largest value. Raises CannotPlot."""
    if log:
        check_log(values, name)
        return LogNorm(min(values), max(values))
    return Normalize(min(values), max(values))


def colours_for(labels: Sequence[Any]) -> list[Any]:
    """A colour for each series: a sequence for numbers, else colours that differ."""
    ordered = all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)
    if len(labels) > len(COLOURS) or (ordered and len(labels) > 2):
        return [SEQUENCE(0.9 * place / max(1, len(labels) - 1)) for place in range(len(labels))]
    return list(COLOURS[: len(labels)])
