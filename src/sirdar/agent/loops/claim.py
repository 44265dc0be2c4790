"""Asks for work: one parked call while there is nothing else to say and room for more."""

import asyncio

from sirdar.agent.backoff import Backoff
from sirdar.agent.capacity import Capacity
from sirdar.agent.events import get_logger
from sirdar.agent.exchange import Exchange
from sirdar.agent.link import LinkError
from sirdar.agent.settings import Settings
from sirdar.wire.agent import Claim, SyncRequest

log = get_logger(__name__)


class ClaimLoop:
    """``parked`` is true while the server holds a claim of ours; the report loop then asks for nothing itself."""

    def __init__(self, settings: Settings, exchange: Exchange, capacity: Capacity) -> None:
        self._settings = settings
        self._exchange = exchange
        self._capacity = capacity
        self.parked = False
        self.reporting = asyncio.Event()  # set by the report loop while it has nothing to say
        self.reporting.set()
        self.hungry = True  # the last claim without waiting brought nothing

    async def run(self) -> None:
        backoff = Backoff(self._settings)
        while True:
            await asyncio.sleep(0)  # what the last answer brought is accepted first: the report loop gets its turn
            await self.reporting.wait()
            wanted = self._capacity.wanted() if self._exchange.mode == "active" else 0
            try:
                if wanted == 0:
                    await self._wait_for_room()
                    continue
                await self._park(wanted)
                backoff.reset()
            except LinkError as error:
                log.warning("claim_waits", error=str(error))
                await backoff.wait()

    async def _park(self, wanted: int) -> None:
        claim = Claim(max_n=wanted, wait_s=self._settings.claim_wait_s * self._settings.period_scale)
        self.parked = True
        try:
            await self._exchange.sync(SyncRequest(session=self._exchange.session, claim=claim))
        finally:
            self.parked = False

    async def _wait_for_room(self) -> None:
        """A drained agent stays connected, so that wishes reach it at once: it parks a claim of nothing."""
        if self._exchange.mode == "active":
            await self._capacity.wait()
        else:
            await self._park(0)
