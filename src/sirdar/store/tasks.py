"""The ledger's rows of tasks and attempts. Written in batches; every write was decided under the job's row lock."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.failures import kind_of
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.outcome import REASONS, Outcome, Reason
from sirdar.domain.states import ATTEMPT_STATES, STATES, AttemptState, State
from sirdar.domain.task import Task
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.tables import attempts, tasks


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try, as the ledger has it."""

    key: AttemptKey
    state: AttemptState
    resource_id: str
    session: str
    offered_at: float
    accepted_at: float | None
    cancel_at: float | None
    reason: Reason | None  # of one that ended
    give_back_at: float | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """When an attempt came to each of its phases, by its agent's clock; None: nothing newer is known than what is written."""

    accepted_at: float | None = None
    staging_at: float | None = None
    staged_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reported_at: float | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """An attempt and its task."""

    task: Task
    attempt: AttemptRow
    status_message: str | None = None  # the task's last one so far


_COLUMNS = """t.job_id, t.no, t.state, t.attempt, t.last_attempt, t.offer, t.leased, t.faults, t.not_before,
 t.started_at, t.reason, t.message, t.exit_code,
 a.no, a.state, a.resource_id, a.session, a.offered_at, a.accepted_at, a.cancel_at, a.reason,
 t.status_message, a.give_back_at"""
_JOIN = f"""SELECT {_COLUMNS} FROM k
 JOIN tasks t ON t.job_id = k.job_id AND t.no = k.no
 JOIN attempts a ON a.job_id = k.job_id AND a.task_no = k.no AND a.no = k.attempt"""
_LOAD = Hot(
    "WITH k AS MATERIALIZED (SELECT json_extract(value, '$[0]') AS job_id, json_extract(value, '$[1]') AS no,"
    f" json_extract(value, '$[2]') AS attempt FROM json_each(:keys)) {_JOIN}",
    "WITH k AS MATERIALIZED (SELECT v->>0 AS job_id, (v->>1)::int AS no, (v->>2)::int AS attempt"
    f" FROM jsonb_array_elements(CAST(:keys AS jsonb)) v) {_JOIN}",
)
_OF_RESOURCE = Hot(
    f"""SELECT {_COLUMNS} FROM attempts a
 JOIN tasks t ON t.job_id = a.job_id AND t.no = a.task_no
 WHERE a.resource_id = :resource AND a.state <> 'ENDED'"""
)
_OF_JOB = Hot(
    f"""SELECT {_COLUMNS} FROM attempts a
 JOIN tasks t ON t.job_id = a.job_id AND t.no = a.task_no
 WHERE a.job_id = :job AND a.state <> 'ENDED'"""
)
_EXPIRED_OFFERS = Hot(
    f"""SELECT {_COLUMNS} FROM attempts a
 JOIN tasks t ON t.job_id = a.job_id AND t.no = a.task_no
 WHERE a.state = 'OFFERED' AND a.offered_at < :before LIMIT 1000"""
)
_OPEN = Hot(
    "SELECT job_id, task_no, no, state FROM attempts"
    " WHERE resource_id = :resource AND state <> 'ENDED' AND (state = 'OFFERED' OR cancel_at IS NOT NULL)"
)
_READY_ROWS = Hot(
    "SELECT no, state, attempt, last_attempt, faults, not_before, started_at FROM tasks"
    " WHERE job_id = :job AND state = 'READY' AND leased = 0 AND (not_before IS NULL OR not_before <= :now)"
    " ORDER BY no LIMIT :n"
)

_ALL_READY_ROWS = Hot(
    "SELECT no, state, attempt, last_attempt, faults, not_before, started_at FROM tasks"
    " WHERE job_id = :job AND state = 'READY' AND leased = 0"
)

