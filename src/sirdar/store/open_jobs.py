"""Open jobs: those whose clients may add tasks, and until when they are waited for."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.tables import jobs


def silent_jobs(conn: Connection, now: float, limit: int = 1000) -> list[str]:
    """Ids of open jobs to which nobody has added in time."""
    query = sa.select(jobs.c.id).where(jobs.c.open_until <= now).order_by(jobs.c.open_until).limit(limit)
    return [row[0] for row in conn.execute(query)]


def extend(tx: Tx, job_id: str, open_s: float) -> None:
    """Its client is there, and will add more. The job's row is locked."""
    tx.conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(open_until=tx.now + open_s))


def extend_all(tx: Tx, open_s: float) -> None:
    """Give every open job its time again: the server was away, and nobody could add."""
    tx.conn.execute(sa.update(jobs).where(jobs.c.open_until.is_not(None)).values(open_until=tx.now + open_s))
