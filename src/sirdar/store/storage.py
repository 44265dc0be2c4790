"""What the database and the blobs take: figures for administrators. Each reads whole tables, so nobody asks often."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store import tables as t

KINDS = ("job", "version", "file")  # of holders: ``job:ID``


@dataclass(frozen=True, slots=True)
class Amount:
    """How many blobs, and their bytes together."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class OwnerAmount:
    """What one user's jobs, files and applications name, each blob once. A blob that several users name counts for each."""

    owner: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A blob whose bytes were found changed. ``holders`` as ``job:ID``, a few of them."""

    sha256: str
    size_bytes: int
    at: float
    holders: tuple[str, ...]


def database_bytes(conn: Connection) -> int:
    """The database's size on its disk, with what is free within it; without SQLite's log of what was written last."""
    if conn.dialect.name == "postgresql":
        return int(conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(conn.exec_driver_sql("PRAGMA page_size").scalar_one())


def all_blobs(conn: Connection) -> Amount:
    return _amount(conn, sa.true())


def quarantined_blobs(conn: Connection) -> Amount:
    return _amount(conn, t.blobs.c.quarantined_at.is_not(None))


def unnamed_blobs(conn: Connection) -> Amount:
    """Those that nobody names: they are removed after the grace."""
    return _amount(conn, ~sa.exists().where(t.blob_refs.c.sha256 == t.blobs.c.sha256))


def by_kind(conn: Connection) -> dict[str, Amount]:
    """Blobs by the kind of what names them, each once for each kind: the sum may be more than there is."""
    return {kind: _amount(conn, _is_named_by(kind)) for kind in KINDS}


def top_owners(conn: Connection, *, limit: int) -> list[OwnerAmount]:
    """The users who keep the most, the first of them first."""
    held = _held().subquery()
    pairs = (
        sa.select(held.c.owner_id, t.blob_refs.c.sha256)
        .join(t.blob_refs, t.blob_refs.c.holder == held.c.holder)
        .distinct()
        .subquery()
    )
    total = sa.func.sum(t.blobs.c.size_bytes)
    query = (
        sa.select(t.users.c.name, sa.func.count(), total)
        .select_from(pairs)
        .join(t.blobs, t.blobs.c.sha256 == pairs.c.sha256)
        .join(t.users, t.users.c.id == pairs.c.owner_id)
        .group_by(t.users.c.name)
        .order_by(total.desc(), t.users.c.name)
        .limit(limit)
    )
    return [OwnerAmount(row[0], int(row[1]), int(row[2])) for row in conn.execute(query)]


def unfinished_uploads(conn: Connection) -> Amount:
    """Uploads that have not ended, and the bytes that were announced of them."""
    row = conn.execute(sa.select(sa.func.count(), _sum(t.uploads.c.length))).one()
    return Amount(int(row[0]), int(row[1]))


def quarantine(conn: Connection, *, limit: int, holders: int) -> list[Quarantined]:
    """The blobs that are quarantined, the latest first, each with at most so many of those who name it."""
    c = t.blobs.c
    query = sa.select(c.sha256, c.size_bytes, c.quarantined_at).where(c.quarantined_at.is_not(None))
    found = []
    for row in conn.execute(query.order_by(c.quarantined_at.desc(), c.sha256).limit(limit)).all():
        names = sa.select(t.blob_refs.c.holder).where(t.blob_refs.c.sha256 == row.sha256)
        some = conn.execute(names.order_by(t.blob_refs.c.holder).limit(holders)).scalars()
        found.append(Quarantined(row.sha256, row.size_bytes, row.quarantined_at, tuple(some)))
    return found


def _amount(conn: Connection, which: sa.ColumnElement[bool]) -> Amount:
    row = conn.execute(sa.select(sa.func.count(), _sum(t.blobs.c.size_bytes)).where(which)).one()
    return Amount(int(row[0]), int(row[1]))


def _is_named_by(kind: str) -> sa.ColumnElement[bool]:
    named = t.blob_refs.c.sha256 == t.blobs.c.sha256
    return sa.exists().where(named, t.blob_refs.c.holder.startswith(f"{kind}:"))


def _held() -> sa.CompoundSelect[tuple[str, str]]:
    """Owners, and what of theirs may name blobs."""
    return sa.union_all(
        sa.select(t.jobs.c.owner_id, ("job:" + t.jobs.c.id).label("holder")),
        sa.select(t.files.c.owner_id, ("file:" + t.files.c.id).label("holder")),
        sa.select(t.apps.c.owner_id, ("version:" + t.versions.c.id).label("holder")).join(
            t.apps, t.apps.c.id == t.versions.c.app_id
        ),
    )


def _sum(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(column), 0)
