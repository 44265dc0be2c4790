"""A job as people see it, for the API and the pages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.criterion import Best, Criterion, stored_criterion
from sirdar.domain.job import STOPPED_BY_CONDITION
from sirdar.store.hot import Hot
from sirdar.store.tables import apps, jobs, tasks, users, versions


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
    app_name: str
    version_id: str
    version: int
    name: str
    state: str
    inputs: dict[str, Any]
    overrides: dict[str, Any]
    resources: list[str]
    labels: dict[str, str]
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
    again_of: str | None  # the job that this one repeats
    code_version: str
    environment: str
    shared_by_link: bool
    priority: int
    retries: int
    cpus: int
    memory_bytes: int
    gpus: int
    nodes: int
    pending: dict[str, Any]
    notify_json: str | None  # secrets in it are sealed
    event_seq: int  # number of its last event
    criterion: Criterion | None
    best: Best | None
    met_task: int | None  # the one that met the condition on which it stops
    ordered: bool  # values of its table are kept in order (store.task_values)
    open_until: float | None  # its client may add tasks until then; None: no more come
    cut_short: str | None  # why no more came, where its client has not said that these are all

    @property
    def open(self) -> bool:
        """More tasks may come: that all have ended does not end it."""
        return self.open_until is not None

    @property
    def stopped_early(self) -> bool:
        """Tasks were called off because the condition was met."""
        return self.met_task is not None and self.cancel_requested_by == STOPPED_BY_CONDITION

    @property
    def condition_met(self) -> str:
        """``task 17 met loss < 0.01``."""
        stop = self.criterion.stop if self.criterion else None
        return f"task {self.met_task} met {stop.text if stop else 'the condition'}"


_app_owner = users.alias("app_owner")
_RUNNING_TASKS = (
    sa.select(sa.func.count())
    .where(tasks.c.job_id == jobs.c.id, sa.text("tasks.state = 'RUNNING'"))
    .correlate(jobs)
    .scalar_subquery()
)
JOB = sa.select(
    jobs,
    sa.case((jobs.c.leased > 0, _RUNNING_TASKS), else_=0).label("running"),
    users.c.name.label("owner"),
    apps.c.alias.label("app_alias"),
    apps.c.name.label("app_name"),
    _app_owner.c.name.label("app_owner"),
    sa.func.coalesce(versions.c.base, versions.c.number).label("version"),
).select_from(
    jobs.join(users, users.c.id == jobs.c.owner_id)
    .join(apps, apps.c.id == jobs.c.app_id)
    .join(_app_owner, _app_owner.c.id == apps.c.owner_id)
    .join(versions, versions.c.id == jobs.c.version_id)
)
_BY_ID = Hot(JOB.where(jobs.c.id == sa.bindparam("id")))


def find_job(conn: Connection, job_id: str) -> JobView | None:
    rows = _BY_ID.mapped(conn, id=job_id)
    return job_of(rows[0]) if rows else None


def job_id_of_prefix(conn: Connection, prefix: str, visible_to: tuple[str, frozenset[str]] | None) -> list[str]:
    """Ids that begin so and that the caller owns; at most two, which is enough to know that it is not unique."""
    query = sa.select(jobs.c.id).where(jobs.c.id >= prefix, jobs.c.id < prefix + "{")
    if visible_to is not None:
        query = query.where(jobs.c.owner_id == visible_to[0])
    return [row[0] for row in conn.execute(query.limit(2))]


def repeating(conn: Connection, job_id: str, visible_to: tuple[str, frozenset[str]] | None, limit: int) -> list[str]:
    """Ids of jobs that repeat that one and that the caller owns, the newest first."""
    query = sa.select(jobs.c.id).where(jobs.c.again_of == job_id)
    if visible_to is not None:
        query = query.where(jobs.c.owner_id == visible_to[0])
    return [row[0] for row in conn.execute(query.order_by(jobs.c.seq.desc()).limit(limit))]


def descendants_in_flight(conn: Connection, job_id: str) -> list[str]:
    """Jobs that this job's tasks submitted, and theirs, that have not ended."""
    found: list[str] = []
    level = [job_id]
    while level:
        rows = conn.execute(sa.select(jobs.c.id, jobs.c.ended_at).where(jobs.c.parent_job.in_(level))).all()
        found += [row.id for row in rows if row.ended_at is None]
        level = [row.id for row in rows]
    return found


def job_of(m: Mapping[Any, Any]) -> JobView:
    """A row of ``JOB``."""
    return JobView(
        seq=m["seq"],
        id=m["id"],
        owner=m["owner"],
        owner_id=m["owner_id"],
        app_id=m["app_id"],
        app_owner=m["app_owner"],
        app_alias=m["app_alias"],
        app_name=m["app_name"],
        version_id=m["version_id"],
        version=m["version"],
        name=m["name"],
        state=m["state"],
        inputs=json.loads(m["inputs_json"]),
        overrides=json.loads(m["overrides_json"]),
        resources=json.loads(m["resources_json"]),
        labels=json.loads(m["labels_json"]),
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
        metrics=decoded(m["metrics_json"]),
        cancel_requested_at=m["cancel_requested_at"],
        cancel_requested_by=m["cancel_requested_by"],
        delete_requested_at=m["delete_requested_at"],
        parent_job=m["parent_job"],
        parent_task=m["parent_task"],
        again_of=m["again_of"],
        code_version=m["code_version"],
        environment=m["environment"],
        shared_by_link=m["share_hash"] is not None,
        priority=m["priority"],
        retries=m["retries"],
        cpus=m["cpus"],
        memory_bytes=m["memory_bytes"],
        gpus=m["gpus"],
        nodes=m["nodes"],
        pending=decoded(m["pending_json"]),
        notify_json=m["notify_json"],
        event_seq=m["event_seq"],
        criterion=stored_criterion(m["criterion_json"]) if m["criterion_json"] else None,
        best=Best(m["best_task"], m["best_value"]) if m["best_task"] is not None else None,
        met_task=m["met_task"],
        ordered=bool(m["ordered"]),
        open_until=m["open_until"],
        cut_short=m["cut_short"],
    )


def decoded(text: str | None) -> dict[str, Any]:
    """The object in a column of JSON; empty where there is none."""
    return json.loads(text) if text else {}
