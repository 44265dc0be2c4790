"""Which applications somebody has used lately."""

from dataclasses import dataclass

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.people import Conn

NEWEST = 2000  # of a user's jobs are looked at, in one index


@dataclass(frozen=True, slots=True)
class Used:
    """``last_at``: when the last job was submitted; ``jobs``: how many of the user's newest ``NEWEST`` jobs are of it."""

    last_at: float
    jobs: int


def used_by(conn: Conn, user_id: str) -> dict[str, Used]:
    """By the application's id."""
    j = t.jobs.c
    newest = (
        sa.select(j.app_id, j.created_at).where(j.owner_id == user_id).order_by(j.seq.desc()).limit(NEWEST).subquery()
    )
    n = newest.c
    query = sa.select(n.app_id, sa.func.max(n.created_at), sa.func.count()).group_by(n.app_id)
    return {app_id: Used(last_at, jobs) for app_id, last_at, jobs in conn.execute(query)}
