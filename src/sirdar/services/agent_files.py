"""Blobs that agents fetch, send, or put into the shared directory themselves."""

from collections.abc import AsyncIterator

from sirdar.blobs.base import too_large
from sirdar.blobs.draft import digest_of
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import blobs as blobs_store


async def find(services: Services, sha256: str, *, renew: bool) -> int | None:
    """The size of a blob, None where it is not here. ``renew``: keep it for the grace, the agent is about to name it."""
    known = await services.store.read(lambda conn: blobs_store.known(conn, [sha256]))
    if sha256 not in known or not services.blobs.exists(sha256):
        return None
    if renew and sha256 not in await services.store.write(lambda tx: blobs_store.touch(tx, [sha256])):
        return None
    return known[sha256]


async def put(services: Services, sha256: str, chunks: AsyncIterator[bytes], *, announced: int | None) -> None:
    """Keep a blob as it arrives. Raises Problem ``invalid_field`` (the digest), ``too_large``, ``disk_full``."""
    most = services.settings.file_bytes
    if announced is not None and announced > most:
        raise too_large(most)
    async with services.blobs.writer(max_bytes=most, expected_sha=sha256) as writer:
        async for chunk in chunks:
            if chunk:
                await writer.write(chunk)
        if announced is not None and writer.size_bytes != announced:
            raise Problem("invalid_request", f"{writer.size_bytes} bytes arrived of {announced}.")
        blob = await writer.finish()
    await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))


async def adopt(services: Services, sha256: str, size_bytes: int) -> None:
    """Register what the agent of this machine has put into the blob directory. Only its name and size are checked:
    whoever may write there could write anything. Raises ``not_found``, ``invalid_field``.
    """
    known = sha256 in await services.store.write(lambda tx: blobs_store.touch(tx, [sha256]))
    if not known:
        # The file is new, or a sweep is about to remove it. Made young it is passed by; where it is gone, the agent sends it.
        await services.blobs.in_thread(services.blobs.renew, sha256)
    blob = await services.blobs.adopt(sha256, size_bytes)
    if not known:
        await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))


async def doubt(services: Services, sha256: str) -> None:
    """Look whether a blob still has the bytes of its name; one that is spoiled or gone is given to nobody any more.

    An upload of the same bytes makes it whole again.
    """
    try:
        found = await services.blobs.in_thread(digest_of, services.blobs.path(sha256))
    except FileNotFoundError:
        found = ""
    if found == sha256:
        return
    await services.store.write(lambda tx: blobs_store.quarantine(tx, sha256))
    await services.blobs.delete(sha256)
