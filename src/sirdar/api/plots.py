"""The plot of a job over REST: ``GET /api/jobs/ID/plot``."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import plot_shapes
from sirdar.api.deps import ServicesDep
from sirdar.api.jobs import Share, ViewerDep
from sirdar.domain.plot_data import PlotKind, Sense, Wish
from sirdar.domain.task_table import Column
from sirdar.services import plots as service

router = APIRouter(tags=["jobs"])


def _name(what: str) -> Any:
    return Query(max_length=200, description=f"{what}: a column of the table, or the name of an input or output")


@router.get("/api/jobs/{job_id}/plot", responses={200: {"model": plot_shapes.Plot}})
async def plot(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    x: Annotated[str, _name("Over what")] = "",
    y: Annotated[str, _name("The value")] = "",
    by: Annotated[str, _name("A second parameter: a series for each of its values, or a heat map's other axis")] = "",
    kind: Annotated[PlotKind | None, Query(description="Chosen by the values where it is left out")] = None,
    best: Annotated[Sense | None, Query(description="Mark the smallest or the largest value")] = None,
    share: Share = None,
) -> Response:
    """Values of done tasks over parameters, put together for a picture; of twenty thousand tasks at most, which are then
    taken evenly. What is left out is counted."""
    found = await service.plot(services, caller, job_id, Wish(x, y, by, kind, best), link=share)
    return Response(to_json(_render(found)), media_type="application/json")


def _render(found: service.PlotOfJob) -> dict[str, Any]:
    plot, job = found.plot, found.job
    choice = plot.choice
    return {
        "kind": plot.kind,
        "y": _column(choice.y),
        "dimensions": [_column(column) for column in choice.dimensions],
        "series": [asdict(series) for series in plot.series],
        "grid": asdict(plot.grid) if plot.grid else None,
        "lines": [asdict(line) for line in plot.lines],
        "best": asdict(plot.best) if plot.best else None,
        "sense": choice.best,
        "total": job.total,
        "shown": plot.shown,
        "sampled": found.sampled,
        "repeated": plot.repeated,
        "leftOut": {
            "failed": job.failed,
            "cancelled": job.cancelled,
            "notEnded": job.total - job.done - job.failed - job.cancelled,
            "withoutValue": plot.without_value,
        },
    }


def _column(column: Column) -> dict[str, str]:
    return {"name": column.name, "kind": column.kind.value, "title": column.title, "unit": column.unit}
