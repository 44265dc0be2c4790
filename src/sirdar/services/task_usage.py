"""What a task's program uses of cpu and memory, while it runs and afterwards."""

from dataclasses import dataclass

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.usage import Point, joined, points
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.store import task_usage, task_views
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView


@dataclass(frozen=True, slots=True)
class UsageView:
    """The curve of one attempt, and what the task asked for. ``attempt``: None where there has been none.

    ``limit_memory_bytes``: None for no limit. ``peak_memory_bytes``: of all processes at a sample, or of one between two; 0
    where nothing is known. ``cpu_s``: until now, or in all. ``live``: it runs, more will come.
    """

    attempt: int | None
    attempts: tuple[int, ...]  # those whose curve is known
    limit_cpus: int
    limit_memory_bytes: int | None
    points: tuple[Point, ...]
    peak_cpus: float
    peak_memory_bytes: int
    cpu_s: float
    live: bool


async def show(
    services: Services,
    caller: Caller | None,
    job_id: str,
    no: int,
    *,
    attempt: int | None = None,
    link: str | None = None,
) -> UsageView:
    """Of the given attempt, else of the one that counts, else of the newest that is known. Raises Problem ``not_found``."""
    return await services.store.read(lambda conn: show_now(conn, caller, job_id, no, attempt=attempt, link=link))


def show_now(
    conn: Conn, caller: Caller | None, job_id: str, no: int, *, attempt: int | None = None, link: str | None = None
) -> UsageView:
    """``show`` on a connection."""
    job = find_seen(conn, caller, job_id, link=link)
    task = task_views.find_task(conn, job, no)
    if task is None or (attempt is not None and not 0 < attempt <= task.last_attempt):
        what = f"no task {no}; it has {job.total}" if task is None else f"no attempt {attempt} of task {no}"
        raise Problem("not_found", f"Job {job.id} has {what}.")
    known = task_usage.of_task(conn, job.id, no)
    chosen = attempt or task.attempt or max(known, default=None)
    rows = joined(known.get(chosen, ())) if chosen is not None else []
    found = tuple(points(rows))
    ended = _stats(task, chosen)
    spent_s = ended.get("cpu_user_s", 0.0) + ended.get("cpu_system_s", 0.0)
    return UsageView(
        attempt=chosen,
        attempts=tuple(sorted(known)),
        limit_cpus=job.cpus,
        limit_memory_bytes=job.memory_bytes or None,
        points=found,
        peak_cpus=max((point.cpus for point in found), default=0.0),
        peak_memory_bytes=max([int(ended.get("max_rss_bytes", 0)), *(point.memory_bytes for point in found)]),
        cpu_s=max(spent_s, rows[-1][1] if rows else 0.0),
        live=task.state == "RUNNING" and chosen == task.attempt,
    )


def _stats(task: TaskView, attempt: int | None) -> dict[str, float]:
    """What was measured of the whole program at its end, where this attempt is the one that counted."""
    return task.stats if attempt == task.attempt else {}
