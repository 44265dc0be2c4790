"""The asynchronous face of a draft: chunks are collected while a thread hashes and writes those before them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sirdar.blobs.base import Blob, too_large
from sirdar.blobs.disk import BATCH_BYTES
from sirdar.blobs.draft import Draft


class Target(Protocol):
    """What a ``BatchWriter`` fills; its methods block and are called in a thread, one at a time."""

    def append(self, pieces: Sequence[bytes]) -> None: ...


class BatchWriter:
    """Collects chunks into batches and keeps one batch in work. Errors of the thread surface at the next call."""

    def __init__(
        self, target: Target, in_thread: Callable[..., Awaitable[Any]], *, max_bytes: int | None = None
    ) -> None:
        self.size_bytes = 0  # taken so far
        self._target = target
        self._in_thread = in_thread
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._collected = 0
        self._working: asyncio.Future[Any] | None = None

    async def write(self, chunk: bytes) -> None:
        """See ``BlobWriter.write``."""
        self.size_bytes += len(chunk)
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        while self._collected + len(chunk) >= BATCH_BYTES:
            # Whole batches exactly: the disk takes them without a copy, and only their last one is short.
            cut = BATCH_BYTES - self._collected
            self._pieces.append(chunk[:cut])
            chunk = chunk[cut:]
            await self.settle()
            self._working = asyncio.ensure_future(self._in_thread(self._target.append, self.take()))
        if chunk:
            self._pieces.append(chunk)
            self._collected += len(chunk)

    async def settle(self) -> Any:
        """Wait for the work in hand; gives its result, or raises what it met."""
        if self._working is None:
            return None
        # Shielded: where this request is cancelled, the thread still works, and ``quiesce`` waits for it.
        result = await asyncio.shield(self._working)
        self._working = None
        return result

    def take(self) -> list[bytes]:
        """The pieces that were not handed over yet, which are the caller's from now on."""
        pieces, self._pieces, self._collected = self._pieces, [], 0
        return pieces

    async def quiesce(self) -> None:
        """Wait until no thread works for this writer, whatever it meets."""
        if self._working is not None:
            with contextlib.suppress(Exception):
                await self._working
            self._working = None


class LocalWriter(BatchWriter):
    """Writes one blob. See ``BlobWriter``."""

    def __init__(self, draft: Draft, in_thread: Callable[..., Awaitable[Any]], *, max_bytes: int | None = None) -> None:
        super().__init__(draft, in_thread, max_bytes=max_bytes)
        self._draft = draft
        self._published = False

    async def finish(self) -> Blob:
        """See ``BlobWriter.finish``. A small blob takes one hand-over in all."""
        await self.settle()
        self._working = asyncio.ensure_future(self._in_thread(self._append_and_publish, self.take()))
        blob: Blob = await self.settle()
        self._published = True
        return blob

    async def close(self) -> None:
        """Leave nothing behind but the published blob."""
        await self.quiesce()
        if not self._published:
            await self._in_thread(self._draft.discard)

    def _append_and_publish(self, pieces: list[bytes]) -> Blob:
        self._draft.append(pieces)
        return self._draft.publish()
