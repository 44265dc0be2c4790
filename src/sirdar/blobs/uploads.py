"""Unfinished uploads: a growing file each, whose length is the offset that the sender continues from.

The file survives a restart of the server; the hash of what has arrived is kept in memory where the same process took it all,
else it is computed anew at the end.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from sirdar.blobs.base import Blob, PieceAddress, busy_upload, wrong_digest, wrong_offset
from sirdar.blobs.disk import GrowingFile
from sirdar.blobs.draft import digest_of, full_disk_is_a_problem, keep, lock
from sirdar.blobs.writer import BatchWriter

MAX_HASHES = 256


class Uploads:
    """The unfinished uploads of a blob directory. Ids come from the store, or are made of checked parts; never from outside."""

    def __init__(self, root: Path, in_thread: Callable[..., Awaitable[Any]], hashers: Executor) -> None:
        self._root = root
        self._in_thread = in_thread
        self._hashers = hashers
        self._hashes: dict[str, tuple[int, Any]] = {}  # id -> (bytes hashed, hashlib object)

    def path(self, upload_id: str) -> Path:
        return self._root / "uploads" / upload_id

    async def offset(self, upload_id: str) -> int:
        """See ``UploadStore.offset``. A stat, too quick to be worth a thread."""
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    @contextlib.asynccontextmanager
    async def append(self, upload_id: str, *, offset: int, length: int) -> AsyncIterator[BatchWriter]:
        """See ``UploadStore.append``."""
        piece: _Piece = await self._in_thread(self._open, upload_id, offset)
        writer = BatchWriter(piece, self._in_thread, max_bytes=length - offset)
        try:
            yield writer
            await writer.settle()
        finally:
            await writer.quiesce()
            await self._in_thread(self._close, upload_id, piece, writer.take())

    async def addresses(self, upload_id: str, *, length: int) -> Sequence[PieceAddress]:
        """See ``UploadStore.addresses``: here everything comes through the server."""
        return ()

    async def complete(self, upload_id: str, *, length: int, sha256: str | None) -> Blob:
        """See ``UploadStore.complete``."""
        blob: Blob = await self._in_thread(self._complete, upload_id, length, sha256)
        return blob

    async def discard(self, upload_id: str) -> None:
        self._hashes.pop(upload_id, None)
        await self._in_thread(self.path(upload_id).unlink, missing_ok=True)

    def listing(self) -> Mapping[str, float]:
        """See ``UploadStore.listing``."""
        found = {}
        for entry in os.scandir(self._root / "uploads"):
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = entry.stat().st_mtime
        return found

    # ------------------------------------------------------------ in threads

    def _open(self, upload_id: str, offset: int) -> "_Piece":
        with full_disk_is_a_problem():
            handle = os.open(self.path(upload_id), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if not lock(handle):
                raise busy_upload()
            size = os.lseek(handle, 0, os.SEEK_END)
            if size != offset:
                raise wrong_offset(size, offset)
        except BaseException:
            os.close(handle)
            raise
        hashed, state = self._hashes.pop(upload_id, (0, hashlib.sha256()))
        return _Piece(handle, self._hashers, state if hashed == size else None, size)

    def _close(self, upload_id: str, piece: "_Piece", rest: Sequence[bytes]) -> None:
        try:
            if not piece.broken:
                piece.append(rest)
            os.fsync(piece.handle)
        finally:
            if piece.state is not None and not piece.broken:
                self._remember(upload_id, piece)
            os.close(piece.handle)

    def _remember(self, upload_id: str, piece: "_Piece") -> None:
        while len(self._hashes) >= MAX_HASHES:
            self._hashes.pop(next(iter(self._hashes)), None)
        self._hashes[upload_id] = (piece.size_bytes, piece.state)

    def _complete(self, upload_id: str, length: int, sha256: str | None) -> Blob:
        path = self.path(upload_id)
        path.touch(0o600)  # an upload of no bytes has no file yet
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            if not lock(handle):
                raise busy_upload()
            if (size := os.fstat(handle).st_size) != length:
                raise wrong_offset(size, length)
            hashed, state = self._hashes.get(upload_id, (-1, None))
            found = state.hexdigest() if hashed == length else digest_of(path)
            if sha256 is not None and found != sha256:
                raise wrong_digest(sha256, found)
            with full_disk_is_a_problem():
                keep(path, self._root, found)
        finally:
            os.close(handle)
        return Blob(found, length)


class _Piece:
    """What one request appends; methods block."""

    def __init__(self, handle: int, hashers: Executor, state: Any, size_bytes: int) -> None:
        self.handle = handle
        self.state = state
        self.broken = False
        self._file = GrowingFile(handle, hashers, state, size_bytes)

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write and hash; after an error only what reached the disk counts, and the hash is given up."""
        try:
            with full_disk_is_a_problem():
                self._file.append(pieces)
        except BaseException:
            self.broken = True
            raise
