"""Open jobs: those whose clients may add tasks, and until when they are waited for; the input sets that are added."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.jobs import ITEMS_PER_CHUNK, items_json
from sirdar.store.tables import job_items, jobs


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


def add_items(tx: Tx, job_id: str, first: int, items: Sequence[Mapping[str, Any]]) -> None:
    """Write the input sets of more tasks of a job of many, numbered from ``first`` on. The job's row is locked."""
    begin = first - first % ITEMS_PER_CHUNK
    if begin < first:  # the last chunk has room
        here = (job_items.c.job_id == job_id, job_items.c.first == begin)
        known = json.loads(tx.conn.execute(sa.select(job_items.c.items_json).where(*here)).scalar_one())
        items = [*known, *items]
        tx.conn.execute(sa.delete(job_items).where(*here))
    chunks = [
        {"job_id": job_id, "first": begin + at, "items_json": items_json(items[at : at + ITEMS_PER_CHUNK])}
        for at in range(0, len(items), ITEMS_PER_CHUNK)
    ]
    tx.conn.execute(sa.insert(job_items), chunks)
