"""The list of jobs. Its filter is its address; its rows follow the server and keep their order; many are chosen at once."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from sirdar.services import apps, jobs
from sirdar.services.job_filters import read_filter
from sirdar.services.jobs import Listing
from sirdar.store.job_places import Place
from sirdar.store.job_views import JobView
from sirdar.web import job_words, live
from sirdar.web.job_words import StateWords
from sirdar.web.list_query import WITHIN, ListQuery, ListQueryDep
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show, show_part

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
COUNTED = 200  # as far as it is counted how many fit, and how many are new
Seq = Annotated[int | None, Query(ge=0, le=2**62)]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list. ``job`` is None where it was deleted since the page was made."""

    id: str
    job: JobView | None
    state: StateWords | None = None
    place: Place | None = None


@router.get("/")
async def start_page(page: PageDep) -> Response:
    return go_to("/jobs" if page.user else "/login")


@router.get("/jobs")
async def list_page(page: PageDep, asked: ListQueryDep, after: Seq = None) -> Response:
    caller, now = page.user, page.services.store.clock()
    query = asked.job_query(now)
    wanted = read_filter(caller, query)
    found = await jobs.look_at_list(
        page.services, caller, wanted, before=after, limit=ROWS + 1, count=COUNTED if asked else 0
    )
    shown = found.jobs[:ROWS]
    has_apps = bool(shown or asked) or bool(await apps.list_apps(page.services, caller, apps.Filter(), limit=1))
    # A job that is there now is new only if it came after the newest here; of an older page nothing is new.
    newest = None if after is not None else shown[0].seq if shown else 0
    filter_pairs = [("state", state) for state in query.state]
    filter_pairs += [
        (name, text) for name in ("app", "text", "owner", "since", "until") if (text := getattr(query, name))
    ]
    return show(
        page,
        "jobs.html",
        asked=asked,
        filters=job_words.FILTERS,
        within=WITHIN,
        after=after,
        following=asked.address(after=shown[-1].seq) if len(found.jobs) > ROWS else None,
        fitting=found.fitting,
        most=COUNTED,
        has_apps=has_apps,
        events=live.list_address(filter_pairs, shown, newest),
        part=_part_address(asked, shown, newest),
        **_rows(found, [job.id for job in shown], now),
    )


@router.get("/jobs/rows")
async def list_rows(
    page: PageDep, asked: ListQueryDep, ids: Annotated[str, Query(max_length=40 * ROWS)] = "", newest: Seq = None
) -> Response:
    """The same rows in the same order as they are now, whatever the filter would say of them; and how many are new."""
    caller, now = page.user, page.services.store.clock()
    wanted = read_filter(caller, asked.job_query(now))
    shown = [job_id for job_id in ids.split(",") if job_id.isascii() and job_id.isalnum()][:ROWS]
    found = await jobs.look_again(page.services, caller, wanted, shown, newest, most=COUNTED)
    return show_part(page, "jobs.html", "rows", asked=asked, most=COUNTED, **_rows(found, shown, now))


def _part_address(asked: ListQuery, shown: list[JobView], newest: int | None) -> str:
    more = [("ids", ",".join(job.id for job in shown)), *([("newest", str(newest))] if newest is not None else [])]
    return f"/jobs/rows?{urlencode([*asked.pairs(), *more])}"


def _rows(found: Listing, ids: list[str], now: float) -> dict[str, Any]:
    known = {job.id: job for job in found.jobs}
    rows = []
    for job_id in ids:
        job, place = known.get(job_id), found.places.get(job_id)
        rows.append(Row(job_id, job, job_words.state_words(job, now, place) if job else None, place))
    return {"rows": rows, "new": found.new}
