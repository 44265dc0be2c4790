"""The whole figure: its style, the picture in it, the caption below, and its file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from sirdar.plots.heatmap import draw_heatmap
from sirdar.plots.over import draw_over
from sirdar.plots.parallel import draw_parallel
from sirdar.plots.scales import CannotPlot, logarithmic
from sirdar.plots.words import best_text, caption_of

__all__ = ["CannotPlot", "draw", "save"]
GREY = "#5b6470"
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelcolor": "#20262e",
    "axes.edgecolor": "#9aa3ad",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "sirdar",
    "svg.fonttype": "path",
}
SUFFIXES = (".png", ".svg", ".pdf")
DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def draw(
    document: Mapping[str, Any],
    *,
    title: str = "",
    subject: str = "",
    log: Collection[str] = (),
    size: tuple[float, float] = (7.2, 4.6),
) -> Figure:
    """The figure of what the server answered. ``log``: what has a logarithmic scale: ``x``, ``y`` (the value), or
    parameters by their names; ``subject``: what the caption begins with; ``size`` in inches.

    Raises CannotPlot where there is nothing to show, or nothing positive for a logarithm.
    """
    if not document["shown"]:
        raise CannotPlot(f"there is nothing to show yet: {caption_of(document, subject)}")
    scales = logarithmic(document, log)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if document["kind"] == "parallel":
            draw_parallel(axes, document, scales)
        elif document["kind"] == "heatmap":
            draw_heatmap(axes, document, scales)
        else:
            draw_over(axes, document, scales)
        if title:
            axes.set_title(title, pad=14)
        lines = [best_text(document)] if document["best"] else []
        figure.supxlabel(
            "\n".join([*lines, caption_of(document, subject)]), x=0.01, ha="left", fontsize=8.5, color=GREY
        )
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes it by the suffix: .png (200 dots to the inch), .svg or .pdf. Raises CannotPlot for another one, OSError."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CannotPlot(f"{path.name} has none of the suffixes {', '.join(SUFFIXES)}")
    with mpl.rc_context(STYLE):
        figure.savefig(path, format=suffix[1:], dpi=200, metadata=DATES.get(suffix))
