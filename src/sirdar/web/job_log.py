"""A task's streams on its page: their ends as text, and what the viewer (``ui/src/log.ts``) asks for.

The viewer knows a stream as blocks of 64 KiB: how many lines begin in each, and the bytes of those that are looked at, which come
from ``/api/jobs/{id}/stdout``. So a log of any size opens at once, and is searched here and not there.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api.event_stream import HEADERS, QUIET, EventStream
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.states import State
from sirdar.services.context import Services
from sirdar.services.jobs import show_job
from sirdar.services.log_scan import BLOCK_BYTES, LineIndex, LineSearch
from sirdar.services.streams import pieces_of, read_stream, read_times
from sirdar.services.watch_log import STREAMS, Sizes, watch_log
from sirdar.store.task_views import TaskView
from sirdar.web.pages import Page, PageRoute, open_page

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Stream = Literal["stdout", "stderr"]
Task = Annotated[int, Query(ge=0, le=2**31)]
Number = Annotated[int, Query(ge=0, le=2**53)]
Text = Annotated[str, Query(max_length=200)]
CHOICES = frozenset({*STREAMS, "both"})
TAIL_BYTES = 64 * 1024
TAIL_LINES = 400
_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")  # what terminals read as commands


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a stream. ``size_bytes``: of all that was written; ``whole``: nothing is left out above."""

    text: str
    size_bytes: int
    whole: bool


def chosen_stream(wanted: str, tails: Mapping[str, Tail], task: TaskView | None = None) -> str:
    """What was asked for, else stderr where it says why the task failed, else stdout, or stderr while it alone holds anything."""
    if wanted in CHOICES:
        return wanted
    if tells_why(tails, task):
        return "stderr"
    return next((name for name in STREAMS if name in tails and tails[name].size_bytes), "stdout")


def tells_why(tails: Mapping[str, Tail], task: TaskView | None) -> bool:
    """Whether the reason of a task's failure is most likely in its stderr."""
    return task is not None and task.state == State.FAILED and "stderr" in tails and tails["stderr"].size_bytes > 0


async def tails(services: Services, job_id: str, task: TaskView) -> dict[str, Tail]:
    """The ends of both streams."""
    return {name: await _tail(services, job_id, task, name) for name in STREAMS}


async def _tail(services: Services, job_id: str, task: TaskView, stream: str) -> Tail:
    stored = task.stdout if stream == "stdout" else task.stderr
    if stored.get("text") is not None:
        content = str(stored["text"]).encode(errors="replace")
        return _tail_of(content, len(content))
    if stored.get("sha256"):
        return await _of_blob(services, str(stored["sha256"]), int(stored.get("size", 0)))
    if task.attempt < 1 or task.reason is not None:
        return Tail("", 0, True)
    return await services.blobs.in_thread(_of_live, services, AttemptKey(JobId(job_id), task.no, task.attempt), stream)


def _of_live(services: Services, key: AttemptKey, stream: str) -> Tail:
    content, text = services.logs.read_live(key, stream, -TAIL_BYTES, TAIL_BYTES)
    return _tail_of(content, text.size + text.omitted)


async def _of_blob(services: Services, sha256: str, size_bytes: int) -> Tail:
    kept = await services.blobs.size(sha256)
    if kept is None:
        return Tail("", size_bytes, False)
    content = b""
    try:
        async for chunk in services.blobs.read(sha256, max(0, kept - TAIL_BYTES)):
            content += chunk
    except Problem:  # it was removed meanwhile
        return Tail("", size_bytes, False)
    return _tail_of(content, size_bytes)


def _tail_of(content: bytes, size_bytes: int) -> Tail:
    """Whole lines, the last ones; a carriage return begins its line anew, as on a terminal."""
    lines = content.decode(errors="replace").replace("\r\n", "\n").split("\n")
    cut = len(content) < size_bytes
    if cut and len(lines) > 1:
        lines = lines[1:]  # the first one is most likely a part
    if len(lines) > TAIL_LINES:
        lines, cut = lines[-TAIL_LINES:], True
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    plain = _COLOURS.sub("", text)
    return Tail("".join(letter for letter in plain if letter.isprintable() or letter in "\n\t"), size_bytes, not cut)


# ---------------------------------------------------------------- for the viewer


def _viewer(page: Page, share: str) -> Caller | None:
    return page.caller if share else page.user


@router.get("/jobs/{job_id}/log/live")
async def log_events(job_id: str, page: PageDep, task: Task = 0, share: Text = "") -> Response:
    """``grew`` with the sizes of both streams, now and at each change; ``end`` when the task has ended."""
    caller = _viewer(page, share)
    await show_job(page.services, caller, job_id, link=share or None)
    told = watch_log(page.services, caller, job_id, task=task, link=share or None)
    return EventStream(page.services, caller, told, _line, job_id=job_id)


