"""The ledger's rows of jobs: lock, save, insert, queue. Functions named by intent; rules stand in ``domain``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.criterion import Best, stored_criterion
from sirdar.domain.ids import JobId
from sirdar.domain.job import Job
from sirdar.domain.outcome import REASONS, Outcome
from sirdar.domain.states import ON_FAILURE, STATES, OnFailure, State
from sirdar.store.blobs import refer
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.tables import (
    attempts,
    blob_refs,
    events,
    idempotency,
    job_failures,
    job_items,
    job_waits,
    jobs,
    notices,
    task_columns,
    task_usage,
    task_values,
    tasks,
    users,
    variables,
)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job under its row lock: what the rules need, and what services need beside them."""

    job: Job
    owner_id: str
    version_id: str
    retries: int
    many: bool
    event_seq: int
    retention_s: float | None = None
    notify_json: str | None = None
    delete_requested_at: float | None = None
    ordered: bool = False  # values of its table are kept in order (store.task_values)


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is written when a job is submitted."""

    id: str
    owner_id: str
    app_id: str
    version_id: str
    name: str
    inputs_json: str
    total: int
    retries: int
    state: State = State.READY
    overrides_json: str = "{}"
    resources_json: str = "[]"
    labels_json: str = "{}"
    secrets_of: str | None = None
    large_json: str | None = None
    priority: int = 0
    cpus: int = 1
    memory_bytes: int = 0
    gpus: int = 0
    nodes: int = 1
    on_failure: OnFailure = OnFailure.CONTINUE
    debug: bool = False
    many: bool = False
    parent_job: str | None = None
    parent_task: int | None = None
    again_of: str | None = None
    again_tasks: Sequence[int] = ()  # of some tasks of that job: their numbers there, one for each of the items
    notify_json: str | None = None
    code_version: str = ""
    code_files_json: str | None = None
    pending_json: str | None = None
    retention_s: float | None = None
    criterion_json: str | None = None
    items: Sequence[Mapping[str, Any]] = field(default=())
    blobs: Sequence[str] = ()
    waits: Sequence[str] = ()
    open_s: float | None = None  # it stays open for more tasks, for so long after each that came; None: these are all


ITEMS_PER_CHUNK = 256
_LEDGER = (
    jobs.c.id,
    jobs.c.state,
    jobs.c.total,
    jobs.c.expanded,
    jobs.c.waiting,
    jobs.c.leased,
    jobs.c.done,
    jobs.c.failed,
    jobs.c.cancelled,
    jobs.c.on_failure,
    jobs.c.ready_at,
    jobs.c.started_at,
    jobs.c.ended_at,
    jobs.c.reason,
    jobs.c.message,
    jobs.c.exit_code,
    jobs.c.cancel_requested_at,
    jobs.c.cancel_requested_by,
    jobs.c.owner_id,
    jobs.c.version_id,
    jobs.c.retries,
    jobs.c.many,
    jobs.c.event_seq,
    jobs.c.retention_s,
    jobs.c.notify_json,
    jobs.c.delete_requested_at,
    jobs.c.criterion_json,
    jobs.c.best_task,
    jobs.c.best_value,
    jobs.c.met_task,
    jobs.c.ordered,
    jobs.c.open_until,
    jobs.c.cut_short,
)
_IN_SQLITE = sa.text("jobs.id IN (SELECT value FROM json_each(:ids))")
_IN_POSTGRES = sa.text("jobs.id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))")
_LOCK_JOBS = Hot(
    sa.select(*_LEDGER).where(_IN_SQLITE),
    sa.select(*_LEDGER).where(_IN_POSTGRES).order_by(jobs.c.id).with_for_update(),
)
_LOCK_FREE_JOBS = Hot(
    sa.select(*_LEDGER).where(_IN_SQLITE),
    sa.select(*_LEDGER).where(_IN_POSTGRES).order_by(jobs.c.id).with_for_update(skip_locked=True),
)
_SAVE_JOB = Hot(
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("b_id"))
    .values(
        {
            name: sa.bindparam(f"b_{name}")
            for name in (
                "state",
                "total",
                "expanded",
                "waiting",
                "leased",
                "done",
                "failed",
                "cancelled",
                "ready_at",
                "started_at",
                "ended_at",
                "reason",
                "message",
                "exit_code",
                "cancel_requested_at",
                "cancel_requested_by",
                "event_seq",
                "expires_at",
                "best_task",
                "best_value",
                "met_task",
                "open_until",
                "cut_short",
            )
        }
    )
)
_NEW_COLUMNS = (
    "id", "owner_id", "app_id", "version_id", "name", "state", "inputs_json", "overrides_json", "resources_json", "labels_json",
    "secrets_of", "large_json", "priority", "cpus", "memory_bytes", "gpus", "nodes", "retries", "on_failure", "debug", "many",
    "total", "waiting", "created_at", "ready_at", "parent_job", "parent_task", "again_of", "notify_json", "code_version",
    "code_files_json", "pending_json", "retention_s", "event_seq", "criterion_json",
    "open_until",
)  # fmt: skip
_INSERT_JOB = Hot(sa.insert(jobs), columns=_NEW_COLUMNS)
_INSERT_EVENT = Hot(sa.insert(events), columns=("job_id", "seq", "at", "kind", "data_json"))


def lock_jobs(tx: Tx, ids: Iterable[str], *, wait: bool = True) -> dict[str, JobRow]:
    """Rows of those jobs that exist, locked in one order until the transaction ends.

    Not ``wait``: without those that another transaction has locked, so that whoever holds locks already cannot deadlock.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = (_LOCK_JOBS if wait else _LOCK_FREE_JOBS).all(tx.conn, ids=json.dumps(wanted))
    return {row[0]: _to_row(row) for row in rows}


