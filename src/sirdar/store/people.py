"""Users and groups: who there is, and what they are allowed."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.ids import UserId
from sirdar.domain.people import SYSTEM_NAME, SYSTEM_USER
from sirdar.store import tables as t
from sirdar.store.engine import Tx

Conn: TypeAlias = Connection  # for services, which do not import SQLAlchemy


@dataclass(frozen=True, slots=True)
class User:
    """One account. ``password_hash`` None: signs in by one-time links only. Quotas None: the server's setting.

    ``provider`` and ``subject``: who a user from outside is there; ``confirmed_at``: when that was last proved, 0 where it was
    refused since. None: a local account.
    """

    id: UserId
    name: str
    password_hash: str | None
    email: str | None
    is_admin: bool
    can_publish: bool
    quota_jobs: int | None
    quota_bytes: int | None
    retention_s: float | None
    cpu_s: float
    jobs_ended: int
    notify_json: str | None
    created_at: float
    disabled_at: float | None
    provider: str | None = None
    subject: str | None = None
    confirmed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    created_at: float
    members: tuple[str, ...]  # names of users, in order


# ---------------------------------------------------------------- users


def user_by_name(conn: Conn, name: str) -> User | None:
    row = conn.execute(sa.select(t.users).where(t.users.c.name == name)).one_or_none()
    return _user(row) if row else None


def user_by_id(conn: Conn, user_id: str) -> User | None:
    row = conn.execute(sa.select(t.users).where(t.users.c.id == user_id)).one_or_none()
    return _user(row) if row else None


def user_by_origin(conn: Conn, provider: str, subject: str) -> User | None:
    """The account of somebody from outside."""
    query = sa.select(t.users).where(t.users.c.provider == provider, t.users.c.subject == subject)
    row = conn.execute(query).one_or_none()
    return _user(row) if row else None


def list_users(conn: Conn, *, limit: int, after: str = "") -> list[User]:
    """Users by name, those after the name ``after``."""
    return users_where(conn, t.users.c.name > after, limit=limit)


def users_where(conn: Conn, *wanted: sa.ColumnElement[bool], limit: int) -> list[User]:
    """Users of whom all that is true, by name; not the one who owns what comes with Sirdar."""
    others = t.users.c.id != SYSTEM_USER
    query = sa.select(t.users).where(others, *wanted).order_by(t.users.c.name).limit(limit)
    return [_user(row) for row in conn.execute(query)]


def count_admins(conn: Conn) -> int:
    """Administrators who can sign in."""
    query = sa.select(sa.func.count()).where(t.users.c.is_admin == 1, t.users.c.disabled_at.is_(None))
    return conn.execute(query).scalar_one()


def insert_user(tx: Tx, user: User) -> None:
    tx.conn.execute(sa.insert(t.users).values(**_columns(user)))


def ensure_system_user(tx: Tx) -> None:
    """Make the owner of what comes with Sirdar, where it is not there: disabled, and without a password."""
    if user_by_id(tx.conn, SYSTEM_USER) is None:
        row = {"id": SYSTEM_USER, "name": SYSTEM_NAME, "created_at": tx.now, "disabled_at": tx.now}
        tx.conn.execute(sa.insert(t.users).values(**row))


def update_user(tx: Tx, user_id: str, **changes: Any) -> None:
    """Set columns by their names; truth values are written as 0 and 1."""
    tx.hints.rights.add(f"user:{user_id}")
    values = {name: int(value) if isinstance(value, bool) else value for name, value in changes.items()}
    if values:
        tx.conn.execute(sa.update(t.users).where(t.users.c.id == user_id).values(**values))


def delete_user(tx: Tx, user: User) -> None:
    """Remove a user who owns nothing that others may still need (see ``owns``), and every share that names them."""
    tx.hints.rights.add(f"user:{user.id}")
    subject = f"user:{user.name}"
    tx.conn.execute(sa.delete(t.app_shares).where(t.app_shares.c.subject == subject))
    tx.conn.execute(sa.delete(t.resource_shares).where(t.resource_shares.c.subject == subject))
    tx.conn.execute(sa.delete(t.job_shares).where(t.job_shares.c.subject == subject))
    for owner in (
        t.tokens.c.user_id,
        t.login_links.c.user_id,
        t.group_members.c.user_id,
        t.cli_grants.c.user_id,
        t.idempotency.c.user_id,
    ):
        tx.conn.execute(sa.delete(owner.table).where(owner == user.id))
    tx.conn.execute(sa.delete(t.uploads).where(t.uploads.c.owner_id == user.id))
    tx.conn.execute(sa.delete(t.users).where(t.users.c.id == user.id))


def owns(conn: Conn, user_id: str) -> dict[str, int]:
    """How many things of each kind a user owns, kinds with none left out."""
    found = {}
    for kind, table in (("jobs", t.jobs), ("applications", t.apps), ("resources", t.resources), ("files", t.files)):
        count = conn.execute(sa.select(sa.func.count()).where(table.c.owner_id == user_id)).scalar_one()
        if count:
            found[kind] = int(count)
    return found


# ---------------------------------------------------------------- groups


def groups_of(conn: Conn, user_id: str) -> frozenset[str]:
    query = sa.select(t.group_members.c.group_name).where(t.group_members.c.user_id == user_id)
    return frozenset(conn.execute(query).scalars())


def group_by_name(conn: Conn, name: str) -> Group | None:
    row = conn.execute(sa.select(t.groups).where(t.groups.c.name == name)).one_or_none()
    return Group(row.name, row.created_at, _members(conn, [row.name]).get(row.name, ())) if row else None


def list_groups(conn: Conn, *, limit: int, after: str = "", only: Collection[str] | None = None) -> list[Group]:
    """Groups by name, those after the name ``after``; ``only``: none but these."""
    query = sa.select(t.groups).where(t.groups.c.name > after).order_by(t.groups.c.name).limit(limit)
    if only is not None:
        query = query.where(t.groups.c.name.in_(sorted(only)))
    rows = conn.execute(query).all()
    members = _members(conn, [row.name for row in rows])
    return [Group(row.name, row.created_at, members.get(row.name, ())) for row in rows]


def insert_group(tx: Tx, name: str) -> None:
    tx.conn.execute(sa.insert(t.groups).values(name=name, created_at=tx.now))


def delete_group(tx: Tx, name: str) -> None:
    """Remove a group, its memberships, and every share that names it."""
    tx.hints.rights.add("users")
    subject = f"group:{name}"
    tx.conn.execute(sa.delete(t.app_shares).where(t.app_shares.c.subject == subject))
    tx.conn.execute(sa.delete(t.resource_shares).where(t.resource_shares.c.subject == subject))
    tx.conn.execute(sa.delete(t.job_shares).where(t.job_shares.c.subject == subject))
    tx.conn.execute(sa.delete(t.group_members).where(t.group_members.c.group_name == name))
    tx.conn.execute(sa.delete(t.groups).where(t.groups.c.name == name))


def add_member(tx: Tx, group: str, user_id: str) -> bool:
    """False where the user was a member already. A membership from outside becomes one that stays."""
    tx.hints.rights.add(f"user:{user_id}")
    m = t.group_members.c
    here = (m.group_name == group, m.user_id == user_id)
    there = tx.conn.execute(sa.select(m.from_outside).where(*here)).scalar_one_or_none()
    if there is None:
        tx.conn.execute(sa.insert(t.group_members).values(group_name=group, user_id=user_id))
    elif there:
        tx.conn.execute(sa.update(t.group_members).where(*here).values(from_outside=0))
    return there != 0


def set_outside_groups(tx: Tx, user_id: str, wanted: Collection[str]) -> tuple[list[str], list[str]]:
    """Make these the user's memberships from outside; those given by hand stay. Returns what was added and what removed."""
    tx.hints.rights.add(f"user:{user_id}")
    m = t.group_members.c
    rows = tx.conn.execute(sa.select(m.group_name, m.from_outside).where(m.user_id == user_id)).all()
    added = sorted(set(wanted) - {row.group_name for row in rows})
    removed = sorted({row.group_name for row in rows if row.from_outside} - set(wanted))
    for group in added:
        tx.conn.execute(sa.insert(t.group_members).values(group_name=group, user_id=user_id, from_outside=1))
    for group in removed:
        tx.conn.execute(sa.delete(t.group_members).where(m.group_name == group, m.user_id == user_id))
    return added, removed


