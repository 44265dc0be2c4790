"""How long a job of many tasks will still take, from what the ledger knows of it."""

from sirdar.domain.pace import Pace, left_s
from sirdar.store import task_pace
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn

ENDS = 200  # so many of the last ends tell the pace
RUNNING = 1000


def left_of_job(conn: Conn, job: JobView, now: float) -> float | None:
    """Seconds from ``now``, or None where nobody can know; also of a job of one task, of one that does not run, and of one that is
    open for more tasks."""
    if not job.many or job.open or job.state != "RUNNING" or job.cancel_requested_at is not None:
        return None
    running, waiting = task_pace.running_since(conn, job.id, RUNNING), job.waiting + job.leased - job.running
    if not running and job.leased:  # between two of them: the next one is with its agent, and begins now
        running, waiting = [now], waiting - 1
    return left_s(Pace(waiting, running, task_pace.last_ends(conn, job.id, ENDS), now))
