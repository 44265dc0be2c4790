"""Bytes by their sha256: from the server (or its directory, where the agent shares its disk), kept in a cache."""

import asyncio
import contextlib
import hashlib
import os
import uuid
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from sirdar.agent.cache import BLOB_MODE, BlobCache
from sirdar.agent.digests import digest_of
from sirdar.agent.events import get_logger
from sirdar.agent.fetch import Fetches
from sirdar.agent.fetch_small import SmallFetches
from sirdar.agent.home import try_lock
from sirdar.agent.link import Link, LinkError
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.register import Registrations
from sirdar.agent.settings import Settings
from sirdar.agent.upload import Uploads

log = get_logger(__name__)

COPY_BYTES = 1 << 20
FETCHED_AT_ONCE = 64
DRAFT = "agent-"  # how our names in the server's directory begin


class Blobs:
    """Where blobs are found and where they are put."""

    def __init__(self, settings: Settings, cache: Path, link: Link) -> None:
        self._settings = settings
        self._cache = BlobCache(cache, settings.cache_bytes, boot=boot_id())
        self._link = link
        self._shared: Path | None = None
        self.small_bytes = 0  # so much of files the server takes in a final
        self._transfers = asyncio.Semaphore(settings.transfers)
        self._fetches = Fetches(settings, self._cache, link, self._transfers)
        self._small = SmallFetches(self._cache, link)
        self._uploads = Uploads(settings, link)
        self._registrations = Registrations(settings, link)

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

    @property
    def version(self) -> int:
        """Grows when a large blob comes or goes."""
        return self._cache.version

    def large_ones(self) -> list[str] | None:
        """Beginnings of the digests of large blobs in the cache; None where the server's own directory is used."""
        return None if self._shared is not None else self._cache.large_ones()

    def find(self, sha256: str) -> Path | None:
        """The blob's file, if it is here."""
        if self._shared is not None:
            path = self._shared / sha256[:2] / sha256
            if path.exists():
                return path
        return self._cache.find(sha256)

    def hold(self, digests: Collection[str]) -> AbstractContextManager[None]:
        """What is being staged stays in the cache."""
        return self._cache.hold(digests) if digests and self._shared is None else contextlib.nullcontext()

    async def fetch_all(self, sizes: Mapping[str, int]) -> None:
        """Sees to it that all of these are here; ``sizes`` by digest. Raises as ``fetch`` does, when none is under way any more."""
        missing = [sha256 for sha256 in sizes if self.find(sha256) is None]
        for begin in range(0, len(missing), FETCHED_AT_ONCE):
            part = missing[begin : begin + FETCHED_AT_ONCE]
            done = await asyncio.gather(*[self.fetch(sha256, sizes[sha256]) for sha256 in part], return_exceptions=True)
            for result in done:
                if isinstance(result, BaseException):
                    raise result

    async def fetch_small(self, sizes: Mapping[str, int]) -> None:
        """Small ones of these that are not here, as many as a few calls bring; ``sizes`` by digest. Raises OSError."""
        missing = {sha256: size_bytes for sha256, size_bytes in sizes.items() if self.find(sha256) is None}
        if missing:
            await self._small.fetch(missing)

    async def fetch(self, sha256: str, size_bytes: int) -> Path:
        """The blob's file; it is fetched once, however many ask for it. Raises BlobMissing or OSError."""
        return self.find(sha256) or await self._fetches.fetch(sha256, size_bytes)

    async def store(self, path: Path, *, final: bool = False) -> tuple[str, int]:
        """Brings a file to the server; returns its digest and size when it is there.

        ``final``: nobody will write to it any more, so its very blocks may become the blob's. Raises OSError where it
        cannot be read or the disk is full, Refused where the server does not take it.
        """
        async with self._transfers:
            if self._shared is not None:
                sha256, size_bytes = await asyncio.to_thread(put_shared, path, self._shared, final=final)
                if await self._registrations.register(sha256, size_bytes):
                    return sha256, size_bytes
            else:
                sha256, size_bytes = await asyncio.to_thread(digest_of, path)
            await self._uploads.send(path, sha256, size_bytes)
            return sha256, size_bytes

    async def quarantine(self, sha256: str) -> None:
        """A program wrote into a file that it shares with others: it must not be used again, here or by the server.

        Where the server does not answer, this is done here alone; its next reader finds the file gone.
        """
        log.warning("blob_spoiled", sha256=sha256)
        await asyncio.to_thread(self._cache.drop_if_spoiled, sha256)
        if self._shared is not None:
            await asyncio.to_thread(_remove_spoiled, self._shared / sha256[:2] / sha256, sha256)
            try:
                await self._link.report_spoiled(sha256)
            except LinkError as error:
                log.warning("blob_spoiled_not_told", sha256=sha256, error=str(error))


def _remove_spoiled(path: Path, sha256: str) -> None:
    if path.exists() and digest_of(path)[0] != sha256:
        path.unlink(missing_ok=True)


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
