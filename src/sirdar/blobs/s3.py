"""Blobs in an S3 bucket: ``ab/abcdef..``. Beside them ``tmp/`` (drafts), ``uploads/`` and ``trash/``.

A large blob goes to ``tmp/`` first, since its name is known at its end only; the service copies it to its place. S3 has no
rename and no lock, so a removal announces itself in ``trash/``: whoever puts the same bytes at that moment sees it, waits, and
puts them again where the removal has taken them. So no put is ever lost.
"""

import asyncio
import contextlib
import hashlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from sirdar.blobs.base import Blob, SharedDirectory, check_sha256, missing, wrong_digest
from sirdar.blobs.draft import digest_of
from sirdar.blobs.s3_bucket import Bucket, Found, S3Place
from sirdar.blobs.s3_uploads import S3Uploads
from sirdar.blobs.s3_writer import S3Writer
from sirdar.domain.problems import Problem

T = TypeVar("T")
P = ParamSpec("P")

THREADS = 8
REMOVERS = 8
PUT_AT_ONCE = 16
DRAFT_KEPT_S = 2 * 86400.0
REMOVAL_S = 120.0  # a removal that was announced so long ago is one of a process that died
LOOK_S = 0.05
PLACE_TRIES = 20


class S3Blobs:
    """The ``BlobStore`` of many servers. ``scratch``: a local directory for blobs that are needed as files."""

    shared: SharedDirectory | None = None

    def __init__(self, place: S3Place, scratch: Path, *, direct: bool = True, address_s: float = 3600.0) -> None:
        """``direct``: agents are given signed addresses, which hold for ``address_s``. Raises ValueError for a bad place."""
        self._bucket = Bucket(place)
        self._scratch = scratch
        self._address_s = address_s if direct else 0.0
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blob")
        self._removers = ThreadPoolExecutor(REMOVERS, thread_name_prefix="blob-remove")
        scratch.mkdir(parents=True, exist_ok=True)
        self.uploads = S3Uploads(self._bucket, self.writer, address_s=self._address_s)

    def close(self) -> None:
        """Wait for what is being done."""
        self._threads.shutdown()
        self._removers.shutdown()

    # ------------------------------------------------------------ put

    @contextlib.asynccontextmanager
    async def writer(self, *, max_bytes: int | None = None, expected_sha: str | None = None) -> AsyncIterator[S3Writer]:
        """See ``BlobStore.writer``."""
        if expected_sha is not None:
            check_sha256(expected_sha)
        writer = S3Writer(self._bucket, self._place, self.in_thread, max_bytes=max_bytes, expected_sha=expected_sha)
        try:
            yield writer
        finally:
            await asyncio.shield(writer.close())

    async def put_bytes(self, content: bytes) -> Blob:
        """See ``BlobStore.put_bytes``."""
        sha256 = hashlib.sha256(content).hexdigest()
        await self._place(sha256, lambda: self._bucket.put(_key(sha256), content))
        return Blob(sha256, len(content))

    async def read_small(self, digests: Collection[str]) -> Mapping[str, bytes]:
        """See ``BlobStore.read_small``: none, each is a call."""
        return {}

    async def put_all(self, contents: Mapping[str, bytes]) -> None:
        """See ``BlobStore.put_all``."""
        at_once = asyncio.Semaphore(PUT_AT_ONCE)

        async def put(content: bytes) -> None:
            async with at_once:
                await self.put_bytes(content)

        await asyncio.gather(*map(put, contents.values()))

    async def put_path(self, path: Path, *, move: bool = False, expected_sha: str | None = None) -> Blob:
        """See ``BlobStore.put_path``. The file is read twice; one that changes in between is refused."""
        sha256 = await self.in_thread(digest_of, path)
        if expected_sha is not None and sha256 != expected_sha:
            raise wrong_digest(expected_sha, sha256)
        async with self.writer(expected_sha=sha256) as writer:
            with path.open("rb", buffering=0) as file:
                while chunk := await self.in_thread(file.read, 1 << 20):
                    await writer.write(chunk)
            blob = await writer.finish()
        if move:
            await self.in_thread(path.unlink)
        return blob

    async def _place(self, sha256: str, put: Callable[[], Awaitable[object]]) -> None:
        """Put a blob so that no removal under way takes it."""
        for _ in range(PLACE_TRIES):
            await put()
            placed = await self._bucket.find(_key(sha256))
            while placed is not None and await self._is_being_removed(sha256, now=placed.modified_at):
                await asyncio.sleep(LOOK_S)
                placed = await self._bucket.find(_key(sha256))
            # Looked at once more after the last announcement was gone: that removal may have been quicker than our first look.
            if placed is not None and await self._bucket.find(_key(sha256)) is not None:
                return
        raise Problem("unavailable", f"Blob {sha256} is removed again and again.", hint="Try again.")

    async def _is_being_removed(self, sha256: str, *, now: float) -> bool:
        announced = await self._bucket.listing(f"trash/{sha256}")
        await self._bucket.delete([one.key for one in announced if one.modified_at < now - REMOVAL_S])
        return any(one.modified_at >= now - REMOVAL_S for one in announced)

    # ------------------------------------------------------------ get

    async def size(self, sha256: str) -> int | None:
        """See ``BlobStore.size``."""
        found = await self._bucket.find(_key(check_sha256(sha256)))
        return None if found is None else found.size_bytes

    async def read(self, sha256: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See ``BlobStore.read``."""
        key = _key(check_sha256(sha256))
        if start or stop is not None:  # the service refuses what lies beyond the end
            size = await self.size(sha256)
            if size is None:
                raise missing(sha256)
            stop = size if stop is None else min(stop, size)
            if start >= stop:
                return
        try:
            async for chunk in self._bucket.read(key, start, stop):
                yield chunk
        except FileNotFoundError:
            raise missing(sha256) from None

    @contextlib.asynccontextmanager
    async def file(self, sha256: str) -> AsyncIterator[Path]:
        """See ``BlobStore.file``."""
        with tempfile.NamedTemporaryFile(prefix="blob-", dir=self._scratch) as file:
            async for chunk in self.read(sha256):
                await self.in_thread(file.write, chunk)
            file.flush()
            yield Path(file.name)

    async def address(self, sha256: str) -> str | None:
        """See ``BlobStore.address``."""
        return await self._bucket.sign("GET", _key(check_sha256(sha256)), self._address_s) if self._address_s else None

    # ------------------------------------------------------------ remove

    def discard(self, digests: Iterable[str], *, older_than: float) -> int:
        """See ``BlobStore.discard``."""
        return sum(self._removers.map(lambda sha256: self._discard_one(check_sha256(sha256), older_than), digests))

    def _discard_one(self, sha256: str, older_than: float) -> bool:
        key, announced = _key(sha256), f"trash/{sha256}/{secrets.token_hex(8)}"
        if not _is_old(self._bucket.find_now(key), older_than):
            return False
        self._bucket.put_now(announced, b"-")
        try:
            if not _is_old(self._bucket.find_now(key), older_than):
                return False
            self._bucket.delete_now([key])
        finally:
            self._bucket.delete_now([announced])
        return True

    def listing(self, part: str) -> Sequence[str]:
        """See ``BlobStore.listing``."""
        names = (found.key.rpartition("/")[2] for found in self._bucket.listing_now(part))
        return [name for name in names if len(name) == 64]

    def clean_drafts(self) -> int:
        """See ``BlobStore.clean_drafts``. Nobody can tell whose draft is still written: those that are days old are not."""
        before = time.time() - DRAFT_KEPT_S
        left = [found.key for found in self._bucket.listing_now("tmp") if found.modified_at < before]
        if left:
            self._bucket.delete_now(left)
        return len(left)

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in one of the store's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _is_old(found: Found | None, older_than: float) -> bool:
    return found is not None and found.modified_at < older_than