def _to_row(row: Any) -> JobRow:
    """By position, in the order of ``_LEDGER``: names cost more, and this is asked for every job of every report."""
    id, state, total, expanded, waiting, leased, done, failed, cancelled, on_failure = row[:10]
    ready_at, started_at, ended_at, reason, message, exit_code, cancel_at, cancel_by = row[10:18]
    owner_id, version_id, retries, many, event_seq, keep_s, notify, delete_at = row[18:26]
    criterion, best_task, best_value, met, ordered, open_until, cut_short = row[26:]
    job = Job(
        JobId(id),
        STATES[state],
        total,
        expanded,
        waiting,
        leased,
        done,
        failed,
        cancelled,
        ON_FAILURE[on_failure],
        ready_at,
        started_at,
        ended_at,
        Outcome(REASONS[reason], message or "", exit_code) if reason else None,
        cancel_at,
        cancel_by,
        stored_criterion(criterion) if criterion else None,
        Best(best_task, best_value) if best_task is not None else None,
        met,
        bool(many),
        open_until,
        cut_short,
    )
    return JobRow(job, owner_id, version_id, retries, bool(many), event_seq, keep_s, notify, delete_at, bool(ordered))


def save_jobs(tx: Tx, rows: Iterable[JobRow]) -> None:
    """Write back what the rules changed."""
    values = [_to_values(row) for row in rows]
    if values:
        _SAVE_JOB.run(tx.conn, values)


def _to_values(row: JobRow) -> dict[str, Any]:
    job = row.job
    keep_s = row.retention_s
    return {
        "b_id": job.id,
        "b_state": job.state.value,
        "b_total": job.total,
        "b_expanded": job.expanded,
        "b_waiting": job.waiting,
        "b_leased": job.leased,
        "b_done": job.done,
        "b_failed": job.failed,
        "b_cancelled": job.cancelled,
        "b_ready_at": job.ready_at,
        "b_started_at": job.started_at,
        "b_ended_at": job.ended_at,
        "b_reason": job.outcome.reason.value if job.outcome else None,
        "b_message": job.outcome.message if job.outcome else None,
        "b_exit_code": job.outcome.exit_code if job.outcome else None,
        "b_cancel_requested_at": job.cancel_requested_at,
        "b_cancel_requested_by": job.cancel_requested_by,
        "b_event_seq": row.event_seq,
        "b_best_task": job.best.task if job.best else None,
        "b_best_value": job.best.value if job.best else None,
        "b_met_task": job.met,
        "b_open_until": job.open_until,
        "b_cut_short": job.cut_short,
        "b_expires_at": job.ended_at + keep_s if job.ended_at is not None and keep_s is not None else None,
    }


