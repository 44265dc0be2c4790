"""In the answer that a job has ended: its tasks, and what they wrote, which whoever has waited for it would ask for next."""

from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.api.file_batches import bytes_of
from sirdar.api.render import render_task
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import file_batches, task_table
from sirdar.services.context import Services
from sirdar.services.files import JOBS_PREFIX
from sirdar.services.jobs import Shown
from sirdar.services.task_table import TaskQuery

MOST_TASKS = 200
MOST_NAMES, NAME_CHARS = 10, 100
STREAMS = ("stdout", "stderr")
FILES = (
    "Names of outputs, stdout or stderr, joined by commas: an ended job of at most 200 tasks then has `taskList`, the tasks with"
    " these of their files"
)


def read_names(text: str) -> list[str]:
    """Raises Problem."""
    names = [name for name in text.split(",") if name]
    if len(names) > MOST_NAMES or any(len(name) > NAME_CHARS for name in names):
        raise Problem(
            "invalid_field", "These are too many files.", field="files", expected=f"at most {MOST_NAMES} names"
        )
    return names


async def task_list(
    services: Services, caller: Caller, shown: Shown, names: Sequence[str]
) -> list[dict[str, Any]] | None:
    """The tasks as ``GET .../tasks`` has them, each with ``files``: what of these it has, as far as one answer holds it.

    None where the job has not ended, or has too many.
    """
    job = shown.job
    if not names or job.ended_at is None or job.total > MOST_TASKS:
        return None
    found = await task_table.list_tasks(services, caller, job.id, TaskQuery(limit=MOST_TASKS))
    rows = [
        render_task(found.job, task, {**found.job.inputs, **found.items.get(task.no, {})}, found.again.get(task.no))
        for task in found.tasks
    ]
    uris = [_uris(job.id, row, names) for row in rows]
    read = await file_batches.read(services, caller, [uri for of_task in uris for uri in of_task.values()])
    contents = {one.uri: one.content for one in read if one.content is not None}
    for row, of_task in zip(rows, uris, strict=True):
        row["files"] = {name: bytes_of(contents[uri]) for name, uri in of_task.items() if uri in contents}
    return rows


def _uris(job_id: str, row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    result = row.get("result") or {}
    prefix = f"{JOBS_PREFIX}{job_id}/tasks/{row['no']}/"
    own = {name: f"{prefix}{name}" if name in STREAMS and name not in result else result.get(name) for name in names}
    return {name: uri for name, uri in own.items() if isinstance(uri, str) and uri.startswith(JOBS_PREFIX)}
