"""Unfinished uploads in S3: objects ``uploads/ID/OFFSET``, so that any server can go on with what another has begun.

A piece comes through a server, or from an agent itself, to a signed address. Nothing of them is believed: ``complete`` reads
all pieces and hashes the very bytes that it writes as the blob.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sirdar.blobs.base import Blob, BlobWriter, PieceAddress, busy_upload, too_large, wrong_offset
from sirdar.blobs.s3_bucket import Bucket, Found

PIECE_BYTES = 8 << 20
DIRECT_PIECE_BYTES = 32 << 20


class S3Uploads:
    """See ``UploadStore``."""

    def __init__(
        self, bucket: Bucket, writer: Callable[..., AbstractAsyncContextManager[BlobWriter]], *, address_s: float
    ) -> None:
        self._bucket = bucket
        self._writer = writer
        self._address_s = address_s

    async def offset(self, upload_id: str) -> int:
        """See ``UploadStore.offset``."""
        _, stop = _chain(await self._pieces(upload_id))
        return stop

    @contextlib.asynccontextmanager
    async def append(self, upload_id: str, *, offset: int, length: int) -> AsyncIterator["S3Appender"]:
        """See ``UploadStore.append``."""
        pieces = await self._pieces(upload_id)
        whole, stop = _chain(pieces)
        if stop != offset:
            raise wrong_offset(stop, offset)
        await self._bucket.delete([piece.key for piece in pieces if piece not in whole])  # beyond a gap, sent directly
        appender = S3Appender(self._bucket, upload_id, offset, length)
        try:
            yield appender
        finally:
            await appender.flush()

    async def addresses(self, upload_id: str, *, length: int) -> Sequence[PieceAddress]:
        """See ``UploadStore.addresses``."""
        if not self._address_s:
            return ()
        pieces = await self._pieces(upload_id)
        _, start = _chain(pieces)
        there = {_offset(piece): piece.size_bytes for piece in pieces}
        found = []
        for offset in range(start, length, DIRECT_PIECE_BYTES):
            size_bytes = min(DIRECT_PIECE_BYTES, length - offset)
            if there.get(offset) != size_bytes:
                url = await self._bucket.sign("PUT", _key(upload_id, offset), self._address_s)
                found.append(PieceAddress(offset, size_bytes, url))
        return found

    async def complete(self, upload_id: str, *, length: int, sha256: str | None) -> Blob:
        """See ``UploadStore.complete``."""
        whole, stop = _chain(await self._pieces(upload_id))
        if stop != length:
            raise wrong_offset(stop, length)
        try:
            async with self._writer(max_bytes=length, expected_sha=sha256) as writer:
                for piece in whole:
                    async for chunk in self._bucket.read(piece.key):
                        await writer.write(chunk)
                return await writer.finish()
        except FileNotFoundError:  # another request has completed it meanwhile
            raise busy_upload() from None

    async def discard(self, upload_id: str) -> None:
        """See ``UploadStore.discard``."""
        await self._bucket.delete([piece.key for piece in await self._pieces(upload_id)])

    def listing(self) -> Mapping[str, float]:
        """See ``UploadStore.listing``."""
        found: dict[str, float] = {}
        for piece in self._bucket.listing_now("uploads"):
            upload_id = piece.key.split("/")[-2]
            found[upload_id] = max(found.get(upload_id, 0.0), piece.modified_at)
        return found

    async def _pieces(self, upload_id: str) -> list[Found]:
        return await self._bucket.listing(f"uploads/{upload_id}")


class S3Appender:
    """Takes what one request brings. What is written stays, also where the sender hangs up."""

    def __init__(self, bucket: Bucket, upload_id: str, offset: int, length: int) -> None:
        self._bucket = bucket
        self._upload_id = upload_id
        self._offset = offset
        self._left = length - offset
        self._most = length - offset
        self._pieces: list[bytes] = []
        self._collected = 0

    async def write(self, chunk: bytes) -> None:
        """See ``BlobWriter.write``. Raises Problem ``conflict`` where another request has written the same piece."""
        self._left -= len(chunk)
        if self._left < 0:
            raise too_large(self._most)
        self._pieces.append(chunk)
        self._collected += len(chunk)
        if self._collected >= PIECE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        if not self._collected:
            return
        content, self._pieces, self._collected = b"".join(self._pieces), [], 0
        if not await self._bucket.put(_key(self._upload_id, self._offset), content, create=True):
            raise busy_upload()
        self._offset += len(content)


def _key(upload_id: str, offset: int) -> str:
    return f"uploads/{upload_id}/{offset:020d}"


def _offset(piece: Found) -> int:
    return int(piece.key.rpartition("/")[2])


def _chain(pieces: Sequence[Found]) -> tuple[list[Found], int]:
    """The pieces that follow one another from the beginning, and where they end."""
    there, whole, stop = {_offset(piece): piece for piece in pieces}, [], 0
    while (piece := there.get(stop)) is not None and piece.size_bytes:
        whole.append(piece)
        stop += piece.size_bytes
    return whole, stop
