"""Archives from strangers: what is in a zip or tar, unpacking it without harm, and packing files as a zip.

Server and agent both use it (an application's files, directory inputs, exports), hence its place here. All functions are
synchronous and work in constant memory per member; an archive that cannot be accepted is a Problem ``invalid_archive``
that names the member, and leaves nothing behind.
"""

import os
import shutil
import stat
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal

from sirdar.domain.problems import Problem
from sirdar.wire.archive_formats import Archive, Entry, EntryKind, Limits, is_zip, open_archive, open_stream, refused
from sirdar.wire.archive_names import check_name, resolve_link

__all__ = ["Limits", "Member", "Unpacked", "ZipEntry", "list_archive", "list_zip", "pack_zip", "unpack", "walk"]

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
COPY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in an archive. ``modified``: seconds since 1970, or None; ``link_to``: where a link points."""

    name: str
    size_bytes: int
    is_dir: bool
    modified: float | None
    link_to: str | None = None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive became: number and total size of its files."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One member for ``pack_zip``: ``source`` is the file with its bytes, the bytes, or None for an empty directory."""

    name: str
    source: Path | bytes | None
    mode: int = 0o644


def list_archive(path: Path, limits: Limits | None = None) -> list[Member]:
    """The members of a zip, tar, tar.gz, tar.bz2 or tar.xz, in the archive's order. Names are as they stand there.

    A compressed tar is read through, so the limits hold for what it would become.
    """
    with open_archive(path, limits or Limits()) as archive:
        return _members(archive)


def list_zip(raw: IO[bytes], name: str, size_bytes: int, limits: Limits | None = None) -> list[Member]:
    """The same of a zip that can be read and sought like a file: only its directory is read, and where links point.

    Raises Problem ``invalid_archive``, also for what is another kind of archive.
    """
    if not is_zip(raw):
        raise Problem("invalid_archive", f"The file {name!r} cannot be read as an archive: it is no zip.")
    with open_stream(raw, name, size_bytes, limits or Limits()) as archive:
        return _members(archive)


def _members(archive: Archive) -> list[Member]:
    return [
        Member(e.name, e.size_bytes, e.kind is EntryKind.DIRECTORY, e.modified, e.link_to) for e in archive.entries()
    ]


def unpack(
    path: Path, target: Path, limits: Limits | None = None, *, outward_links: Literal["refuse", "skip"] = "refuse"
) -> Unpacked:
    """Unpacks an archive into ``target``, which is made, or must be empty.

    Refused: names that lead out of the target or that this system cannot hold, links that lead out, devices, pipes, a name
    that stands twice, more files or bytes than the limits, a compression ratio of a bomb, encrypted or damaged members.
    Files get permissions as in the archive, without setuid, readable and writable by their owner. With ``outward_links``
    ``skip``, links that lead out are left out instead, for a repository may well have some.
    """
    existed = target.exists()
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise ValueError(f"{target} is not empty")
    try:
        with open_archive(path, limits or Limits()) as archive:
            return _Unpacking(target, limits or Limits(), outward_links == "skip").run(archive.entries())
    except BaseException:
        _clear(target, itself=not existed)
        raise


