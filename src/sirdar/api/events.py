"""``GET /api/jobs/{id}/events``: server-sent events, resumed by ``Last-Event-ID``; a list for those who accept JSON."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import shapes
from sirdar.api.deps import ServicesDep
from sirdar.api.event_stream import QUIET, EventStream
from sirdar.api.jobs import Share, ViewerDep
from sirdar.api.paging import iso
from sirdar.domain.problems import Problem
from sirdar.services.jobs import show_job
from sirdar.services.watch import Told, watch
from sirdar.store import job_events

router = APIRouter(tags=["jobs"])


@router.get(
    "/api/jobs/{job_id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events; or those of the past as JSON, where that is accepted",
            "model": list[shapes.Event],
            "content": {"text/event-stream": {"schema": {"type": "object"}}},
        }
    },
)
async def events(
    request: Request,
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    log: Annotated[str, Query(description="stdout, stderr, or both joined by a comma: their text too")] = "",
    after: Annotated[int, Query(ge=0)] = 0,
    share: Share = None,
) -> Response:
    """What happens to the job: ``job``, ``tasks`` (counts, at most four times a second), ``message``, ``log``, ``end``."""
    last = request.headers.get("last-event-id", "")
    if last:
        if not last.isascii() or not last.isdecimal() or len(last) > 15:
            raise Problem("invalid_field", "Last-Event-ID is not a number of an event.", field="Last-Event-ID")
        after = int(last)
    shown = await show_job(services, caller, job_id, link=share)
    if "application/json" in request.headers.get("accept", ""):
        found = await services.store.read(lambda conn: job_events.list_events(conn, shown.job.id, after=after))
        listed = [{"id": e.seq, "at": iso(e.at), "kind": e.kind, **e.data} for e in found]
        return Response(to_json(listed), media_type="application/json")
    streams = tuple(name for name in ("stdout", "stderr") if name in log.split(","))
    told = watch(services, caller, shown.job.id, after=after, streams=streams, link=share)
    return EventStream(services, caller, told, _line, job_id=shown.job.id)


def _line(told: Told) -> bytes:
    if told.kind == "quiet":
        return QUIET
    number = f"id: {told.id}\n".encode() if told.id is not None else b""
    return b"%bevent: %b\ndata: %b\n\n" % (number, told.kind.encode(), to_json(_dated(told.data)))


def _dated(words: dict[str, Any]) -> dict[str, Any]:
    """Times leave as text, as everywhere."""
    return {**words, "at": iso(words["at"])} if "at" in words else words
