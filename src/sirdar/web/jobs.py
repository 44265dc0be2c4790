"""A job's page, its part that follows the server, and its buttons."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.services import jobs
from sirdar.services.jobs import show_job
from sirdar.services.resubmit import resubmit
from sirdar.web import job_many, job_parts, session
from sirdar.web.job_parts import Asked
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show, show_part
from sirdar.web.table_query import TableQueryDep
from sirdar.wire.submit import ResubmitRequest

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Text = Annotated[str, Query(max_length=200)]


async def asked_of(
    job_id: str,
    tab: Annotated[str, Query(max_length=40)] = "",
    task: Annotated[int | None, Query(ge=0, le=2**31)] = None,
    stream: Annotated[str, Query(max_length=40)] = "",
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    share: Text = "",
) -> Asked:
    """A job's page as its address says."""
    return Asked(job_id, tab, task, stream, after, before, share)


AskedDep = Annotated[Asked, Depends(asked_of)]


@router.get("/jobs/{job_id}")
async def job_page(page: PageDep, asked: AskedDep, table: TableQueryDep) -> Response:
    """For whoever may see it, and for whoever has its link. Of a job of many tasks its first tab is all that is said of them."""
    if asked.tab == "tasks" or (asked.tab not in job_parts.OTHER_TABS and asked.task is None):
        caller = page.caller if asked.share else page.user
        shown = await show_job(page.services, caller, asked.job_id, link=asked.share or None)
        if shown.job.many:
            return await job_many.show_page(page, table, shown)
    return show(page, "job.html", **await job_parts.load(page, asked))


@router.get("/jobs/{job_id}/part")
async def live_part(page: PageDep, asked: AskedDep) -> Response:
    """What of the page follows the server: all but the log, which follows by itself."""
    return show_part(page, "job.html", "live", **await job_parts.load(page, asked))


@router.get("/jobs/{job_id}/log")
async def log_part(page: PageDep, asked: AskedDep) -> Response:
    """The log alone, with the stream that fits best now: asked for when the task has ended."""
    return show_part(page, "job.html", "log", **await job_parts.load(page, replace(asked, tab="log")))


# ---------------------------------------------------------------- its buttons


@router.get("/jobs/{job_id}/cancel")
async def ask_cancel(job_id: str, page: PageDep) -> Response:
    """The question, for browsers without scripts; with them it is asked on the page itself."""
    return await _ask(page, job_id, "cancel")


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    job = await jobs.cancel_job(page.services, caller, job_id)
    return go_to(f"/jobs/{job.id}")


@router.post("/jobs/{job_id}/resubmit")
async def submit_again(job_id: str, page: PageDep) -> Response:
    """The same inputs and version, as a new job; of a job of many tasks perhaps those alone that failed, or are not done."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    only = fields.get("only")
    wanted = ResubmitRequest(only="failed" if only == "failed" else "not_done" if only == "not_done" else None)
    new_id = await resubmit(page.services, caller, job_id, wanted)
    return go_to(f"/jobs/{new_id}")


@router.get("/jobs/{job_id}/delete")
async def ask_delete(job_id: str, page: PageDep) -> Response:
    return await _ask(page, job_id, "delete")


@router.post("/jobs/{job_id}/delete")
async def delete(job_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    gone = await jobs.delete_job(page.services, caller, job_id)
    return go_to("/jobs" if gone else f"/jobs/{job_id}")


async def _ask(page: Page, job_id: str, verb: str) -> Response:
    shown = await show_job(page.services, page.user, job_id)
    return show(page, "job_ask.html", job=shown.job, may_act=shown.may_act, verb=verb)