def pack_zip(entries: Iterable[ZipEntry], sink: BinaryIO, *, level: int = 6) -> None:
    """Writes a zip of the entries, in order of their names. The same entries give the same bytes, at any time and place.

    ``sink`` needs ``write`` only. ValueError for a name that ``unpack`` would refuse, or that stands twice.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    with zipfile.ZipFile(_WriteOnly(sink), "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        previous: str | None = None
        for entry in ordered:
            reason = "it stands there twice" if entry.name == previous else check_name(entry.name)
            if reason is not None:
                raise ValueError(f"{entry.name!r} cannot stand in an archive: {reason}")
            previous = entry.name
            _pack_one(archive, entry)


def walk(directory: Path, *, outward_links: bool = False) -> list[ZipEntry]:
    """All that is below a directory, ordered by name, for ``pack_zip`` or for storing file by file.

    A link to a regular file inside the directory counts as that file; links to directories, links that lead out (unless
    ``outward_links``: then they count too) and things that are not files are left out. Empty directories are kept.
    """
    root = directory.resolve()
    return sorted(_walk(root, root, outward_links), key=lambda entry: entry.name)


class _Unpacking:
    """One archive on its way to disk. Links are made last, when no file can be written through them any more."""

    def __init__(self, target: Path, limits: Limits, skip_outward: bool) -> None:
        self._target = target
        self._limits = limits
        self._skip_outward = skip_outward
        self._files: dict[str, Path] = {}  # by the name as the file system compares it
        self._directories: set[str] = set()
        self._links: dict[str, str] = {}
        self._size = 0

    def run(self, entries: Iterator[Entry]) -> Unpacked:
        for entry in entries:
            if reason := check_name(entry.name.rstrip("/")):
                raise refused(entry.name, reason)
            self._take(entry, str(PurePosixPath(entry.name)))
        self._make_links()
        return Unpacked(len(self._files), self._size)

    def _take(self, entry: Entry, name: str) -> None:
        if name == ".":
            return
        if entry.kind is EntryKind.DIRECTORY:
            self._make_directory(name, entry.name)
            return
        key = fold(name)
        if key in self._files or key in self._directories or key in self._links:
            raise refused(entry.name, "the name stands in the archive twice")
        self._make_directory(str(PurePosixPath(name).parent), entry.name)
        if entry.kind is EntryKind.SYMLINK:
            self._links[key] = entry.link_to or ""
            self._files[key] = self._target / name
        elif entry.kind is EntryKind.HARDLINK:
            self._copy_hardlink(entry, name)
        else:
            self._write(entry, name)

    def _make_directory(self, name: str, member: str) -> None:
        for part in [PurePosixPath(name), *PurePosixPath(name).parents]:
            key = fold(str(part))
            if key in self._files or key in self._links:
                raise refused(member, f"{part} is a file or link in the same archive")
            if key in self._directories:
                break
            self._directories.add(key)
        (self._target / name).mkdir(parents=True, exist_ok=True)

    def _write(self, entry: Entry, name: str) -> None:
        path = self._target / name
        with entry.open() as source, path.open("xb") as out:
            while chunk := source.read(COPY_BYTES):
                self._count(len(chunk), entry.name)
                out.write(chunk)
        path.chmod(entry.mode & 0o777 | 0o600)
        if entry.modified is not None and 0 <= entry.modified < 2**33:
            os.utime(path, (entry.modified, entry.modified))
        self._files[fold(name)] = path

    def _copy_hardlink(self, entry: Entry, name: str) -> None:
        """A copy, not a link: two names for one file would let a program that changes one change the other unseen."""
        original = self._files.get(fold(str(PurePosixPath(entry.link_to or ""))))
        if original is None or not original.is_file():
            raise refused(entry.name, f"it links to {entry.link_to!r}, which is no earlier file of the archive")
        self._count(original.stat().st_size, entry.name)
        shutil.copy2(original, self._target / name)
        self._files[fold(name)] = self._target / name

    def _make_links(self) -> None:
        kept = []
        for key, link_to in self._links.items():
            path, reason = self._files[key], resolve_link(key, self._links, fold)
            if reason is None:
                kept.append((path, link_to))
            elif not self._skip_outward:
                raise refused(path.relative_to(self._target).as_posix(), f"it links to {link_to!r}: {reason}")
        for path, link_to in kept:
            path.symlink_to(link_to)

    def _count(self, size: int, member: str) -> None:
        self._size += size
        if self._size > self._limits.total_bytes:
            raise refused(member, f"the archive unpacks to more than {self._limits.total_bytes} bytes")


def fold(name: str) -> str:
    """A name as this system's usual file system compares it."""
    return name.casefold() if sys.platform in {"win32", "darwin"} else name


def _pack_one(archive: zipfile.ZipFile, entry: ZipEntry) -> None:
    is_dir = entry.source is None
    info = zipfile.ZipInfo(entry.name + "/" if is_dir else entry.name, ZIP_EPOCH)
    info.create_system = 3  # Unix: the upper half of external_attr holds the mode
    kind = stat.S_IFDIR | 0o755 if is_dir else stat.S_IFREG | (entry.mode & 0o777)
    info.external_attr = kind << 16 | (0x10 if is_dir else 0)
    info.compress_type = zipfile.ZIP_STORED if is_dir else zipfile.ZIP_DEFLATED
    if not isinstance(entry.source, Path):
        archive.writestr(info, entry.source or b"")
        return
    info.file_size = entry.source.stat().st_size
    with entry.source.open("rb") as source, archive.open(info, "w") as out:
        shutil.copyfileobj(source, out, COPY_BYTES)


class _WriteOnly:
    """Hides ``seek``, so that zipfile writes the same bytes to a file, a pipe and a socket."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        return self._sink.write(data)

    def flush(self) -> None:
        """Nothing is kept back here."""

    def close(self) -> None:
        """The sink is the caller's to close."""


def _walk(directory: Path, root: Path, outward_links: bool) -> Iterator[ZipEntry]:
    children = list(directory.iterdir())
    if not children and directory != root:
        yield ZipEntry(directory.relative_to(root).as_posix(), None, 0o755)
    for child in children:
        if child.is_dir() and not child.is_symlink():
            yield from _walk(child, root, outward_links)
            continue
        real = child.resolve()
        if real.is_file() and (outward_links or real.is_relative_to(root)):
            yield ZipEntry(child.relative_to(root).as_posix(), real, stat.S_IMODE(real.stat().st_mode) & 0o777)


def _clear(target: Path, *, itself: bool) -> None:
    for child in target.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    if itself:
        target.rmdir()
