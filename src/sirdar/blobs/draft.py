"""A blob that is being written: a file in ``tmp/``, hashed as it grows, then fsynced and renamed to its place.

Everything here blocks. ``local.LocalBlobs`` calls it in threads; hashing and writing release the interpreter.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from sirdar.blobs.base import Blob, disk_full, wrong_digest
from sirdar.blobs.disk import GrowingFile, read_ahead

if sys.platform != "win32":
    import fcntl

MODE = 0o444  # a blob never changes; hard links of it in tasks' directories are read-only too
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Draft:
    """One file on its way. ``append`` in order, then ``publish`` or ``discard``. The file is made by the first ``append``.

    The open file is locked while it lives, so that ``clean`` tells a draft in work from one whose process died.
    """

    def __init__(self, root: Path, hashers: Executor, *, expected_sha: str | None = None) -> None:
        self._root = root
        self._hashers = hashers
        self._expected_sha = expected_sha
        self._hash = hashlib.sha256()
        self._path = root / "tmp" / secrets.token_hex(12)
        self._file: GrowingFile | None = None

    def append(self, pieces: Sequence[bytes]) -> None:
        """Hash and write. Raises Problem ``disk_full``; the draft can only be discarded then."""
        with full_disk_is_a_problem():
            self._open().append(pieces)

    def publish(self) -> Blob:
        """Durable and visible, or Problem (``invalid_field``, ``disk_full``)."""
        sha256 = self._hash.hexdigest()
        if self._expected_sha is not None and sha256 != self._expected_sha:
            raise wrong_digest(self._expected_sha, sha256)
        with full_disk_is_a_problem():
            file = self._open()
            os.fsync(file.handle)
            if sys.platform == "win32":
                self._close()  # no open file is renamed there
            place(self._path, self._root, sha256)
        self._close()
        return Blob(sha256, file.size_bytes)

    def discard(self) -> None:
        """Leave nothing behind. Harmless after ``publish``."""
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._close()

    def _open(self) -> GrowingFile:
        if self._file is None:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), MODE)
            lock(handle)
            self._file = GrowingFile(handle, self._hashers, self._hash)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file.handle)
            self._file = None


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
        read_ahead(file.fileno())
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
