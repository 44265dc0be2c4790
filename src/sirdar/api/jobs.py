"""Jobs over REST: list, show, cancel, delete, resubmit, share, tasks, children, streams, explain."""

from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import shapes
from sirdar.api.deps import CallerDep, ServicesDep, bearer
from sirdar.api.paging import After, Limit, page
from sirdar.api.render import render_job, render_summary
from sirdar.api.results import results_of, results_page
from sirdar.api.submit import wait_for_end
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import bulk, pace
from sirdar.services import jobs as job_service
from sirdar.services.context import Services
from sirdar.services.eventlog import Seen, lines_of
from sirdar.services.explain import explain
from sirdar.services.job_filters import JobQuery, read_filter, read_states
from sirdar.services.jobs import show_job
from sirdar.services.never_fits import warnings_of
from sirdar.services.resubmit import resubmit
from sirdar.services.streams import CHUNK_BYTES, read_stream
from sirdar.services.task_table import varying_inputs
from sirdar.store import job_events, job_lists
from sirdar.store.job_events import EventView
from sirdar.store.job_views import JobView
from sirdar.wire.bulk import JobChoice
from sirdar.wire.submit import ResubmitRequest

router = APIRouter(tags=["jobs"])


async def viewer(request: Request, services: ServicesDep) -> Caller | None:
    """The caller; None where there is no token but a link's secret, which the services then check."""
    token = bearer(request)
    if not token and request.query_params.get("share"):
        return None
    if not token:
        raise Problem("unauthenticated", "This address needs a token.", hint="Send 'Authorization: Bearer TOKEN'.")
    return await services.auth.caller(token)


ViewerDep = Annotated[Caller | None, Depends(viewer)]
Offset = Annotated[int, Query(ge=-(2**53), le=2**53, description="In bytes; negative: from the end")]
Share = Annotated[str | None, Query(max_length=200, description="Secret of a link that was shared")]


@router.get("/api/jobs", responses={200: {"model": list[shapes.JobSummary]}})
async def list_jobs(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    state: Annotated[list[str] | None, Query()] = None,
    app: str | None = None,
    text: str | None = None,
    owner: str | None = None,
    name: str | None = None,
    since: str | None = None,
    until: str | None = None,
    parent: str | None = None,
    limit: Limit = 40,
    after: After = "",
) -> Response:
    """Jobs that you may see, the newest first."""
    asked = JobQuery(
        state=state or (), app=app, text=text, owner=owner, name=name, since=since, until=until, parent=parent
    )
    wanted = replace(read_filter(caller, asked), before_seq=read_cursor(after))
    found = await job_service.list_jobs(services, caller, wanted, limit + 1)
    base = services.settings.url
    return page(request, found, limit, cursor=lambda job: str(job.seq), show=lambda job: render_summary(job, base))


@router.delete("/api/jobs")
async def delete_by_name(services: ServicesDep, caller: CallerDep, name: str) -> dict[str, int]:
    """Delete your jobs of that name, all of them; those that run are cancelled first, and go when they have ended."""
    return {"deleted": await job_service.delete_by_name(services, caller, name)}


@router.post("/api/jobs/cancel", responses={200: {"model": shapes.Cancelled}})
async def cancel_many(services: ServicesDep, caller: CallerDep, body: JobChoice) -> Response:
    """End jobs, by their ids or all that fit a filter; five thousand at most (``more``: ask again)."""
    reply = await bulk.cancel_jobs(services, caller, body)
    refused = [asdict(one) for one in reply.refused]
    return _json({"cancelled": len(reply.done), "ids": reply.done, "refused": refused, "more": reply.more})


@router.post("/api/jobs/delete", responses={200: {"model": shapes.DeletedJobs}})
async def delete_many(services: ServicesDep, caller: CallerDep, body: JobChoice) -> Response:
    """Delete jobs, by their ids or all that fit a filter; five thousand at most.

    Those that run (``later``) are cancelled first, and go when they have ended.
    """
    reply = await bulk.delete_jobs(services, caller, body)
    refused = [asdict(one) for one in reply.refused]
    content = {"deleted": len(reply.done), "later": len(reply.later), "ids": [*reply.done, *reply.later]}
    return _json({**content, "refused": refused, "more": reply.more})


@router.get("/api/jobs/{job_id}", responses={200: {"model": shapes.Job}})
async def show(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    share: Share = None,
    wait: Annotated[
        float | None, Query(ge=0, le=3600, description="Wait for its end this many seconds at most")
    ] = None,
) -> Response:
    """One job.

    The id may be shortened to a unique beginning of at least four characters.
    """
    shown = await show_job(services, caller, job_id, link=share)
    if wait and shown.job.ended_at is None and caller is not None:
        shown = await wait_for_end(services, caller, shown.job.id, wait)
    content = render_job(shown, services.settings.url, results=await results_of(services, shown.job))
    if shown.job.many:
        content["varying"] = await varying_inputs(services, shown.job)
    if shown.job.many and shown.job.ended_at is None:
        now = services.store.clock()
        content["leftS"] = await services.store.read(lambda conn: pace.left_of_job(conn, shown.job, now))
    return _json(content)


@router.delete("/api/jobs/{job_id}")
async def delete(services: ServicesDep, caller: CallerDep, job_id: str) -> dict[str, bool]:
    """Delete a job; a running one is cancelled first, and goes when it has ended."""
    return {"deleted": await job_service.delete_job(services, caller, job_id)}


@router.post("/api/jobs/{job_id}/cancel", responses={200: {"model": shapes.JobSummary}})
async def cancel(services: ServicesDep, caller: CallerDep, job_id: str) -> Response:
    """End a job and the jobs that its tasks submitted."""
    job = await job_service.cancel_job(services, caller, job_id)
    return _json(render_summary(job, services.settings.url))


