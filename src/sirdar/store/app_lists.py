"""Lists of applications, the last updated first, quick at a hundred thousand rows.

A page is found in one of two ways. Where few rows come into question (the caller may see few, or a word is rare), they are
fetched and sorted. Where many do (an administrator, a server where everything is shared with everyone), the index of times is
walked until the page is full, which is soon. Either way alone would walk the whole table for somebody.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.people import SYSTEM_USER
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
    keyword: str = ""  # one of the keywords, whole
    shared: bool = False  # only what others have shared with the viewer


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of the page before."""

    updated_at: float
    id: str


def list_apps(
    conn: Connection, viewer: Viewer, which: Filter, *, limit: int, after: Cursor | None = None
) -> list[AppRecord]:
    """A page of the applications that the viewer may see; those that come with Sirdar after all others."""
    a = t.apps.c
    theirs = a.owner_id == SYSTEM_USER
    there = after is not None and conn.execute(sa.select(a.id).where(a.id == after.id, theirs)).first() is not None
    found = [] if there else _page(conn, viewer, which, a.owner_id != SYSTEM_USER, limit, after)
    if len(found) < limit and not which.shared:  # with everybody, by nobody
        found += _page(conn, viewer, which, theirs, limit - len(found), after if there else None)
    return found


def _page(
    conn: Connection,
    viewer: Viewer,
    which: Filter,
    of_whom: sa.ColumnElement[bool],
    limit: int,
    after: Cursor | None,
) -> list[AppRecord]:
    a = t.apps.c
    conditions = [of_whom, *_conditions(conn, viewer, which)]
    few = _few(conn, _visible_ids(viewer, which))
    if few is None and (which.text or which.keyword):
        few = _few(conn, [sa.select(a.id).where(*conditions)])
    if few is not None:
        conditions.append(a.id.in_(few))
    if which.shared:
        conditions += [a.owner_id != viewer.user_id, _shared(viewer)]
    elif not viewer.sees_all:
        conditions.append(_visible(viewer))
    if after is not None:
        place = sa.tuple_(sa.literal(after.updated_at), sa.literal(after.id))
        conditions.append(sa.tuple_(a.updated_at, a.id) < place)
    query = sa.select(*APP_COLUMNS).join(t.users, t.users.c.id == a.owner_id).where(*conditions)
    return [app_of(row) for row in conn.execute(query.order_by(a.updated_at.desc(), a.id.desc()).limit(limit))]


def count_bound(conn: Connection, viewer: Viewer, resource: str) -> int:
    """How many applications in use, of those that the viewer may see, name that resource as one they run on only."""
    a, v = t.apps.c, t.versions.c
    conditions = _conditions(conn, viewer, Filter())
    if not viewer.sees_all:
        conditions.append(_visible(viewer))
    find = sa.func.strpos if conn.dialect.name == "postgresql" else sa.func.instr
    conditions += [find(v.document_json, json.dumps(word)) > 0 for word in ("only", resource)]
    latest = sa.and_(v.app_id == a.id, v.number == a.latest)
    query = sa.select(v.document_json).join_from(t.apps, t.versions, latest).where(*conditions)
    documents = [json.loads(text) for text in conn.execute(query).scalars()]
    return sum(resource in document.get("resources", {}).get("only", ()) for document in documents)


def _conditions(conn: Connection, viewer: Viewer, which: Filter) -> list[sa.ColumnElement[bool]]:
    a = t.apps.c
    kept = a.archived_at.is_not(None) if which.archived else a.archived_at.is_(None)
    conditions: list[sa.ColumnElement[bool]] = [kept]
    conditions += [_holds(conn, a.search_text, word) for word in which.text.casefold().split()]
    if which.keyword:
        lines = sa.literal("\n").concat(a.keywords).concat("\n")
        conditions.append(_holds(conn, lines, f"\n{which.keyword}\n"))
    if which.owner is not None:
        owner_id = conn.execute(sa.select(t.users.c.id).where(t.users.c.name == which.owner)).scalar_one_or_none()
        conditions.append(a.owner_id == owner_id)
    if viewer.only is not None:
        conditions.append(a.id.in_(sorted(viewer.only)))
    return conditions


def _holds(conn: Connection, text: sa.ColumnElement[str], word: str) -> sa.ColumnElement[bool]:
    """A plain search for the word: nothing in it needs escaping, as it would for LIKE."""
    find = sa.func.strpos if conn.dialect.name == "postgresql" else sa.func.instr
    return find(text, word) > 0


def _few(conn: Connection, sources: Sequence[sa.Select[tuple[str]]]) -> list[str] | None:
    """The ids that the queries give together, None where they are more than few (or there is no query)."""
    if not sources:
        return None
    probes = [source.limit(FEW + 1).subquery().select() for source in sources]
    ids = set(conn.execute(sa.union_all(*probes)).scalars())
    return sorted(ids) if len(ids) <= FEW else None


def _visible_ids(viewer: Viewer, which: Filter) -> list[sa.Select[tuple[str]]]:
    if viewer.sees_all and not which.shared:
        return []
    shared = sa.select(t.app_shares.c.app_id).where(t.app_shares.c.subject.in_(sorted(viewer.subjects)))
    own = sa.select(t.apps.c.id).where(t.apps.c.owner_id == viewer.user_id)
    return [shared] if which.shared else [own, shared]


def _visible(viewer: Viewer) -> sa.ColumnElement[bool]:
    return sa.or_(t.apps.c.owner_id == viewer.user_id, _shared(viewer))


def _shared(viewer: Viewer) -> sa.ColumnElement[bool]:
    a, s = t.apps.c, t.app_shares.c
    shared = sa.select(s.app_id).where(s.app_id == a.id, s.subject.in_(sorted(viewer.subjects)))
    return shared.correlate(t.apps).exists()
