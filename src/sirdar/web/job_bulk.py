"""Cancelling and deleting many jobs from the list: a page that asks, and one that tells what was done and what could not be."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.problems import Problem
from sirdar.services import bulk, jobs
from sirdar.services.job_filters import JobQuery
from sirdar.store.job_lists import JobFilter
from sirdar.web import job_words, session, words
from sirdar.web.list_query import ListQueryDep
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show
from sirdar.wire.bulk import JobChoice, JobFilterBody

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Verb = Literal["cancel", "delete"]
MOST_CHOSEN = 200
NAMED = 40  # jobs that are named one by one
FILTER_FIELDS = ("app", "text", "owner", "since", "until")


@router.get("/jobs/ask")
async def ask(
    page: PageDep,
    asked: ListQueryDep,
    verb: Verb,
    id: Annotated[list[str] | None, Query(max_length=MOST_CHOSEN)] = None,
    all: bool = False,
    back: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """What would be done, with what: nothing is done yet."""
    caller, now = page.user, page.services.store.clock()
    fields: dict[str, str] = {"verb": verb}
    if all and asked:
        fields |= _filter_fields(asked.job_query(now), now)
        choice = _choice(fields)
        back = back or _query_of(asked.address())
    elif id:
        choice = JobChoice(ids=list(dict.fromkeys(id)))
        fields["ids"] = ",".join(choice.ids or ())
    else:
        return go_to(f"/jobs?{back}" if back else "/jobs")
    meant = await bulk.count_meant(page.services, caller, choice, verb)
    shown = (
        []
        if choice.ids is None
        else (await jobs.look_again(page.services, caller, JobFilter(), choice.ids or (), None, most=0)).jobs
    )
    return show(
        page,
        "jobs_ask.html",
        verb=verb,
        fields={**fields, "back": back},
        back=f"/jobs?{back}" if back else "/jobs",
        meant=meant,
        most=bulk.MOST,
        filter_words=asked.pairs() if choice.ids is None else [],
        rows=[(job, job_words.state_words(job, now)) for job in shown[:NAMED]],
        more=max(0, len(shown) - NAMED),
    )


@router.post("/jobs/act")
async def act(page: PageDep) -> Response:
    """Do it, and say honestly what came of it."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    verb, back = fields.get("verb"), fields.get("back", "")
    choice = _choice(fields)
    if verb == "cancel":
        reply = await bulk.cancel_jobs(page.services, caller, choice)
    elif verb == "delete":
        reply = await bulk.delete_jobs(page.services, caller, choice)
    else:
        raise Problem("invalid_field", words.gettext("What shall be done?"), field="verb", expected="cancel, delete")
    again = {name: text for name, text in fields.items() if name in {"verb", "back", "state", *FILTER_FIELDS}}
    return show(
        page,
        "jobs_done.html",
        verb=verb,
        reply=reply,
        back=f"/jobs?{back}" if back else "/jobs",
        refused=reply.refused[:NAMED],
        more=max(0, len(reply.refused) - NAMED),
        again=again if reply.more else None,
    )


def _filter_fields(query: JobQuery, now: float) -> dict[str, str]:
    """The filter as hidden fields. It ends now: what comes while one reads the question is not meant."""
    given: dict[str, Any] = {name: getattr(query, name) for name in FILTER_FIELDS}
    until = datetime.fromtimestamp(now, UTC).isoformat()
    given["until"] = min(given["until"] or until, until)
    given["state"] = ",".join(query.state)
    return {name: text for name, text in given.items() if text}


def _choice(fields: Mapping[str, str]) -> JobChoice:
    if "ids" in fields:
        return JobChoice(ids=[word for word in fields["ids"].split(",") if word][:MOST_CHOSEN])
    given = {name: fields[name] for name in ("state", *FILTER_FIELDS) if fields.get(name)}
    return JobChoice(filter=JobFilterBody(**given))


def _query_of(address: str) -> str:
    return address.partition("?")[2]
