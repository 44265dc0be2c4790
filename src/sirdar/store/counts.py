"""Small numbers for metrics and health, each from an index."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.tables import jobs, notices

_IN_FLIGHT = ("SUBMITTED", "READY", "RUNNING")
_HAS_WAITING = sa.text("waiting > 0 AND state IN ('READY', 'RUNNING')")


def jobs_in_flight_by_state(conn: Connection) -> dict[str, int]:
    query = sa.select(jobs.c.state, sa.func.count()).where(sa.text("ended_at IS NULL")).group_by(jobs.c.state)
    return {**dict.fromkeys(_IN_FLIGHT, 0), **{row[0]: row[1] for row in conn.execute(query)}}


def queue(conn: Connection) -> tuple[int, float | None]:
    """Tasks that wait, and since when the oldest job that has some is ready; None where none waits."""
    depth = sa.func.coalesce(sa.func.sum(jobs.c.waiting), 0)
    row = conn.execute(sa.select(depth, sa.func.min(jobs.c.ready_at)).where(_HAS_WAITING)).one()
    return int(row[0]), row[1]


def notices_waiting(conn: Connection) -> int:
    return int(conn.execute(sa.select(sa.func.count()).where(notices.c.state == "waiting")).scalar_one())
