"""Users and groups as administrators look for them: by words and standing, a page at a time, with what each uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from sirdar.domain.people import SYSTEM_USER
from sirdar.store import tables as t
from sirdar.store.people import Conn, User, users_where


class Standing(StrEnum):
    """Which users are looked for.

    ADMIN: may administer. PUBLISH: may publish, administrators among them. DISABLED: may not sign in. OUTSIDE: come from a
    provider or a directory. LOCAL: have an account of this server.
    """

    ADMIN = "admin"
    PUBLISH = "publish"
    DISABLED = "disabled"
    OUTSIDE = "outside"
    LOCAL = "local"


_STANDINGS = {
    Standing.ADMIN: t.users.c.is_admin == 1,
    Standing.PUBLISH: sa.or_(t.users.c.can_publish == 1, t.users.c.is_admin == 1),
    Standing.DISABLED: t.users.c.disabled_at.is_not(None),
    Standing.OUTSIDE: t.users.c.provider.is_not(None),
    Standing.LOCAL: t.users.c.provider.is_(None),
}


@dataclass(frozen=True, slots=True)
class UserCounts:
    """How many users there are; those who are disabled count among all of them."""

    users: int
    admins: int
    disabled: int


@dataclass(frozen=True, slots=True)
class GroupSize:
    name: str
    created_at: float
    members: int


@dataclass(frozen=True, slots=True)
class Member:
    """``from_outside``: put in by a provider's or directory's groups, and taken out by them at a later sign-in."""

    name: str
    disabled: bool
    from_outside: bool


def search_users(
    conn: Conn, *, text: str = "", standing: Standing | None = None, limit: int, after: str = ""
) -> list[User]:
    """Users by name, those after the name ``after``, whose name or e-mail address contains the text, in any case."""
    wanted = [t.users.c.name > after]
    if text:
        word = text.lower()
        of_email = sa.func.lower(t.users.c.email).contains(word, autoescape=True)
        wanted.append(sa.or_(t.users.c.name.contains(word, autoescape=True), of_email))
    if standing is not None:
        wanted.append(_STANDINGS[standing])
    return users_where(conn, *wanted, limit=limit)


def count_users(conn: Conn) -> UserCounts:
    """Reads a row for each user."""
    c = t.users.c
    admins = sa.func.coalesce(sa.func.sum(c.is_admin), 0)
    query = (
        sa.select(sa.func.count(), admins, sa.func.count(c.disabled_at)).select_from(t.users).where(c.id != SYSTEM_USER)
    )
    row = conn.execute(query).one()
    return UserCounts(int(row[0]), int(row[1]), int(row[2]))


def jobs_in_flight_of(conn: Conn, user_ids: Sequence[str]) -> dict[str, int]:
    """Jobs that have not ended, by owner; owners with none are left out."""
    j = t.jobs.c
    in_flight = sa.text("ended_at IS NULL")
    query = sa.select(j.owner_id, sa.func.count()).where(j.owner_id.in_(user_ids), in_flight).group_by(j.owner_id)
    return {row[0]: int(row[1]) for row in conn.execute(query)}


# ---------------------------------------------------------------- groups

_MEMBERS = sa.select(sa.func.count()).where(t.group_members.c.group_name == t.groups.c.name).scalar_subquery()
_SIZED = sa.select(t.groups.c.name, t.groups.c.created_at, _MEMBERS)


def group_sizes(conn: Conn, *, text: str = "", limit: int, after: str = "") -> list[GroupSize]:
    """Groups by name, those after the name ``after``, whose name contains the text."""
    g = t.groups.c
    query = _SIZED.where(g.name > after).order_by(g.name).limit(limit)
    if text:
        query = query.where(g.name.contains(text.lower(), autoescape=True))
    return [GroupSize(*row) for row in conn.execute(query)]


def group_size(conn: Conn, name: str) -> GroupSize | None:
    row = conn.execute(_SIZED.where(t.groups.c.name == name)).one_or_none()
    return GroupSize(*row) if row else None


def members_of(conn: Conn, group: str, *, limit: int, after: str = "") -> list[Member]:
    """Members by name, those after the name ``after``."""
    m, u = t.group_members.c, t.users.c
    query = (
        sa.select(u.name, u.disabled_at, m.from_outside)
        .join(t.users, u.id == m.user_id)
        .where(m.group_name == group, u.name > after)
        .order_by(u.name)
        .limit(limit)
    )
    return [Member(row[0], row[1] is not None, bool(row[2])) for row in conn.execute(query)]


def shares_naming(conn: Conn, subject: str) -> dict[str, int]:
    """How many things of each kind are shared with a subject (``user:NAME``, ``group:NAME``), kinds with none left out."""
    found = {}
    kinds = (("applications", t.app_shares), ("resources", t.resource_shares), ("jobs", t.job_shares))
    for kind, table in kinds:
        count = conn.execute(sa.select(sa.func.count()).where(table.c.subject == subject)).scalar_one()
        if count:
            found[kind] = int(count)
    return found
