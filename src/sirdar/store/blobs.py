"""Which blobs there are, who names them, and which nobody names any more.

A holder is ``job:ID``, ``version:ID`` or ``file:ID``. A blob that no holder names is collected when it has been so for a
grace; each put and each reference makes it young. On PostgreSQL ``refer`` and ``collect`` meet at the blob's row: ``refer``
changes it first, so either the collector sees a young blob, or ``refer`` sees that it is gone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.problems import Problem
from sirdar.store.engine import Tx
from sirdar.store.tables import blob_holds, blob_refs, blobs

CHUNK = 500  # values in one IN list


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A registered blob; ``young_at`` is when it was last put or named, in seconds since 1970."""

    sha256: str
    size_bytes: int
    young_at: float
    quarantined_at: float | None


def register(tx: Tx, sha256: str, size_bytes: int) -> None:
    """Write down that the bytes are in the blob store; makes the blob young, and whole again where it was quarantined."""
    row = {"sha256": sha256, "size_bytes": size_bytes, "created_at": tx.now}
    renewed = tx.conn.execute(
        blobs.update()
        .where(blobs.c.sha256 == sha256)
        .values(size_bytes=size_bytes, created_at=tx.now, quarantined_at=None)
    )
    if not renewed.rowcount:
        _insert_ignoring(tx.conn, blobs, [row])


def register_all(tx: Tx, sizes: Mapping[str, int]) -> None:
    """``register`` for many, in a few statements."""
    missing = sizes.keys() - touch(tx, sizes)
    for sha256 in sorted(registered(tx.conn, missing)):  # in quarantine
        register(tx, sha256, sizes[sha256])
        missing.discard(sha256)
    rows = [{"sha256": sha256, "size_bytes": sizes[sha256], "created_at": tx.now} for sha256 in sorted(missing)]
    if rows:
        _insert_ignoring(tx.conn, blobs, rows)


def find(conn: Connection, sha256: str) -> BlobRow | None:
    row = conn.execute(blobs.select().where(blobs.c.sha256 == sha256)).one_or_none()
    return None if row is None else BlobRow(row.sha256, row.size_bytes, row.created_at, row.quarantined_at)


def known(conn: Connection, digests: Iterable[str]) -> dict[str, int]:
    """Sizes of those that are registered and not quarantined."""
    found: dict[str, int] = {}
    for part in _chunks(digests):
        whole = blobs.c.sha256.in_(part) & blobs.c.quarantined_at.is_(None)
        rows = conn.execute(sa.select(blobs.c.sha256, blobs.c.size_bytes).where(whole))
        found.update({row.sha256: row.size_bytes for row in rows})
    return found


def registered(conn: Connection, digests: Iterable[str]) -> set[str]:
    """Those that have a row, quarantined or not."""
    found: set[str] = set()
    for part in _chunks(digests):
        found.update(conn.execute(sa.select(blobs.c.sha256).where(blobs.c.sha256.in_(part))).scalars())
    return found


def touch(tx: Tx, digests: Iterable[str]) -> set[str]:
    """Make blobs young, so that they outlive the caller's next step; gives those that are here and whole."""
    found: set[str] = set()
    for part in _chunks(sorted(set(digests))):
        whole = blobs.c.sha256.in_(part) & blobs.c.quarantined_at.is_(None)
        if tx.postgres:  # locks in one order for everybody, so that nobody waits in a circle
            tx.conn.execute(sa.select(blobs.c.sha256).where(whole).order_by(blobs.c.sha256).with_for_update())
        renewed = tx.conn.execute(blobs.update().where(whole).values(created_at=tx.now).returning(blobs.c.sha256))
        found.update(renewed.scalars())
    return found


def refer(tx: Tx, holder: str, digests: Iterable[str]) -> None:
    """Note that the holder names these blobs. Naming twice is harmless.

    Raises Problem ``gone`` where one of them is not here (any more): its file expired, or was never uploaded.
    """
    refer_all(tx, [(holder, sha256) for sha256 in set(digests)])


