"""What proves who calls: tokens, one-time login links, and the attempts whose programs carry tokens of their own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sirdar.domain.ids import AttemptKey, UserId
from sirdar.domain.states import AttemptState
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.people import Conn, User, groups_of, user_by_id


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a user's. The token itself is not kept: ``token_hash`` is its sha256 in hex."""

    id: str
    user_id: UserId
    label: str
    token_hash: str
    scopes: str  # words joined by spaces; ``app:ID`` restricts it to an application
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A user with their groups, as a caller is made of."""

    user: User
    groups: frozenset[str]


# ---------------------------------------------------------------- tokens


def insert_token(tx: Tx, token: Token) -> None:
    tx.conn.execute(sa.insert(t.tokens).values(**{name: getattr(token, name) for name in Token.__slots__}))


def token_by_hash(conn: Conn, token_hash: str) -> tuple[Token, Holder] | None:
    """The token and who holds it, also where it is revoked or has expired."""
    row = conn.execute(sa.select(t.tokens).where(t.tokens.c.token_hash == token_hash)).one_or_none()
    if row is None:
        return None
    holder = _holder(conn, row.user_id)
    return (_token(row), holder) if holder else None


def token_with_holder(conn: Conn, token_id: str) -> tuple[Token, Holder] | None:
    """``token_by_hash``, by the token's id."""
    token = token_by_id(conn, token_id)
    holder = _holder(conn, token.user_id) if token else None
    return (token, holder) if token and holder else None


def token_by_id(conn: Conn, token_id: str) -> Token | None:
    row = conn.execute(sa.select(t.tokens).where(t.tokens.c.id == token_id)).one_or_none()
    return _token(row) if row else None


def list_tokens(conn: Conn, user_id: str, *, now: float, limit: int, after: str = "") -> list[Token]:
    """A user's tokens that still work, by id."""
    c = t.tokens.c
    query = (
        sa.select(t.tokens)
        .where(c.user_id == user_id, c.revoked_at.is_(None), sa.or_(c.expires_at.is_(None), c.expires_at > now))
        .where(c.id > after)
        .order_by(c.id)
        .limit(limit)
    )
    return [_token(row) for row in conn.execute(query)]


def newest_tokens(conn: Conn, user_id: str, *, now: float, limit: int, before: Token | None = None) -> list[Token]:
    """A user's tokens that still work, the newest first: those made before that one."""
    c = t.tokens.c
    query = (
        sa.select(t.tokens)
        .where(c.user_id == user_id, c.revoked_at.is_(None), sa.or_(c.expires_at.is_(None), c.expires_at > now))
        .order_by(c.created_at.desc(), c.id.desc())
        .limit(limit)
    )
    if before is not None:
        older = sa.and_(c.created_at == before.created_at, c.id < before.id)
        query = query.where(sa.or_(c.created_at < before.created_at, older))
    return [_token(row) for row in conn.execute(query)]


def revoke_token(tx: Tx, token_id: str) -> None:
    tx.hints.rights.add(f"token:{token_id}")
    c = t.tokens.c
    tx.conn.execute(sa.update(t.tokens).where(c.id == token_id, c.revoked_at.is_(None)).values(revoked_at=tx.now))


def revoke_all(tx: Tx, user_id: str, *, but: str | None = None) -> None:
    """Revoke every token of a user's, except the one with the id ``but``; unused login links go with them."""
    tx.hints.rights.add(f"user:{user_id}")
    c = t.tokens.c
    query = sa.update(t.tokens).where(c.user_id == user_id, c.revoked_at.is_(None), c.id != (but or ""))
    tx.conn.execute(query.values(revoked_at=tx.now))
    tx.conn.execute(sa.delete(t.login_links).where(t.login_links.c.user_id == user_id))


def note_use(tx: Tx, used_at: Mapping[str, float]) -> None:
    """Write when tokens (by id) were last used."""
    for token_id, at in used_at.items():
        tx.conn.execute(sa.update(t.tokens).where(t.tokens.c.id == token_id).values(last_used_at=at))


def remove_dead(tx: Tx, *, before: float) -> int:
    """Remove tokens that were revoked or have expired before that time, and links that have expired. Returns how many."""
    c = t.tokens.c
    gone = tx.conn.execute(sa.delete(t.tokens).where(sa.or_(c.revoked_at < before, c.expires_at < before)))
    links = tx.conn.execute(sa.delete(t.login_links).where(t.login_links.c.expires_at < before))
    return gone.rowcount + links.rowcount


# ---------------------------------------------------------------- one-time links


def insert_link(tx: Tx, link_hash: str, user_id: str, expires_at: float) -> None:
    tx.conn.execute(sa.insert(t.login_links).values(link_hash=link_hash, user_id=user_id, expires_at=expires_at))


def link_works(conn: Conn, link_hash: str, now: float) -> bool:
    c = t.login_links.c
    query = sa.select(c.link_hash).where(c.link_hash == link_hash, c.used_at.is_(None), c.expires_at > now)
    return conn.execute(query).first() is not None


def take_link(tx: Tx, link_hash: str) -> Holder | None:
    """Use up a link that works: whose it was, or None. Two who try at once: one gets it."""
    c = t.login_links.c
    works = (c.link_hash == link_hash, c.used_at.is_(None), c.expires_at > tx.now)
    query = sa.update(t.login_links).where(*works).values(used_at=tx.now).returning(c.user_id)
    user_id = tx.conn.execute(query).scalar_one_or_none()
    return _holder(tx.conn, user_id) if user_id else None


# ---------------------------------------------------------------- attempts


def attempt_holder(conn: Conn, key: AttemptKey, *, now: float, grace_s: float) -> Holder | None:
    """Who owns the job of an attempt whose token still counts: it may yet end its task, or it ended at most ``grace_s`` ago.

    An attempt that was replaced (a newer one has been accepted) counts no more, whether its program lives or not.
    """
    a, k, j = t.attempts.c, t.tasks.c, t.jobs.c
    query = (
        sa.select(a.state, a.ended_at, j.owner_id)
        .select_from(
            t.attempts.join(t.tasks, sa.and_(k.job_id == a.job_id, k.no == a.task_no)).join(t.jobs, j.id == a.job_id)
        )
        .where(a.job_id == key.job, a.task_no == key.task, a.no == key.attempt, k.attempt <= a.no)
    )
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    if row.state == AttemptState.ENDED and (row.ended_at is None or row.ended_at + grace_s < now):
        return None
    return _holder(conn, row.owner_id)


# ---------------------------------------------------------------- rows


def _holder(conn: Conn, user_id: str) -> Holder | None:
    user = user_by_id(conn, user_id)
    return Holder(user, groups_of(conn, user_id)) if user else None


def _token(row: Any) -> Token:
    return Token(**{name: getattr(row, name) for name in Token.__slots__})


def scope_words(words: Iterable[str]) -> str:
    """How scopes stand in the column: each word once, in order of the alphabet."""
    return " ".join(sorted(set(words)))
