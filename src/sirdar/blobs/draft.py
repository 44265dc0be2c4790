"""A blob that is being written: a file in ``tmp/``, hashed as it grows, then fsynced and renamed to its place.

Everything here blocks. ``local.LocalBlobs`` calls it in threads; hashing and writing release the interpreter.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from sirdar.blobs.base import Blob, disk_full, wrong_digest

if sys.platform != "win32":
    import fcntl

MODE = 0o444  # a blob never changes; hard links of it in tasks' directories are read-only too
WORTH_A_THREAD_BYTES = 1 << 18  # hashing less than this takes less than handing it over
WRITEBACK_BYTES = 16 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Draft:
    """One file on its way. ``append`` in order, then ``publish`` or ``discard``. The file is made by the first ``append``.

    The open file is locked while it lives, so that ``clean`` tells a draft in work from one whose process died.
    """

    def __init__(self, root: Path, hashers: Executor, *, expected_sha: str | None = None) -> None:
        self.size_bytes = 0
        self._hashers = hashers
        self._started_bytes = 0  # on their way to the disk
        self._root = root
        self._expected_sha = expected_sha
        self._hash = hashlib.sha256()
        self._path = root / "tmp" / secrets.token_hex(12)
        self._handle: int | None = None

    def append(self, content: bytes) -> None:
        """Hash and write. Raises Problem ``disk_full``; the draft can only be discarded then."""
        self.size_bytes += len(content)
        with full_disk_is_a_problem():
            handle = self._open()
            hashing = hash_beside(self._hashers, self._hash, content)
            try:
                write_all(handle, content)
            finally:
                hashing()
            self._started_bytes = start_writeback(handle, self._started_bytes, self.size_bytes)

    def publish(self) -> Blob:
        """Durable and visible, or Problem (``invalid_field``, ``disk_full``)."""
        sha256 = self._hash.hexdigest()
        if self._expected_sha is not None and sha256 != self._expected_sha:
            raise wrong_digest(self._expected_sha, sha256)
        with full_disk_is_a_problem():
            handle = self._open()
            os.fsync(handle)
            if sys.platform == "win32":
                self._close()  # no open file is renamed there
            place(self._path, self._root, sha256)
        self._close()
        return Blob(sha256, self.size_bytes)

    def discard(self) -> None:
        """Leave nothing behind. Harmless after ``publish``."""
        if self._handle is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._close()

    def _open(self) -> int:
        if self._handle is None:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), MODE)
            lock(self._handle)
        return self._handle

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def blob_path(root: Path, sha256: str) -> Path:
    return root / sha256[:2] / sha256


def place(path: Path, root: Path, sha256: str) -> None:
    """Rename an fsynced file to its place, durably.

    It replaces what may be there: the same bytes, but an inode whose age says that somebody is about to name them.
    """
    target = blob_path(root, sha256)
    try:
        path.replace(target)
    except FileNotFoundError:  # the first blob of its folder: 256 folders at once would make the first start slow
        target.parent.mkdir(exist_ok=True)
        sync_directory(root)
        path.replace(target)
    sync_directory(target.parent)


def keep(path: Path, root: Path, sha256: str) -> None:
    """Make a finished file of this file system a blob, durably; it keeps its own name besides."""
    path.chmod(MODE)
    os.utime(path)  # young, whatever the file was before
    sync_file(path)
    second = root / "tmp" / secrets.token_hex(12)
    os.link(path, second)
    place(second, root, sha256)
    second.unlink(missing_ok=True)  # still there where the blob already was this very file


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(directory: Path) -> None:
    """Make renames in it durable. Windows has no such call; there the file system's journal must do."""
    if sys.platform != "win32":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    handle = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_beside(hashers: Executor, state: "hashlib._Hash", content: bytes) -> Callable[[], object]:
    """Hash while the caller writes; both release the interpreter, so two cores share the work. Call the result to wait."""
    if len(content) >= WORTH_A_THREAD_BYTES:
        return hashers.submit(state.update, content).result
    state.update(content)
    return lambda: None


def start_writeback(handle: int, started: int, written: int) -> int:
    """Have the disk begin with what was written since ``started``, so that the fsync at the end finds little left to do.

    Gives up to where it has begun. Advice only: where the system has no such call, the fsync does it all.
    """
    if sys.platform == "linux" and written - started >= WRITEBACK_BYTES:
        os.posix_fadvise(handle, started, written - started, os.POSIX_FADV_DONTNEED)
        return written
    return started


def write_all(handle: int, content: bytes) -> None:
    """Write all of it, in one call where the disk has room."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def lock(handle: int) -> bool:
    """Lock an open file for as long as it is open, across processes. False where another holds it.

    Where there are no such locks (Windows), one server process owns the directory and the answer is always True.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def clean(root: Path) -> int:
    """Remove the drafts of processes that died. Gives their number."""
    removed = 0
    for path in (root / "tmp").iterdir():
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                if lock(handle):
                    path.unlink()
                    removed += 1
            finally:
                os.close(handle)
    return removed


@contextlib.contextmanager
def full_disk_is_a_problem() -> Iterator[None]:
    """Turns 'no space left' and 'quota exceeded' into Problem ``disk_full``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full() from error
        raise
