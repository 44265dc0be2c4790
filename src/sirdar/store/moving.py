"""Accepted attempts that have not started, and the wish that they be given back."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.engine import Connection

from sirdar.domain.ids import AttemptKey, JobId, ResourceId
from sirdar.domain.moving import Behind
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.queue import NEEDS, wanted_of

MOST = 2000
_NEEDS = ", ".join(f"j.{name}" for name in NEEDS)
_UNSTARTED = Hot(
    "SELECT a.job_id, a.task_no, a.no, a.state, a.resource_id, a.accepted_at, a.give_back_at, j.owner_id,"  # noqa: S608
    f" {_NEEDS} FROM attempts a JOIN jobs j ON j.id = a.job_id"
    " WHERE a.state <> 'ENDED' AND a.state IN ('ACCEPTED', 'STAGING_IN') AND a.cancel_at IS NULL"
    " AND a.accepted_at < :before AND j.cancel_requested_at IS NULL ORDER BY a.accepted_at DESC LIMIT :n"
)
_OPEN = Hot(
    "SELECT job_id, task_no, no FROM attempts"
    " WHERE resource_id = :resource AND state <> 'ENDED' AND state IN ('ACCEPTED', 'STAGING_IN')"
    " AND give_back_at IS NOT NULL AND cancel_at IS NULL"
)
_WISH = Hot(
    "UPDATE attempts SET give_back_at = :now WHERE job_id = :job AND task_no = :task AND no = :no"
    " AND state IN ('ACCEPTED', 'STAGING_IN')"
)


def unstarted(conn: Connection, *, accepted_before: float, asked_after: float, limit: int = MOST) -> list[Behind]:
    """Accepted before that time and not started, the newest first. ``asked``: since ``asked_after``."""
    return [_behind(row, asked_after) for row in _UNSTARTED.all(conn, before=accepted_before, n=limit)]


def _behind(row: tuple[Any, ...], asked_after: float) -> Behind:
    job, task, no, state, resource, accepted_at, asked_at, owner, *needs = row
    wanted = wanted_of((job, owner, 1, *needs))
    asked = asked_at is not None and asked_at > asked_after
    key = AttemptKey(JobId(job), task, no)
    return Behind(key, ResourceId(resource), wanted, accepted_at, state == "STAGING_IN", asked)


def asked_back(conn: Connection, resource_id: str) -> list[AttemptKey]:
    """What the resource's agent was asked for and has not answered."""
    return [AttemptKey(JobId(job), task, no) for job, task, no in _OPEN.all(conn, resource=resource_id)]


def wish_back(tx: Tx, keys: Iterable[AttemptKey]) -> None:
    """Write the wish that agents give these back."""
    rows = [{"now": tx.now, "job": key.job, "task": key.task, "no": key.attempt} for key in keys]
    if rows:
        _WISH.run(tx.conn, rows)
