"""The audit log: who did what to what, and when. Rows are only added."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.people import Conn


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. ``object`` reads ``KIND:NAME``; ``detail`` is small and never holds a secret."""

    id: int
    at: float
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


def insert(tx: Tx, *, actor: str, action: str, object: str, detail: dict[str, Any]) -> None:
    text = json.dumps(detail, ensure_ascii=False, separators=(",", ":")) if detail else None
    values = {"at": tx.now, "actor": actor, "action": action, "object": object, "detail_json": text}
    tx.conn.execute(sa.insert(t.audit).values(**values))


def newest(
    conn: Conn, *, limit: int, before: int | None = None, actor: str | None = None, action: str | None = None
) -> list[Entry]:
    """Entries from the newest back, those older than the id ``before``."""
    c = t.audit.c
    query = sa.select(t.audit).order_by(c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(c.id < before)
    if actor is not None:
        query = query.where(c.actor == actor)
    if action is not None:
        query = query.where(c.action == action)
    return [
        Entry(row.id, row.at, row.actor, row.action, row.object, json.loads(row.detail_json or "{}"))
        for row in conn.execute(query)
    ]
