"""Values over one parameter, as points or joined by lines; one series for each value of a second one."""

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.axes import Axes

from sirdar.plots.scales import BEST, check_log, colours_for, is_number, name_places, places_of
from sirdar.plots.words import label_of, name_of, value_text

MARKED = 60  # points of a line that are marked one by one


def draw_over(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    """Raises CannotPlot."""
    series, x, y = document["series"], document["dimensions"][0], document["y"]
    _scale(axes, document, log)
    places = None if is_number(x) else places_of(value for one in series for value in one["x"])
    if places is not None:
        name_places(axes.xaxis, list(places))
    for one, colour in zip(series, colours_for([one["label"] for one in series]), strict=True):
        at = [places[value] for value in one["x"]] if places is not None else one["x"]
        if document["kind"] == "line":
            marker = "o" if len(at) <= MARKED else ""
            axes.plot(at, one["y"], color=colour, linewidth=1.6, marker=marker, markersize=4, label=_label(one))
        else:
            seen = max(0.25, min(0.85, 40 / len(at) ** 0.5))
            axes.scatter(at, one["y"], s=22, color=colour, alpha=seen, linewidths=0, label=_label(one))
    if best := document["best"]:
        at_best = places[best["values"][0]] if places is not None else best["values"][0]
        axes.scatter([at_best], [best["y"]], s=110, facecolors="none", edgecolors=BEST, linewidths=1.8, zorder=5)
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    axes.grid(True, axis="both" if places is None else "y")
    axes.margins(x=0.03 if places is None else 0.1)
    if len(document["dimensions"]) > 1:
        axes.legend(
            title=label_of(document["dimensions"][1]), loc="upper left", bbox_to_anchor=(1.01, 1.0), alignment="left"
        )


def _label(series: Mapping[str, Any]) -> str:
    return value_text(series["label"])


def _scale(axes: Axes, document: Mapping[str, Any], log: Collection[str]) -> None:
    x, y = document["dimensions"][0], document["y"]
    if x["name"] in log and is_number(x):
        check_log((value for one in document["series"] for value in one["x"]), name_of(x))
        axes.set_xscale("log")
    if y["name"] in log:
        check_log((value for one in document["series"] for value in one["y"]), name_of(y))
        axes.set_yscale("log")
