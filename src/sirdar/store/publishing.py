"""Bytes between their upload and the version that names them: whose they are, and for how long."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store import blobs
from sirdar.store import tables as t
from sirdar.store.engine import Tx

PUBLISHING = "publish:"  # holder of blobs between their upload and the version that names them


def hold_for_publisher(tx: Tx, user_id: str, sha256: str, size_bytes: int) -> None:
    """Keep a blob that was just put for a publication which has not come yet."""
    blobs.register(tx, sha256, size_bytes)
    blobs.refer(tx, PUBLISHING + user_id, [sha256])


def release_publisher(tx: Tx, user_id: str, shas: Iterable[str]) -> None:
    """The version names them now."""
    for part in _chunks(shas):
        held = sa.delete(t.blob_refs).where(t.blob_refs.c.holder == PUBLISHING + user_id)
        tx.conn.execute(held.where(t.blob_refs.c.sha256.in_(part)))


def drop_stale_uploads(tx: Tx, before: float) -> int:
    """Let go of blobs that were brought before a time, for publications which never came."""
    old = sa.select(t.blobs.c.sha256).where(t.blobs.c.created_at < before)
    stale = sa.delete(t.blob_refs).where(
        t.blob_refs.c.holder >= PUBLISHING, t.blob_refs.c.holder < "publish;", t.blob_refs.c.sha256.in_(old)
    )
    return tx.conn.execute(stale).rowcount


def brought_by(conn: Connection, user_id: str, shas: Iterable[str]) -> dict[str, int]:
    """Of these blobs, those that the user uploaded to publish, or that one of their versions names; with sizes in bytes.

    Others may be here too, but naming the digest of somebody's file must neither tell that it is here nor give it away.
    """
    r, b = t.blob_refs.c, t.blobs.c
    own = sa.select(t.versions.c.id).join(t.apps, t.apps.c.id == t.versions.c.app_id)
    own = own.where(t.versions.c.id == sa.func.substr(r.holder, len("version:") + 1), t.apps.c.owner_id == user_id)
    theirs = sa.or_(r.holder == PUBLISHING + user_id, sa.and_(r.holder.like("version:%"), own.exists()))
    query = sa.select(b.sha256, b.size_bytes).where(
        b.quarantined_at.is_(None), sa.select(r.sha256).where(r.sha256 == b.sha256, theirs).exists()
    )
    found: dict[str, int] = {}
    for part in _chunks(shas):
        found.update((row.sha256, row.size_bytes) for row in conn.execute(query.where(b.sha256.in_(part))))
    return found


def _chunks(values: Iterable[str], size: int = 500) -> Iterable[list[str]]:
    """Distinct values, in parts that a statement can carry."""
    distinct = sorted(set(values))
    return (distinct[start : start + size] for start in range(0, len(distinct), size))