_MOVED = (
    "state",
    "attempt",
    "last_attempt",
    "offer",
    "leased",
    "faults",
    "not_before",
    "resource_id",
    "ready_at",
    "started_at",
)
_ENDED = (
    "state",
    "attempt",
    "offer",
    "leased",
    "faults",
    "resource_id",
    "staging_at",
    "started_at",
    "ended_at",
    "reported_at",
    "reason",
    "message",
    "exit_code",
    "failure",
    "result_json",
    "stats_json",
    "stdout_json",
    "stderr_json",
    "debug_json",
    "status_message",
    "progress",
    "metrics_json",
)


def _update_tasks(columns: Sequence[str]) -> sa.Update:
    """An update by key. What is in ``_KEPT`` stays where there is nothing newer."""
    values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in columns}
    values |= {name: sa.func.coalesce(values[name], tasks.c[name]) for name in _KEPT if name in values}
    return (
        sa.update(tasks)
        .where(tasks.c.job_id == sa.bindparam("b_job"), tasks.c.no == sa.bindparam("b_no"))
        .values(values)
    )


def _update_attempts(*columns: str) -> sa.Update:
    """An update by key. Times that are known already stay where nothing newer is given."""
    values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in columns}
    values |= {name: sa.func.coalesce(values[name], attempts.c[name]) for name in values if name in _ATTEMPT_TIMES}
    return (
        sa.update(attempts)
        .where(
            attempts.c.job_id == sa.bindparam("b_job"),
            attempts.c.task_no == sa.bindparam("b_no"),
            attempts.c.no == sa.bindparam("b_attempt"),
        )
        .values(values)
    )


_ATTEMPT_TIMES = ("accepted_at", "staging_at", "staged_at", "started_at", "ended_at", "reported_at")
_WORDS = ("status_message", "progress", "progressed_at", "metrics_json")
_KEPT = (*_WORDS, "resource_id", "ready_at")
_NO_PROGRESS = {"b_progressed_at": None}
_MOVE_TASK = Hot(_update_tasks(_MOVED))
_END_TASK = Hot(_update_tasks(_ENDED))
_SAY = Hot(_update_tasks(_WORDS))
_ACCEPT_ATTEMPT = Hot(_update_attempts("state", "accepted_at"))
_MOVE_ATTEMPT = Hot(_update_attempts("state", *_ATTEMPT_TIMES))
_END_ATTEMPT = Hot(_update_attempts("state", *_ATTEMPT_TIMES, "reason", "message", "exit_code"))
_CANCEL_ATTEMPT = Hot(_update_attempts("cancel_at"))
_INSERT_TASK = Hot(
    sa.insert(tasks),
    columns=("job_id", "no", "state", "attempt", "last_attempt", "offer", "leased", "resource_id", "ready_at"),
)
_INSERT_ATTEMPT = Hot(
    sa.insert(attempts), columns=("job_id", "task_no", "no", "state", "resource_id", "session", "offered_at")
)


def load_attempts(tx: Tx, keys: Iterable[AttemptKey]) -> dict[AttemptKey, Loaded]:
    """Those of the keys that exist, with their tasks. The jobs must be locked already."""
    wanted = [[key.job, key.task, key.attempt] for key in dict.fromkeys(keys)]
    if not wanted:
        return {}
    return _collect(_LOAD.all(tx.conn, keys=json.dumps(wanted)))


def live_attempts_of_resource(conn: Connection, resource_id: str) -> dict[AttemptKey, Loaded]:
    return _collect(_OF_RESOURCE.all(conn, resource=resource_id))


def live_attempts_of_job(conn: Connection, job_id: str) -> dict[AttemptKey, Loaded]:
    return _collect(_OF_JOB.all(conn, job=job_id))


def expired_offers(conn: Connection, before: float) -> dict[AttemptKey, Loaded]:
    """Attempts that were offered before that time and are not accepted."""
    return _collect(_EXPIRED_OFFERS.all(conn, before=before))


