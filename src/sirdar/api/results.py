"""Results of jobs of many tasks: a list in the order of the tasks, with null for those without one."""

from typing import Any

from sirdar.api.render import INLINE_RESULTS, render_results
from sirdar.domain.plan_app import RESULTS, TABLE
from sirdar.services.apps import load_version
from sirdar.services.context import Services
from sirdar.services.job_files import job_prefix
from sirdar.services.plans import is_planned
from sirdar.store import task_views
from sirdar.store.job_views import JobView

PAGE = 2000


async def results_of(services: Services, job: JobView) -> list[Any] | dict[str, str] | str | None:
    """What stands as ``result`` of a job of many tasks: None until its end, a URI beyond ten thousand tasks.

    Of one that a plan describes: its archive and its table, which are made when they are downloaded.
    """
    if not job.many or job.ended_at is None:
        return None
    if is_planned(await load_version(services, job.version_id)):
        prefix = job_prefix(job.id)
        return {"results": prefix + RESULTS, "table": prefix + TABLE}
    if job.total > INLINE_RESULTS:
        return f"/api/jobs/{job.id}/results"
    listed: list[Any] = []
    after = -1
    while len(listed) < job.total:
        page = await results_page(services, job, after)
        listed += page
        after += len(page)
    return listed


async def results_page(services: Services, job: JobView, after: int) -> list[Any]:
    """The results of the next tasks after that number, nulls among them."""
    count = min(PAGE, job.total - after - 1)
    rows = await services.store.read(lambda conn: task_views.results(conn, job.id, after=after, limit=count))
    found = render_results(job, [row for row in rows if row[0] <= after + count])
    return [found.get(no) for no in range(after + 1, after + 1 + count)]
