"""The agent's cache of blobs: ``ROOT/ab/abcdef..`` and, while they arrive, ``ROOT/partial/abcdef..``.

It is bounded: what was not used for longest goes first. What a task needs stays: blobs that are held while they are staged, and
blobs that are linked into a task's directory, whose removal would free nothing. Where tasks need more than the bound, it
gives way to them.
"""

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sirdar.agent.digests import digest_of

PARTIAL = "partial"
BLOB_MODE = 0o444
RECORD_EVERY_S = 60.0  # how exactly the last use is known to the next agent
PARTIAL_KEPT_S = 86400.0
SYNC_FROM_BYTES = 1 << 20  # smaller ones are read again after the machine has restarted, instead of synced one by one
ROOM_SHARE = 0.1  # of the bound, freed beyond what is needed, so that this is not done for each blob
TOLD_FROM_BYTES = 1 << 20  # of smaller ones the server need not know where they lie
TOLD_MOST = 128
TOLD_CHARS = 16
FREE_SHARE = 0.02  # of the disk, left to others


@dataclass(slots=True)
class _Entry:
    size_bytes: int
    recorded_at: float


class BlobCache:
    """Bounded and least recently used. May be used from any thread."""

    def __init__(self, root: Path, most_bytes: int, *, boot: str = "") -> None:
        """``boot`` tells one run of the machine from another; empty: not known."""
        self._root = root
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._reserved_bytes = 0
        self.version = 1  # grows when a large blob comes or goes
        self._listed: tuple[int, list[str]] = (0, [])
        (root / PARTIAL).mkdir(parents=True, exist_ok=True)
        self._take_stock(boot)

    @property
    def size_bytes(self) -> int:
        """Of all that is here, and of what is on its way."""
        with self._lock:
            return self._size()

    def find(self, sha256: str) -> Path | None:
        """The blob's file; asking is using."""
        path = self._path(sha256)
        with self._lock:
            entry = self._entries.get(sha256)
            if entry is None:
                return None
            if not path.exists():  # somebody has cleared it away
                del self._entries[sha256]
                return None
            self._entries.move_to_end(sha256)
            if (now := time.time()) - entry.recorded_at > RECORD_EVERY_S:
                entry.recorded_at = now
                _record_use(path, now)
        return path

    def large_ones(self) -> list[str]:
        """The beginnings of the digests of large blobs: a bounded number, those that came or were used last."""
        with self._lock:
            if self._listed[0] != self.version:
                large = (sha256 for sha256, entry in reversed(self._entries.items()) if _is_large(entry.size_bytes))
                self._listed = (self.version, [sha256[:TOLD_CHARS] for sha256 in islice(large, TOLD_MOST)])
            return self._listed[1]

    @contextlib.contextmanager
    def hold(self, digests: Collection[str]) -> Iterator[None]:
        """None of these is removed meanwhile, whether it is here already or comes later."""
        with self._lock:
            self._held.update(digests)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(digests)
                self._held += Counter()  # without those at nought

    @contextlib.contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """Room for a blob that is to come. Blocks at its beginning."""
        with self._lock:
            self._make_room(size_bytes)
            self._reserved_bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._reserved_bytes -= size_bytes

    def partial(self, sha256: str) -> Path:
        """Where the blob's first bytes lie until all are here."""
        return self._root / PARTIAL / sha256

    def keep(self, sha256: str) -> Path:
        """Its partial file is whole: from now on it is the blob. Blocks."""
        return self._place(self.partial(sha256), sha256)

    def _place(self, draft: Path, sha256: str) -> Path:
        path = self._path(sha256)
        draft.chmod(BLOB_MODE)
        size_bytes = draft.stat().st_size
        if size_bytes >= SYNC_FROM_BYTES:
            _sync(draft)
        path.parent.mkdir(exist_ok=True)
        draft.replace(path)
        with self._lock:
            self._entries[sha256] = _Entry(size_bytes, time.time())
            self.version += _is_large(size_bytes)
        return path

    def add(self, sha256: str, content: bytes) -> None:
        """A small blob whose bytes are in memory. Blocks. Raises OSError."""
        with self.reserve(len(content)):
            draft = self._root / PARTIAL / f"{uuid.uuid4().hex}.small"
            try:
                draft.write_bytes(content)
                self._place(draft, sha256)
            except OSError:
                draft.unlink(missing_ok=True)
                raise

    def drop_if_spoiled(self, sha256: str) -> None:
        """Removes the blob if its bytes are not what its name says. Blocks."""
        path = self._path(sha256)
        if path.exists() and digest_of(path)[0] != sha256:
            with self._lock:
                self._remove(sha256)

    # ------------------------------------------------------------ within

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def _size(self) -> int:
        return sum(entry.size_bytes for entry in self._entries.values()) + self._reserved_bytes

    def _make_room(self, size_bytes: int) -> None:
        disk = shutil.disk_usage(self._root)
        short = max(
            self._size() + size_bytes - self._most_bytes,
            size_bytes - (disk.free - int(disk.total * FREE_SHARE)),
        )
        if short <= 0:
            return
        short += int(self._most_bytes * ROOM_SHARE)
        for sha256, entry in list(self._entries.items()):
            if short <= 0:
                return
            if not self._held[sha256] and not self._is_linked(sha256):
                self._remove(sha256)
                short -= entry.size_bytes

    def _is_linked(self, sha256: str) -> bool:
        try:
            return self._path(sha256).stat().st_nlink > 1
        except OSError:
            return False

    def _remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)
        entry = self._entries.pop(sha256, None)
        self.version += entry is not None and _is_large(entry.size_bytes)

    def _take_stock(self, boot: str) -> None:
        """What earlier agents left, by their last use. Small blobs may have lost bytes where the machine broke down."""
        mark = self._root / "boot"
        same = boot != "" and mark.exists() and mark.read_text() == boot
        found = []
        for path in self._root.glob("??/*"):
            stat = path.stat()
            if not same and stat.st_size < SYNC_FROM_BYTES and digest_of(path)[0] != path.name:
                path.unlink()
                continue
            found.append((stat.st_atime, path.name, stat.st_size))
        for used_at, name, size_bytes in sorted(found):
            self._entries[name] = _Entry(size_bytes, used_at)
        for path in (self._root / PARTIAL).iterdir():
            if path.stat().st_mtime < time.time() - PARTIAL_KEPT_S:
                path.unlink()
        mark.write_text(boot)


def _is_large(size_bytes: int) -> bool:
    """The server wants to know where it lies."""
    return size_bytes >= TOLD_FROM_BYTES


def _record_use(path: Path, now: float) -> None:
    """As the access time, which many file systems do not write themselves; the other times stay."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(int(now * 1e9), path.stat().st_mtime_ns))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
