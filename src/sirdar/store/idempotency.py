"""Idempotency keys of submissions: per user, kept for a day."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.tables import idempotency


@dataclass(frozen=True, slots=True)
class Remembered:
    """The job that a key made, and the hash of the request that made it."""

    body_hash: str
    job_id: str
    created_at: float


_FIND = sa.select(idempotency.c.body_hash, idempotency.c.job_id, idempotency.c.created_at).where(
    idempotency.c.user_id == sa.bindparam("user"), idempotency.c.key == sa.bindparam("key")
)


def find(conn: Connection, user_id: str, key: str) -> Remembered | None:
    row = conn.execute(_FIND, {"user": user_id, "key": key}).first()
    return Remembered(*row) if row else None


def remember(tx: Tx, user_id: str, key: str, body_hash: str, job_id: str, *, expired_before: float) -> bool:
    """Remember a key; an expired one of the same text makes room.

    False where it is known already: another server has remembered it a moment ago.
    """
    here = sa.and_(idempotency.c.user_id == user_id, idempotency.c.key == key)
    tx.conn.execute(sa.delete(idempotency).where(here, idempotency.c.created_at < expired_before))
    insert = postgresql.insert if tx.postgres else sqlite.insert
    values = {"user_id": user_id, "key": key, "body_hash": body_hash, "job_id": job_id, "created_at": tx.now}
    query = insert(idempotency).values(**values).on_conflict_do_nothing().returning(idempotency.c.job_id)
    return tx.conn.execute(query).first() is not None


def forget_before(tx: Tx, at: float) -> None:
    tx.conn.execute(sa.delete(idempotency).where(idempotency.c.created_at < at))
