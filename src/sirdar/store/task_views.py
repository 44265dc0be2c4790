"""Tasks as people see them, those too that have no row yet; their results and the tries at them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.states import ATTEMPT_STATES
from sirdar.domain.timeline import Try
from sirdar.store.hot import Hot
from sirdar.store.job_views import JobView, decoded
from sirdar.store.tables import attempts, resources, tasks


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as people see it. One that has no row yet has state READY (or its job's) and no times of its own."""

    no: int
    state: str
    attempt: int
    last_attempt: int
    leased: bool
    faults: int
    not_before: float | None
    resource_id: str | None
    resource: str | None
    ready_at: float | None
    staging_at: float | None
    started_at: float | None
    ended_at: float | None
    reported_at: float | None
    reason: str | None
    message: str | None
    exit_code: int | None
    result: dict[str, Any]
    stats: dict[str, Any]
    stdout: dict[str, Any]
    stderr: dict[str, Any]
    debug: dict[str, Any] | None
    status_message: str | None
    progress: float | None
    progressed_at: float | None  # when it said so
    metrics: dict[str, float]
    phase: str | None  # of the newest attempt


_TASK = sa.select(
    tasks,
    resources.c.name.label("resource"),
    sa.select(attempts.c.state)
    .where(
        attempts.c.job_id == tasks.c.job_id,
        attempts.c.task_no == tasks.c.no,
        attempts.c.no == tasks.c.last_attempt,
    )
    .scalar_subquery()
    .label("phase"),
).select_from(tasks.outerjoin(resources, resources.c.id == tasks.c.resource_id))
_TASK_BY_NO = Hot(_TASK.where(tasks.c.job_id == sa.bindparam("job"), tasks.c.no == sa.bindparam("no")))


_TRY = tuple(field.name for field in fields(Try) if field.name != "resource")


def find_task(conn: Connection, job: JobView, no: int) -> TaskView | None:
    """The task, also where it has no row yet; None where the job has no such number."""
    if not 0 <= no < job.total:
        return None
    rows = _TASK_BY_NO.mapped(conn, job=job.id, no=no)
    return _task(rows[0]) if rows else _unexpanded(job, no)


def list_tasks(
    conn: Connection, job: JobView, *, state: str | None = None, after: int = -1, limit: int = 40
) -> list[TaskView]:
    """In order of their numbers, those that have no row yet too."""
    query = _TASK.where(tasks.c.job_id == job.id, tasks.c.no > after).order_by(tasks.c.no).limit(limit)
    if state:
        query = query.where(tasks.c.state == state)
    found = [_task(row) for row in conn.execute(query).mappings()]
    implied = implied_state(job)
    if len(found) < limit and (state is None or state == implied):
        first = max(job.expanded, after + 1)
        found += [_unexpanded(job, no) for no in range(first, min(job.total, first + limit - len(found)))]
    return found


def tasks_by_no(conn: Connection, job: JobView, numbers: Sequence[int]) -> list[TaskView]:
    """Those tasks, in that order, those without a row too."""
    query = _TASK.where(tasks.c.job_id == job.id, tasks.c.no.in_(numbers))
    found = {row["no"]: _task(row) for row in conn.execute(query).mappings()}
    return [found.get(no) or _unexpanded(job, no) for no in numbers]


def results(conn: Connection, job_id: str, *, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """(task number, outputs) of the tasks that have outputs, in order."""
    query = (
        sa.select(tasks.c.no, tasks.c.result_json)
        .where(tasks.c.job_id == job_id, tasks.c.no > after, tasks.c.result_json.is_not(None))
        .order_by(tasks.c.no)
        .limit(limit)
    )
    return [(row.no, json.loads(row.result_json)) for row in conn.execute(query)]


def results_by_no(conn: Connection, job_id: str, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Outputs of those of these tasks that have any, by number."""
    query = sa.select(tasks.c.no, tasks.c.result_json).where(
        tasks.c.job_id == job_id, tasks.c.no.in_(numbers), tasks.c.result_json.is_not(None)
    )
    return {row.no: json.loads(row.result_json) for row in conn.execute(query)}


def attempts_of_task(conn: Connection, job_id: str, no: int) -> list[Try]:
    """The tries at one task, oldest first."""
    query = (
        sa.select(*(attempts.c[name] for name in _TRY), resources.c.name.label("resource"))
        .select_from(attempts.outerjoin(resources, resources.c.id == attempts.c.resource_id))
        .where(attempts.c.job_id == job_id, attempts.c.task_no == no)
        .order_by(attempts.c.no)
    )
    return [
        Try(state=ATTEMPT_STATES[row["state"]], **{name: row[name] for name in ("resource", *_TRY) if name != "state"})
        for row in conn.execute(query).mappings()
    ]


def _task(m: Mapping[Any, Any]) -> TaskView:
    return TaskView(
        no=m["no"],
        state=m["state"],
        attempt=m["attempt"],
        last_attempt=m["last_attempt"],
        leased=bool(m["leased"]),
        faults=m["faults"],
        not_before=m["not_before"],
        resource_id=m["resource_id"],
        resource=m["resource"],
        ready_at=m["ready_at"],
        staging_at=m["staging_at"],
        started_at=m["started_at"],
        ended_at=m["ended_at"],
        reported_at=m["reported_at"],
        reason=m["reason"],
        message=m["message"],
        exit_code=m["exit_code"],
        result=decoded(m["result_json"]),
        stats=decoded(m["stats_json"]),
        stdout=decoded(m["stdout_json"]),
        stderr=decoded(m["stderr_json"]),
        debug=json.loads(m["debug_json"]) if m["debug_json"] else None,
        status_message=m["status_message"],
        progress=m["progress"],
        progressed_at=m["progressed_at"],
        metrics=decoded(m["metrics_json"]),
        phase=m["phase"],
    )


def implied_state(job: JobView) -> str:
    """The state of tasks that never got a row."""
    if job.ended_at is None and job.cancel_requested_at is not None:
        return "CANCELLED"  # withdrawn with the wish; others of the job have not confirmed yet
    if job.ended_at is None:
        return job.state if job.state == "SUBMITTED" else "READY"
    return "FAILED" if job.state == "FAILED" and not job.cancelled else "CANCELLED"


def _unexpanded(job: JobView, no: int) -> TaskView:
    state = implied_state(job)
    reason, message, ended_at = job.reason, job.message, job.ended_at
    if state == "CANCELLED":  # whatever the others ended with, and when: this one was not run
        reason, message = "cancelled", f"Cancelled by {job.cancel_requested_by} before it started"
        if job.stopped_early:
            message = f"Not needed: {job.condition_met}"
        ended_at = job.cancel_requested_at if job.cancel_requested_at is not None else job.ended_at
    return TaskView(
        no=no,
        state=state,
        attempt=0,
        last_attempt=0,
        leased=False,
        faults=0,
        not_before=None,
        resource_id=None,
        resource=None,
        ready_at=job.ready_at,
        staging_at=None,
        started_at=None,
        ended_at=ended_at,
        reported_at=None,
        reason=reason,
        message=message,
        exit_code=None,
        result={},
        stats={},
        stdout={},
        stderr={},
        debug=None,
        status_message=None,
        progress=None,
        progressed_at=None,
        metrics={},
        phase=None,
    )
