"""Lists of applications, the last updated first, quick at a hundred thousand rows.

What a caller may see is found in one of two ways. Who may see few walks those few; who may see many (an administrator, a
server where everything is shared with everyone) walks the index of times and soon has a page full. With either alone, the
other kind of caller would wait for the whole table.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store import tables as t
from sirdar.store.apps import APP_COLUMNS, AppRecord, app_of

FEW = 2000


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks. ``subjects`` as shares name them; ``only``: the applications that a narrow token reaches."""

    user_id: str
    subjects: Collection[str]
    sees_all: bool = False
    only: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which applications. Words of ``text`` must all stand in the name, alias, annotation or keywords, in any case."""

    owner: str | None = None
    text: str = ""
    archived: bool = False  # those that were put away, instead of those in use


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of the page before."""

    updated_at: float
    id: str


def list_apps(
    conn: Connection, viewer: Viewer, which: Filter, *, limit: int, after: Cursor | None = None
) -> list[AppRecord]:
    """A page of the applications that the viewer may see."""
    a = t.apps.c
    query = sa.select(*APP_COLUMNS).join(t.users, t.users.c.id == a.owner_id)
    query = query.where(a.archived_at.is_not(None) if which.archived else a.archived_at.is_(None))
    for word in which.text.casefold().split():
        query = query.where(a.search_text.contains(word, autoescape=True))
    if which.owner is not None:
        owner_id = conn.execute(sa.select(t.users.c.id).where(t.users.c.name == which.owner)).scalar_one_or_none()
        query = query.where(a.owner_id == owner_id)
    if after is not None:
        query = query.where(
            sa.tuple_(a.updated_at, a.id) < sa.tuple_(sa.literal(after.updated_at), sa.literal(after.id))
        )
    if viewer.only is not None:
        query = query.where(a.id.in_(sorted(viewer.only)))
    if not viewer.sees_all:
        query = query.where(_visible(conn, viewer))
    rows = conn.execute(query.order_by(a.updated_at.desc(), a.id.desc()).limit(limit))
    return [app_of(row) for row in rows]


def _visible(conn: Connection, viewer: Viewer) -> sa.ColumnElement[bool]:
    a, s = t.apps.c, t.app_shares.c
    own = sa.select(a.id).where(a.owner_id == viewer.user_id)
    shared = sa.select(s.app_id).where(s.subject.in_(sorted(viewer.subjects)))
    few = conn.execute(sa.union_all(own.limit(FEW + 1).subquery().select(), shared.limit(FEW + 1).subquery().select()))
    ids = set(few.scalars())
    if len(ids) <= FEW:
        return a.id.in_(sorted(ids))
    return sa.or_(a.owner_id == viewer.user_id, shared.where(s.app_id == a.id).correlate(t.apps).exists())
