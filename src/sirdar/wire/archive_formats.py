"""Reading zip and tar as one sequence of entries, with the limits that make a bomb harmless."""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Protocol, cast

from sirdar.domain.problems import Problem

MiB = 1024 * 1024
RATIO_FLOOR_BYTES = 64 * MiB
HEADER_BYTES = 4096  # of one tar member, with long names and PAX records: how much a listing may read besides the data
MAX_HEADER_BYTES = 4 * MiB
MAX_LINK_BYTES = 4096
XZ_MEMORY_BYTES = 256 * MiB
ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
ZIP_DIRECTORY_BYTES = 512  # of one zip member in the central directory, on average

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may become: number of members, bytes in all, and bytes for each byte of the archive.

    The ratio counts only beyond 64 MiB, for small archives of very regular data are common and harmless.
    """

    members: int = 100_000
    total_bytes: int = 10 * 1024 * MiB
    ratio: float = 200.0


class EntryKind(StrEnum):
    """What a member is. Devices, pipes and sockets never become an entry."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member, valid until the next one is asked for. ``open`` gives its bytes."""

    name: str
    kind: EntryKind
    size_bytes: int
    mode: int
    modified: float | None
    link_to: str | None
    open: Callable[[], IO[bytes]]


class Archive(Protocol):
    """An opened archive of either format."""

    def entries(self) -> Iterator[Entry]: ...


def refused(member: str, why: str) -> Problem:
    """The Problem about one member."""
    return Problem(
        "invalid_archive",
        f"The archive cannot be accepted because of {member[:300]!r}: {why}.",
        field=member[:300].encode("utf-8", "replace").decode(),
        hint="Pack it again with relative names, plain files and links that stay inside.",
    )


@contextmanager
def open_archive(path: Path, limits: Limits) -> Iterator[Archive]:
    """Opens an archive by its first bytes, whatever its name says. Damage found at any time is a Problem."""
    with path.open("rb") as raw, open_stream(raw, path.name, path.stat().st_size, limits) as archive:
        yield archive


@contextmanager
def open_stream(raw: IO[bytes], name: str, size_bytes: int, limits: Limits) -> Iterator[Archive]:
    """The same of an open file of that size, or of what can be read and sought like one."""
    try:
        most = min(limits.total_bytes, max(RATIO_FLOOR_BYTES, int(size_bytes * limits.ratio)))
        if is_zip(raw):
            _check_zip_directory(raw, size_bytes, limits)
            with zipfile.ZipFile(raw) as opened:
                yield _Zip(opened, limits, most)
        else:
            head = raw.read(512)
            raw.seek(0)
            with _decompressed(raw, head) as plain:
                capped = _Capped(plain, most + limits.members * HEADER_BYTES)
                with tarfile.open(fileobj=cast(IO[bytes], capped), mode="r:") as tar:
                    yield _Tar(tar, capped, limits, most)
    except Problem:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the archive
        raise Problem(
            "invalid_archive",
            f"The file {name!r} cannot be read as an archive: {str(error) or type(error).__name__}.",
            expected="a zip, tar, tar.gz, tar.bz2 or tar.xz",
        ) from error