def refer_all(tx: Tx, pairs: Sequence[tuple[str, str]]) -> None:
    """``refer`` for many (holder, digest) pairs, in a few statements. Raises Problem ``gone``."""
    wanted = {sha256 for _, sha256 in pairs}
    if missing := wanted - touch(tx, wanted):
        raise Problem(
            "gone",
            f"{len(missing)} of the files that are named are not on the server (any more), the first: {min(missing)}.",
            hint="Upload them again.",
        )
    name(tx, pairs)


def name(tx: Tx, pairs: Iterable[tuple[str, str]]) -> None:
    """Note (holder, digest) pairs of blobs that ``touch`` has just found."""
    _insert_ignoring(
        tx.conn, blob_refs, [{"sha256": sha256, "holder": holder} for holder, sha256 in sorted(set(pairs))]
    )


def release(tx: Tx, *holders: str) -> None:
    """The holders are gone: they name nothing any more. What nobody else names is collected after the grace."""
    for part in _chunks(holders):
        tx.conn.execute(blob_refs.delete().where(blob_refs.c.holder.in_(part)))


def holders_of(conn: Connection, sha256: str) -> list[str]:
    chosen = sa.select(blob_refs.c.holder).where(blob_refs.c.sha256 == sha256).order_by(blob_refs.c.holder)
    return list(conn.execute(chosen).scalars())


def named_by(conn: Connection, holder: str) -> list[str]:
    chosen = sa.select(blob_refs.c.sha256).where(blob_refs.c.holder == holder).order_by(blob_refs.c.sha256)
    return list(conn.execute(chosen).scalars())


def quarantine(tx: Tx, sha256: str) -> None:
    """The bytes on disk are not what they were: nobody gets them until they are put again."""
    tx.conn.execute(blobs.update().where(blobs.c.sha256 == sha256).values(quarantined_at=tx.now))


def hold(tx: Tx, id: str, lasts_s: float) -> None:
    """Let nothing be collected for so long, or until ``end_hold``; again: for so long from now on."""
    tx.conn.execute(blob_holds.delete().where((blob_holds.c.id == id) | (blob_holds.c.expires_at < tx.now)))
    tx.conn.execute(blob_holds.insert().values(id=id, expires_at=tx.now + lasts_s))


def end_hold(tx: Tx, id: str) -> None:
    tx.conn.execute(blob_holds.delete().where(blob_holds.c.id == id))


def collect(tx: Tx, *, older_than: float, limit: int = 1000) -> list[str]:
    """Forget blobs that nobody names and that were last put or named before ``older_than``; gives their digests.

    None while there is a hold. The caller removes their bytes after the commit.
    """
    if tx.conn.execute(sa.select(blob_holds.c.id).where(blob_holds.c.expires_at > tx.now).limit(1)).first():
        return []
    unnamed = ~sa.exists().where(blob_refs.c.sha256 == blobs.c.sha256)
    old = (
        sa.select(blobs.c.sha256)
        .where(blobs.c.created_at < older_than, unnamed)
        .order_by(blobs.c.created_at)
        .limit(limit)
    )
    gone = blobs.delete().where(blobs.c.sha256.in_(old), blobs.c.created_at < older_than).returning(blobs.c.sha256)
    return list(tx.conn.execute(gone).scalars())


def _chunks(values: Iterable[str]) -> Iterable[list[str]]:
    listed = list(dict.fromkeys(values))
    return (listed[at : at + CHUNK] for at in range(0, len(listed), CHUNK))


def _insert_ignoring(conn: Connection, table: sa.Table, rows: Collection[dict[str, object]]) -> None:
    """INSERT, passing by what is there already; both databases spell it ON CONFLICT DO NOTHING."""
    if not rows:
        return
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    conn.execute(insert(table).on_conflict_do_nothing(), list(rows))
