"""Who else may look at a job: users, groups, whoever has its link."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.problems import Problem
from sirdar.services import jobs
from sirdar.services.jobs import show_job
from sirdar.store import job_shares
from sirdar.web import session
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FORM_CODES = frozenset({"invalid_field", "not_found"})
KINDS = ("user", "group")


@router.get("/jobs/{job_id}/share")
async def share_page(job_id: str, page: PageDep) -> Response:
    return await _show(page, job_id)


async def _show(
    page: Page, job_id: str, *, link: str = "", kind: str = "user", name: str = "", problem: Problem | None = None
) -> Response:
    shown = await show_job(page.services, page.user, job_id)
    if not shown.may_act:
        raise Problem("forbidden", f"Only the owner of job {shown.job.id} shares it.")
    subjects = await page.services.store.read(lambda conn: job_shares.shares_of_job(conn, shown.job.id))
    return show(
        page,
        "job_share.html",
        problem.status if problem else 200,
        job=shown.job,
        subjects=[subject.partition(":")[::2] for subject in subjects],
        new_link=link,
        given={"kind": kind if kind in KINDS else "user", "name": name},
        problem=problem,
    )


@router.post("/jobs/{job_id}/share")
async def share(job_id: str, page: PageDep) -> Response:
    """With a user or group; a name that nobody has is told at its field."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    kind, name = fields.get("kind", "user"), fields.get("name", "").strip()
    shown = await show_job(page.services, caller, job_id)
    try:
        await jobs.share_job(page.services, caller, shown.job.id, f"{kind}:{name}")
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _show(page, shown.job.id, kind=kind, name=name, problem=problem)
    return go_to(f"/jobs/{shown.job.id}/share")


@router.post("/jobs/{job_id}/unshare")
async def unshare(job_id: str, page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    await jobs.unshare_job(page.services, caller, job_id, fields.get("subject", ""))
    return go_to(f"/jobs/{job_id}/share")


@router.post("/jobs/{job_id}/share/link")
async def make_link(job_id: str, page: PageDep) -> Response:
    """The link's secret is shown once, on the page that answers the form."""
    caller = page.user
    await session.read_form(page.request, page.services)
    return await _show(page, job_id, link=await jobs.share_link(page.services, caller, job_id))


@router.post("/jobs/{job_id}/unshare/link")
async def revoke_link(job_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    await jobs.revoke_link(page.services, caller, job_id)
    return go_to(f"/jobs/{job_id}/share")
