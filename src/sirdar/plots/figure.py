"""The whole figure: its style, the picture in it, the caption below, and its file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from sirdar.plots.heatmap import draw_heatmap
from sirdar.plots.over import draw_over
from sirdar.plots.parallel import draw_parallel, size_of
from sirdar.plots.scales import CannotPlot, logarithmic
from sirdar.plots.words import best_text, caption_of

__all__ = ["CannotPlot", "draw", "save"]
GREY = "#5b6470"
SIZE = (7.2, 4.6)  # inches
CAPTION_SIZE = 8.5  # points
LETTER = 0.57  # mean width of a letter, in its size
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
    "axes.formatter.use_mathtext": True,
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
    size: tuple[float, float] | None = None,
) -> Figure:
    """The figure of what the server answered. ``log``: what has a logarithmic scale: ``x``, ``y`` (the value), or
    parameters by their names, ``none``; empty: what spans powers of ten. ``subject``: what the caption begins with.
    ``size`` in inches, else 7.2 x 4.6, and wider where many axes stand side by side.

    Raises CannotPlot where there is nothing to show, or nothing positive for a logarithm.
    """
    if not document["shown"]:
        raise CannotPlot(f"there is nothing to show yet: {caption_of(document, subject)}")
    scales = logarithmic(document, log)
    with mpl.rc_context(STYLE):
        parallel = document["kind"] == "parallel"
        figure = Figure(
            figsize=size or (size_of(document, SIZE) if parallel else SIZE),
            layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1),
        )
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if parallel:
            draw_parallel(axes, document, scales)
        elif document["kind"] == "heatmap":
            draw_heatmap(axes, document, scales)
        else:
            draw_over(axes, document, scales)
        if title:
            axes.set_title(_within(figure, title, 12), pad=14)
        lines = [best_text(document)] if document["best"] else []
        told = "\n".join(_within(figure, line, CAPTION_SIZE) for line in [*lines, caption_of(document, subject)])
        figure.supxlabel(told, x=0.01, ha="left", fontsize=CAPTION_SIZE, color=GREY)
        _letter_for_letter(figure)
    return figure


def _letter_for_letter(figure: Figure) -> None:
    """A dollar in a name or value is a dollar: only numbers that matplotlib writes itself are formulas, as powers of ten."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
                for text in (*axis.get_ticklabels(which="both"), axis.get_offset_text()):
                    text.set_parse_math(True)


def _within(figure: Figure, text: str, points: float) -> str:
    """In lines that the figure has room for."""
    return fill(text, int(figure.get_size_inches()[0] * 72 / points / LETTER))


def save(figure: Figure, path: Path) -> None:
    """Writes it by the suffix: .png (200 dots to the inch), .svg or .pdf. Raises CannotPlot for another one, OSError."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CannotPlot(f"{path.name} has none of the suffixes {', '.join(SUFFIXES)}")
    with mpl.rc_context(STYLE):
        figure.savefig(path, format=suffix[1:], dpi=200, metadata=DATES.get(suffix))
