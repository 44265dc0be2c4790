"""Bytes by their sha256: from the server (or its directory, where the agent shares its disk), kept in a cache."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from sirdar.agent.backoff import Backoff
from sirdar.agent.events import get_logger
from sirdar.agent.home import try_lock
from sirdar.agent.link import Link, LinkError, Refused, Unreachable
from sirdar.agent.settings import Settings

log = get_logger(__name__)

COPY_BYTES = 1 << 20
BLOB_MODE = 0o444
FETCHED_AT_ONCE = 64
DRAFT = "agent-"  # how our names in the server's directory begin


class BlobMissing(Exception):
    """The server does not give the blob, or what it gives has another digest."""


class Blobs:
    """Where blobs are found and where they are put."""

    def __init__(self, settings: Settings, cache: Path, link: Link) -> None:
        self._settings = settings
        self._cache = cache
        self._link = link
        self._shared: Path | None = None
        self._transfers = asyncio.Semaphore(settings.transfers)
        self._fetching: dict[str, asyncio.Future[Path]] = {}
        self._room = threading.Lock()
        self._cached_bytes: int | None = None  # not known yet
        shutil.rmtree(cache / "tmp", ignore_errors=True)
        (cache / "tmp").mkdir(parents=True)

    def share(self, directory: str | None, marker: str | None) -> None:
        """Uses the server's own directory where its marker file proves that it is the same one, on this machine."""
        self._shared = None
        if directory and marker:
            try:
                if (Path(directory) / ".marker").read_text().strip() == marker.strip():
                    self._shared = Path(directory)
                    (self._shared / "tmp").mkdir(exist_ok=True)
                    clear_drafts(self._shared)
            except OSError:
                return

    @property
    def shared(self) -> Path | None:
        return self._shared

    def find(self, sha256: str) -> Path | None:
        """The blob's file, if it is here."""
        for root in (self._shared, self._cache):
            if root is not None:
                path = root / sha256[:2] / sha256
                if path.exists():
                    return path
        return None

    async def fetch_all(self, sizes: Mapping[str, int]) -> None:
        """Sees to it that all of these are here; ``sizes`` by digest. Raises as ``fetch`` does, when none is under way any more."""
        missing = [sha256 for sha256 in sizes if self.find(sha256) is None]
        for begin in range(0, len(missing), FETCHED_AT_ONCE):
            part = missing[begin : begin + FETCHED_AT_ONCE]
            done = await asyncio.gather(*[self.fetch(sha256, sizes[sha256]) for sha256 in part], return_exceptions=True)
            for result in done:
                if isinstance(result, BaseException):
                    raise result

    async def fetch(self, sha256: str, size_bytes: int) -> Path:
        """The blob's file; it is fetched once, however many ask for it. Raises BlobMissing or OSError."""
        while True:
            found = self.find(sha256)
            if found is not None:
                return found
            if sha256 not in self._fetching:
                break
            await asyncio.wait([self._fetching[sha256]])
        future: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        self._fetching[sha256] = future
        try:
            async with self._transfers:
                return await self._fetch_for_ever(sha256, size_bytes)
        finally:
            del self._fetching[sha256]
            future.cancel()

    async def _fetch_for_ever(self, sha256: str, size_bytes: int) -> Path:
        backoff = Backoff(self._settings)
        while True:
            try:
                return await self._download(sha256, size_bytes)
            except Unreachable as error:
                log.warning("blob_fetch_waits", sha256=sha256, error=str(error))
                await backoff.wait()
            except Refused as error:
                raise BlobMissing(f"the server does not give the file {sha256[:12]}: {error.detail}") from error

    async def _download(self, sha256: str, size_bytes: int) -> Path:
        await asyncio.to_thread(self._make_room, size_bytes)
        temporary = self._cache / "tmp" / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with temporary.open("wb") as file:
                async for chunk in self._link.get_blob(sha256):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256:
                raise BlobMissing(f"the server sent other bytes than those of {sha256[:12]}")
            temporary.chmod(BLOB_MODE)
            target = self._cache / sha256[:2] / sha256
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def _make_room(self, size_bytes: int) -> None:
        """Keeps the cache under its limit: what was not used for longest goes first.

        The sum is carried on from one blob to the next; the directory is looked through only when it says that it is full.
        """
        with self._room:
            if self._cached_bytes is None or self._cached_bytes + size_bytes > self._settings.cache_bytes:
                self._cached_bytes = self._evict(self._settings.cache_bytes - size_bytes)
            self._cached_bytes += size_bytes

    def _evict(self, most_bytes: int) -> int:
        """Leaves a tenth of room where there is none; returns how many bytes the cache has then."""
        entries = [(path, path.stat()) for path in self._cache.glob("??/*")]
        total = sum(stat.st_size for _, stat in entries)
        if total > most_bytes:
            for path, stat in sorted(entries, key=lambda entry: entry[1].st_atime):
                if total <= most_bytes * 0.9:
                    break
                path.unlink(missing_ok=True)
                total -= stat.st_size
        return total

    async def store(self, path: Path, *, final: bool = False) -> tuple[str, int]:
        """Brings a file to the server; returns its digest and size when it is there.

        ``final``: nobody will write to it any more, so its very blocks may become the blob's. Raises OSError where it
        cannot be read or the disk is full, Refused where the server does not take it.
        """
        async with self._transfers:
            if self._shared is not None:
                sha256, size_bytes = await asyncio.to_thread(put_shared, path, self._shared, final=final)
            else:
                sha256, size_bytes = await asyncio.to_thread(digest_of, path)
            backoff = Backoff(self._settings)
            while True:
                try:
                    if self._shared is not None:
                        await self._link.register_blob(sha256, size_bytes)
                    elif size_bytes < COPY_BYTES or not await self._link.has_blob(sha256):
                        await self._link.put_blob(sha256, path)
                except Refused:
                    # The server has just cleared the file away, or does not see our directory: it gets the bytes.
                    if self._shared is None:
                        raise
                    await self._put(sha256, path)
                    return sha256, size_bytes
                except Unreachable as error:
                    log.warning("blob_upload_waits", sha256=sha256, error=str(error))
                    await backoff.wait()
                else:
                    return sha256, size_bytes

    async def _put(self, sha256: str, path: Path) -> None:
        backoff = Backoff(self._settings)
        while True:
            try:
                await self._link.put_blob(sha256, path)
            except Unreachable:
                await backoff.wait()
            else:
                return

    async def quarantine(self, sha256: str) -> None:
        """A program wrote into a file that it shares with others: it must not be used again, here or by the server.

        Where the server does not answer, this is done here alone; its next reader finds the file gone.
        """
        log.warning("blob_spoiled", sha256=sha256)
        roots = [root for root in (self._cache, self._shared) if root is not None]
        await asyncio.to_thread(_remove_spoiled, [root / sha256[:2] / sha256 for root in roots], sha256)
        if self._shared is not None:
            try:
                await self._link.report_spoiled(sha256)
            except LinkError as error:
                log.warning("blob_spoiled_not_told", sha256=sha256, error=str(error))


