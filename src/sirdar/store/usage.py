"""What a user uses: jobs in flight, bytes that their files, jobs and applications keep on the server."""

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.people import Conn


def jobs_in_flight(conn: Conn, user_id: str) -> tuple[int, int | None] | None:
    """Jobs of the user's that have not ended, and the user's own quota of them; None where there is no such user."""
    j = t.jobs.c
    count = sa.select(sa.func.count()).where(j.owner_id == user_id, j.ended_at.is_(None)).scalar_subquery()
    row = conn.execute(sa.select(count, t.users.c.quota_jobs).where(t.users.c.id == user_id)).one_or_none()
    return (int(row[0]), row[1]) if row else None


def bytes_kept(conn: Conn, user_id: str) -> int:
    """Bytes of all blobs that something of the user's names, each blob once. Reads a row for each of their jobs."""
    refs = t.blob_refs.c
    holders = (
        sa.select(("job:" + t.jobs.c.id).label("holder")).where(t.jobs.c.owner_id == user_id),
        sa.select(("file:" + t.files.c.id).label("holder")).where(t.files.c.owner_id == user_id),
        sa.select(("version:" + t.versions.c.id).label("holder"))
        .join(t.apps, t.apps.c.id == t.versions.c.app_id)
        .where(t.apps.c.owner_id == user_id),
    )
    held = sa.union_all(*holders).subquery()
    digests = sa.select(refs.sha256).join(held, held.c.holder == refs.holder).distinct().subquery()
    total = sa.select(sa.func.coalesce(sa.func.sum(t.blobs.c.size_bytes), 0)).join(
        digests, digests.c.sha256 == t.blobs.c.sha256
    )
    return int(conn.execute(total).scalar_one())
