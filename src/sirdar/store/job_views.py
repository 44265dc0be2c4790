"""Reading jobs and tasks, for the API and the pages. Lists are keyed by ``jobs.seq``, newest first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.hot import Hot
from sirdar.store.tables import (
    apps,
    attempts,
    events,
    job_shares,
    jobs,
    resources,
    tasks,
    users,
    versions,
)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as people see it. Times are seconds since 1970; the JSON columns are decoded."""

    seq: int
    id: str
    owner: str
    owner_id: str
    app_id: str
    app_owner: str
    app_alias: str
    version_id: str
    version: int
    name: str
    state: str
    inputs: dict[str, Any]
    overrides: dict[str, Any]
    resources: list[str]
    on_failure: str
    many: bool
    debug: bool
    total: int
    expanded: int
    waiting: int
    leased: int
    running: int  # of those leased: whose program runs, as far as it was told
    done: int
    failed: int
    cancelled: int
    created_at: float
    ready_at: float | None
    started_at: float | None
    ended_at: float | None
    reason: str | None
    message: str | None
    exit_code: int | None
    status_message: str | None
    progress: float | None
    metrics: dict[str, float]
    cancel_requested_at: float | None
    cancel_requested_by: str | None
    delete_requested_at: float | None
    parent_job: str | None
    parent_task: int | None
    code_version: str
    shared_by_link: bool
    priority: int
    retries: int
    cpus: int
    memory_bytes: int
    gpus: int
    nodes: int
    pending: dict[str, Any]
    notify_json: str | None  # secrets in it are sealed


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
    metrics: dict[str, float]
    phase: str | None  # of the newest attempt


@dataclass(frozen=True, slots=True)
class EventView:
    seq: int
    at: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list of jobs is narrowed to. ``visible_to``: (user id, subjects) or None for everything."""

    visible_to: tuple[str, frozenset[str]] | None = None
    state: Sequence[str] = ()
    app: str | None = None  # owner/alias, alias or id
    text: str | None = None
    owner: str | None = None
    since: float | None = None
    until: float | None = None
    parent: str | None = None
    name: str | None = None
    before_seq: int | None = None
    apps: frozenset[str] | None = None  # ids of the only applications whose jobs may be seen


_app_owner = users.alias("app_owner")
_RUNNING_TASKS = (
    sa.select(sa.func.count())
    .where(tasks.c.job_id == jobs.c.id, sa.text("tasks.state = 'RUNNING'"))
    .correlate(jobs)
    .scalar_subquery()
)
_JOB = sa.select(
    jobs,
    sa.case((jobs.c.leased > 0, _RUNNING_TASKS), else_=0).label("running"),
    users.c.name.label("owner"),
    apps.c.alias.label("app_alias"),
    _app_owner.c.name.label("app_owner"),
    versions.c.number.label("version"),
).select_from(
    jobs.join(users, users.c.id == jobs.c.owner_id)
    .join(apps, apps.c.id == jobs.c.app_id)
    .join(_app_owner, _app_owner.c.id == apps.c.owner_id)
    .join(versions, versions.c.id == jobs.c.version_id)
)
_BY_ID = Hot(_JOB.where(jobs.c.id == sa.bindparam("id")))
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


def find_job(conn: Connection, job_id: str) -> JobView | None:
    rows = _BY_ID.mapped(conn, id=job_id)
    return _job(rows[0]) if rows else None


def job_id_of_prefix(conn: Connection, prefix: str, visible_to: tuple[str, frozenset[str]] | None) -> list[str]:
    """Ids that begin so and that the caller owns; at most two, which is enough to know that it is not unique."""
    query = sa.select(jobs.c.id).where(jobs.c.id >= prefix, jobs.c.id < prefix + "{")
    if visible_to is not None:
        query = query.where(jobs.c.owner_id == visible_to[0])
    return [row[0] for row in conn.execute(query.limit(2))]


def list_jobs(conn: Connection, wanted: JobFilter, limit: int) -> list[JobView]:
    """The newest first.

    Their numbers are found first, in the indexes alone: for each way to be visible, and each state, the newest ``limit``.
    """
    conditions = _conditions(conn, wanted)
    ways = _visible(wanted.visible_to) if wanted.visible_to is not None else [sa.true()]
    states = [jobs.c.state == state for state in dict.fromkeys(wanted.state)] or [sa.true()]
    found: set[int] = set()
    for way in ways:
        for state in states:
            query = sa.select(jobs.c.seq).where(way, state, *conditions).order_by(jobs.c.seq.desc()).limit(limit)
            found |= set(conn.execute(query).scalars())
    newest = sorted(found, reverse=True)[:limit]
    if not newest:
        return []
    query = _JOB.where(jobs.c.seq.in_(newest)).order_by(jobs.c.seq.desc())
    return [_job(row) for row in conn.execute(query).mappings()]


def _visible(visible_to: tuple[str, frozenset[str]]) -> list[Any]:
    """One's own jobs, and those that are shared: each by its own index."""
    user_id, subjects = visible_to
    shared = sa.select(job_shares.c.job_id).where(job_shares.c.subject.in_(sorted(subjects)))
    return [jobs.c.owner_id == user_id, jobs.c.id.in_(shared)]