def bring_back(tx: Tx, longest_wait_s: float) -> None:
    """The clock was set back: offers are as new as can be, and no retry waits longer than any has to."""
    offered = sa.update(attempts).where(sa.text("state = 'OFFERED'"), attempts.c.offered_at > tx.now)
    tx.conn.execute(offered.values(offered_at=tx.now))
    latest = tx.now + longest_wait_s
    tx.conn.execute(sa.update(tasks).where(tasks.c.not_before > latest).values(not_before=latest))


def _collect(rows: Sequence[tuple[Any, ...]]) -> dict[AttemptKey, Loaded]:
    found = {}
    for row in rows:
        (job, no, state, attempt, last, offer, leased, faults, not_before, started, reason, message, code) = row[:13]
        outcome = Outcome(REASONS[reason], message or "", code) if reason else None
        task = Task(no, STATES[state], attempt, last, offer, bool(leased), faults, not_before, started, outcome)
        key = AttemptKey(JobId(job), no, row[13])
        ended_so = REASONS[row[20]] if row[20] else None
        found[key] = Loaded(
            task,
            AttemptRow(key, ATTEMPT_STATES[row[14]], row[15], row[16], row[17], row[18], row[19], ended_so, row[22]),
            row[21],
        )
    return found


def ready_rows(tx: Tx, job_id: str, n: int) -> list[Task]:
    """Tasks that were given back and may be tried again now."""
    return _waiting(_READY_ROWS.all(tx.conn, job=job_id, now=tx.now, n=n))


def ready_rows_of_job(tx: Tx, job_id: str) -> list[Task]:
    """All tasks that were given back and are not offered, also those that shall wait a little."""
    return _waiting(_ALL_READY_ROWS.all(tx.conn, job=job_id))


def _waiting(rows: Sequence[tuple[Any, ...]]) -> list[Task]:
    return [
        Task(no, STATES[state], attempt, last, 0, False, faults, not_before, started)
        for no, state, attempt, last, faults, not_before, started in rows
    ]


def insert_tasks(tx: Tx, job_id: str, rows: Sequence[Task], *, resource_id: str, ready_at: float | None) -> None:
    """Write tasks that get their row with their first lease."""
    _INSERT_TASK.run(
        tx.conn,
        [
            {
                "job_id": job_id,
                "no": task.no,
                "state": task.state.value,
                "attempt": task.attempt,
                "last_attempt": task.last_attempt,
                "offer": task.offer,
                "leased": int(task.leased),
                "resource_id": resource_id,
                "ready_at": ready_at,
            }
            for task in rows
        ],
    )


def insert_attempts(tx: Tx, keys: Sequence[AttemptKey], *, resource_id: str, session: str) -> None:
    """Write offers."""
    _INSERT_ATTEMPT.run(
        tx.conn,
        [
            {
                "job_id": key.job,
                "task_no": key.task,
                "no": key.attempt,
                "state": "OFFERED",
                "resource_id": resource_id,
                "session": session,
                "offered_at": tx.now,
            }
            for key in keys
        ],
    )


def move_tasks(tx: Tx, rows: Sequence[tuple[str, Task, str | None, float | None]]) -> None:
    """Save tasks that go on: (job, task, resource, when it became ready)."""
    if rows:
        _MOVE_TASK.run(
            tx.conn,
            [
                {
                    "b_job": job,
                    "b_no": task.no,
                    "b_state": task.state.value,
                    "b_attempt": task.attempt,
                    "b_last_attempt": task.last_attempt,
                    "b_offer": task.offer,
                    "b_leased": int(task.leased),
                    "b_faults": task.faults,
                    "b_not_before": task.not_before,
                    "b_resource_id": resource,
                    "b_ready_at": ready_at,
                    "b_started_at": task.started_at,
                }
                for job, task, resource, ready_at in rows
            ],
        )


def end_tasks(tx: Tx, rows: Sequence[tuple[str, Task, Mapping[str, Any]]]) -> None:
    """Save tasks that ended: (job, task, the other columns of ``_ENDED``; what is missing becomes null)."""
    if rows:
        _END_TASK.run(tx.conn, [_ended_values(job, task, columns) for job, task, columns in rows])


