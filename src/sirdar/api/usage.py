"""What tasks use of cpu and memory, over REST."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from sirdar.api import shapes
from sirdar.api.deps import ServicesDep
from sirdar.api.jobs import Share, ViewerDep
from sirdar.services import task_usage
from sirdar.services.task_usage import UsageView

router = APIRouter(tags=["jobs"])
Attempt = Annotated[int | None, Query(ge=1, le=2**31, description="An earlier one; without it the one that counts")]


@router.get("/api/jobs/{job_id}/tasks/{no}/usage", responses={200: {"model": shapes.Usage}})
async def usage(
    services: ServicesDep, caller: ViewerDep, job_id: str, no: int, attempt: Attempt = None, share: Share = None
) -> dict[str, Any]:
    """Curves of the cpu and memory that a task's program uses, while it runs and afterwards.

    The first point comes about a second after the program's start; while it runs, new ones come every few seconds.
    """
    return render_usage(await task_usage.show(services, caller, job_id, no, attempt=attempt, link=share))


def render_usage(view: UsageView) -> dict[str, Any]:
    return {
        "attempt": view.attempt,
        "attempts": list(view.attempts),
        "live": view.live,
        "limit": {"cpus": view.limit_cpus, "memoryBytes": view.limit_memory_bytes},
        "points": [{"at": point.at_s, "cpu": point.cpus, "memoryBytes": point.memory_bytes} for point in view.points],
        "peak": {"cpu": view.peak_cpus, "memoryBytes": view.peak_memory_bytes},
        "cpuS": view.cpu_s,
    }
