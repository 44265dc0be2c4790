"""Archives of code, kept on disk by commit: fetched once however many ask at the same time, the least used leave first."""

import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

STALE_S = 86400.0
_SUFFIX = ".archive"
_PART = ".part"


class _Flight:
    """One archive on its way; ``failure`` is what all who wait for it get."""

    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.failure: Exception | None = None


class ArchiveCache:
    """A directory of archives, at most ``max_bytes`` of them in all besides those in use.

    It may be emptied at any time when nobody uses it, and several processes may share it.
    """

    def __init__(self, directory: Path, *, max_bytes: int = 2 * 2**30) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._flights: dict[str, _Flight] = {}
        self._in_use: Counter[str] = Counter()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_stale(directory)

    @asynccontextmanager
    async def borrowed(self, key: str, produce: Callable[[Path], Awaitable[None]]) -> AsyncIterator[Path]:
        """The archive of a key (letters and digits), kept from eviction inside the ``async with``.

        Where it is missing, ``produce`` writes it to the path it is given. Whoever asks meanwhile waits for that one, and
        gets its error too; if it is cancelled, the next one takes over.
        """
        self._in_use[key] += 1
        try:
            yield await self._obtain(key, produce)
        finally:
            self._in_use[key] -= 1
            if not self._in_use[key]:
                del self._in_use[key]

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A path for a file or directory of one's own on the same file system, not there yet, removed afterwards."""
        path = self._directory / f"{uuid.uuid4().hex}{_PART}"
        try:
            yield path
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, path)

    async def _obtain(self, key: str, produce: Callable[[Path], Awaitable[None]]) -> Path:
        path = self._directory / f"{key}{_SUFFIX}"
        while True:
            if await anyio.to_thread.run_sync(_touch, path):
                return path
            flight = self._flights.get(key)
            if flight is None:
                await self._produce(key, path, produce)
                return path
            await flight.landed.wait()
            if flight.failure is not None:
                raise flight.failure

    async def _produce(self, key: str, path: Path, produce: Callable[[Path], Awaitable[None]]) -> None:
        flight = self._flights[key] = _Flight()
        try:
            async with self.scratch() as part:
                await produce(part)
                await anyio.to_thread.run_sync(os.replace, part, path)
        except Exception as error:
            flight.failure = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        await anyio.to_thread.run_sync(self._evict)

    def _evict(self) -> None:
        kept = []
        for entry in os.scandir(self._directory):
            if entry.name.endswith(_SUFFIX):
                status = entry.stat()
                kept.append((status.st_mtime, status.st_size, Path(entry.path)))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._max_bytes:
                return
            if path.name.removesuffix(_SUFFIX) not in self._in_use:
                path.unlink(missing_ok=True)
                total -= size


def _touch(path: Path) -> bool:
    """Marks a file as used now; False where there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_stale(directory: Path) -> None:
    """What a process that was killed left half written."""
    for entry in directory.glob(f"*{_PART}"):
        if entry.stat().st_mtime < time.time() - STALE_S:
            _remove(entry)
