"""What runs on a resource: tasks with their jobs, for whoever may see these; of others' only the number."""

import math
from dataclasses import dataclass

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.jobs import visible_to
from sirdar.services.resources import named
from sirdar.store import resource_tasks
from sirdar.store.people import Conn
from sirdar.store.resource_tasks import Place, ResourceTask, Seen


@dataclass(frozen=True, slots=True)
class TasksThere:
    """A page of the tasks that the caller may see; how many there are of them, and of others' jobs."""

    tasks: tuple[ResourceTask, ...]
    seen: int
    others: int


async def list_tasks(services: Services, caller: Caller, ref: str, *, after: str = "", limit: int = 40) -> TasksThere:
    """What the resource (by name or id) has taken over, the longest there first. ``after``: ``cursor_of`` the last one seen.

    Raises Problem ``not_found`` where the caller may not see the resource.
    """
    place = _place(after)
    return await services.store.read(lambda conn: list_tasks_now(conn, caller, ref, after=place, limit=limit))


def list_tasks_now(conn: Conn, caller: Caller, ref: str, *, after: Place | None = None, limit: int = 40) -> TasksThere:
    """``list_tasks`` on a connection."""
    resource_id = named(conn, caller, ref).id
    mine = Seen(None if caller.administers else visible_to(caller), caller.apps)
    tasks = resource_tasks.tasks_of(conn, resource_id, mine, after=after, limit=limit)
    seen = resource_tasks.count(conn, resource_id, mine)
    return TasksThere(tuple(tasks), seen, resource_tasks.count(conn, resource_id, Seen(None)) - seen)


def cursor_of(task: ResourceTask) -> str:
    """Where the list goes on after this one."""
    return f"{task.offered_at!r}~{AttemptKey(JobId(task.job_id), task.task_no, task.attempt).text}"


def _place(after: str) -> Place | None:
    if not after:
        return None
    offered, _, text = after.partition("~")
    try:
        offered_at, key = float(offered), AttemptKey.parse(text)
    except ValueError:
        offered_at, key = math.nan, None
    if key is None or not math.isfinite(offered_at):
        raise Problem("invalid_field", "after is not a cursor of this list.", field="after")
    return Place(offered_at, key.job, key.task, key.attempt)
