"""Small numbers for metrics and health, each from an index."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.tables import jobs, notices

_IN_FLIGHT = ("SUBMITTED", "READY", "RUNNING")
_HAS_WAITING = sa.text("waiting > 0 AND state IN ('READY', 'RUNNING')")


def jobs_in_flight_by_state(conn: Connection) -> dict[str, int]:
    query = sa.select(jobs.c.state, sa.func.count()).where(sa.text("ended_at IS NULL")).group_by(jobs.c.state)
    return {**dict.fromkeys(_IN_FLIGHT, 0), **{row[0]: row[1] for row in conn.execute(query)}}


def tasks_waiting(conn: Connection) -> int:
    return int(
        conn.execute(sa.select(sa.func.coalesce(sa.func.sum(jobs.c.waiting), 0)).where(_HAS_WAITING)).scalar_one()
    )


def oldest_waiting(conn: Connection) -> float | None:
    """When the oldest job with waiting tasks was made."""
    return conn.execute(sa.select(sa.func.min(jobs.c.created_at)).where(_HAS_WAITING)).scalar()


def notices_waiting(conn: Connection) -> int:
    return int(conn.execute(sa.select(sa.func.count()).where(notices.c.state == "waiting")).scalar_one())
