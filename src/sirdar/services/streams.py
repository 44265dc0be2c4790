"""Reading what a task's program wrote: live from the log store, afterwards from its row or its blob."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sirdar.blobs.base import BlobStore, missing
from sirdar.blobs.logs import NOTE, Mark
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.store import task_views
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stream. ``complete``: the task has ended, and ``size`` is final. ``omitted``: bytes missing in the middle.

    ``gap_at``: where the line stands that says so; ``tail_line``: newlines of the whole stream before what follows it; None where
    nobody knows.
    """

    content: bytes
    offset: int
    size: int
    complete: bool
    omitted: int = 0
    gap_at: int | None = None
    tail_line: int | None = None


async def read_stream(
    services: Services,
    caller: Caller | None,
    job_id: str,
    stream: str,
    *,
    task: int = 0,
    offset: int = 0,
    limit: int = CHUNK_BYTES,
    link: str | None = None,
    newest: bool = False,
) -> Piece:
    """Bytes of a stream from an offset (negative: from the end). Raises Problem ``not_found``.

    While a long stream is written, its beginning; with ``newest`` also its newest part, behind a line that says what is left out
    between them. That line and what follows it change as the stream grows, and with them ``omitted``.
    """
    job, row = await _find(services, caller, job_id, task, link)
    if row.reason is not None:
        kept = row.stdout if stream == "stdout" else row.stderr
        return await _kept(services.blobs, kept, offset, limit)
    key = AttemptKey(JobId(job.id), task, row.attempt or row.last_attempt)
    if newest:
        content, text = await asyncio.to_thread(services.logs.read_live, key, stream, offset, limit)
        start = offset if offset >= 0 else max(0, text.size + offset)
        return Piece(content, start, text.size, False, text.omitted, text.gap_at, text.tail_line)
    if offset < 0:
        _, size = await asyncio.to_thread(services.logs.read, key, stream, 0, 0)
        offset = max(0, size + offset)
    content, size = await asyncio.to_thread(services.logs.read, key, stream, offset, limit)
    return Piece(content, offset, size, complete=False)


async def _find(
    services: Services, caller: Caller | None, job_id: str, task: int, link: str | None
) -> tuple[JobView, TaskView]:
    def find(conn: Conn) -> tuple[JobView, TaskView | None]:
        job = find_seen(conn, caller, job_id, link=link)
        return job, task_views.find_task(conn, job, task)

    job, row = await services.store.read(find)
    if row is None:
        raise Problem("not_found", f"Job {job.id} has no task {task}; it has {job.total}.", field="task")
    return job, row


async def read_times(
    services: Services, caller: Caller | None, job_id: str, stream: str, *, task: int = 0, link: str | None = None
) -> list[Mark]:
    """From which byte of the text that is read (with ``newest``) on, and when what stands there was first seen.

    In seconds since 1970 by the clock of the machine where it ran; None where nobody knows. Raises Problem ``not_found``.
    """
    job, row = await _find(services, caller, job_id, task, link)
    if row.reason is None:
        key = AttemptKey(JobId(job.id), task, row.attempt or row.last_attempt)
        text = await asyncio.to_thread(services.logs.live, key, stream)
        marks = await asyncio.to_thread(services.logs.notes, key, stream)
        note_bytes = text.parts[1][2] if text.omitted else 0
        return _in_text(marks, text.gap_at, text.omitted, note_bytes)
    kept = row.stdout if stream == "stdout" else row.stderr
    piece = await _kept(services.blobs, kept, 0, 0)
    note_bytes = piece.size - int(kept.get("size", piece.size)) + piece.omitted
    return _in_text([(int(start), at) for start, at in kept.get("seen") or ()], piece.gap_at, piece.omitted, note_bytes)


def _in_text(marks: list[Mark], gap_at: int | None, omitted: int, note_bytes: int) -> list[Mark]:
    """Places of the whole stream as places of the text, in which a note stands for what is left out."""
    if gap_at is None:
        return [] if omitted else marks
    head = gap_at - (note_bytes - len(NOTE.format(omitted=omitted)))
    before = [(start, at) for start, at in marks if start < head]
    behind = [(start - omitted + note_bytes, at) for start, at in marks if start >= head + omitted]
    return before + behind


async def pieces_of(
    services: Services,
    caller: Caller | None,
    job_id: str,
    stream: str,
    *,
    task: int = 0,
    offset: int = 0,
    link: str | None = None,
) -> AsyncIterator[Piece]:
    """All of a stream from an offset, in order, at least one piece; as much as there was when it began. Constant memory.

    With the newest of what is still written; it ends where the middle changes meanwhile, for what follows is another text then.
    """
    stop: int | None = None
    omitted: int | None = None
    while True:
        piece = await read_stream(services, caller, job_id, stream, task=task, offset=offset, link=link, newest=True)
        if omitted not in {None, piece.omitted}:
            return
        omitted = piece.omitted
        stop = piece.size if stop is None else stop
        yield piece
        offset = piece.offset + len(piece.content)
        if not piece.content or offset >= stop:
            return


async def _kept(blobs: BlobStore, kept: dict[str, Any], offset: int, limit: int) -> Piece:
    omitted = int(kept.get("omitted", 0))
    gap_at, tail_line = kept.get("gap_at"), kept.get("tail_line")
    sha256 = kept.get("sha256")
    if isinstance(sha256, str):
        size = await blobs.size(sha256)
        if size is None:
            raise missing(sha256)
        start = offset if offset >= 0 else max(0, size + offset)
        pieces = [piece async for piece in blobs.read(sha256, start, start + limit)]
        return Piece(b"".join(pieces), start, size, True, omitted, gap_at, tail_line)
    content = str(kept.get("text") or "").encode()
    start = offset if offset >= 0 else max(0, len(content) + offset)
    return Piece(content[start : start + limit], start, len(content), True, omitted, gap_at, tail_line)
