"""Small blobs that are put many at a time: one journal of them all reaches the disk, in place of a file and a folder for each.

``ROOT/recent/NAME.log`` holds the bytes of what this process put lately, and is fsynced before the blobs are written to their
places, which the system brings to the disk when it likes. When the journal has grown, its blobs are fsynced after all, and it is
removed. After a power failure whoever starts next finds the journal, and puts anew what is not whole in its place. What cannot be
brought to the disk, or put anew, stays in its journal.

Everything here blocks; ``local.LocalBlobs`` calls it in threads.
"""

import contextlib
import ctypes
import hashlib
import os
import secrets
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog

from sirdar.blobs.draft import MODE, blob_path, full_disk_is_a_problem, lock, sync_directory, sync_file
from sirdar.domain.problems import Problem

log = structlog.get_logger()

FOLDER = "recent"
JOURNAL_BYTES, JOURNAL_BLOBS = 16 << 20, 20_000
SMALL_BYTES = 256 << 10  # a larger blob costs more to write twice than to fsync
_HEAD = struct.Struct(">32sI")
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)


class Recent:
    """One process's journal. ``in_background`` runs a call in another thread."""

    def __init__(self, root: Path, in_background: Callable[[Callable[[], None]], object]) -> None:
        self._root = root
        self._folder = root / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._in_background = in_background
        self._lock = threading.Lock()
        self._journal: _Journal | None = None
        self._unsettled: list[_Journal] = []  # whose blobs did not reach the disk when it was tried

    def put(self, contents: Mapping[str, bytes]) -> None:
        """The blobs by digest, durable when it returns. Raises Problem ``disk_full``, OSError."""
        grown = None
        with self._lock, full_disk_is_a_problem():
            if self._journal is None:
                self._journal = _Journal(self._folder)
            try:
                self._journal.append(contents)
            except OSError:
                if self._journal.torn:
                    self._unsettled.append(self._journal)
                    self._journal = None
                raise
            for sha256, content in contents.items():
                self._place(self._journal.draft, sha256, content)
            if self._journal.size_bytes > JOURNAL_BYTES or len(self._journal.digests) > JOURNAL_BLOBS:
                grown, self._journal = self._journal, None
        if grown is not None:
            journal = grown
            self._in_background(lambda: self._settle(journal))

    def close(self) -> None:
        """Brings all to the disk, and leaves no journal behind, but those of blobs that it could not bring there."""
        with self._lock:
            journal, self._journal = self._journal, None
        if journal is not None or self._unsettled:
            self._settle(journal)
        for left in self._unsettled:
            left.close()

    def recover(self) -> None:
        """What the journals of dead processes hold and is not whole in its place is put anew."""
        for path in self._folder.glob("*.log"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if not lock(file.fileno()):
                    continue  # its process lives
                draft = path.with_suffix(".draft")
                draft.unlink(missing_ok=True)
                try:
                    digests = self._put_anew(draft, file.read())
                    self._bring_to_disk(digests)
                    path.unlink()
                except (OSError, Problem) as error:  # the next start tries again: a server without room still starts
                    log.error("blobs_not_recovered", journal=str(path), error=str(error))

    def _put_anew(self, draft: Path, journal: bytes) -> set[str]:
        digests = set()
        with full_disk_is_a_problem():
            for sha256, content in _records(journal):
                digests.add(sha256)
                if not self._is_whole(sha256, content):
                    self._place(draft, sha256, content)
        return digests

    def _is_whole(self, sha256: str, content: bytes) -> bool:
        """As it was written. What the page cache alone holds may still be lost: all are brought to the disk together."""
        place = blob_path(self._root, sha256)
        try:
            if place.read_bytes() == content:
                return True
            place.unlink()  # rather nothing than something else, where there is no room to put it anew
        except FileNotFoundError:
            pass
        return False

    def _place(self, draft: Path, sha256: str, content: bytes) -> None:
        """Writes a blob to its place, where it appears whole. A file that is there is replaced, so that the blob is young."""
        try:
            handle = os.open(draft, _FLAGS, MODE)
            try:
                _write(handle, content)
            finally:
                os.close(handle)
            target = blob_path(self._root, sha256)
            try:
                os.replace(draft, target)  # noqa: PTH105  (once for every blob)
            except FileNotFoundError:
                target.parent.mkdir(exist_ok=True)
                os.replace(draft, target)  # noqa: PTH105
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _settle(self, journal: "_Journal | None") -> None:
        """Its blobs reach the disk, and those of journals that are still to be settled; then these are not needed any more.

        A blob that was removed meanwhile was not wanted any more.
        """
        with self._lock:
            journals, self._unsettled = self._unsettled, []
        if journal is not None:
            journals.append(journal)
        try:
            self._bring_to_disk({sha256 for one in journals for sha256 in one.digests})
        except OSError as error:
            log.error("blobs_not_settled", journals=len(journals), error=str(error))
            with self._lock:
                self._unsettled += journals
            return
        for one in journals:
            one.remove()

    def _bring_to_disk(self, digests: set[str]) -> None:
        """All of them by one call, where the system has one. Raises OSError."""
        if _sync_file_system(self._root):
            return
        folders = {self._root}
        for sha256 in digests:
            place = blob_path(self._root, sha256)
            with contextlib.suppress(FileNotFoundError):
                sync_file(place)
                folders.add(place.parent)
        for folder in folders:
            sync_directory(folder)


class _Journal:
    """An open, locked file of records: digest, length, bytes."""

    def __init__(self, folder: Path) -> None:
        self._path, self._handle = _locked_file(folder)
        sync_directory(folder)
        self.draft = self._path.with_suffix(".draft")  # one at a time
        self.digests: set[str] = set()
        self.size_bytes = 0
        self.torn = False  # a part of a record could not be cut off: nothing can be found behind it

    def append(self, contents: Mapping[str, bytes]) -> None:
        """All or nothing, and on the disk."""
        parts: list[bytes] = []
        for sha256, content in contents.items():
            parts += (_HEAD.pack(bytes.fromhex(sha256), len(content)), content)
        raw = b"".join(parts)
        try:
            _write(self._handle, raw)
            getattr(os, "fdatasync", os.fsync)(self._handle)
        except OSError:
            self._cut()
            raise
        self.size_bytes += len(raw)
        self.digests.update(contents)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._handle, self.size_bytes)
            os.lseek(self._handle, self.size_bytes, os.SEEK_SET)
        except OSError:
            self.torn = True

    def remove(self) -> None:
        self.close()
        # A server that starts just now takes what nobody holds for that of a dead one, and removes it.
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._handle)


def _locked_file(folder: Path) -> tuple[Path, int]:
    """A new one, of this process alone: another that starts at this moment takes what nobody holds for that of a dead one."""
    while True:
        path = folder / f"{secrets.token_hex(12)}.log"
        handle = os.open(path, _FLAGS, 0o600)
        if lock(handle) and path.exists():
            return path, handle
        os.close(handle)


def _sync_file_system(root: Path) -> bool:
    """Everything that was written to a directory's file system reaches the disk, by one call. False where there is none.

    Linux, 5.8 and later, says where it failed (syncfs(2)). Raises OSError then.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        return False
    handle = os.open(root, os.O_RDONLY)
    try:
        if library.syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "the file system cannot be synced", str(root))
    finally:
        os.close(handle)
    return True


def _write(handle: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(handle, view) :]


def _records(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Whole records; one that was cut off ends them."""
    at = 0
    while at + _HEAD.size <= len(raw):
        digest, length = _HEAD.unpack_from(raw, at)
        content = raw[at + _HEAD.size : at + _HEAD.size + length]
        if hashlib.sha256(content).digest() != digest:
            return
        yield digest.hex(), content
        at += _HEAD.size + length
