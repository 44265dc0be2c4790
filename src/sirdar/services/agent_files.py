"""Blobs that agents fetch, send, or put into the shared directory themselves."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sirdar.blobs.base import AGENT_UPLOAD, Blob, too_large
from sirdar.blobs.draft import digest_of
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import blobs as blobs_store
from sirdar.store.engine import Tx
from sirdar.wire.agent import SMALL_REPLY_BYTES, UploadPiece, UploadReply

STALLED_S = 30.0


async def find(services: Services, sha256: str, *, renew: bool) -> int | None:
    """The size of a blob, None where it is not here. ``renew``: keep it for the grace, the agent is about to name it."""
    known = await services.store.read(lambda conn: blobs_store.known(conn, [sha256]))
    if sha256 not in known or await services.blobs.size(sha256) is None:
        return None
    if renew and sha256 not in await services.store.write(lambda tx: blobs_store.touch(tx, [sha256])):
        return None
    return known[sha256]


async def read_small(services: Services, digests: Sequence[str]) -> dict[str, bytes]:
    """Those of the blobs that are here, as many as one answer takes."""
    known = await services.store.read(lambda conn: blobs_store.known(conn, digests))
    chosen: list[str] = []
    left = SMALL_REPLY_BYTES
    for sha256, size_bytes in known.items():
        if size_bytes <= left:
            left -= size_bytes
            chosen.append(sha256)
    found = dict(await services.blobs.read_small(chosen))
    for sha256 in chosen:
        if sha256 not in found:
            with contextlib.suppress(Problem):
                found[sha256] = b"".join([piece async for piece in services.blobs.read(sha256)])
    return found


async def put(services: Services, sha256: str, chunks: AsyncIterator[bytes], *, announced: int | None) -> None:
    """Keep a blob as it arrives. Raises Problem ``invalid_field`` (the digest), ``too_large``, ``disk_full``."""
    _check_size(services, announced or 0)
    async with services.blobs.writer(max_bytes=services.settings.file_bytes, expected_sha=sha256) as writer:
        async for chunk in chunks:
            if chunk:
                await writer.write(chunk)
        if announced is not None and writer.size_bytes != announced:
            raise Problem("invalid_request", f"{writer.size_bytes} bytes arrived of {announced}.")
        blob = await writer.finish()
    await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))


# ---------------------------------------------------------------- large blobs, in parts


async def begin_upload(services: Services, upload: "AgentUpload", *, direct: bool = False) -> UploadReply:
    """How far the agent's upload of a blob is. Raises Problem ``too_large``, ``conflict`` while another call writes to it."""
    _check_size(services, upload.size_bytes)
    if await find(services, upload.sha256, renew=True) is not None:
        return UploadReply(here=True)
    offset = await services.blobs.uploads.offset(upload.id)
    if direct and (addresses := await services.blobs.uploads.addresses(upload.id, length=upload.size_bytes)):
        pieces = [UploadPiece(offset=one.offset, size=one.size_bytes, url=one.url) for one in addresses]
        return UploadReply(offset=offset, pieces=pieces)
    async with services.blobs.uploads.append(upload.id, offset=offset, length=upload.size_bytes):
        pass  # a call of before the cut may still be writing: better to say so now than after many bytes were sent again
    return UploadReply(offset=offset)


async def continue_upload(services: Services, upload: "AgentUpload", offset: int, chunks: AsyncIterator[bytes]) -> None:
    """Append what arrives, which stays also where the line breaks.

    Raises Problem ``offset_mismatch``, ``conflict``, ``too_large``, ``disk_full``.
    """
    _check_size(services, upload.size_bytes)
    async with services.blobs.uploads.append(upload.id, offset=offset, length=upload.size_bytes) as writer:
        async for chunk in _flowing(chunks):
            if chunk:
                await writer.write(chunk)