def _remove_spoiled(paths: Iterable[Path], sha256: str) -> None:
    for path in paths:
        if path.exists() and digest_of(path)[0] != sha256:
            path.unlink(missing_ok=True)


def digest_of(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def put_shared(path: Path, root: Path, *, final: bool) -> tuple[str, int]:
    """Puts a file into the server's blob directory, durably; returns its digest and size."""
    temporary = root / "tmp" / f"{DRAFT}{uuid.uuid4().hex}"
    try:
        with contextlib.ExitStack() as stack:
            sha256, size_bytes = _draft(path, temporary, stack, final=final)
            target = root / sha256[:2] / sha256
            if target.exists() and target.stat().st_size == size_bytes:
                return sha256, size_bytes
            temporary.chmod(BLOB_MODE)
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
            _sync_file(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return sha256, size_bytes


def _draft(path: Path, temporary: Path, stack: contextlib.ExitStack, *, final: bool) -> tuple[str, int]:
    """A whole, durable draft. It is locked until the stack ends: a server that starts clears away those of the dead only."""
    source = stack.enter_context(path.open("rb"))
    # A link, not a rename: if the agent dies before the final is written down, the next one finds the file again.
    if final and os.fstat(source.fileno()).st_nlink == 1 and try_lock(source.fileno()) and _linked(path, temporary):
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        os.fsync(source.fileno())
        return digest, source.tell()
    out = stack.enter_context(temporary.open("xb"))
    try_lock(out.fileno())
    return _copy_hashing(source, out)


def clear_drafts(root: Path) -> None:
    """Removes what an agent that died left in the server's directory; what somebody works at is locked."""
    for path in (root / "tmp").glob(f"{DRAFT}*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if try_lock(file.fileno()):
                path.unlink()


def _linked(path: Path, target: Path) -> bool:
    try:
        target.hardlink_to(path)
    except OSError:
        return False
    return True


def _copy_hashing(source: BinaryIO, out: BinaryIO) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := source.read(COPY_BYTES):
        digest.update(chunk)
        out.write(chunk)
        size_bytes += len(chunk)
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest(), size_bytes


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
