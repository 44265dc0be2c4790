"""Brings the small blobs that many tasks need to the cache, in a few calls: one for each would cost more than their bytes."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from sirdar.agent.cache import BlobCache
from sirdar.agent.events import get_logger
from sirdar.agent.link import Link, Refused, Unreachable
from sirdar.agent.upload import NO_SUCH_CALL
from sirdar.wire.agent import SMALL_REPLY_BYTES

log = get_logger(__name__)

SMALL_BYTES = 64 << 10
MOST = 256  # in one call


class SmallFetches:
    """See the module. What it does not bring, for whatever reason, is fetched singly, where reasons are told."""

    def __init__(self, cache: BlobCache, link: Link) -> None:
        self._cache = cache
        self._link = link
        self._refused = False  # the server is of a release that has no such call
        self._one = asyncio.Lock()  # at a time: what several tasks need is brought once

    async def fetch(self, sizes: Mapping[str, int]) -> None:
        """Those of at most ``SMALL_BYTES`` that are not here; ``sizes`` in bytes, by digest."""
        async with self._one:
            await self._fetch(sizes)

    async def _fetch(self, sizes: Mapping[str, int]) -> None:
        wanted = [sha256 for sha256, size in sizes.items() if size <= SMALL_BYTES and self._cache.find(sha256) is None]
        part: list[str] = []
        left = SMALL_REPLY_BYTES
        for sha256 in wanted:
            if len(part) == MOST or sizes[sha256] > left:
                await self._fetch_part(part)
                part, left = [], SMALL_REPLY_BYTES
            part.append(sha256)
            left -= sizes[sha256]
        if part:
            await self._fetch_part(part)

    async def _fetch_part(self, digests: Sequence[str]) -> None:
        if self._refused:
            return
        try:
            found = await self._link.small_blobs(digests)
        except Unreachable as error:
            log.warning("small_blobs_wait", blobs=len(digests), error=str(error))
            return
        except Refused as error:
            self._refused = error.status in NO_SUCH_CALL
            return
        await asyncio.to_thread(self._keep, found)

    def _keep(self, found: Mapping[str, bytes]) -> None:
        for sha256, content in found.items():
            if hashlib.sha256(content).hexdigest() == sha256:
                self._cache.add(sha256, content)