def is_zip(raw: IO[bytes]) -> bool:
    """Whether it begins as a zip; it stands at its beginning afterwards."""
    head = raw.read(4)
    raw.seek(0)
    return head in {b"PK\x03\x04", b"PK\x05\x06"}


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, limits: Limits, most_bytes: int) -> None:
        self._archive = archive
        self._limits = limits
        self._most = most_bytes

    def entries(self) -> Iterator[Entry]:
        members, total = self._archive.infolist(), 0
        _check_count(len(members), self._limits)
        for info in members:
            total += info.file_size
            _check_total(total, self._most, info.filename)
            yield self._entry(info)

    def _entry(self, info: zipfile.ZipInfo) -> Entry:
        name = _zip_name(info)
        if info.flag_bits & 0x1:
            raise refused(name, "it is encrypted")
        if info.compress_type not in ZIP_METHODS:
            raise refused(name, f"it is packed by method {info.compress_type}, which is not accepted")
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        kind = _zip_kind(name, mode)
        link_to = self._link_to(info, name) if kind is EntryKind.SYMLINK else None
        return Entry(
            name, kind, info.file_size, mode or 0o644, _zip_time(info), link_to, lambda: self._open(info, name)
        )

    def _open(self, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
        try:
            return self._archive.open(info)
        except RuntimeError as error:  # NotImplementedError is one
            raise refused(name, f"it cannot be read ({error})") from error

    def _link_to(self, info: zipfile.ZipInfo, name: str) -> str:
        if info.file_size > MAX_LINK_BYTES:
            raise refused(name, "it is a link with a target that is too long")
        with self._open(info, name) as source:
            return source.read().decode("utf-8", "surrogateescape")


class _Tar:
    def __init__(self, archive: tarfile.TarFile, stream: "_Capped", limits: Limits, most_bytes: int) -> None:
        self._archive = archive
        self._stream = stream
        self._limits = limits
        self._most = most_bytes

    def entries(self) -> Iterator[Entry]:
        count, total = 0, 0
        while (info := self._next()) is not None:
            count, total = count + 1, total + max(info.size, 0)
            _check_count(count, self._limits)
            _check_total(total, self._most, info.name)
            yield self._entry(info)
        self._check_end()

    def _next(self) -> tarfile.TarInfo | None:
        self._stream.header_left = MAX_HEADER_BYTES
        info = self._archive.next()
        self._stream.header_left = None
        self._archive.members = []  # type: ignore[attr-defined]  # it would keep every one of them
        return info

    def _check_end(self) -> None:
        """tarfile takes a damaged header in the middle for the end; a true end is a block of zeros, or nothing."""
        self._stream.seek(self._archive.offset)
        if self._stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("a header in the middle is damaged")

    def _entry(self, info: tarfile.TarInfo) -> Entry:
        kind = _tar_kind(info)
        link_to = info.linkname if kind in {EntryKind.SYMLINK, EntryKind.HARDLINK} else None
        size = info.size if kind is EntryKind.FILE else 0
        return Entry(info.name, kind, size, info.mode, float(info.mtime), link_to, lambda: self._open(info))

    def _open(self, info: tarfile.TarInfo) -> IO[bytes]:
        source = self._archive.extractfile(info)
        if source is None:
            raise refused(info.name, "it holds no bytes")
        return source


class _Capped:
    """A decompressed stream that ends the matter when more than ``limit`` bytes of it are read or passed over.

    tarfile reads a long name, a PAX record or a map of a sparse file into memory, whatever size its header claims:
    ``header_left`` bounds what it may read while it looks for the next member.
    """

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self._source = source
        self._limit = limit
        self.header_left: int | None = MAX_HEADER_BYTES  # opening reads the first one

    def read(self, size: int) -> bytes:
        if self.header_left is not None:
            self.header_left -= size
            if self.header_left < 0:
                raise tarfile.ReadError("a header is too long")
        data = self._source.read(size)
        self._check(self._source.tell())
        return data

    def seek(self, offset: int) -> int:
        self._check(offset)
        return self._source.seek(offset)

    def tell(self) -> int:
        return self._source.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise Problem("invalid_archive", f"The archive would unpack to more than {self._limit} bytes.")


@contextmanager
def _decompressed(raw: IO[bytes], head: bytes) -> Iterator[IO[bytes]]:
    if head.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=raw) as plain:
            yield cast(IO[bytes], plain)
    elif head.startswith(b"BZh"):
        with bz2.BZ2File(raw) as unzipped:
            yield unzipped
    elif head.startswith(b"\xfd7zXZ\x00"):
        # A header may ask for gigabytes of dictionary; ``xz -9`` needs 65 MiB.
        lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES).decompress(raw.read(4096), 1)
        raw.seek(0)
        with lzma.LZMAFile(raw) as unpacked:
            yield unpacked
    else:
        yield raw


def _check_zip_directory(raw: IO[bytes], size: int, limits: Limits) -> None:
    """The central directory is read as a whole by zipfile, so its size is looked at before."""
    tail_start = max(0, size - 65_557)
    raw.seek(tail_start)
    tail = raw.read()
    raw.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("its directory is missing; the file may be cut off")
    (directory,) = struct.unpack_from("<L", tail, at + 12)
    end64 = (
        at - 76
    )  # as zipfile does: where a locator stands before the end, the size there counts, whatever this one says
    if end64 >= 0 and tail[at - 20 : at - 16] == b"PK\x06\x07" and tail[end64 : end64 + 4] == b"PK\x06\x06":
        (directory,) = struct.unpack_from("<Q", tail, end64 + 40)
    if directory > max(MiB, limits.members * ZIP_DIRECTORY_BYTES):
        _check_count(limits.members + 1, limits)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name. Without the UTF-8 flag zipfile reads code page 437, but many tools write UTF-8 all the same."""
    name = info.orig_filename  # ``filename`` is cut at a zero byte
    if info.flag_bits & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _zip_kind(name: str, mode: int) -> EntryKind:
    if name.endswith("/") or stat.S_ISDIR(mode):
        return EntryKind.DIRECTORY
    if stat.S_ISLNK(mode):
        return EntryKind.SYMLINK
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise refused(name, "it is a device, a pipe or a socket")
    return EntryKind.FILE


def _zip_time(info: zipfile.ZipInfo) -> float | None:
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _tar_kind(info: tarfile.TarInfo) -> EntryKind:
    if info.isreg():
        return EntryKind.FILE
    if info.isdir():
        return EntryKind.DIRECTORY
    if info.issym():
        return EntryKind.SYMLINK
    if info.islnk():
        return EntryKind.HARDLINK
    raise refused(info.name, "it is a device, a pipe or a socket")


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.members:
        raise Problem("invalid_archive", f"The archive holds more than {limits.members} files and directories.")


def _check_total(total: int, most: int, member: str) -> None:
    if total > most:
        raise refused(member, f"the archive would unpack to more than {most} bytes")