def insert_job(tx: Tx, new: NewJob) -> None:
    """Write a submitted job, its items and references, and its first event. Raises Problem ``gone`` for a missing blob."""
    insert_jobs(tx, [new])
    if new.items:
        _insert_items(tx, new.id, new.items, new.again_tasks)
    if new.blobs:
        refer(tx, f"job:{new.id}", new.blobs)
    if new.waits:
        tx.conn.execute(sa.insert(job_waits), [{"job_id": new.id, "on_job": other} for other in sorted(set(new.waits))])


def insert_jobs(tx: Tx, news: Sequence[NewJob]) -> None:
    """Write jobs that have no items, blobs or jobs to wait for, and the first event of each."""
    _INSERT_JOB.run(tx.conn, [_new_values(new, tx.now) for new in news])
    _INSERT_EVENT.run(
        tx.conn,
        [
            {
                "job_id": new.id,
                "seq": 1,
                "at": tx.now,
                "kind": "submitted",
                "data_json": f'{{"state":"{new.state.value}","total":{new.total}}}',
            }
            for new in news
        ],
    )


def _new_values(new: NewJob, now: float) -> dict[str, Any]:
    return {
        "id": new.id,
        "owner_id": new.owner_id,
        "app_id": new.app_id,
        "version_id": new.version_id,
        "name": new.name,
        "state": new.state.value,
        "inputs_json": new.inputs_json,
        "overrides_json": new.overrides_json,
        "resources_json": new.resources_json,
        "labels_json": new.labels_json,
        "secrets_of": new.secrets_of,
        "large_json": new.large_json,
        "priority": new.priority,
        "cpus": new.cpus,
        "memory_bytes": new.memory_bytes,
        "gpus": new.gpus,
        "nodes": new.nodes,
        "retries": new.retries,
        "on_failure": new.on_failure.value,
        "debug": int(new.debug),
        "many": int(new.many),
        "total": new.total,
        "waiting": new.total,
        "created_at": now,
        "ready_at": now if new.state is State.READY else None,
        "parent_job": new.parent_job,
        "parent_task": new.parent_task,
        "again_of": new.again_of,
        "notify_json": new.notify_json,
        "code_version": new.code_version,
        "code_files_json": new.code_files_json,
        "pending_json": new.pending_json,
        "retention_s": new.retention_s,
        "event_seq": 1,
        "criterion_json": new.criterion_json,
        "open_until": now + new.open_s if new.open_s is not None else None,
    }


_INPUTS = Hot(sa.select(jobs.c.inputs_json).where(jobs.c.id == sa.bindparam("id")))


def common_inputs(conn: Connection, job_id: str) -> dict[str, Any]:
    """The inputs that all tasks of a job have in common."""
    rows = _INPUTS.all(conn, id=job_id)
    return dict(json.loads(rows[0][0])) if rows else {}


def _insert_items(tx: Tx, job_id: str, items: Sequence[Mapping[str, Any]], again: Sequence[int]) -> None:
    chunks = [
        {
            "job_id": job_id,
            "first": first,
            "items_json": items_json(items[first : first + ITEMS_PER_CHUNK]),
            "again_json": json.dumps(list(again[first : first + ITEMS_PER_CHUNK])) if again else None,
        }
        for first in range(0, len(items), ITEMS_PER_CHUNK)
    ]
    tx.conn.execute(sa.insert(job_items), chunks)


def items_json(items: Sequence[Mapping[str, Any]]) -> str:
    """As ``job_items`` has them."""
    return json.dumps(items, separators=(",", ":"))


