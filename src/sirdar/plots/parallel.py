"""Parallel coordinates: an axis for each parameter and one for the value, a line for each task, its colour the value.

The best is on top. Each axis runs from its smallest to its largest value (A. Inselberg, The Visual Computer 1, 1985).
"""

from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection

from sirdar.plots.scales import BEST, SEQUENCE, check_log, colour_scale, is_number, places_of
from sirdar.plots.words import label_of, name_of, value_text

TICKS = 5
FEW = 6  # values up to which each has its tick
WIDE = 16  # letters of a name in one line
GREY = "#5b6470"


def draw_parallel(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    """Raises CannotPlot."""
    y = document["y"]
    columns = [*document["dimensions"], y]
    rows = [[*line["values"], line["y"]] for line in document["lines"]]
    scales = [
        _Scale(column, [row[place] for row in rows], log=column["name"] in log) for place, column in enumerate(columns)
    ]
    heights = np.array([[scale.height(value) for scale, value in zip(scales, row, strict=True)] for row in rows])
    values = np.array([row[-1] for row in rows], dtype=float)
    colours = colour_scale(values.tolist(), log=y["name"] in log, name=name_of(y))
    # The better a line, the later it is drawn, so that the good ones are seen.
    order = np.argsort(values, kind="stable") if document["sense"] == "max" else np.argsort(-values, kind="stable")
    at = np.arange(len(columns))
    segments = [np.column_stack([at, heights[place]]) for place in order]
    seen = max(0.12, min(0.75, 12 / len(rows) ** 0.5))
    lines = LineCollection(segments, array=values[order], cmap=SEQUENCE, norm=colours, linewidths=1.1, alpha=seen)
    axes.add_collection(lines)
    if best := document["best"]:
        shown = [scale.height(value) for scale, value in zip(scales, [*best["values"], best["y"]], strict=True)]
        axes.plot(at, shown, color=BEST, linewidth=2.4, marker="o", markersize=5, zorder=5)
    _axes(axes, columns, scales)
    bar = axes.figure.colorbar(ScalarMappable(colours, SEQUENCE), ax=axes, pad=0.04, aspect=30)
    bar.set_label(label_of(y))
    bar.outline.set_visible(False)


class _Scale:
    """Values of one column as heights from 0 to 1."""

    def __init__(self, column: Mapping[str, str], values: Sequence[Any], *, log: bool) -> None:
        self._log = log
        if log and is_number(column):
            check_log(values, name_of(column))
        self._places = None if is_number(column) else places_of(sorted(set(values), key=str))
        at = [self._at(value) for value in values]
        self._few = sorted(set(values)) if self._places is None and len(set(values)) <= FEW else []
        self._low, self._high = min(at), max(at)

    def height(self, value: Any) -> float:
        spread = self._high - self._low
        return (self._at(value) - self._low) / spread if spread else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Heights and what stands there."""
        if self._places is not None:
            return [(self.height(value), value_text(value)[:16]) for value in self._places]
        if self._few:
            return [(self.height(value), f"{value:.3g}") for value in self._few]
        spread = self._high - self._low
        return [(place / (TICKS - 1), self._text(self._low + spread * place / (TICKS - 1))) for place in range(TICKS)]

    def _text(self, at: float) -> str:
        return f"{10**at if self._log else at:.3g}"

    def _at(self, value: Any) -> float:
        if self._places is not None:
            return float(self._places[value])
        return float(np.log10(value)) if self._log else float(value)


def _axes(axes: Axes, columns: Sequence[Mapping[str, str]], scales: Sequence[_Scale]) -> None:
    axes.set_xlim(-0.08, len(columns) - 1 + 0.3)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0, pad=6)
    for place, scale in enumerate(scales):
        axes.axvline(place, color="#9aa3ad", linewidth=0.8, zorder=3)
        for height, text in scale.ticks():
            axes.plot([place, place + 0.025], [height, height], color="#9aa3ad", linewidth=0.8, zorder=3)
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
            axes.text(place + 0.04, height, text, va="center", fontsize=7.5, color=GREY, bbox=box, zorder=6)
    names = ["\n".join(wrap(label_of(column), WIDE, break_long_words=False)) for column in columns]
    axes.set_xticks(range(len(columns)), names)
    if len(columns) > 6:
        axes.tick_params(axis="x", labelrotation=30)
