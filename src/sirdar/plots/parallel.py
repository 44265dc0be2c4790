"""Parallel coordinates: an axis for each parameter and one for the value, a line for each task, its colour the value.

The axis of the value bears the colours. Each axis runs from its smallest to its largest value, rounded outwards (A. Inselberg,
The Visual Computer 1, 1985). The better a line, the later it is drawn; of very many the best ones stand out.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke

from sirdar.plots.scales import BEST, SEQUENCE, check_log, is_number, places_of
from sirdar.plots.ticks import log_ticks, number_text, round_ticks, tick_texts
from sirdar.plots.words import FAINT, label_of, name_of, short, short_apart, standing_out, value_text, wrapped

TICKS = 6
FEW = 10  # values up to which each has its tick
NAMED = 20  # texts of an axis that are written
APART = 0.05  # of an axis' height between two ticks
RASTER_FROM = 1000  # lines that a vector file holds as dots
GOLDEN = 2_654_435_769  # of 2**32
INCHES_EACH = 0.85  # of an axis
BAR = 0.12  # width of the colours, in inches
NAME_SIZES, TICK_SIZE = (9.5, 8.5, 7.5), 7.5  # points
NAME_LINES = 3
LETTER = 0.57  # mean width of a letter, in its size
GREY, AXIS, INK = "#5b6470", "#9aa3ad", "#20262e"


def size_of(document: Mapping[str, Any], size: tuple[float, float]) -> tuple[float, float]:
    """Inches that the axes need, where the usual size is too narrow."""
    return max(size[0], INCHES_EACH * (len(document["dimensions"]) + 1.5)), size[1]


def draw_parallel(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    """Raises CannotPlot."""
    columns = [*document["dimensions"], document["y"]]
    rows = [[*line["values"], line["y"]] for line in document["lines"]]
    scales = [
        _Scale(column, values, log=column["name"] in log)
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    heights = np.column_stack(
        [scale.heights(values) for scale, values in zip(scales, zip(*rows, strict=True), strict=True)]
    )
    _lines(axes, heights, largest_first=document["sense"] != "max")
    if best := document["best"]:
        at_best = [scale.heights([value])[0] for scale, value in zip(scales, [*best["values"], best["y"]], strict=True)]
        axes.plot(range(len(columns)), at_best, color=BEST, linewidth=2.2, marker="o", markersize=4.5, zorder=5)
    _frame(axes, columns)
    inches = (axes.figure.get_figure(root=True).get_size_inches()[0] - 0.5) / (len(columns) + 0.4)
    for place, scale in enumerate(scales):
        _axis(axes, place, scale, inches, bar=place == len(scales) - 1)


def _lines(axes: Axes, heights: Any, *, largest_first: bool) -> None:
    """The best last. Of very many the others are thinner and nearly clear, and only some of them are drawn."""
    value = heights[:, -1]
    order = np.argsort(-value if largest_first else value, kind="stable")
    strong = standing_out(len(order)) or len(order)
    best, others = order[-strong:], _some(order[:-strong], FAINT)
    for some, width, clear in ((others, 0.6, 30 / max(1, len(others))), (best, 1.1, 8 / strong**0.5)):
        if len(some):
            colours = SEQUENCE(value[some])
            colours[:, 3] = min(0.75, max(0.02, clear))
            points = np.stack(
                [np.broadcast_to(np.arange(heights.shape[1]), heights[some].shape), heights[some]], axis=2
            )
            lines = LineCollection(list(points), colors=colours, linewidths=width, zorder=2)
            lines.set_rasterized(len(some) > RASTER_FROM)
            axes.add_collection(lines)


def _some(places: Any, most: int) -> Any:
    """At most so many of them, in their order, spread as multiples of the golden ratio are."""
    if len(places) <= most:
        return places
    spread = np.argsort(np.arange(len(places), dtype=np.int64) * GOLDEN % 2**32, kind="stable")
    return places[np.sort(spread[:most])]


def _frame(axes: Axes, columns: Sequence[Mapping[str, str]]) -> None:
    last = len(columns) - 1
    inches = axes.figure.get_figure(root=True).get_size_inches()[0] / (len(columns) + 0.4)
    axes.set_xlim(-0.3, last + 0.75)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    size, names = _names([label_of(column) for column in columns], 0.92 * inches * 72)
    axes.set_xticks(range(len(columns)), names, fontsize=size, color=INK)
    axes.tick_params(axis="x", length=0, pad=5, labeltop=True, labelbottom=False)


def _names(names: Sequence[str], points: float) -> tuple[float, list[str]]:
    """In the largest letters in which no word has to be parted, and the lines in which they stand."""
    longest = max(len(word) for name in names for word in name.replace("_", "_ ").split())
    size = next((size for size in NAME_SIZES if longest * size * LETTER <= points), NAME_SIZES[-1])
    return size, [wrapped(name, max(5, int(points / size / LETTER)), lines=NAME_LINES) for name in names]


def _axis(axes: Axes, place: int, scale: "_Scale", inches: float, *, bar: bool) -> None:
    axes.axvline(place, ymin=0.03 / 1.06, ymax=1.03 / 1.06, color=AXIS, linewidth=0.9, zorder=3)
    wide = BAR / inches if bar else 0.0
    if bar:
        shades = np.linspace(0, 1, 256)[:, None] if scale.spreads else np.full((1, 1), 0.5)
        axes.imshow(shades, cmap=SEQUENCE, norm=Normalize(0, 1), extent=(place, place + wide, 0, 1), aspect="auto",
                    origin="lower", zorder=4)  # fmt: skip
        axes.set_xlim(-0.3, place + 0.75)
        axes.set_ylim(-0.03, 1.03)
    halo = [withStroke(linewidth=2.4, foreground="white", alpha=0.9)]
    letters = max(5, int(0.86 * (0.9 * inches if not bar else inches * 0.75 - BAR) * 72 / TICK_SIZE / LETTER))
    heights, texts = scale.ticks(letters)
    for height, text in zip(heights, texts, strict=True):
        ends = [place + wide, place + wide + 0.03 / inches]
        axes.plot(ends, [height, height], color=AXIS, linewidth=0.9, zorder=4)
        axes.text(ends[1] + 0.03 / inches, height, text, va="center", fontsize=TICK_SIZE, color=INK, path_effects=halo,
                  zorder=6)  # fmt: skip


class _Scale:
    """Values of one column as heights from 0 to 1. ``spreads``: there is more than one of them."""

    def __init__(self, column: Mapping[str, str], values: Sequence[Any], *, log: bool) -> None:
        self._log = log
        different = set(values)
        self.spreads = len(different) > 1
        self._places = None if is_number(column) else places_of(sorted(different, key=str))
        self._few: list[float] = []
        self._ticks: list[float] = []
        if self._places is not None:
            self._low, self._high = 0.0, float(len(self._places) - 1)
            return
        low, high = float(min(different)), float(max(different))
        if log:
            check_log([low], name_of(column))
            self._low, self._high = float(np.log10(low)), float(np.log10(high))
            self._ticks = log_ticks(low, high, TICKS)
        else:
            self._ticks = round_ticks(low, high, TICKS) if self.spreads else [low]
            self._low, self._high = self._ticks[0], self._ticks[-1]
        self._choose_ticks(sorted(different))

    def _choose_ticks(self, different: list[float]) -> None:
        """Of few values each has its tick, and the axis ends with them, if they stand far enough from one another."""
        if len(different) > FEW:
            return
        low, high = self._low, self._high
        if not self._log:
            self._low, self._high = float(different[0]), float(different[-1])
        heights = self.heights(different)
        if len(different) > 1 and min(np.diff(heights)) < APART:
            self._low, self._high = low, high
        else:
            self._few = different

    def heights(self, values: Sequence[Any]) -> Any:
        if self._places is not None:
            at = np.array([self._places[value] for value in values], dtype=float)
        else:
            at = np.log10(np.array(values, dtype=float)) if self._log else np.array(values, dtype=float)
        spread = self._high - self._low
        return (at - self._low) / spread if spread else np.full(len(at), 0.5)

    def ticks(self, letters: int) -> tuple[list[float], list[str]]:
        """Heights, and what stands there in so many letters."""
        if self._places is not None:
            names = list(self._places)
            shown = names[:: -(-len(names) // NAMED)]
            return list(self.heights(shown)), short_apart([value_text(name) for name in shown], letters)
        if self._few:
            return list(self.heights(self._few)), [short(number_text(value, 6), letters) for value in self._few]
        texts = [number_text(tick) for tick in self._ticks] if self._log else tick_texts(self._ticks)
        return list(self.heights(self._ticks)), texts
