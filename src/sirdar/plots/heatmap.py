"""A colour for each pair of values of two parameters. Each value has a cell of the same size, whatever lies between them."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sirdar.plots.scales import BEST, SEQUENCE, colour_scale, name_places
from sirdar.plots.ticks import number_text
from sirdar.plots.words import ALONG, UP, label_of, name_of, wrapped

WRITTEN = 150  # cells up to which each shows its number
MISSING = "#eef0f3"


def draw_heatmap(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    """Raises CannotPlot."""
    grid, (x, by) = document["grid"], document["dimensions"]
    values = np.array([[np.nan if cell is None else cell for cell in row] for row in grid["values"]], dtype=float)
    known = values[~np.isnan(values)]
    scale = colour_scale(known.tolist(), log=document["y"]["name"] in log, name=name_of(document["y"]))
    axes.set_facecolor(MISSING)
    image = axes.imshow(values, cmap=SEQUENCE, norm=scale, aspect="auto", origin="lower", interpolation="nearest")
    name_places(axes.xaxis, grid["x"], inches=5.2)
    name_places(axes.yaxis, grid["y"], inches=3.2)
    axes.set_xlabel(wrapped(label_of(x), ALONG))
    axes.set_ylabel(wrapped(label_of(by), UP))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label(wrapped(label_of(document["y"]), UP))
    bar.outline.set_visible(False)
    if values.size <= WRITTEN:
        _write(axes, values, scale)
    if best := document["best"]:
        column, row = grid["x"].index(best["values"][0]), grid["y"].index(best["values"][1])
        frame = [column - 0.5, column + 0.5, column + 0.5, column - 0.5, column - 0.5]
        axes.plot(
            frame, [row - 0.5, row - 0.5, row + 0.5, row + 0.5, row - 0.5], color=BEST, linewidth=2.2, clip_on=False
        )


def _write(axes: Axes, values: Any, scale: Any) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = scale(value) < 0.6
            axes.text(
                column,
                row,
                number_text(float(value), 3),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "#20262e",
            )
