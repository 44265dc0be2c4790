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


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None: any. ``action``: whole (``app.share``), or its noun and a dot (``app.``); ``object``: words in it, in any case.

    ``since`` and ``until`` in seconds since 1970, the latter excluded.
    """

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    since: float | None = None
    until: float | None = None


def newest(conn: Conn, wanted: AuditFilter, *, limit: int, before: int | None = None) -> list[Entry]:
    """Entries from the newest back, those older than the id ``before``. What is rare is looked for through the whole log."""
    c = t.audit.c
    query = sa.select(t.audit).order_by(c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(c.id < before)
    return [
        Entry(row.id, row.at, row.actor, row.action, row.object, json.loads(row.detail_json or "{}"))
        for row in conn.execute(query.where(*_conditions(wanted)))
    ]


def _conditions(wanted: AuditFilter) -> list[sa.ColumnElement[bool]]:
    c = t.audit.c
    found = []
    if wanted.actor is not None:
        found.append(c.actor == wanted.actor)
    if wanted.action is not None:
        whole = not wanted.action.endswith(".")
        found.append(c.action == wanted.action if whole else c.action.startswith(wanted.action, autoescape=True))
    if wanted.object is not None:
        found.append(sa.func.lower(c.object).contains(wanted.object.lower(), autoescape=True))
    if wanted.since is not None:
        found.append(c.at >= wanted.since)
    if wanted.until is not None:
        found.append(c.at < wanted.until)
    return found