def _line(sizes: Sizes) -> bytes:
    if sizes.quiet:
        return QUIET
    told: dict[str, object] = {"stdout": sizes.stdout, "stderr": sizes.stderr}
    if any(sizes.omitted):
        told["omitted"] = dict(zip(STREAMS, sizes.omitted, strict=True))
    return b"event: %b\ndata: %b\n\n" % (b"end" if sizes.complete else b"grew", to_json(told))


@router.get("/jobs/{job_id}/log/{stream}/index")
async def index(
    job_id: str,
    stream: Stream,
    page: PageDep,
    task: Task = 0,
    block: Annotated[int, Query(ge=0, le=2**37)] = 0,
    share: Text = "",
) -> Response:
    """How many lines end in each block of the stream, from that one on; its size, and what was left out of its middle.

    ``gap``, where nothing of it lies before that block: the number of the line that says so, and of the line after it in the whole
    stream, where that is known; both from 0.
    """
    found = LineIndex(begins=block * BLOCK_BYTES)
    piece = None
    async for piece in pieces_of(
        page.services, _viewer(page, share), job_id, stream, task=task, offset=found.begins, link=share or None
    ):
        found.mark = piece.gap_at
        await page.services.blobs.in_thread(found.feed, piece.content)
    assert piece is not None
    told = {
        "block": BLOCK_BYTES,
        "lines": found.counts,
        "size": min(piece.size, found.begins) + found.size,
        "open": found.open,
        "complete": piece.complete,
        "omitted": piece.omitted,
    }
    if piece.gap_at is not None and found.begins == 0:
        told["gap"] = {"line": found.before_mark, "then": piece.tail_line}
    return JSONResponse(told, headers=HEADERS)


@router.get("/jobs/{job_id}/log/{stream}/bytes")
async def some(
    job_id: str,
    stream: Stream,
    page: PageDep,
    task: Task = 0,
    offset: Number = 0,
    limit: Annotated[int, Query(ge=1, le=2**20)] = BLOCK_BYTES,
    share: Text = "",
) -> Response:
    """Bytes of what the index counts; ``sirdar-omitted`` says whether it is the same text still."""
    caller, link = _viewer(page, share), share or None
    piece = await read_stream(
        page.services, caller, job_id, stream, task=task, offset=offset, limit=limit, link=link, newest=True
    )
    told = {"sirdar-complete": "true" if piece.complete else "false", "sirdar-omitted": str(piece.omitted)}
    return Response(piece.content, headers={**HEADERS, **told}, media_type="application/octet-stream")


@router.get("/jobs/{job_id}/log/{stream}/times")
async def times(job_id: str, stream: Stream, page: PageDep, task: Task = 0, share: Text = "") -> Response:
    """When the stream's bytes came: from which byte of the text on, and seconds since 1970, or null where nobody knows."""
    found = await read_times(page.services, _viewer(page, share), job_id, stream, task=task, link=share or None)
    return JSONResponse({"seen": found}, headers=HEADERS)


@router.get("/jobs/{job_id}/log/{stream}/find")
async def find(
    job_id: str,
    stream: Stream,
    page: PageDep,
    text: Text = "",
    task: Task = 0,
    offset: Number = 0,
    line: Number = 0,
    share: Text = "",
) -> Response:
    """Numbers of the lines (from 0) that hold the text, or without one, that look like errors, from a line's beginning on.

    ``line`` and ``offset`` say where a later search goes on; ``more``: this one stopped early.
    """
    search = LineSearch(text, line=line, offset=offset)
    async for piece in pieces_of(
        page.services, _viewer(page, share), job_id, stream, task=task, offset=offset, link=share or None
    ):
        await page.services.blobs.in_thread(search.feed, piece.content)
        if search.full:
            break
    search.finish()
    told = {"lines": search.lines, "more": search.full, "line": search.line, "offset": search.offset}
    return JSONResponse(told, headers=HEADERS)


@router.get("/jobs/{job_id}/log/{stream}/file")
async def whole(
    job_id: str, stream: Stream, page: PageDep, task: Task = 0, download: bool = False, share: Text = ""
) -> Response:
    """The stream as it is, as far as there is; ``download``: to be saved."""
    pieces = pieces_of(page.services, _viewer(page, share), job_id, stream, task=task, link=share or None)
    first = await anext(pieces)  # a job that is not there is an answer with a status

    async def contents() -> AsyncIterator[bytes]:
        yield first.content
        async for piece in pieces:
            yield piece.content

    kept = f'{"attachment" if download else "inline"}; filename="{job_id[:16]}-{task}.{stream}.txt"'
    headers = {**HEADERS, "content-disposition": kept, "content-security-policy": "default-src 'none'; sandbox"}
    return StreamingResponse(contents(), headers=headers, media_type="text/plain; charset=utf-8")