def remove_member(tx: Tx, group: str, user_id: str) -> bool:
    tx.hints.rights.add(f"user:{user_id}")
    m = t.group_members.c
    gone = tx.conn.execute(sa.delete(t.group_members).where(m.group_name == group, m.user_id == user_id))
    return gone.rowcount > 0


# ---------------------------------------------------------------- rows


def _members(conn: Conn, names: list[str]) -> dict[str, tuple[str, ...]]:
    if not names:
        return {}
    query = (
        sa.select(t.group_members.c.group_name, t.users.c.name)
        .join(t.users, t.users.c.id == t.group_members.c.user_id)
        .where(t.group_members.c.group_name.in_(names))
        .order_by(t.users.c.name)
    )
    found: dict[str, list[str]] = {}
    for group, user in conn.execute(query):
        found.setdefault(group, []).append(user)
    return {group: tuple(users) for group, users in found.items()}


def _user(row: Any) -> User:
    return User(
        id=UserId(row.id),
        name=row.name,
        password_hash=row.password_hash,
        email=row.email,
        is_admin=bool(row.is_admin),
        can_publish=bool(row.can_publish),
        quota_jobs=row.quota_jobs,
        quota_bytes=row.quota_bytes,
        retention_s=row.retention_s,
        cpu_s=row.cpu_s,
        jobs_ended=row.jobs_ended,
        notify_json=row.notify_json,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        provider=row.provider,
        subject=row.subject,
        confirmed_at=row.confirmed_at,
    )


def _columns(user: User) -> dict[str, Any]:
    values = {name: getattr(user, name) for name in User.__slots__}
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}
