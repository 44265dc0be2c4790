"""How long a job of many tasks will still take, from what the ledger knows of it."""

from sirdar.domain.pace import Pace, left_s
from sirdar.store import task_pace
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn

ENDS = 200  # so many of the last ends tell the pace
RUNNING = 1000


def left_of_job(conn: Conn, job: JobView, now: float) -> float | None:
    """Seconds from ``now``, or None where nobody can know; also of a job of one task, and of one that does not run."""
    if not job.many or job.state != "RUNNING" or job.cancel_requested_at is not None:
        return None
    running = task_pace.running_since(conn, job.id, RUNNING)
    return left_s(Pace(job.waiting + job.leased - job.running, running, task_pace.last_ends(conn, job.id, ENDS), now))
