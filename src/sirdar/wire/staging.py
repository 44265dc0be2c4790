"""Bringing files from a blob directory on this disk into a task's directory, as fast as the file system lets us.

Small files are copied, so that a program may open its inputs for writing. Larger ones share their blocks (reflink) or, where
the file system cannot, are hard links, read-only. So are small ones where there are very many: making an inode costs up to a
millisecond on an ext4 that has seen much, a link a hundredth of it. Whoever stages must look at the links afterwards: a program
that runs as root, or that changes the mode, can write into the blob itself.

The figures are in docs/decisions/2026-11-22-staging.md.
"""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LINK_OVER_BYTES = 1 << 20
LINK_MANY_OVER = 256
_FICLONE = 0x40049409
_EXECUTABLE = 0o111
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM})
_BY_DIRECTORY = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")


class StageEntry(NamedTuple):
    """One file: from where, to where, with which permissions. ``writable``: the program changes it, so it is never a link."""

    source: str
    target: str
    mode: int
    size_bytes: int
    writable: bool = False


@dataclass(slots=True)
class Staged:
    """What was done: the bytes brought in, and the targets that are hard links to blobs."""

    size_bytes: int = 0
    linked: list[str] = field(default_factory=list)


def stage_files(
    entries: Sequence[StageEntry | tuple[str, str, int, int]],
    *,
    link_over_bytes: int = LINK_OVER_BYTES,
    link_many_over: int = LINK_MANY_OVER,
) -> Staged:
    """Place every file, in order; one that is there already is replaced. Folders are made as needed. Blocks.

    Copies get the mode with the owner's write permission added, links have the blob's (0444), so a file that must be executable
    is never a link. Raises OSError (``FileNotFoundError`` where a source is gone; EIO where it has another size than announced).
    """
    made = [entry if isinstance(entry, StageEntry) else StageEntry(*entry) for entry in entries]
    many = sum(1 for entry in made if not entry.writable and not entry.mode & _EXECUTABLE) > link_many_over
    staged = Staged()
    to_copy: list[StageEntry] = []
    _make_folders(made)
    for entry in made:
        staged.size_bytes += entry.size_bytes
        large = entry.size_bytes > link_over_bytes
        if large and _reflinked(entry):
            continue
        may_link = (large or many) and not entry.writable and not entry.mode & _EXECUTABLE
        if may_link and _linked(entry.source, entry.target):
            staged.linked.append(entry.target)
        elif large:
            _copy_large(entry)
        else:
            to_copy.append(entry)
    _copy_small(to_copy)
    return staged


def _make_folders(entries: Iterable[StageEntry]) -> None:
    made = set()
    for entry in entries:
        folder = entry.target.rpartition("/")[0]
        if folder not in made:
            made.add(folder)
            if not os.path.isdir(folder):  # noqa: PTH112
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103


def _linked(source: str, target: str) -> bool:
    """False where the two lie on different file systems, or the blob has as many links as it can have."""
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            os.unlink(target)  # noqa: PTH108
            os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy_small(entries: Sequence[StageEntry]) -> None:
    """Bare system calls, relative to a folder that is opened once: a ``Path`` or a lookup from the root costs as much again."""
    folder, handle = "", None
    try:
        for entry in entries:
            where, _, name = entry.target.rpartition("/")
            if _BY_DIRECTORY and where != folder:
                if handle is not None:
                    os.close(handle)
                    handle = None
                handle, folder = os.open(where, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)), where
            _write_new(name if handle is not None else entry.target, _content(entry), entry.mode | 0o200, handle)
    finally:
        if handle is not None:
            os.close(handle)


def _content(entry: StageEntry) -> bytes:
    """All bytes of a small blob, by one read, which also shows that it has the size that it should have."""
    handle = os.open(entry.source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        content = os.read(handle, entry.size_bytes + 1)
    finally:
        os.close(handle)
    if len(content) != entry.size_bytes:
        raise OSError(errno.EIO, f"the blob has not the {entry.size_bytes} bytes that it should have", entry.source)
    return content


def _write_new(name: str, content: bytes, mode: int, folder: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(name, flags, mode, dir_fd=folder)
    except FileExistsError:  # an input takes the place of a file of the application
        os.unlink(name, dir_fd=folder)
        handle = os.open(name, flags, mode, dir_fd=folder)
    try:
        while content:
            content = content[os.write(handle, content) :]
    finally:
        os.close(handle)


def _copy_large(entry: StageEntry) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(entry.target)  # noqa: PTH108
    shutil.copyfile(entry.source, entry.target)
    os.chmod(entry.target, entry.mode | 0o200)  # noqa: PTH101


def _reflinked(entry: StageEntry) -> bool:
    """A copy that shares its blocks until one side writes (Btrfs, XFS, bcachefs). False where that cannot be."""
    if sys.platform != "linux":
        return False
    import fcntl

    with contextlib.suppress(FileNotFoundError):
        os.unlink(entry.target)  # noqa: PTH108
    source = os.open(entry.source, os.O_RDONLY)
    try:
        target = os.open(entry.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode | 0o200)
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            os.unlink(entry.target)  # noqa: PTH108
            if error.errno in _NO_REFLINK:
                return False
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True
