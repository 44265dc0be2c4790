"""The ledger's rows of notices: who is told of a job's end, and how far that has come."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.tables import notices


@dataclass(frozen=True, slots=True)
class Notice:
    """One letter or call to be delivered. ``target``: {"webhook": URL, "secret"?: sealed} or {"email": ADDRESS}."""

    id: str
    job_id: str
    target: dict[str, Any]
    tries: int


def insert_notices(tx: Tx, job_id: str, targets: Sequence[dict[str, Any]]) -> None:
    rows = [
        {
            "id": new_id(),
            "job_id": job_id,
            "target_json": json.dumps(target),
            "state": "waiting",
            "next_at": tx.now,
            "created_at": tx.now,
        }
        for target in targets
    ]
    if rows:
        tx.conn.execute(sa.insert(notices), rows)
        tx.hints.notices = True


def claim_due(tx: Tx, *, hold_s: float, limit: int = 20) -> list[Notice]:
    """Notices whose time has come; nobody else gets them for ``hold_s``, so that two servers do not send one twice."""
    query = (
        sa.select(notices.c.id, notices.c.job_id, notices.c.target_json, notices.c.tries)
        .where(sa.text("state = 'waiting'"), notices.c.next_at <= tx.now)
        .order_by(notices.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    due = [Notice(row.id, row.job_id, json.loads(row.target_json), row.tries) for row in tx.conn.execute(query)]
    if due:
        ids = [notice.id for notice in due]
        tx.conn.execute(sa.update(notices).where(notices.c.id.in_(ids)).values(next_at=tx.now + hold_s))
    return due


def next_due(conn: Connection) -> float | None:
    """When the next notice is to be sent."""
    value = conn.execute(sa.select(sa.func.min(notices.c.next_at)).where(sa.text("state = 'waiting'"))).scalar()
    return float(value) if value is not None else None


def mark_delivered(tx: Tx, notice_id: str) -> None:
    _mark(tx, notice_id, state="delivered", delivered_at=tx.now, next_at=None, last_error=None)


def mark_retry(tx: Tx, notice_id: str, *, tries: int, next_at: float, error: str) -> None:
    _mark(tx, notice_id, tries=tries, next_at=next_at, last_error=error)


def mark_given_up(tx: Tx, notice_id: str, *, tries: int, error: str) -> None:
    _mark(tx, notice_id, state="gave_up", tries=tries, next_at=None, last_error=error)


@dataclass(frozen=True, slots=True)
class NoticeView:
    """What became of a notice. ``to``: an address or URL; ``state``: waiting, delivered or gave_up; ``error``: the last one."""

    to: str
    state: str
    tries: int
    error: str | None


def notices_of_job(conn: Connection, job_id: str) -> list[NoticeView]:
    """In the order in which they were asked for."""
    query = sa.select(notices).where(notices.c.job_id == job_id).order_by(notices.c.created_at, notices.c.id)
    found = []
    for row in conn.execute(query):
        target = json.loads(row.target_json)
        found.append(NoticeView(target.get("email") or target.get("webhook", ""), row.state, row.tries, row.last_error))
    return found


def _mark(tx: Tx, notice_id: str, **values: Any) -> None:
    tx.conn.execute(sa.update(notices).where(notices.c.id == notice_id).values(**values))
