"""A blob as a file that is read where one looks: for what has a directory, such as a zip of many gigabytes in a bucket."""

import io

import anyio.from_thread

from sirdar.blobs.base import BlobStore

LEAST_BYTES = 64 * 1024  # what is asked for at a time, at least


class BlobFile(io.RawIOBase):
    """Read and sought in a worker thread of anyio; each range is fetched when it is needed, and the last one is kept.

    Raises Problem ``not_found`` where the blob is gone, OSError where bytes are missing.
    """

    def __init__(self, blobs: BlobStore, sha256: str, size_bytes: int) -> None:
        self._blobs = blobs
        self._sha256 = sha256
        self._size = size_bytes
        self._place = 0
        self._start = 0
        self._kept = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise OSError("a place before the beginning")
        self._place = begin + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._size, self._place + size)
        if stop <= self._place:
            return b""
        if not (self._start <= self._place and stop <= self._start + len(self._kept)):
            self._load(stop)
        found = self._kept[self._place - self._start : stop - self._start]
        self._place = stop
        return found

    def _load(self, stop: int) -> None:
        wanted = min(self._size, max(stop, self._place + LEAST_BYTES))
        content = anyio.from_thread.run(_read, self._blobs, self._sha256, self._place, wanted)
        if len(content) < wanted - self._place:
            raise OSError("the blob is shorter than it should be")
        self._start, self._kept = self._place, content


async def _read(blobs: BlobStore, sha256: str, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in blobs.read(sha256, start, stop)])
