"""Pictures of what the server answers: valid files, the same bytes each time, axes that say what they show, plain refusals."""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from sirdar.domain.plot_data import PlotKind, Sense, Wish, arrange, choose
from sirdar.domain.task_table import FIXED, Column, Kind
from sirdar.plots import CannotPlot, draw, save

BETA = Column("inputs.beta", Kind.NUMBER, "Regularisation")
ORDER = Column("inputs.order", Kind.NUMBER)
METHOD = Column("inputs.method", Kind.TEXT, "Method")
ERROR = Column("outputs.error", Kind.NUMBER, "Error", ("error",), "K")


def document(
    columns: tuple[Column, ...], rows: list[tuple[Any, ...]], *, failed: int = 0, **wish: Any
) -> dict[str, Any]:
    """As the server answers."""
    plot = arrange(choose((*FIXED, *columns, ERROR), Wish(**wish)), rows)

    def shown(column: Column) -> dict[str, str]:
        return {"name": column.name, "kind": column.kind.value, "title": column.title, "unit": column.unit}

    def whole(line: Any) -> dict[str, Any]:
        return {"no": line.no, "values": list(line.values), "y": line.y}

    return {
        "kind": plot.kind.value,
        "y": shown(plot.choice.y),
        "dimensions": [shown(column) for column in plot.choice.dimensions],
        "series": [{"label": s.label, "no": s.no, "x": list(s.x), "y": list(s.y)} for s in plot.series],
        "grid": {"x": plot.grid.x, "y": plot.grid.y, "values": plot.grid.values} if plot.grid else None,
        "lines": [whole(line) for line in plot.lines],
        "best": whole(plot.best) if plot.best else None,
        "sense": plot.choice.best,
        "total": len(rows) + failed,
        "shown": plot.shown,
        "sampled": False,
        "repeated": plot.repeated,
        "leftOut": {"failed": failed, "cancelled": 0, "notEnded": 0, "withoutValue": plot.without_value},
    }


def curve(**more: Any) -> dict[str, Any]:
    rows = [(no, 10.0**no, (no - 2) ** 2 + 0.5) for no in range(-3, 5)]
    return document((BETA,), [(place, *row[1:]) for place, row in enumerate(rows)], **more)


def surface(**more: Any) -> dict[str, Any]:
    rows = [(a * 6 + b, float(a), b, a * b + 1.0) for a in range(6) for b in range(6) if (a, b) != (2, 2)]
    return document((BETA, ORDER), rows, **more)


def crowd(**more: Any) -> dict[str, Any]:
    rows = [(n, 1 + n / 7, n % 3, ("euler", "rk4")[n % 2], 1 + abs(math.sin(n))) for n in range(40)]
    return document((BETA, ORDER, METHOD), rows, **more)


ALL = {
    "line": curve(best=Sense.MIN),
    "series": document((BETA, METHOD), [(n, float(n // 2), "ab"[n % 2], float(n)) for n in range(8)]),
    "scatter": document((METHOD,), [(n, "abc"[n % 3], float(n)) for n in range(9)], best=Sense.MAX),
    "heatmap": surface(best=Sense.MAX),
    "parallel": crowd(),
}


def words_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@pytest.mark.parametrize("name", ALL)
def test_a_picture_is_valid_and_always_the_same(name: str, tmp_path: Path) -> None:
    for suffix in (".png", ".svg", ".pdf"):
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        for path in (first, second):
            save(draw(ALL[name], subject="job x"), path)
        assert first.read_bytes() == second.read_bytes()
    height, width, _ = imread(tmp_path / "first.png").shape
    assert (width, height) == (1440, 920)
    root = ElementTree.parse(tmp_path / "first.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<dc:date>" not in (tmp_path / "first.svg").read_bytes()
    assert (tmp_path / "first.pdf").read_bytes().startswith(b"%PDF-")


def test_axes_say_what_they_show_with_units_and_the_caption_what_is_left_out() -> None:
    words = words_of(draw(curve(best=Sense.MIN, failed=3), title="A fit", subject="job x"))
    for expected in ("Regularisation", "Error (K)", "A fit", "job x · 8 of 11 tasks (3 failed)"):
        assert expected in words
    assert "smallest Error: 0.5 K at Regularisation = 100" in words
    assert "Method" in words_of(draw(ALL["series"]))
    assert {"Regularisation", "order", "Method"} <= set(words_of(draw(ALL["parallel"])).split("\n"))


def test_the_best_of_a_heat_map_is_the_framed_cell() -> None:
    words = words_of(draw(ALL["heatmap"]))
    assert "largest Error: 26 K at Regularisation = 5, order = 5" in words


def test_a_scale_is_logarithmic_where_all_values_are_positive() -> None:
    axes = draw(curve(), log=["x", "error"]).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    draw(crowd(), log=["y", "beta"])
    draw(surface(), log=["y"])
    zero = document((BETA,), [(0, 0.0, 1.0), (1, 1.0, 2.0)])
    with pytest.raises(CannotPlot, match="Regularisation has no logarithmic scale here: its smallest value is 0"):
        draw(zero, log=["x"])
    with pytest.raises(CannotPlot, match="gamma is not shown, so it has no scale; shown are beta, error"):
        draw(curve(), log=["gamma"])


@pytest.mark.parametrize("kind", PlotKind)
@pytest.mark.parametrize("count", [1, 3])
def test_one_task_or_equal_values_are_a_picture_too(kind: PlotKind, count: int, tmp_path: Path) -> None:
    rows = [(no, 1.0, 2, 3.0) for no in range(count)]
    save(draw(document((BETA, ORDER), rows, kind=kind, x="beta", by="order"), log=["y"]), tmp_path / "one.png")


def test_nothing_to_show_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotPlot, match=r"nothing to show yet: job x · 0 of 2 tasks \(2 failed\)"):
        draw(document((BETA,), [], failed=2), subject="job x")
    with pytest.raises(CannotPlot, match=r"x\.gif has none of the suffixes"):
        save(draw(curve()), tmp_path / "x.gif")
