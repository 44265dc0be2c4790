"""Values over one parameter, as points or joined by lines; one series for each value of a second one."""

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.axes import Axes

from sirdar.plots.scales import BEST, check_log, colours_for, is_number, name_places, places_of
from sirdar.plots.words import ALONG, UP, label_of, name_of, short, value_text, wrapped

MARKED = 60  # points of a line that are marked one by one
MANY = 2000  # points from which on they are small, and dots of a picture in a vector file too
NAME = 28  # letters of a series' name


def draw_over(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    """Raises CannotPlot."""
    series, x, y = document["series"], document["dimensions"][0], document["y"]
    _scale(axes, document, log)
    places = None if is_number(x) else places_of(value for one in series for value in one["x"])
    if places is not None:
        name_places(axes.xaxis, list(places), inches=6.2 if len(series) == 1 else 4.8)
    for one, colour in zip(series, colours_for([one["label"] for one in series]), strict=True):
        at = [places[value] for value in one["x"]] if places is not None else one["x"]
        if document["kind"] == "line":
            marker = "o" if len(at) <= MARKED else ""
            axes.plot(at, one["y"], color=colour, linewidth=1.6, marker=marker, markersize=4, label=_label(one))
        else:
            many = len(at) > MANY
            seen = max(0.1, min(0.85, 12 / len(at) ** 0.5))
            size = 9 if many else 22
            dots = axes.scatter(at, one["y"], s=size, color=colour, alpha=seen, linewidths=0, rasterized=many)
            dots.set_label(_label(one))
    if best := document["best"]:
        at_best = places[best["values"][0]] if places is not None else best["values"][0]
        axes.scatter([at_best], [best["y"]], s=110, facecolors="none", edgecolors=BEST, linewidths=1.8, zorder=5)
    axes.set_xlabel(wrapped(label_of(x), ALONG))
    axes.set_ylabel(wrapped(label_of(y), UP))
    axes.grid(True, axis="both" if places is None else "y")
    axes.margins(x=0.03 if places is None else 0.1)
    if len(document["dimensions"]) > 1:
        title = wrapped(label_of(document["dimensions"][1]), NAME)
        legend = axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1.0), alignment="left")
        for sign in legend.legend_handles:
            if sign is not None:
                sign.set_alpha(1.0)  # however clear the points are


def _label(series: Mapping[str, Any]) -> str:
    return short(value_text(series["label"]), NAME)


def _scale(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    x, y = document["dimensions"][0], document["y"]
    if x["name"] in log and is_number(x):
        check_log((value for one in document["series"] for value in one["x"]), name_of(x))
        axes.set_xscale("log")
    if y["name"] in log:
        check_log((value for one in document["series"] for value in one["y"]), name_of(y))
        axes.set_yscale("log")
