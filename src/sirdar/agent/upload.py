"""Brings files to the server. Small ones in one call; of large ones only what is missing is sent after a cut."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sirdar.agent.backoff import Backoff
from sirdar.agent.events import get_logger
from sirdar.agent.http_calls import FilePart
from sirdar.agent.link import Link, Refused, Unreachable
from sirdar.agent.settings import Settings
from sirdar.wire.agent import UploadPiece

log = get_logger(__name__)

IN_PARTS_FROM_BYTES = 8 << 20
ASKED_FROM_BYTES = 1 << 20  # whether the server has it already; a smaller one costs less than the question
TRIES = 3  # where the bytes that the server got are others
NO_SUCH_CALL = frozenset({404, 405})
OTHER_BYTES = frozenset({400, 422})


class Uploads:
    """See the module."""

    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._whole_only = False  # the server is of a release that takes no parts

    async def send(self, path: Path, sha256: str, size_bytes: int) -> None:
        """Returns when the server has the file. Raises OSError where it cannot be read, Refused where it is not taken."""
        backoff, spoiled, failed = Backoff(self._settings), 0, 0
        while True:
            try:
                if size_bytes >= IN_PARTS_FROM_BYTES and not self._whole_only:
                    await self._send_parts(path, sha256, size_bytes, direct=failed < 2)
                elif size_bytes < ASKED_FROM_BYTES or not await self._link.has_blob(sha256):
                    await self._link.put_blob(sha256, path)
                return
            except Unreachable as error:
                failed += (
                    1  # from the third time on everything goes through the server, whose blob store may not be in reach
                )
                log.warning("blob_upload_waits", sha256=sha256, error=str(error))
            except Refused as error:
                if error.status in NO_SUCH_CALL and size_bytes >= IN_PARTS_FROM_BYTES and not self._whole_only:
                    self._whole_only = True
                    continue
                spoiled += error.status in OTHER_BYTES
                if error.status != 409 and not 0 < spoiled < TRIES:
                    raise
                log.warning("blob_upload_again", sha256=sha256, error=str(error))
            await backoff.wait()

    async def _send_parts(self, path: Path, sha256: str, size_bytes: int, *, direct: bool) -> None:
        found = await self._link.begin_upload(sha256, size_bytes, direct=direct)
        if found.here:
            return
        if found.pieces:
            await self._send_pieces(path, found.pieces)
            found = await self._link.begin_upload(sha256, size_bytes, direct=False)
        if found.offset:
            log.info("blob_upload_continues", sha256=sha256, offset=found.offset)
        if found.offset < size_bytes:
            await self._link.continue_upload(sha256, FilePart(path, found.offset), size_bytes)
        await self._link.complete_upload(sha256, size_bytes)

    async def _send_pieces(self, path: Path, pieces: Sequence[UploadPiece]) -> None:
        """To the blob store itself, several at a time. Raises Unreachable when none is under way any more."""
        at_once = asyncio.Semaphore(self._settings.transfers)

        async def send(piece: UploadPiece) -> None:
            async with at_once:
                await self._link.put_piece(piece.url, FilePart(path, piece.offset, piece.offset + piece.size))

        for result in await asyncio.gather(*map(send, pieces), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