def _conditions(conn: Connection, wanted: JobFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.app:
        conditions += _of_app(conn, wanted.app)
    if wanted.apps is not None:
        conditions.append(jobs.c.app_id.in_(sorted(wanted.apps)))
    if wanted.text:
        conditions.append(_with_text(conn, wanted.text))
    if wanted.owner is not None:
        owner = conn.execute(sa.select(users.c.id).where(users.c.name == wanted.owner)).scalar()
        conditions.append(jobs.c.owner_id == owner)
    pairs: tuple[tuple[Any, Any], ...] = (
        (wanted.since, jobs.c.created_at.__ge__),
        (wanted.until, jobs.c.created_at.__lt__),
        (wanted.parent, jobs.c.parent_job.__eq__),
        (wanted.name, jobs.c.name.__eq__),
        (wanted.before_seq, jobs.c.seq.__lt__),
    )
    return conditions + [compare(value) for value, compare in pairs if value is not None]


def _with_text(conn: Connection, text: str) -> Any:
    """The text stands in the job's name or id, or in the application's alias. ASCII letters match in either case."""
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    ignores_case = conn.dialect.name == "sqlite"

    def like(column: Any) -> Any:
        return column.like(pattern, escape="\\") if ignores_case else column.ilike(pattern, escape="\\")

    named = [row[0] for row in conn.execute(sa.select(apps.c.id).where(like(apps.c.alias)))]
    return sa.or_(like(jobs.c.name), like(jobs.c.id), *([jobs.c.app_id.in_(named)] if named else []))


def _of_app(conn: Connection, reference: str) -> list[Any]:
    """Jobs of the applications, and of the version, that ``owner/alias@N``, ``alias`` or an id may mean."""
    owner, _, alias = reference.rpartition("/")
    alias, _, number = alias.partition("@")
    query = sa.select(apps.c.id).join(users, users.c.id == apps.c.owner_id)
    if owner:
        query = query.where(apps.c.alias == alias, users.c.name == owner)
    else:
        query = query.where(sa.or_(apps.c.id == alias, apps.c.alias == alias))
    found = list(conn.execute(query).scalars())
    plain = number.isascii() and number.isdecimal() and len(number) < 10
    if not found or (number and not plain):
        return [sa.false()]
    of_app = jobs.c.app_id == found[0] if len(found) == 1 else jobs.c.app_id.in_(found)
    if not number:
        return [of_app]
    published = sa.select(versions.c.id).where(versions.c.app_id.in_(found), versions.c.number == int(number))
    return [of_app, jobs.c.version_id.in_(published)]


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
    implied = _implied_state(job)
    if len(found) < limit and (state is None or state == implied):
        first = max(job.expanded, after + 1)
        found += [_unexpanded(job, no) for no in range(first, min(job.total, first + limit - len(found)))]
    return found


def results(conn: Connection, job_id: str, *, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """(task number, outputs) of the tasks that have outputs, in order."""
    query = (
        sa.select(tasks.c.no, tasks.c.result_json)
        .where(tasks.c.job_id == job_id, tasks.c.no > after, tasks.c.result_json.is_not(None))
        .order_by(tasks.c.no)
        .limit(limit)
    )
    return [(row.no, json.loads(row.result_json)) for row in conn.execute(query)]


def list_events(conn: Connection, job_id: str, *, after: int = 0, limit: int = 1000) -> list[EventView]:
    query = (
        sa.select(events.c.seq, events.c.at, events.c.kind, events.c.data_json)
        .where(events.c.job_id == job_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [EventView(row.seq, row.at, row.kind, json.loads(row.data_json)) for row in conn.execute(query)]


def children(conn: Connection, job_id: str, *, before_seq: int | None = None, limit: int = 40) -> list[JobView]:
    return list_jobs(conn, JobFilter(parent=job_id, before_seq=before_seq), limit)


def descendants_in_flight(conn: Connection, job_id: str) -> list[str]:
    """Jobs that this job's tasks submitted, and theirs, that have not ended."""
    found: list[str] = []
    level = [job_id]
    while level:
        rows = conn.execute(sa.select(jobs.c.id, jobs.c.ended_at).where(jobs.c.parent_job.in_(level))).all()
        found += [row.id for row in rows if row.ended_at is None]
        level = [row.id for row in rows]
    return found


def attempts_of_task(conn: Connection, job_id: str, no: int) -> list[dict[str, Any]]:
    """The tries at one task, oldest first."""
    query = (
        sa.select(attempts, resources.c.name.label("resource"))
        .select_from(attempts.outerjoin(resources, resources.c.id == attempts.c.resource_id))
        .where(attempts.c.job_id == job_id, attempts.c.task_no == no)
        .order_by(attempts.c.no)
    )
    return [dict(row._mapping) for row in conn.execute(query)]


def shares_of_job(conn: Connection, job_id: str) -> list[str]:
    query = sa.select(job_shares.c.subject).where(job_shares.c.job_id == job_id).order_by(job_shares.c.subject)
    return [row[0] for row in conn.execute(query)]


def _job(m: Mapping[Any, Any]) -> JobView:
    return JobView(
        seq=m["seq"],
        id=m["id"],
        owner=m["owner"],
        owner_id=m["owner_id"],
        app_id=m["app_id"],
        app_owner=m["app_owner"],
        app_alias=m["app_alias"],
        version_id=m["version_id"],
        version=m["version"],
        name=m["name"],
        state=m["state"],
        inputs=json.loads(m["inputs_json"]),
        overrides=json.loads(m["overrides_json"]),
        resources=json.loads(m["resources_json"]),
        on_failure=m["on_failure"],
        many=bool(m["many"]),
        debug=bool(m["debug"]),
        total=m["total"],
        expanded=m["expanded"],
        waiting=m["waiting"],
        leased=m["leased"],
        running=m["running"],
        done=m["done"],
        failed=m["failed"],
        cancelled=m["cancelled"],
        created_at=m["created_at"],
        ready_at=m["ready_at"],
        started_at=m["started_at"],
        ended_at=m["ended_at"],
        reason=m["reason"],
        message=m["message"],
        exit_code=m["exit_code"],
        status_message=m["status_message"],
        progress=m["progress"],
        metrics=_decoded(m["metrics_json"]),
        cancel_requested_at=m["cancel_requested_at"],
        cancel_requested_by=m["cancel_requested_by"],
        delete_requested_at=m["delete_requested_at"],
        parent_job=m["parent_job"],
        parent_task=m["parent_task"],
        code_version=m["code_version"],
        shared_by_link=m["share_hash"] is not None,
        priority=m["priority"],
        retries=m["retries"],
        cpus=m["cpus"],
        memory_bytes=m["memory_bytes"],
        gpus=m["gpus"],
        nodes=m["nodes"],
        pending=_decoded(m["pending_json"]),
        notify_json=m["notify_json"],
    )


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
        result=_decoded(m["result_json"]),
        stats=_decoded(m["stats_json"]),
        stdout=_decoded(m["stdout_json"]),
        stderr=_decoded(m["stderr_json"]),
        debug=json.loads(m["debug_json"]) if m["debug_json"] else None,
        status_message=m["status_message"],
        progress=m["progress"],
        metrics=_decoded(m["metrics_json"]),
        phase=m["phase"],
    )


def _implied_state(job: JobView) -> str:
    """The state of tasks that never got a row."""
    if job.ended_at is None and job.cancel_requested_at is not None:
        return "CANCELLED"  # withdrawn with the wish; others of the job have not confirmed yet
    if job.ended_at is None:
        return job.state if job.state == "SUBMITTED" else "READY"
    return "FAILED" if job.state == "FAILED" and not job.cancelled else "CANCELLED"


def _unexpanded(job: JobView, no: int) -> TaskView:
    state = _implied_state(job)
    reason, message, ended_at = job.reason, job.message, job.ended_at
    if state == "CANCELLED":  # whatever the others ended with, and when: this one was not run
        reason, message = "cancelled", f"Cancelled by {job.cancel_requested_by} before it started"
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
        metrics={},
        phase=None,
    )


def _decoded(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}
