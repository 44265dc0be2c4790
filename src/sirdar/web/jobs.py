"""A job's page and its buttons."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import apps, jobs
from sirdar.services.explain import Explanation, explain_now
from sirdar.services.job_files import inputs_with_uris, job_prefix, result_with_uris
from sirdar.services.jobs import Shown
from sirdar.services.resubmit import resubmit
from sirdar.store import job_lists, job_places, job_shares, task_views
from sirdar.store.job_places import Place
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView
from sirdar.web import job_log, job_words, session
from sirdar.web.job_words import Named
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show
from sirdar.wire.submit import ResubmitRequest

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
CHILDREN = 40
REASONS = 5
PLAIN = frozenset({"running", "ok"})  # reasons that only say what the state says
Text = Annotated[str, Query(max_length=200)]


# ---------------------------------------------------------------- one job


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What one look at the ledger gives for a page."""

    shown: Shown
    tasks: list[TaskView]
    task: TaskView | None  # the one whose streams are shown
    place: Place | None
    children: list[JobView]
    shares: list[str]
    explained: Explanation


@router.get("/jobs/{job_id}")
async def job_page(
    job_id: str,
    page: PageDep,
    share: Text = "",
    task: Annotated[int | None, Query(ge=0, le=2**31)] = None,
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
) -> Response:
    """For whoever may see it, and for whoever has its link."""
    caller = page.caller if share else page.user
    if not job_id.isalnum() or not job_id.isascii():
        raise Problem("not_found", f"There is no job {job_id[:80]}.")
    now = page.services.store.clock()
    facts = await page.services.store.read(
        lambda conn: _facts(conn, caller, job_id, link=share or None, number=task, after=after, now=now)
    )
    job = facts.shown.job
    version = await apps.load_version(page.services, job.version_id)
    titles = {spec.name: spec.title for spec in version.app.inputs}
    titles |= {spec.name: spec.title for spec in version.app.outputs}
    link = f"?{urlencode({'share': share})}" if share else ""
    only = facts.shown.task
    done = job_words.share_done(job, only)
    logs = {}
    if facts.task is not None:
        logs = {name: await job_log.tail(page.services, job.id, facts.task, name) for name in job_log.STREAMS}
    return show(
        page,
        "job.html",
        job=job,
        may_act=facts.shown.may_act,
        facts=facts,
        state=job_words.state_words(job, now, facts.place),
        counts=job_words.counts_words(job),
        done=done,
        left_s=job_words.left_s(job, done, now),
        refresh_s=job_words.refresh_s(job, now),
        status_message=(only.status_message if only else None) or job.status_message,
        metrics=(only.metrics if only else None) or job.metrics,
        outputs=_outputs(job, facts.task, titles, link),
        inputs=_named(job.inputs, inputs_with_uris(job.inputs, job_prefix(job.id)), titles, link),
        reasons=_reasons(facts.explained, job),
        hint=facts.explained.hint if job.state == "FAILED" else None,
        task_rows=[job_words.task_row(job, row, now) for row in facts.tasks[:ROWS]],
        logs=logs,
        link=link,
        share=share,
        following=facts.tasks[ROWS - 1].no if len(facts.tasks) > ROWS else None,
        child_rows=[(child, job_words.state_words(child, now)) for child in facts.children[:CHILDREN]],
        examples=_examples(job, page.services.settings.url),
    )


def _facts(
    conn: Conn, caller: Caller | None, job_id: str, *, link: str | None, number: int | None, after: int, now: float
) -> JobFacts:
    shown = jobs.show_now(conn, caller, job_id, link=link)
    job = shown.job
    tasks = task_views.list_tasks(conn, job, after=after, limit=ROWS + 1)
    chosen = shown.task
    if job.many and number is not None:
        chosen = task_views.find_task(conn, job, number)
    return JobFacts(
        shown=shown,
        tasks=tasks,
        task=chosen,
        place=job_places.places_of(conn, [job.id]).get(job.id),
        children=job_lists.children(conn, job.id, limit=CHILDREN + 1) if caller is not None else [],
        shares=job_shares.shares_of_job(conn, job.id) if shown.may_act else [],
        explained=explain_now(conn, caller, job.id, now=now, link=link),
    )


def _reasons(explained: Explanation, job: JobView) -> list[str]:
    """What is worth reading above the fold: nothing of a job that runs or is done as it should, but what was left out."""
    if job.state == "DONE":
        return [job.message] if job.message and job.total == 1 else []
    texts = [explained.summary] if job.ended_at is not None else []
    texts += [why.text for why in explained.why if why.code not in PLAIN and why.text]
    return list(dict.fromkeys(texts))[:REASONS]


def _outputs(job: JobView, task: TaskView | None, titles: dict[str, str], link: str) -> list[Named]:
    if task is None:
        return []
    prefix = job_prefix(job.id, task.no if job.many else None)
    outputs = _named(task.result, result_with_uris(task.result, prefix), titles, link)
    if task.debug is not None:
        debug = {"debug archive": task.debug}
        name = str(task.debug.get("$file", {}).get("name", ""))
        outputs += _named(debug, {"debug archive": prefix + quote(name, safe="")}, {}, link)
    return outputs


def _named(stored: dict[str, Any], shown: dict[str, Any], titles: dict[str, str], link: str) -> list[Named]:
    return [
        Named(name, titles.get(name, ""), job_words.items_of(value, shown[name], link))
        for name, value in stored.items()
    ]


def _examples(job: JobView, url: str) -> dict[str, str]:
    return {
        "CLI": f"sirdar job show {job.id}\nsirdar job watch {job.id}\nsirdar job download {job.id}\nsirdar explain {job.id}",
        "Python": f"import sirdar\n\njob = sirdar.connect({url!r}).job({job.id!r})\nprint(job.result())",
        "curl": f'curl -H "Authorization: Bearer $SIRDAR_TOKEN" {url}/api/jobs/{job.id}',
    }


# ---------------------------------------------------------------- its buttons


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    job = await jobs.cancel_job(page.services, caller, job_id)
    return go_to(f"/jobs/{job.id}")


@router.post("/jobs/{job_id}/resubmit")
async def submit_again(job_id: str, page: PageDep) -> Response:
    """The same inputs and version, as a new job."""
    caller = page.user
    await session.read_form(page.request, page.services)
    new_id = await resubmit(page.services, caller, job_id, ResubmitRequest())
    return go_to(f"/jobs/{new_id}")


@router.post("/jobs/{job_id}/delete")
async def delete(job_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    gone = await jobs.delete_job(page.services, caller, job_id)
    return go_to("/jobs" if gone else f"/jobs/{job_id}")
