"""Brings blobs from the server to the cache: each once, however many tasks wait for it; after a cut only what is missing."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from sirdar.agent.backoff import Backoff
from sirdar.agent.cache import BlobCache
from sirdar.agent.events import get_logger
from sirdar.agent.link import Link, Refused, Unreachable
from sirdar.agent.settings import Settings

log = get_logger(__name__)

TRIES = 3  # where the bytes are not those of the digest
BATCH_BYTES = 1 << 20
DIRECT_FROM_BYTES = 1 << 20  # worth the question where the blob store gives it itself


class BlobMissing(Exception):
    """The server does not give the blob, or what it gives has another digest."""


class _Spoiled(Exception):
    """The bytes that arrived are not those of the digest."""


class _Fetch:
    """One blob on its way."""

    def __init__(self, task: "asyncio.Task[Path]") -> None:
        self.task = task
        self.waiters = 0


class Fetches:
    """See the module."""

    def __init__(self, settings: Settings, cache: BlobCache, link: Link, transfers: asyncio.Semaphore) -> None:
        self._settings = settings
        self._cache = cache
        self._link = link
        self._transfers = transfers
        self._under_way: dict[str, _Fetch] = {}

    async def fetch(self, sha256: str, size_bytes: int) -> Path:
        """The blob's file. Whoever asks while it is on its way waits for the same bytes, and hears of the same error; it is
        given up when nobody waits any more. Raises BlobMissing or OSError.
        """
        while (found := self._under_way.get(sha256)) is not None and found.task.cancelling():
            await asyncio.wait([found.task])
        work = self._under_way.get(sha256)
        if work is None:
            task = asyncio.create_task(self._run(sha256, size_bytes))
            task.add_done_callback(lambda _: self._under_way.pop(sha256, None))
            work = self._under_way[sha256] = _Fetch(task)
        work.waiters += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiters -= 1
            if not work.waiters and not work.task.done():
                work.task.cancel()
                await asyncio.wait([work.task])

    async def _run(self, sha256: str, size_bytes: int) -> Path:
        async with self._transfers:
            if (there := self._cache.find(sha256)) is not None:
                return there
            with contextlib.ExitStack() as stack:
                await asyncio.to_thread(stack.enter_context, self._cache.reserve(size_bytes))
                return await self._fetch_for_ever(sha256, size_bytes)

    async def _fetch_for_ever(self, sha256: str, size_bytes: int) -> Path:
        backoff, spoiled, partial = Backoff(self._settings), 0, self._cache.partial(sha256)
        failed = 0  # one after the other, without a byte
        while True:
            before = _length(partial)
            try:
                address = (
                    await self._link.blob_address(sha256) if size_bytes >= DIRECT_FROM_BYTES and failed < 2 else None
                )
                await self._fill(sha256, size_bytes, partial, address)
                return await asyncio.to_thread(self._check_and_keep, sha256, partial)
            except Unreachable as error:
                log.warning("blob_fetch_waits", sha256=sha256, error=str(error), arrived=_length(partial))
                failed += 1
                if _length(partial) > before:
                    backoff.reset()
                    failed = 0
                await backoff.wait()
            except _Spoiled:
                spoiled += 1
                log.warning("blob_arrived_spoiled", sha256=sha256, times=spoiled)
                if spoiled >= TRIES:
                    raise BlobMissing(f"the server sent other bytes than those of {sha256[:12]}") from None
            except Refused as error:
                partial.unlink(missing_ok=True)
                raise BlobMissing(f"the server does not give the file {sha256[:12]}: {error.detail}") from error

    async def _fill(self, sha256: str, size_bytes: int, partial: Path, address: str | None) -> None:
        """Appends what is missing, from the server or, with ``address``, from its blob store. What has arrived stays.

        Raises Unreachable where the line broke.
        """
        with partial.open("ab", buffering=0) as file:
            start = file.tell()
            if start < size_bytes:
                pieces = self._link.get_blob(sha256, start=start, size_bytes=size_bytes, address=address)
                async with contextlib.aclosing(pieces):
                    await _append(file, pieces)

    def _check_and_keep(self, sha256: str, partial: Path) -> Path:
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            partial.unlink()
            raise _Spoiled
        return self._cache.keep(sha256)


async def _append(file: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    """In batches, in a thread: a large blob must not hold up the agent's loop. What has arrived is written, also at a cut."""
    batch: list[bytes] = []
    collected = 0
    try:
        async for piece in pieces:
            batch.append(piece)
            collected += len(piece)
            if collected >= BATCH_BYTES:
                full, batch, collected = batch, [], 0
                await _in_thread_to_its_end(file, full)
    finally:
        _write_all(file, batch)


async def _in_thread_to_its_end(file: BinaryIO, batch: list[bytes]) -> None:
    """Also where this is cancelled: the file must not be closed while a thread writes to it."""
    writing = asyncio.ensure_future(asyncio.to_thread(_write_all, file, batch))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


def _write_all(file: BinaryIO, batch: list[bytes]) -> None:
    view = memoryview(b"".join(batch))
    while view:
        view = view[file.write(view) :]


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