def load_items(conn: Connection, job_id: str, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The input sets of these tasks of a job of many, by number."""
    firsts = sorted({number - number % ITEMS_PER_CHUNK for number in numbers})
    rows = conn.execute(
        sa.select(job_items.c.first, job_items.c.items_json).where(
            job_items.c.job_id == job_id, job_items.c.first.in_(firsts)
        )
    )
    chunks = {row.first: json.loads(row.items_json) for row in rows}
    return {
        number: chunks[first][number - first]
        for number in numbers
        if (first := number - number % ITEMS_PER_CHUNK) in chunks
    }


def load_again(conn: Connection, job_id: str, numbers: Sequence[int]) -> dict[int, int]:
    """Of a job that runs some tasks of another again: which of them these are, by their numbers here and there."""
    firsts = sorted({number - number % ITEMS_PER_CHUNK for number in numbers})
    query = sa.select(job_items.c.first, job_items.c.again_json).where(
        job_items.c.job_id == job_id, job_items.c.first.in_(firsts), job_items.c.again_json.is_not(None)
    )
    chunks = {row.first: json.loads(row.again_json) for row in conn.execute(query)}
    return {
        number: chunks[first][number - first]
        for number in numbers
        if (first := number - number % ITEMS_PER_CHUNK) in chunks
    }


_SAY = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("b_id"))
    .values(
        status_message=sa.func.coalesce(sa.bindparam("b_text"), jobs.c.status_message),
        progress=sa.func.coalesce(sa.bindparam("b_progress"), jobs.c.progress),
        metrics_json=sa.func.coalesce(sa.bindparam("b_metrics"), jobs.c.metrics_json),
    )
)


def say(tx: Tx, job_id: str, words: Mapping[str, Any]) -> None:
    """Save the latest words of the program of a job of one task."""
    metrics = json.dumps(words["metrics"]) if words["metrics"] else None
    tx.conn.execute(
        _SAY, {"b_id": job_id, "b_text": words["text"], "b_progress": words["progress"], "b_metrics": metrics}
    )


_ADD_USAGE = Hot(
    sa.update(users)
    .where(users.c.id == sa.bindparam("b_id"))
    .values(cpu_s=users.c.cpu_s + sa.bindparam("b_s"), jobs_ended=users.c.jobs_ended + sa.bindparam("b_n"))
)


def add_usage(tx: Tx, usage: Mapping[str, tuple[float, int]]) -> None:
    """Add CPU seconds and ended jobs to what users have used so far."""
    rows = [{"b_id": user, "b_s": cpu_s, "b_n": ended} for user, (cpu_s, ended) in sorted(usage.items())]
    _ADD_USAGE.run(tx.conn, rows)


def append_events(tx: Tx, rows: Sequence[tuple[str, int, str, Mapping[str, Any]]]) -> None:
    """Write events given as (job, seq, kind, data); the seq was taken under the job's row lock."""
    if rows:
        _INSERT_EVENT.run(
            tx.conn,
            [
                {
                    "job_id": job,
                    "seq": seq,
                    "at": tx.now,
                    "kind": kind,
                    "data_json": json.dumps(data, separators=(",", ":")),
                }
                for job, seq, kind, data in rows
            ],
        )


def wish_delete(tx: Tx, job_id: str) -> None:
    """The job is removed as soon as it has ended."""
    tx.conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(delete_requested_at=tx.now))


def ended_and_unwanted(conn: Connection, limit: int = 1000) -> list[str]:
    """Jobs that shall be removed and have ended."""
    query = sa.select(jobs.c.id).where(jobs.c.delete_requested_at.is_not(None), jobs.c.ended_at.is_not(None))
    return [row[0] for row in conn.execute(query.limit(limit))]


_WAITED_FOR = Hot(
    "SELECT 1 FROM job_waits WHERE on_job IN (SELECT value FROM json_each(:ids)) LIMIT 1",
    "SELECT 1 FROM job_waits WHERE on_job IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))) LIMIT 1",
)


def any_waited_for(conn: Connection, job_ids: Sequence[str]) -> bool:
    """True if another job waits for the success of one of these."""
    return bool(job_ids) and bool(_WAITED_FOR.all(conn, ids=json.dumps(list(job_ids))))


def delete_jobs(tx: Tx, ids: Sequence[str]) -> None:
    """Remove ended jobs and all that hangs on them. Their blobs are collected later, when nothing names them."""
    for table in (
        tasks,
        attempts,
        task_usage,
        events,
        variables,
        job_failures,
        job_items,
        job_waits,
        notices,
        idempotency,
    ):
        tx.conn.execute(sa.delete(table).where(table.c.job_id.in_(ids)))
    mine = sa.select(task_columns.c.id).where(task_columns.c.job_id.in_(ids))
    tx.conn.execute(sa.delete(task_values).where(task_values.c.col.in_(mine)))
    tx.conn.execute(sa.delete(blob_refs).where(blob_refs.c.holder.in_([f"job:{id}" for id in ids])))
    tx.conn.execute(sa.delete(jobs).where(jobs.c.id.in_(ids)))
