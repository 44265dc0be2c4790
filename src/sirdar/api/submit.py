"""``POST /api/apps/{app}``: a submission. The hot route: ``api/hot.py`` calls ``submit_reply`` without FastAPI's dependencies."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.ended_tasks import FILES, read_names, task_list
from sirdar.api.errors import from_body
from sirdar.api.render import render_job, render_submitted
from sirdar.api.results import results_of
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.jobs import Shown, show_job, show_own
from sirdar.services.never_fits import warnings_of
from sirdar.services.standing import Standing
from sirdar.services.submit import submit
from sirdar.wire.submit import SubmitRequest

router = APIRouter(tags=["jobs"])
MAX_WAIT_S = 3600.0
LOOK_EVERY_S = 5.0


@router.post(
    "/api/apps/{app:path}",
    status_code=201,
    responses={
        200: {"model": shapes.Job, "description": "The job that this key made before"},
        201: {"model": shapes.Job},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": SubmitRequest.model_json_schema()}},
        }
    },
)
async def submit_job(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    app: str,
    wait: float | None = Query(
        None, ge=0, le=MAX_WAIT_S, description="Answer with the ended job, after this many seconds at most"
    ),
    files: str = Query("", description=FILES),
) -> Response:
    """Run an application: makes a job."""
    key = request.headers.get("idempotency-key")
    body = await request.body()
    reply = await submit_reply(services, caller, unquote(app), body, key=key, wait_s=wait, files=files)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.content, reply.status, headers, "application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as plain ASGI sends it."""

    status: int
    content: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    media_type: bytes = b"application/json"


async def submit_reply(
    services: Services,
    caller: Caller,
    app: str,
    body: bytes,
    *,
    key: str | None,
    wait_s: float | None,
    files: str = "",
) -> Reply:
    """Submit, wait if asked to, render."""
    names = read_names(files)
    submitted = await submit(services, caller, app, parse(body), key=key, body=body)
    base = services.settings.url
    headers = [(b"location", f"/api/jobs/{submitted.job_id}".encode())]
    if wait_s or submitted.replayed:
        fresh = not submitted.replayed
        shown = await wait_for_end(services, caller, submitted.job_id, wait_s or 0.0, fresh=fresh)
        content: dict[str, Any] = render_job(shown, base, results=await results_of(services, shown.job))
        if (listed := await task_list(services, caller, shown, names)) is not None:
            content["taskList"] = listed
    else:
        content = render_submitted(submitted, caller.name, base)
    waits = not submitted.replayed and content["endedAt"] is None
    if waits and (warnings := await warnings_of(services, submitted.new)):
        content["warnings"] = warnings
    status = 200 if submitted.replayed else 201
    return Reply(status, to_json(content), headers)


def parse(body: bytes) -> SubmitRequest:
    """Raises Problem with every field that is wrong."""
    try:
        return SubmitRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise from_body(error, body) from None
    except RecursionError:
        raise Problem("invalid_request", "The body is nested too deeply.") from None


async def wait_for_end(services: Services, caller: Caller, job_id: str, wait_s: float, *, fresh: bool = False) -> Shown:
    """The job as soon as it has ended, or as it is after ``wait_s``.

    ``fresh``: the caller made it just now, and nothing was awaited since: its end cannot have rung yet, so the first look is
    saved. Raises Problem ``token_expired`` where the caller's token stops working meanwhile; one who has made the job is told
    of it as it is then.
    """
    deadline = services.store.clock() + wait_s
    standing, look_s = Standing(services, caller), min(LOOK_EVERY_S, services.settings.stream_look_s)
    show = show_own if fresh else show_job
    with services.hub.listen(f"end:{job_id}") as bell:
        if fresh and wait_s > 0:
            await bell.wait(min(wait_s, look_s))
        shown = await show(services, caller, job_id)
        while (
            not services.hub.closed and shown.job.ended_at is None and (left := deadline - services.store.clock()) > 0
        ):
            # The bell is this process's; another server's ends are found by looking now and then.
            await bell.wait(min(left, look_s))
            try:
                caller = await standing.look()
            except Problem:
                if fresh:
                    break
                raise
            shown = await show(services, caller, job_id)
    return shown