def _ended_values(job: str, task: Task, columns: Mapping[str, Any]) -> dict[str, Any]:
    outcome = task.outcome
    assert outcome is not None
    values = {f"b_{name}": columns.get(name) for name in _ENDED}
    values.update(
        b_job=job,
        b_no=task.no,
        b_state=task.state.value,
        b_attempt=task.attempt,
        b_offer=task.offer,
        b_leased=int(task.leased),
        b_faults=task.faults,
        b_started_at=task.started_at,
        b_reason=outcome.reason.value,
        b_message=outcome.message,
        b_exit_code=outcome.exit_code,
        b_failure=kind_of(outcome.message) if task.state is State.FAILED else None,
    )
    return values


def say(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Save the latest words of running programs: dicts of b_job, b_no, b_status_message, b_progress, b_metrics_json."""
    if rows:
        at = {"b_progressed_at": tx.now}
        _SAY.run(tx.conn, [{**row, **(at if row["b_progress"] is not None else _NO_PROGRESS)} for row in rows])


def accept_attempts(tx: Tx, keys: Sequence[AttemptKey]) -> None:
    _attempts(tx, _ACCEPT_ATTEMPT, keys, b_state="ACCEPTED", b_accepted_at=tx.now)


def move_attempts(tx: Tx, rows: Sequence[tuple[AttemptKey, AttemptState, Times]]) -> None:
    """Save attempts that go on."""
    if rows:
        _MOVE_ATTEMPT.run(
            tx.conn, [{**_key(key), "b_state": state.value, **_times(times)} for key, state, times in rows]
        )


def end_attempts(tx: Tx, rows: Sequence[tuple[AttemptKey, Outcome, Times]]) -> None:
    """Save attempts that ended."""
    if rows:
        _END_ATTEMPT.run(
            tx.conn,
            [
                {
                    **_key(key),
                    "b_state": "ENDED",
                    **_times(times),
                    "b_reason": outcome.reason.value,
                    "b_message": outcome.message,
                    "b_exit_code": outcome.exit_code,
                }
                for key, outcome, times in rows
            ],
        )


def wish_cancel(tx: Tx, keys: Sequence[AttemptKey]) -> None:
    """Write the wish that agents end these attempts."""
    _attempts(tx, _CANCEL_ATTEMPT, keys, b_cancel_at=tx.now)


def open_of_resource(conn: Connection, resource_id: str) -> tuple[list[AttemptKey], list[AttemptKey]]:
    """What an agent has to be told again until it answers: attempts offered and not accepted, and those to be cancelled."""
    offered: list[AttemptKey] = []
    cancelled: list[AttemptKey] = []
    for job, task, no, state in _OPEN.all(conn, resource=resource_id):
        (offered if state == "OFFERED" else cancelled).append(AttemptKey(JobId(job), task, no))
    return offered, cancelled


def lives_on(conn: Connection, key: AttemptKey, resource_id: str) -> bool:
    """True if the attempt is this resource's and has not ended."""
    row = conn.execute(
        sa.select(attempts.c.resource_id).where(
            attempts.c.job_id == key.job,
            attempts.c.task_no == key.task,
            attempts.c.no == key.attempt,
            attempts.c.state != "ENDED",
        )
    ).first()
    return row is not None and row[0] == resource_id


def _attempts(tx: Tx, statement: Hot, keys: Sequence[AttemptKey], **values: Any) -> None:
    if keys:
        statement.run(tx.conn, [{**_key(key), **values} for key in keys])


def _key(key: AttemptKey) -> dict[str, Any]:
    return {"b_job": key.job, "b_no": key.task, "b_attempt": key.attempt}


def _times(times: Times) -> dict[str, float | None]:
    return {
        "b_accepted_at": times.accepted_at,
        "b_staging_at": times.staging_at,
        "b_staged_at": times.staged_at,
        "b_started_at": times.started_at,
        "b_ended_at": times.ended_at,
        "b_reported_at": times.reported_at,
    }
