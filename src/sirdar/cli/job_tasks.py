"""``job tasks``, ``job failures``, ``job table``: the tasks of one job."""

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.jobs import JobId, plain, read_states
from sirdar.cli.numbers import duration, size
from sirdar.cli.reply import Reply
from sirdar.cli.session import current
from sirdar.client.requests import jobs as requests


def tasks(
    job: JobId = "last",
    /,
    *,
    state: Annotated[str | None, Parameter(help="tasks in this state alone: running, failed, ...")] = None,
    reason: Annotated[str | None, Parameter(help="tasks that ended so: exit_code, out_of_memory, ...")] = None,
    text: Annotated[str | None, Parameter(help="a part of a message, an input or an output")] = None,
    sort: Annotated[
        str | None, Parameter(help="by a column: runS, inputs.beta, or --sort=-outputs.error for the largest first")
    ] = None,
    limit: Annotated[int, Parameter(help="how many; 0 for all")] = 40,
) -> Reply:
    """Tasks of a job, those too that have not been expanded yet."""
    session = current()
    request = requests.tasks(
        session.job_id(job),
        state=read_states(state),
        reason=reason,
        text=text,
        sort=sort,
        limit=min(limit, 1000) or 1000,
    )
    found = list(session.client.iterate(request, limit or None))
    headers = ("no>", "state", "resource", "waited>", "ran>", "in>", "out>", "attempts>", "message")
    rows = [
        (
            task.get("no"),
            draw.state(str(task.get("state")), plain()),
            _name(task.get("resource")),
            duration(task.get("waitS")),
            duration(task.get("runS")),
            size(task.get("stagedInBytes")),
            size(task.get("stagedOutBytes")),
            task.get("attempts"),
            (task.get("outcome") or {}).get("message") or task.get("statusMessage"),
        )
        for task in found
    ]
    return Reply(found, [str(task.get("no")) for task in found], lambda: draw.table(headers, rows, session.terminal))


def failures(job: JobId = "last", /) -> Reply:
    """Why tasks of a job failed, the most frequent reason first."""
    session = current()
    found = session.client.call(requests.failures(session.job_id(job)))
    headers = ("tasks>", "reason", "exit code>", "first>", "message")
    names = ("count", "reason", "exitCode", "example", "message")
    rows = [tuple(group.get(name) for name in names) for group in found]
    lines = ["no task has failed"]
    return Reply(found, [], lambda: draw.table(headers, rows, session.terminal) if found else lines)


def table(job: JobId = "last", /) -> Reply | None:
    """All tasks as CSV: number, state, resource, seconds, inputs that differ, outputs that are values. With --json as JSON."""
    session = current()
    job_id = session.job_id(job)
    if session.options.json:
        return Reply(session.client.call(requests.table(job_id, "json")))
    sys.stdout.write(session.client.send(requests.table(job_id)).body.decode())
    return None


def _name(resource: Any) -> str:
    return str(resource.get("name", "")) if isinstance(resource, dict) else str(resource or "")
