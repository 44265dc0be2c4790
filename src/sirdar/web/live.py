"""Server-sent events that tell a page when to ask for its parts again. They carry no content: that comes from the page's routes.

``GET /jobs/live`` for a list, ``GET /jobs/{id}/live`` for one job.
"""

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api.event_stream import QUIET, EventStream
from sirdar.domain.problems import Problem
from sirdar.services.job_filters import JobQuery, read_filter
from sirdar.services.watch import Told, watch_changes
from sirdar.services.watch_list import MOST_SHOWN, ListNews, watch_list
from sirdar.store.job_views import JobView
from sirdar.web.pages import Page, PageRoute, open_page

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Text = Annotated[str, Query(max_length=200)]
Seq = Annotated[int | None, Query(ge=0, le=2**62)]


def list_address(given: Iterable[tuple[str, str]], shown: Iterable[JobView], newest: int | None) -> str:
    """Address of the events of a list. ``given``: the filter as in the page's own address; ``newest``: see ``watch_list``."""
    ids = ",".join(f"{job.id}.{job.event_seq}" for job in shown)
    more = [("ids", ids), *([("newest", str(newest))] if newest is not None else [])]
    return f"/jobs/live?{urlencode([*given, *more])}"


@router.get("/jobs/live")
async def list_events(
    page: PageDep,
    *,
    state: Annotated[list[str] | None, Query()] = None,
    app: Text = "",
    text: Text = "",
    owner: Text = "",
    name: Annotated[str, Query(max_length=500)] = "",
    since: Text = "",
    until: Text = "",
    ids: Annotated[str, Query(max_length=40 * MOST_SHOWN)] = "",
    newest: Seq = None,
) -> Response:
    """``changed`` with the ids of jobs shown that changed, and how many new jobs fit the filter; at most one in two seconds."""
    asked = JobQuery(
        state=state or (),
        app=app or None,
        text=text or None,
        owner=owner or None,
        name=name or None,
        since=since,
        until=until,
    )
    caller = page.user
    told = watch_list(page.services, caller, read_filter(caller, asked), _shown(ids), newest)
    return EventStream(page.services, caller, told, _of_list)


@router.get("/jobs/{job_id}/live")
async def job_events(job_id: str, page: PageDep, share: Text = "", after: Seq = None) -> Response:
    """``changed`` under the number of the job's last event, at most four times a second; ``end`` when it has ended."""
    last = page.request.headers.get("last-event-id", "")
    if last.isascii() and last.isdecimal() and len(last) <= 15:
        after = int(last)
    caller = page.caller if share else page.user
    # The first message is awaited here, so that a job that is not there is an answer with a status.
    told = await watch_changes(page.services, caller, job_id, after=after, link=share or None)
    return EventStream(page.services, caller, told, _of_job, job_id=job_id)


def _shown(ids: str) -> dict[str, int | None]:
    """``ID.NUMBER,ID``: the jobs, each with the number of its last event where that is given. Raises Problem."""
    found: dict[str, int | None] = {}
    for word in filter(None, ids.split(",")):
        job_id, dot, number = word.partition(".")
        plain = number.isascii() and number.isdecimal() and len(number) < 12
        if not job_id.isalnum() or not job_id.isascii() or (dot and not plain):
            raise Problem(
                "invalid_field", f"{word[:40]!r} is no job.", field="ids", expected="ID,ID or ID.NUMBER,ID.NUMBER"
            )
        found[job_id] = int(number) if plain else None
    if len(found) > MOST_SHOWN:
        raise Problem("invalid_field", f"At most {MOST_SHOWN} jobs can be watched at once.", field="ids")
    return found


def _of_list(news: ListNews) -> bytes:
    if news.quiet:
        return QUIET
    return b"event: changed\ndata: %b\n\n" % to_json({"ids": news.ids, "new": news.new})


def _of_job(told: Told) -> bytes:
    if told.kind == "quiet":
        return QUIET
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (told.id or 0, told.kind.encode(), to_json(told.data))
