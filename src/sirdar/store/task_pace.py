"""How the tasks of one job come along: what runs, and what ended lately."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.tables import tasks


def running_since(conn: Connection, job_id: str, most: int) -> list[float]:
    """Starts of the tasks whose programs run."""
    running = sa.and_(tasks.c.job_id == job_id, sa.text("tasks.state = 'RUNNING'"), tasks.c.started_at.is_not(None))
    return list(conn.execute(sa.select(tasks.c.started_at).where(running).limit(most)).scalars())


def last_ends(conn: Connection, job_id: str, most: int) -> list[tuple[float, float]]:
    """(start, end) of ended tasks with the highest numbers: tasks are given out in order, so that these ended lately."""
    query = (
        sa.select(tasks.c.started_at, tasks.c.ended_at)
        .where(tasks.c.job_id == job_id, tasks.c.ended_at.is_not(None), tasks.c.started_at.is_not(None))
        .order_by(tasks.c.no.desc())
        .limit(most)
    )
    return [(row.started_at, row.ended_at) for row in conn.execute(query)]
