"""The seam between what Sirdar stores and where its bytes lie.

The store's tables say which blobs there are and who names them; a ``BlobStore`` only holds bytes. Whoever has put a blob
registers it in the tables afterwards, so a blob without a row is garbage, never a lie.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from sirdar.domain.problems import Problem

T = TypeVar("T")
P = ParamSpec("P")

PARTS = tuple(f"{number:02x}" for number in range(256))  # how digests begin
AGENT_UPLOAD = "agent-"  # how ids of uploads begin that have no row
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Blob:
    """What was put: the sha256 (64 lower-case hexadecimal digits) and the size in bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SharedDirectory:
    """A blob directory, and the content of its file ``.marker``, by which an agent of this machine knows that it sees the same."""

    path: Path
    marker: str


@dataclass(frozen=True, slots=True)
class PieceAddress:
    """A piece of an upload that is missing, and the signed address that takes it by PUT."""

    offset: int
    size_bytes: int
    url: str


class Appender(Protocol):
    """Takes bytes in order."""

    async def write(self, chunk: bytes) -> None:
        """Take a chunk of any size. Memory stays bounded: waits where the store is slower than the sender.

        Raises Problem ``too_large`` beyond the limit, ``disk_full`` where the bytes do not fit.
        """


class BlobWriter(Protocol):
    """Takes the bytes of one blob in order. Made by ``BlobStore.writer``."""

    size_bytes: int  # taken so far

    async def write(self, chunk: bytes) -> None:
        """Take a chunk of any size. Memory stays bounded: waits where the disk is slower than the sender.

        Raises Problem ``too_large`` beyond the limit, ``disk_full`` where the bytes do not fit.
        """

    async def finish(self) -> Blob:
        """Make the blob durable and visible, and say what it is. Called once, after the last chunk.

        Raises Problem ``invalid_field`` where the digest is not the announced one; then nothing is kept.
        """


class UploadStore(Protocol):
    """Unfinished uploads. Their ids come from the store's tables, or are made of checked parts."""

    async def offset(self, upload_id: str) -> int:
        """How many bytes have arrived without a gap; 0 where there is no such upload."""

    def append(self, upload_id: str, *, offset: int, length: int) -> AbstractAsyncContextManager[Appender]:
        """Continue at ``offset``; what was written stays, also where the sender hangs up, and is durable when the block ends.

        Raises Problem ``offset_mismatch`` (``expected``: the right one), ``conflict`` where another request is writing,
        ``too_large`` beyond ``length``, ``disk_full``.
        """

    async def addresses(self, upload_id: str, *, length: int) -> Sequence[PieceAddress]:
        """Where an agent may put what is missing itself. Empty: nothing is missing, or bytes come through the server only."""

    async def complete(self, upload_id: str, *, length: int, sha256: str | None) -> Blob:
        """The whole upload as a blob. It stays until ``discard``, so that a crash in between costs nothing.

        Raises Problem ``offset_mismatch`` where bytes are missing, ``conflict``, ``invalid_field`` (the digest).
        """

    async def discard(self, upload_id: str) -> None:
        """Remove an upload. Harmless where there is none."""

    def listing(self) -> Mapping[str, float]:
        """Ids of all uploads that have bytes, and when they last grew (seconds since 1970). Blocks."""


class BlobStore(Protocol):
    """Bytes by digest. Every method may be called from any coroutine of the process; several processes may share a store."""

    @property
    def uploads(self) -> UploadStore: ...

    @property
    def shared(self) -> SharedDirectory | None:
        """A directory into which an agent of this machine may look itself; None where there is none."""

    def writer(
        self, *, max_bytes: int | None = None, expected_sha: str | None = None
    ) -> AbstractAsyncContextManager[BlobWriter]:
        """A new blob. Leaving the block without ``finish`` (an error, a client that hung up) leaves nothing behind.

        A blob appears whole and durable or not at all, whatever dies meanwhile. Putting what is there already is no error,
        replaces it by the same bytes, and makes it young again for ``discard``.
        """

    async def put_bytes(self, content: bytes) -> Blob:
        """A blob of bytes that are in memory anyway."""

    async def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Blobs of bytes that are in memory anyway, by their digests, which the caller has made of them."""

    async def put_path(self, path: Path, *, move: bool = False, expected_sha: str | None = None) -> Blob:
        """Take over a file's bytes as ``writer`` would; with ``move`` the file itself, which must not be written any more."""

    async def size(self, sha256: str) -> int | None:
        """Size in bytes, or None where there is no such blob."""

    async def read_small(self, digests: Collection[str]) -> Mapping[str, bytes]:
        """The bytes of small blobs, those that can be had with little effort; the others ``read`` gives one by one."""

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most 1 MiB. Raises Problem ``not_found`` at the first."""

    def file(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """A file with the blob's bytes, to be read within the block. Raises Problem ``not_found``."""

    async def address(self, sha256: str) -> str | None:
        """Where an agent may fetch the blob itself, for a while and without credentials; None: from the server only."""

    def discard(self, digests: Iterable[str], *, older_than: float) -> int:
        """Remove blobs that were last put before ``older_than`` (seconds since 1970); younger ones stay: somebody is about to
        name them. Blocks: call it in a thread. Gives the number of blobs removed; those that are gone already are passed by.
        """

    def listing(self, part: str) -> Sequence[str]:
        """Digests of the blobs that begin with ``part`` (two hexadecimal digits). Blocks: call it in a thread."""

    def clean_drafts(self) -> int:
        """Remove what is left of writers that died; gives the number. Blocks."""

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in one of the store's own threads."""

    def close(self) -> None:
        """Wait for what is being done. Blocks."""


def check_sha256(sha256: str, *, field: str = "sha256") -> str:
    """The digest, or Problem ``invalid_field``. Every digest from outside passes here before it becomes a path."""
    if not _SHA256.fullmatch(sha256):
        raise Problem(
            "invalid_field",
            f"{sha256[:80]!r} is not a sha256.",
            field=field,
            expected="64 lower-case hexadecimal digits",
        )
    return sha256


def missing(sha256: str) -> Problem:
    return Problem("not_found", f"There is no blob {sha256}.")


def wrong_offset(right: int, given: int) -> Problem:
    return Problem(
        "offset_mismatch",
        f"{right} bytes of this upload have arrived, so it continues at offset {right}, not {given}.",
        field="offset",
        expected=str(right),
        hint=f"Send the rest with ?offset={right}.",
    )


def busy_upload() -> Problem:
    return Problem(
        "conflict",
        "Another request is writing to this upload.",
        hint="Wait until it has ended, ask for the offset (GET) and continue there.",
    )


def wrong_digest(expected: str, found: str, *, field: str = "sha256") -> Problem:
    return Problem(
        "invalid_field",
        f"The bytes that arrived have the sha256 {found}, not the announced {expected}; they were not kept.",
        field=field,
        expected=f"bytes whose sha256 is {expected}",
        hint="Send the file again; if this repeats, it changes while it is read, or something on the way changes it.",
    )


def too_large(max_bytes: int) -> Problem:
    return Problem(
        "too_large",
        f"The file is larger than the {max_bytes} bytes that are allowed here; nothing was kept.",
        expected=f"at most {max_bytes} bytes",
    )


def disk_full() -> Problem:
    return Problem(
        "disk_full",
        "The server's disk is full: the file did not fit, and nothing of it was kept.",
        hint="Remove jobs and files that are not needed, or ask the administrator for room; then send it again.",
    )
