"""Tells the server which blobs lie in its directory, many in one call: small tasks end faster than calls are answered."""

import asyncio

from sirdar.agent.backoff import Backoff
from sirdar.agent.events import get_logger
from sirdar.agent.link import Link, Refused, Unreachable
from sirdar.agent.settings import Settings
from sirdar.agent.upload import NO_SUCH_CALL

log = get_logger(__name__)

MOST = 200


class Registrations:
    """One call at a time; what comes meanwhile goes with the next, so the batches grow with the load by themselves."""

    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._waiting: list[tuple[str, int, asyncio.Future[bool]]] = []
        self._work: asyncio.Task[None] | None = None
        self._singly = False  # the server is of a release that takes one at a time

    async def register(self, sha256: str, size_bytes: int) -> bool:
        """False where the server has just cleared the file away, or does not see our directory: it gets the bytes."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((sha256, size_bytes, told))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._tell_all())
        return await told

    async def _tell_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            try:
                here = await self._tell({sha256: size_bytes for sha256, size_bytes, _ in batch})
            except Exception as error:  # every caller hears of it, and the next batch is another one
                for _, _, told in batch:
                    if not told.done():
                        told.set_exception(error)
                continue
            for sha256, _, told in batch:
                if not told.done():
                    told.set_result(sha256 in here)

    async def _tell(self, sizes: dict[str, int]) -> set[str]:
        """Those that the server has registered."""
        backoff = Backoff(self._settings)
        while True:
            try:
                if not self._singly:
                    return set(await self._link.register_blobs(sizes))
                return {sha256 for sha256, size_bytes in sizes.items() if await self._is_registered(sha256, size_bytes)}
            except Refused as error:
                if error.status not in NO_SUCH_CALL or self._singly:
                    return set()
                self._singly = True
            except Unreachable as error:
                log.warning("blob_upload_waits", blobs=len(sizes), error=str(error))
                await backoff.wait()

    async def _is_registered(self, sha256: str, size_bytes: int) -> bool:
        try:
            await self._link.register_blob(sha256, size_bytes)
        except Refused:
            return False
        return True
