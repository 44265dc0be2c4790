"""Reading what a task's program wrote: live from the log store, afterwards from its row or its blob."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sirdar.blobs.base import BlobStore, missing
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
    """A part of a stream. ``complete``: the task has ended, and ``size`` is final. ``omitted``: bytes missing in the middle."""

    content: bytes
    offset: int
    size: int
    complete: bool
    omitted: int = 0


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
) -> Piece:
    """Bytes of a stream from an offset (negative: from the end). Raises Problem ``not_found``."""

    def find(conn: Conn) -> tuple[JobView, TaskView | None]:
        job = find_seen(conn, caller, job_id, link=link)
        return job, task_views.find_task(conn, job, task)

    job, row = await services.store.read(find)
    if row is None:
        raise Problem("not_found", f"Job {job.id} has no task {task}; it has {job.total}.", field="task")
    if row.reason is not None:
        kept = row.stdout if stream == "stdout" else row.stderr
        return await _kept(services.blobs, kept, offset, limit)
    key = AttemptKey(JobId(job.id), task, row.attempt or row.last_attempt)
    if offset < 0:
        _, size = await asyncio.to_thread(services.logs.read, key, stream, 0, 0)
        offset = max(0, size + offset)
    content, size = await asyncio.to_thread(services.logs.read, key, stream, offset, limit)
    return Piece(content, offset, size, complete=False)


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
    """All of a stream from an offset, in order, at least one piece; as much as there was when it began. Constant memory."""
    stop: int | None = None
    while True:
        piece = await read_stream(services, caller, job_id, stream, task=task, offset=offset, link=link)
        stop = piece.size if stop is None else stop
        yield piece
        offset = piece.offset + len(piece.content)
        if not piece.content or offset >= stop:
            return


async def _kept(blobs: BlobStore, kept: dict[str, object], offset: int, limit: int) -> Piece:
    omitted = int(str(kept.get("omitted", 0)))
    sha256 = kept.get("sha256")
    if isinstance(sha256, str):
        size = await blobs.size(sha256)
        if size is None:
            raise missing(sha256)
        start = offset if offset >= 0 else max(0, size + offset)
        pieces = [piece async for piece in blobs.read(sha256, start, start + limit)]
        return Piece(b"".join(pieces), start, size, True, omitted)
    content = str(kept.get("text") or "").encode()
    start = offset if offset >= 0 else max(0, len(content) + offset)
    return Piece(content[start : start + limit], start, len(content), True, omitted)
