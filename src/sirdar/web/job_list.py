"""Pages of jobs: the list."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.problems import Problem
from sirdar.services import apps, jobs
from sirdar.store import job_places
from sirdar.store.job_lists import JobFilter
from sirdar.web import job_words
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
Text = Annotated[str, Query(max_length=200)]
After = Annotated[int | None, Query(ge=0, le=2**62)]


@router.get("/")
async def start_page(page: PageDep) -> Response:
    return go_to("/jobs" if page.user else "/login")


# ---------------------------------------------------------------- the list


@router.get("/jobs")
async def list_page(
    page: PageDep, *, state: Text = "", app: Text = "", text: Text = "", owner: Text = "", after: After = None
) -> Response:
    caller = page.user
    given = {"state": state, "app": app, "text": text, "owner": owner}
    if any("\0" in value for value in given.values()):
        raise Problem("invalid_field", "No job is named so.")
    wanted = JobFilter(
        state=job_words.FILTERS.get(state, ()),
        app=app or None,
        text=text or None,
        owner=caller.name if owner == "me" else owner or None,
        before_seq=after,
    )
    found = await jobs.list_jobs(page.services, caller, wanted, ROWS + 1)
    shown = found[:ROWS]
    places = await page.services.store.read(lambda conn: job_places.places_of(conn, [job.id for job in shown]))
    now = page.services.store.clock()
    kept = {name: value for name, value in given.items() if value}
    following = urlencode({**kept, "after": shown[-1].seq}) if len(found) > ROWS else ""
    rows = [(job, job_words.state_words(job, now, places.get(job.id)), places.get(job.id)) for job in shown]
    has_apps = bool(rows or kept) or bool(await apps.list_apps(page.services, caller, apps.Filter(), limit=1))
    return show(
        page,
        "jobs.html",
        rows=rows,
        given=given,
        filters=job_words.FILTERS,
        filtered=bool(kept) or after is not None,
        following=following,
        has_apps=has_apps,
    )
