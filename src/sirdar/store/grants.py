"""What a sign-in leaves for a moment: grants that a command line will fetch, and the states of sign-ins that came back."""

from dataclasses import dataclass

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.people import Conn, User, user_by_id


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user allowed a command line that knows the text behind ``challenge`` (its sha256)."""

    code_hash: str
    user_id: str
    challenge: str
    label: str
    lifetime_s: float | None
    expires_at: float


def insert_grant(tx: Tx, grant: Grant) -> None:
    tx.conn.execute(sa.insert(t.cli_grants).values(**{name: getattr(grant, name) for name in Grant.__slots__}))


def is_grant(conn: Conn, code_hash: str, challenge: str, now: float) -> bool:
    c = t.cli_grants.c
    query = sa.select(c.code_hash).where(c.code_hash == code_hash, c.challenge == challenge, c.expires_at > now)
    return conn.execute(query).first() is not None


def take_grant(tx: Tx, code_hash: str, challenge: str) -> tuple[Grant, User] | None:
    """Use up a grant, and whose it was. Two who try at once: one gets it."""
    c = t.cli_grants.c
    here = (c.code_hash == code_hash, c.challenge == challenge, c.expires_at > tx.now)
    row = tx.conn.execute(sa.delete(t.cli_grants).where(*here).returning(t.cli_grants)).one_or_none()
    user = user_by_id(tx.conn, row.user_id) if row else None
    if row is None or user is None:
        return None
    return Grant(**{name: getattr(row, name) for name in Grant.__slots__}), user


def spend_state(tx: Tx, state_hash: str, expires_at: float) -> bool:
    """Note that a sign-in came back. False where it had come back before."""
    if tx.conn.execute(sa.select(t.spent_states).where(t.spent_states.c.state_hash == state_hash)).first():
        return False
    tx.conn.execute(sa.insert(t.spent_states).values(state_hash=state_hash, expires_at=expires_at))
    return True


def remove_expired(tx: Tx) -> None:
    for table in (t.cli_grants, t.spent_states):
        tx.conn.execute(sa.delete(table).where(table.c.expires_at < tx.now))
