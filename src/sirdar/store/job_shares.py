"""Who else may look at a job."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.tables import groups, job_shares, jobs, users


def exists(conn: Connection, kind: str, name: str) -> bool:
    """True if there is such a user or group."""
    column = users.c.name if kind == "user" else groups.c.name
    return conn.execute(sa.select(column).where(column == name)).first() is not None


def add(tx: Tx, job_id: str, subject: str) -> None:
    remove(tx, job_id, subject)
    tx.conn.execute(sa.insert(job_shares).values(job_id=job_id, subject=subject))


def remove(tx: Tx, job_id: str, subject: str) -> None:
    tx.conn.execute(sa.delete(job_shares).where(job_shares.c.job_id == job_id, job_shares.c.subject == subject))


def set_link(tx: Tx, job_id: str, link_hash: str | None) -> None:
    tx.conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(share_hash=link_hash))


def shares_of_job(conn: Connection, job_id: str) -> list[str]:
    """The users and groups that it was shared with."""
    query = sa.select(job_shares.c.subject).where(job_shares.c.job_id == job_id).order_by(job_shares.c.subject)
    return [row[0] for row in conn.execute(query)]