async def complete_upload(services: Services, upload: "AgentUpload") -> None:
    """Make the upload a blob. Raises ``offset_mismatch``, ``conflict``; ``invalid_field``: other bytes arrived, none is kept."""
    if await find(services, upload.sha256, renew=True) is not None:  # the answer was lost, or another was quicker
        await services.blobs.uploads.discard(upload.id)
        return
    try:
        blob = await services.blobs.uploads.complete(upload.id, length=upload.size_bytes, sha256=upload.sha256)
    except Problem as problem:
        if problem.field == "sha256":
            await services.blobs.uploads.discard(upload.id)
        raise
    await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))
    await services.blobs.uploads.discard(upload.id)


@dataclass(frozen=True, slots=True)
class AgentUpload:
    """An agent's upload has no row: whose it is and of which blob is its id. What is given up is removed with ``upload_s``."""

    resource_id: str
    sha256: str
    size_bytes: int

    @property
    def id(self) -> str:
        return f"{AGENT_UPLOAD}{self.resource_id}-{self.sha256}"


async def _flowing(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A line that died without a word must not keep the upload from the agent's next call."""
    while True:
        try:
            async with asyncio.timeout(STALLED_S):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise Problem("invalid_request", f"No bytes came for {STALLED_S:g} s.", hint="Continue.") from None
        if chunk is None:
            return
        yield chunk


def _check_size(services: Services, size_bytes: int) -> None:
    if size_bytes > (most := services.settings.file_bytes):
        raise too_large(most)


# ---------------------------------------------------------------- a directory that agent and server share


async def adopt_all(services: Services, sizes: Mapping[str, int]) -> list[str]:
    """``adopt`` of many, in two transactions and one thread for all; gives those that are registered."""
    blobs = services.blobs
    if not isinstance(blobs, LocalBlobs):
        return []
    known = await services.store.write(lambda tx: blobs_store.touch(tx, sizes))
    found = await blobs.in_thread(blobs.adopt_all, sizes, renew=set(sizes) - known)
    if fresh := [blob for blob in found if blob.sha256 not in known]:
        await services.store.write(lambda tx: _register_all(tx, fresh))
    return [blob.sha256 for blob in found]


def _register_all(tx: Tx, found: Sequence[Blob]) -> None:
    for blob in sorted(found, key=lambda one: one.sha256):  # in one order for everybody
        blobs_store.register(tx, blob.sha256, blob.size_bytes)


async def adopt(services: Services, sha256: str, size_bytes: int) -> None:
    """Register what the agent of this machine has put into the blob directory. Only its name and size are checked:
    whoever may write there could write anything. Raises ``not_found``, ``invalid_field``.
    """
    blobs = services.blobs
    if not isinstance(blobs, LocalBlobs):
        raise Problem("not_found", "This server shares no directory with agents.", hint="Send the bytes.")
    known = sha256 in await services.store.write(lambda tx: blobs_store.touch(tx, [sha256]))
    if not known:
        # The file is new, or a sweep is about to remove it. Made young it is passed by; where it is gone, the agent sends it.
        await blobs.in_thread(blobs.renew, sha256)
    blob = await blobs.adopt(sha256, size_bytes)
    if not known:
        await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))


async def doubt(services: Services, sha256: str) -> None:
    """Look whether a blob still has the bytes of its name; one that is spoiled or gone is given to nobody any more.

    An upload of the same bytes makes it whole again. Raises Problem ``unavailable`` where the blob store does not answer.
    """
    try:
        async with services.blobs.file(sha256) as path:
            found = await services.blobs.in_thread(digest_of, path)
    except FileNotFoundError:
        found = ""
    except Problem as problem:
        if problem.code not in {"not_found", "gone"}:  # a store that does not answer says nothing about the blob
            raise
        found = ""
    if found == sha256:
        return
    await services.store.write(lambda tx: blobs_store.quarantine(tx, sha256))
    await services.blobs.in_thread(services.blobs.discard, [sha256], older_than=math.inf)
