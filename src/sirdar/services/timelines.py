"""What a task's time was spent on: the facts of job, task and attempts put together."""

from collections.abc import Sequence

from sirdar.domain.timeline import Span, Try, timeline
from sirdar.store import task_views
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView


def timeline_of(job: JobView, task: TaskView, tries: Sequence[Try]) -> list[Span]:
    """The spans of a task, whose attempts are given, the oldest first."""
    return timeline(job.created_at, job.ready_at, task.ended_at, tries)


def timeline_now(conn: Conn, job: JobView, task: TaskView) -> list[Span]:
    """The same, with its attempts read."""
    return timeline_of(job, task, task_views.attempts_of_task(conn, job.id, task.no))
