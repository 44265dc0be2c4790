"""The members of a backup, in a tar file or as files of a folder. Written beside its place and moved there when whole."""

import os
import shutil
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from sirdar.domain.problems import Problem
from sirdar.services.keep.manifest import HEADER, MANIFEST, bad, check_name

SUFFIX = ".tar"
_BLOCK = 512
_FIRST, _LAST = (HEADER,), (MANIFEST,)


class Sink(Protocol):
    """Takes members in order."""

    def put(self, name: str, content: bytes) -> None: ...

    async def put_stream(self, name: str, size_bytes: int, pieces: AsyncIterator[bytes]) -> None:
        """Write a member of a size that is known. Where ``pieces`` raises, or gives another size (ValueError), it is not kept."""


@contextmanager
def created(path: Path) -> Iterator[Sink]:
    """A new archive: one file where the name ends in ``.tar``, else a folder. It appears when the block ends well.

    Raises Problem ``already_exists`` where something is there already.
    """
    single = path.suffix == SUFFIX
    if path.is_dir() and not single and not any(path.iterdir()):
        pass
    elif path.exists() or path.is_symlink():
        hint = (
            "Name a file that is not there yet."
            if single
            else "Name a folder that is not there yet, or a file: NAME.tar"
        )
        raise Problem("already_exists", f"{path} is there already.", hint=hint)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with _TarSink(draft) if single else _FolderSink(draft) as sink:
            yield sink
        if path.is_dir():
            path.rmdir()
        draft.rename(path)
        _sync(path.parent)
    except BaseException:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
        raise


class Source(Protocol):
    """The bytes of a member, read in order."""

    def read(self, size: int = -1, /) -> bytes: ...


def members(path: Path) -> Iterator[tuple[str, int, Source]]:
    """Names, sizes and bytes of the members of an archive, in order; each is read before the next.

    Raises Problem ``not_found``, ``invalid_archive``.
    """
    if path.is_dir():
        yield from _members_of_folder(path)
    elif path.is_file():
        yield from _members_of_tar(path)
    else:
        raise Problem("not_found", f"{path} is no backup: it is not there.")


class _TarSink:
    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def __enter__(self) -> "_TarSink":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if failed is None:
                self._file.write(bytes(2 * _BLOCK))
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def put(self, name: str, content: bytes) -> None:
        self._file.write(_tar_header(name, len(content)))
        self._file.write(content)
        self._pad(len(content))

    async def put_stream(self, name: str, size_bytes: int, pieces: AsyncIterator[bytes]) -> None:
        begun = self._file.tell()
        try:
            self._file.write(_tar_header(name, size_bytes))
            await _write(self._file, size_bytes, pieces)
            self._pad(size_bytes)
        except BaseException:
            self._file.seek(begun)
            self._file.truncate()
            raise

    def _pad(self, size: int) -> None:
        self._file.write(bytes(-size % _BLOCK))


class _FolderSink:
    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self._root = path

    def __enter__(self) -> "_FolderSink":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None and hasattr(os, "sync"):
            os.sync()  # many small files: one wait instead of one for each

    def put(self, name: str, content: bytes) -> None:
        with self._open(name) as file:
            file.write(content)

    async def put_stream(self, name: str, size_bytes: int, pieces: AsyncIterator[bytes]) -> None:
        try:
            with self._open(name) as file:
                await _write(file, size_bytes, pieces)
        except BaseException:
            (self._root / name).unlink(missing_ok=True)
            raise

    def _open(self, name: str) -> BinaryIO:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _write(file: BinaryIO, size_bytes: int, pieces: AsyncIterator[bytes]) -> None:
    written = 0
    async for piece in pieces:
        file.write(piece)
        written += len(piece)
    if written != size_bytes:
        raise ValueError(f"{written} bytes came instead of {size_bytes}")


def _tar_header(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size_bytes, 0o600, int(time.time())
    return info.tobuf(tarfile.PAX_FORMAT)


def _members_of_tar(path: Path) -> Iterator[tuple[str, int, Source]]:
    try:
        with tarfile.open(path, "r|", bufsize=1 << 20) as tar:
            for info in tar:
                file = tar.extractfile(info) if info.isreg() else None
                if file is None:
                    raise bad(f"it holds {info.name[:200]!r}, which is no plain file")
                yield check_name(info.name), info.size, _OfTar(file)
    except tarfile.TarError as error:
        raise _cut(error) from error


class _OfTar:
    """A member that may turn out to be shorter than its header says."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._file.read(size)
        except tarfile.TarError as error:
            raise _cut(error) from error


def _cut(error: tarfile.TarError) -> Problem:
    return bad(f"it is cut off, or no tar file ({error})")


def _members_of_folder(path: Path) -> Iterator[tuple[str, int, Source]]:
    if not (path / HEADER).is_file():
        raise Problem("not_found", f"{path} is no backup: it has no {HEADER}.")
    between = [part for part in ("rows", "logs", "keys", "blobs") if (path / part).is_dir()]
    for part in (*_FIRST, *between, *_LAST):
        for name in _files_below(path, part):
            with (path / name).open("rb") as file:
                yield check_name(name), os.fstat(file.fileno()).st_size, file


def _files_below(root: Path, part: str) -> Iterator[str]:
    """Files in the order of their names, a folder at a time: there may be millions."""
    if (root / part).is_file():
        yield part
    elif (root / part).is_dir():
        for path in sorted((root / part).iterdir()):
            yield from _files_below(root, f"{part}/{path.name}")


def _sync(directory: Path) -> None:
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