@router.post("/api/jobs/{job_id}/resubmit", status_code=201, responses={201: {"model": shapes.Job}})
async def submit_again(
    request: Request, services: ServicesDep, caller: CallerDep, job_id: str, body: ResubmitRequest | None = None
) -> Response:
    """The same job again, with other inputs where given."""
    key = request.headers.get("idempotency-key")
    new_id = await resubmit(services, caller, job_id, body or ResubmitRequest(), key=key)
    shown = await show_job(services, caller, new_id)
    content = render_job(shown, services.settings.url)
    if shown.job.ended_at is None and (warnings := await warnings_of(services, shown.job)):
        content["warnings"] = warnings
    return _json(content, 201, {"location": f"/api/jobs/{new_id}"})


@router.get("/api/jobs/{job_id}/results", responses={200: {"model": list[dict[str, Any] | None]}})
async def results(services: ServicesDep, caller: ViewerDep, job_id: str, share: Share = None) -> Response:
    """Results of all tasks, a JSON list in their order, streamed."""
    shown = await show_job(services, caller, job_id, link=share)
    if not shown.job.many:
        raise Problem("not_found", f"Job {shown.job.id} is of one task: its result stands in the job itself.")
    return StreamingResponse(_stream_results(services, shown.job), media_type="application/json")


async def _stream_results(services: Services, job: JobView) -> Any:
    after, begin = -1, b"["
    while after + 1 < job.total:
        listed = await results_page(services, job, after)
        for result in listed:
            yield begin + to_json(result)
            begin = b",\n"
        after += len(listed)
    yield b"]\n"


@router.get("/api/jobs/{job_id}/children", responses={200: {"model": list[shapes.JobSummary]}})
async def children(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    job_id: str,
    state: Annotated[list[str] | None, Query()] = None,
    limit: Limit = 40,
    after: After = "",
) -> Response:
    """Jobs that this job's tasks submitted, the newest first."""
    states, before = read_states(state or ()), read_cursor(after)

    def read(conn: Any) -> list[JobView]:
        job = job_service.find_seen(conn, caller, job_id)
        wanted = job_service.children_filter(caller, job, state=states, before_seq=before)
        return job_lists.list_jobs(conn, wanted, limit + 1)

    found = await services.store.read(read)
    base = services.settings.url
    return page(request, found, limit, cursor=lambda job: str(job.seq), show=lambda job: render_summary(job, base))


@router.get("/api/jobs/{job_id}/explain", responses={200: {"model": shapes.Explanation}})
async def why(services: ServicesDep, caller: ViewerDep, job_id: str, share: Share = None) -> dict[str, Any]:
    """Why it waits, or why it ended so."""
    answer = await explain(services, caller, job_id, link=share)
    body: dict[str, Any] = {
        "state": answer.state,
        "summary": answer.summary,
        "why": [{"code": why.code, "text": why.text} for why in answer.why],
    }
    return {**body, "try": answer.hint} if answer.hint else body


@router.get("/api/jobs/{job_id}/log", response_class=PlainTextResponse)
async def log(services: ServicesDep, caller: ViewerDep, job_id: str, share: Share = None) -> Response:
    """The job's events by their times, a line each, as Everest's clients read them."""
    shown = await show_job(services, caller, job_id, link=share)
    return StreamingResponse(_stream_log(services, shown.job.id), media_type="text/plain; charset=utf-8")


async def _stream_log(services: Services, job_id: str) -> Any:
    after, seen = 0, Seen()
    while True:
        found = await services.store.read(partial(_events_after, job_id=job_id, after=after))
        if not found:
            return
        yield "".join(f"{line}\n" for line in lines_of(job_id, found, seen))
        after = found[-1].seq


def _events_after(conn: Any, *, job_id: str, after: int) -> list[EventView]:
    return job_events.list_events(conn, job_id, after=after)


@router.get("/api/jobs/{job_id}/stdout", response_class=PlainTextResponse)
async def stdout(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    task: Annotated[int, Query(ge=0)] = 0,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=16 * 2**20)] = CHUNK_BYTES,
    share: Share = None,
) -> Response:
    """What the program wrote to standard output, from an offset in bytes (negative: from the end)."""
    return await _stream(services, caller, job_id, "stdout", task, offset, limit, share)


@router.get("/api/jobs/{job_id}/stderr", response_class=PlainTextResponse)
async def stderr(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    task: Annotated[int, Query(ge=0)] = 0,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=16 * 2**20)] = CHUNK_BYTES,
    share: Share = None,
) -> Response:
    """What the program wrote to standard error."""
    return await _stream(services, caller, job_id, "stderr", task, offset, limit, share)


async def _stream(
    services: Services,
    caller: Caller | None,
    job_id: str,
    stream: str,
    task: int,
    offset: int,
    limit: int,
    share: str | None,
) -> Response:
    piece = await read_stream(services, caller, job_id, stream, task=task, offset=offset, limit=limit, link=share)
    headers = {
        "sirdar-offset": str(piece.offset),
        "sirdar-size": str(piece.size),
        "sirdar-complete": "true" if piece.complete else "false",
        "sirdar-omitted": str(piece.omitted),
        "cache-control": "no-store",
    }
    return Response(piece.content, 200, headers, "text/plain; charset=utf-8")


# ---------------------------------------------------------------- parameters


def read_cursor(after: str) -> int | None:
    """A number from an address; None where none is given. Raises Problem ``invalid_field``."""
    if not after:
        return None
    if not after.isascii() or not after.isdecimal() or len(after) > 18:
        raise Problem("invalid_field", "after is not a cursor of this list.", field="after")
    return int(after)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers, "application/json")
