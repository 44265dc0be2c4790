"""Writing one blob to S3: a small one in one request, a large one as a draft that the service copies to its place."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sirdar.blobs.base import Blob, too_large, wrong_digest
from sirdar.blobs.s3_bucket import Bucket, Found

SMALL_BYTES = 8 << 20
BATCH_BYTES = 4 << 20
BATCHES_WAITING = 2

Place = Callable[[str, Callable[[], Awaitable[object]]], Awaitable[None]]


class _GivenUp(Exception):
    """The draft is not wanted any more."""


class S3Writer:
    """See ``BlobWriter``. ``place`` puts a blob in the place of its name by the function that it is given."""

    def __init__(
        self,
        bucket: Bucket,
        place: Place,
        in_thread: Callable[..., Awaitable[Any]],
        *,
        max_bytes: int | None = None,
        expected_sha: str | None = None,
    ) -> None:
        self.size_bytes = 0  # taken so far
        self._bucket = bucket
        self._place = place
        self._in_thread = in_thread
        self._max_bytes = max_bytes
        self._expected_sha = expected_sha
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._collected = 0
        self._draft = f"tmp/{secrets.token_hex(12)}"
        self._queue: asyncio.Queue[bytes | _GivenUp | None] = asyncio.Queue(BATCHES_WAITING)
        self._sending: asyncio.Task[bool] | None = None

    async def write(self, chunk: bytes) -> None:
        """See ``BlobWriter.write``."""
        self.size_bytes += len(chunk)
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self._pieces.append(chunk)
        self._collected += len(chunk)
        if self._collected >= (BATCH_BYTES if self._sending is not None else SMALL_BYTES):
            await self._send(await self._take())

    async def finish(self) -> Blob:
        """See ``BlobWriter.finish``."""
        rest = await self._take()
        sha256 = self._hash.hexdigest()
        if self._expected_sha is not None and sha256 != self._expected_sha:
            raise wrong_digest(self._expected_sha, sha256)
        key = f"{sha256[:2]}/{sha256}"
        if self._sending is None:
            await self._place(sha256, lambda: self._bucket.put(key, rest))
        else:
            await self._send(rest)
            await self._offer(None)
            await self._sending
            draft = Found(self._draft, self.size_bytes, 0.0)
            await self._place(sha256, lambda: self._bucket.copy(draft, key))
        return Blob(sha256, self.size_bytes)

    async def close(self) -> None:
        """Leave nothing behind but the blob in its place."""
        if self._sending is None:
            return
        while not self._sending.done():
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(_GivenUp())  # not a cancellation: obstore would leave the parts that were sent
            await asyncio.wait([self._sending], timeout=0.05)
        self._sending.exception()
        await self._bucket.delete([self._draft])

    async def _take(self) -> bytes:
        """What has been collected, hashed."""
        pieces, self._pieces, self._collected = self._pieces, [], 0
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(content) > 1 << 18:
            await self._in_thread(self._hash.update, content)
        else:
            self._hash.update(content)
        return content

    async def _send(self, content: bytes) -> None:
        if self._sending is None:
            self._sending = asyncio.create_task(self._bucket.put(self._draft, self._sent()))
        if content:
            await self._offer(content)

    async def _offer(self, content: bytes | None) -> None:
        """Waits where the service is slower than the sender; raises what it met."""
        assert self._sending is not None
        offering = asyncio.ensure_future(self._queue.put(content))
        try:
            await asyncio.wait({offering, self._sending}, return_when=asyncio.FIRST_COMPLETED)
            if not offering.done():
                await self._sending
        finally:
            offering.cancel()

    async def _sent(self) -> AsyncIterator[bytes]:
        while (content := await self._queue.get()) is not None:
            if isinstance(content, _GivenUp):
                raise content
            yield content
