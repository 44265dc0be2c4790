"""Values as positions and colours: numbers as they are, texts and booleans one place each."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize

# Okabe and Ito's colours, which people with any colour vision tell apart; the yellow is left out, for it is faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
BEST = "#d62728"
SEQUENCE = colormaps["viridis"]


class CannotPlot(Exception):
    """The picture cannot be drawn; the text says why."""


def is_number(column: Mapping[str, str]) -> bool:
    return column["kind"] == "number"


def places_of(values: Iterable[Any]) -> dict[Any, int]:
    """A place for each text, in their order."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def name_places(axis: Axis, names: Sequence[Any], most: int = 24) -> None:
    """Texts as ticks; of very many only some."""
    step = -(-len(names) // most)
    texts = [_word(name, 3) for name in names]
    if len(set(texts)) < len(texts):
        texts = [_word(name, 6) for name in names]
    axis.set_ticks(range(0, len(names), step), texts[::step])


def _word(value: Any, digits: int) -> str:
    number = isinstance(value, float)
    text = str(value).lower() if isinstance(value, bool) else f"{value:.{digits}g}" if number else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def logarithmic(document: Mapping[str, Any], words: Collection[str]) -> frozenset[str]:
    """Names of the columns that shall have a logarithmic scale. Raises CannotPlot for a word that names none."""
    columns = [*document["dimensions"], document["y"]]
    short = {column["name"].removeprefix("inputs.").removeprefix("outputs."): column["name"] for column in columns}
    known = {**short, **{name: name for name in short.values()}, "x": columns[0]["name"], "y": columns[-1]["name"]}
    if unknown := sorted(set(words) - set(known)):
        raise CannotPlot(f"{unknown[0]} is not shown, so it has no scale; shown are {', '.join(short)}")
    return frozenset(known[word] for word in words)


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
