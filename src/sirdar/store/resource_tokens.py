"""The ledger's rows of resource tokens: what attaches an agent that keeps nothing on disk. Only hashes are kept."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.tables import resource_tokens as t


@dataclass(frozen=True, slots=True)
class ResourceToken:
    """``expires_at`` None: until it is revoked."""

    id: str
    token_hash: str
    resource_id: str
    label: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


def insert(tx: Tx, token: ResourceToken) -> None:
    tx.conn.execute(sa.insert(t).values(**{name: getattr(token, name) for name in ResourceToken.__slots__}))


def by_hash(conn: Connection, token_hash: str) -> ResourceToken | None:
    """Also where it is revoked or has expired."""
    row = conn.execute(sa.select(t).where(t.c.token_hash == token_hash)).one_or_none()
    return _token(row) if row else None


def of_resource(conn: Connection, resource_id: str, now: float) -> list[ResourceToken]:
    """Those that still attach an agent, oldest first."""
    works = (t.c.revoked_at.is_(None), sa.or_(t.c.expires_at.is_(None), t.c.expires_at > now))
    query = sa.select(t).where(t.c.resource_id == resource_id, *works).order_by(t.c.created_at, t.c.id)
    return [_token(row) for row in conn.execute(query)]


def revoke(tx: Tx, resource_id: str, token_id: str) -> bool:
    """False where the resource has no such token that works."""
    tx.hints.changed.add(resource_id)
    works = (t.c.id == token_id, t.c.resource_id == resource_id, t.c.revoked_at.is_(None))
    return tx.conn.execute(sa.update(t).where(*works).values(revoked_at=tx.now)).rowcount > 0


def _token(row: Any) -> ResourceToken:
    return ResourceToken(**{name: getattr(row, name) for name in ResourceToken.__slots__})
