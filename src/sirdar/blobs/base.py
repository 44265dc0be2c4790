"""The seam between what Sirdar stores and where its bytes lie.

The store's tables say which blobs there are and who names them; a ``BlobStore`` only holds bytes. Whoever has put a blob
registers it in the tables afterwards, so a blob without a row is garbage, never a lie.
"""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sirdar.domain.problems import Problem

AGENT_UPLOAD = "agent-"  # how ids of uploads begin that have no row
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Blob:
    """What was put: the sha256 (64 lower-case hexadecimal digits) and the size in bytes."""

    sha256: str
    size_bytes: int


class BlobWriter(Protocol):
    """Takes the bytes of one blob in order. Made by ``BlobStore.writer``."""

    async def write(self, chunk: bytes) -> None:
        """Take a chunk of any size. Memory stays bounded: waits where the disk is slower than the sender.

        Raises Problem ``too_large`` beyond the limit, ``disk_full`` where the bytes do not fit.
        """

    async def finish(self) -> Blob:
        """Make the blob durable and visible, and say what it is. Called once, after the last chunk.

        Raises Problem ``invalid_field`` where the digest is not the announced one; then nothing is kept.
        """


class BlobStore(Protocol):
    """Bytes by digest. Every method may be called from any coroutine of the process; several processes may share a store."""

    def writer(
        self, *, max_bytes: int | None = None, expected_sha: str | None = None
    ) -> AbstractAsyncContextManager[BlobWriter]:
        """A new blob. Leaving the block without ``finish`` (an error, a client that hung up) leaves nothing behind.

        A blob appears whole and durable or not at all, whatever dies meanwhile. Putting what is there already is no error,
        replaces it by the same bytes, and makes it young again for ``discard``.
        """

    async def put_path(self, path: Path, *, move: bool = False, expected_sha: str | None = None) -> Blob:
        """Take over a file's bytes as ``writer`` would; with ``move`` the file itself, which must not be written any more."""

    async def size(self, sha256: str) -> int | None:
        """Size in bytes, or None where there is no such blob."""

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most 1 MiB. Raises Problem ``not_found`` at the first."""

    def discard(self, digests: Iterable[str], *, older_than: float) -> int:
        """Remove blobs that were last put before ``older_than`` (seconds since 1970); younger ones stay: somebody is about to
        name them. Blocks: call it in a thread. Gives the number of blobs removed; those that are gone already are passed by.
        """

    def listing(self, part: str) -> Sequence[str]:
        """Digests of the blobs that begin with ``part`` (two hexadecimal digits). Blocks: call it in a thread."""


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


def wrong_digest(expected: str, found: str) -> Problem:
    return Problem(
        "invalid_field",
        f"The bytes that arrived have the sha256 {found}, not the announced {expected}; they were not kept.",
        field="sha256",
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
