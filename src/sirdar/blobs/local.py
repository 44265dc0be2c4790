"""Blobs on the local disk: ``ROOT/ab/abcdef...``, mode 0444.

Besides them the root holds ``tmp/`` (drafts), ``uploads/`` (unfinished uploads), ``trash/`` (being removed), ``recent/`` (journals
of small blobs) and ``.marker``, whose random content proves to an agent on the same machine that it sees the same directory.
"""

import asyncio
import contextlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from sirdar.blobs.base import PARTS, Blob, SharedDirectory, check_sha256, missing, wrong_digest
from sirdar.blobs.disk import read_ahead
from sirdar.blobs.draft import (
    MODE,
    Draft,
    blob_path,
    clean,
    digest_of,
    full_disk_is_a_problem,
    keep,
    sync_directory,
    sync_file,
)
from sirdar.blobs.recent import SMALL_BYTES, Recent
from sirdar.blobs.uploads import Uploads
from sirdar.blobs.writer import LocalWriter
from sirdar.domain.problems import Problem

T = TypeVar("T")
P = ParamSpec("P")

PIECE_BYTES = 1 << 20
THREADS = 4
HASHERS = 2
AT_ONCE = 256  # small blobs in one go to the journal


class LocalBlobs:
    """The ``BlobStore`` of one machine. Making it prepares the directory and removes the drafts of dead processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blob")
        self._hashers = ThreadPoolExecutor(
            HASHERS, thread_name_prefix="blob-hash"
        )  # of their own: a writer waits for them
        for name in ("tmp", "uploads", "trash"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.marker = _marker(root)
        clean(root)
        self._restore_trash()
        # Of their own, too: whoever reads or brings a blob waits neither for a long list of small ones nor for a whole disk.
        self._putter = ThreadPoolExecutor(1, thread_name_prefix="blob-small")
        self._settler = ThreadPoolExecutor(1, thread_name_prefix="blob-settle")
        self._recent = Recent(root, self._settler.submit)
        self._recent.recover()
        self.uploads = Uploads(root, self.in_thread, self._hashers)

    @property
    def shared(self) -> SharedDirectory | None:
        """See ``BlobStore.shared``."""
        return SharedDirectory(self.root, self.marker)

    def close(self) -> None:
        """Wait for what is being written."""
        self._threads.shutdown()
        self._hashers.shutdown()
        self._putter.shutdown()
        self._settler.shutdown()
        self._recent.close()

    # ------------------------------------------------------------ put

    @contextlib.asynccontextmanager
    async def writer(
        self, *, max_bytes: int | None = None, expected_sha: str | None = None
    ) -> AsyncIterator["LocalWriter"]:
        """See ``BlobStore.writer``."""
        if expected_sha is not None:
            check_sha256(expected_sha)
        draft = Draft(self.root, self._hashers, expected_sha=expected_sha)
        writer = LocalWriter(draft, self.in_thread, max_bytes=max_bytes)
        try:
            yield writer
        finally:
            # Shielded: a cancelled request must not leave its draft behind.
            await asyncio.shield(writer.close())

    async def put_bytes(self, content: bytes) -> Blob:
        """See ``BlobStore.put_bytes``."""
        return await self.in_thread(self._put_bytes_now, content)

    def _put_bytes_now(self, content: bytes) -> Blob:
        draft = Draft(self.root, self._hashers)
        try:
            draft.append((content,))
            return draft.publish()
        finally:
            draft.discard()

    async def put_all(self, contents: Mapping[str, bytes]) -> None:
        """See ``BlobStore.put_all``."""
        small = [(sha256, content) for sha256, content in contents.items() if len(content) <= SMALL_BYTES]
        for first in range(0, len(small), AT_ONCE):  # others' small blobs may come between
            part = dict(small[first : first + AT_ONCE])
            await asyncio.get_running_loop().run_in_executor(self._putter, self._recent.put, part)
        for content in contents.values():
            if len(content) > SMALL_BYTES:
                await self.put_bytes(content)

    async def put_path(self, path: Path, *, move: bool = False, expected_sha: str | None = None) -> Blob:
        """See ``BlobStore.put_path``."""
        return await self.in_thread(self.put_path_now, path, move=move, expected_sha=expected_sha)

    def put_path_now(self, path: Path, *, move: bool = False, expected_sha: str | None = None) -> Blob:
        """``put_path`` for code that runs in a thread of its own."""
        if move and path.stat().st_dev == self.root.stat().st_dev:
            return self._take_over(path, expected_sha)
        draft = Draft(self.root, self._hashers, expected_sha=expected_sha)
        try:
            with path.open("rb", buffering=0) as source:
                read_ahead(source.fileno())
                draft.append(())
                while chunk := source.read(PIECE_BYTES):
                    draft.append((chunk,))
            blob = draft.publish()
        finally:
            draft.discard()
        if move:
            path.unlink()
        return blob

    async def adopt(self, sha256: str, size_bytes: int, *, verify: bool = False) -> Blob:
        """Accept what an agent on this machine has put in place itself.

        Raises Problem ``not_found`` where it is not there, ``invalid_field`` where it is not a regular file of that size or
        (with ``verify``, which reads it) of that digest. The caller registers it afterwards.
        """
        return await self.in_thread(self._adopt, check_sha256(sha256), size_bytes, verify)

    # ------------------------------------------------------------ get

    def path(self, sha256: str) -> Path:
        """Where the blob lies, or would lie."""
        return blob_path(self.root, check_sha256(sha256))

    def open(self, sha256: str) -> BinaryIO:
        """The blob, for reading, unbuffered. Raises Problem ``not_found``."""
        try:
            file = self.path(sha256).open("rb", buffering=0)
        except FileNotFoundError:
            raise missing(sha256) from None
        read_ahead(file.fileno())
        return file

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    async def size(self, sha256: str) -> int | None:
        """See ``BlobStore.size``. A stat, too quick to be worth a thread."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    async def read_small(self, digests: Collection[str]) -> Mapping[str, bytes]:
        """See ``BlobStore.read_small``."""
        return await self.in_thread(self._read_small_now, digests)

    def _read_small_now(self, digests: Collection[str]) -> dict[str, bytes]:
        found = {}
        for sha256 in digests:
            with contextlib.suppress(FileNotFoundError):
                found[sha256] = self.path(sha256).read_bytes()
        return found

    async def read(self, sha256: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See ``BlobStore.read``."""
        with self.open(sha256) as file:
            file.seek(start)
            while stop is None or start < stop:
                wanted = PIECE_BYTES if stop is None else min(PIECE_BYTES, stop - start)
                if not (chunk := await self.in_thread(file.read, wanted)):
                    return
                start += len(chunk)
                yield chunk

    @contextlib.asynccontextmanager
    async def file(self, sha256: str) -> AsyncIterator[Path]:
        """See ``BlobStore.file``: the very blob."""
        if not self.exists(sha256):
            raise missing(sha256)
        yield self.path(sha256)

    async def address(self, sha256: str) -> str | None:
        """See ``BlobStore.address``: agents fetch from the server."""
        return None

    # ------------------------------------------------------------ remove

    def discard(self, digests: Iterable[str], *, older_than: float) -> int:
        """See ``BlobStore.discard``.

        A blob is moved aside before its age is read: a put that comes in between makes a new file under the old name, and
        a file that proves to be young goes back. So no put is ever lost, without a lock that every put would have to take.
        """
        removed = 0
        for sha256 in digests:
            source, aside = blob_path(self.root, check_sha256(sha256)), self.root / "trash" / sha256
            with contextlib.suppress(FileNotFoundError):
                source.rename(aside)
                if aside.stat().st_mtime < older_than:
                    aside.unlink()
                    removed += 1
                else:
                    _put_back(aside, source)
        return removed

    async def delete(self, sha256: str) -> bool:
        """Remove a blob whatever its age. False where there is none."""
        return bool(await self.in_thread(self.discard, [sha256], older_than=float("inf")))

    def listing(self, part: str) -> Sequence[str]:
        """See ``BlobStore.listing``."""
        if part not in PARTS:
            raise ValueError(f"{part!r} is not two hexadecimal digits")
        try:
            return [name for name in os.listdir(self.root / part) if len(name) == 64]  # noqa: PTH208
        except FileNotFoundError:
            return []

    def clean_drafts(self) -> int:
        """See ``BlobStore.clean_drafts``."""
        return clean(self.root)

    # ------------------------------------------------------------ within

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in one of the store's own threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))

    def _take_over(self, path: Path, expected_sha: str | None) -> Blob:
        """Move a file of this file system to its place, without copying."""
        sha256 = digest_of(path)
        if expected_sha is not None and sha256 != expected_sha:
            raise wrong_digest(expected_sha, sha256)
        with full_disk_is_a_problem():
            keep(path, self.root, sha256)
        path.unlink()
        return Blob(sha256, self.path(sha256).stat().st_size)

    def _adopt(self, sha256: str, size_bytes: int, verify: bool) -> Blob:
        path = blob_path(self.root, sha256)
        try:
            found = path.lstat()
        except FileNotFoundError:
            raise missing(sha256) from None
        if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
            raise Problem(
                "invalid_field",
                f"Blob {sha256} is {found.st_size} bytes on the server's disk, not {size_bytes}, or is no regular file.",
                field="size",
                expected="the size of the file that was put in place",
            )
        if verify and (digest := digest_of(path)) != sha256:
            raise wrong_digest(sha256, digest)
        with full_disk_is_a_problem():
            if found.st_mode & 0o777 != MODE:
                path.chmod(MODE)
            sync_file(path)
            sync_directory(path.parent)
            sync_directory(self.root)  # the agent may have made the folder
        return Blob(sha256, size_bytes)

    def adopt_all(self, sizes: Mapping[str, int], *, renew: Collection[str]) -> list[Blob]:
        """Those of the blobs that an agent has put in place, without those that are not there or not as told. Blocks.

        ``renew``: they have no row; ``discard`` shall pass them by.
        """
        found = []
        for sha256, size_bytes in sizes.items():
            with contextlib.suppress(Problem):
                check_sha256(sha256)
                if sha256 in renew:
                    self.renew(sha256)
                found.append(self._adopt(sha256, size_bytes, verify=False))
        return found

    def renew(self, sha256: str) -> None:
        """Make a blob that has no row young, so that ``discard`` passes it by. Raises Problem ``not_found``."""
        try:
            os.utime(blob_path(self.root, sha256))
        except FileNotFoundError:
            raise missing(sha256) from None

    def _restore_trash(self) -> None:
        """After a crash in ``discard``: what lies aside goes back; the next sweep removes it again if it should."""
        for aside in (self.root / "trash").iterdir():
            with contextlib.suppress(FileNotFoundError):
                _put_back(aside, blob_path(self.root, aside.name))


def _marker(root: Path) -> str:
    path = root / ".marker"
    with contextlib.suppress(FileExistsError):
        draft = root / "tmp" / secrets.token_hex(12)
        draft.write_text(secrets.token_urlsafe(24))
        try:
            os.link(draft, path)  # whole at once, and the first one wins where two servers share the directory
        finally:
            draft.unlink()
    return path.read_text()


def _put_back(aside: Path, place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    if place.exists():
        aside.unlink()
    else:
        aside.rename(place)
