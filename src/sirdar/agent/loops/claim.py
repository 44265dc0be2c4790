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
FULL_AFTER_S = 0.1  # a shorter want of room is not worth a call


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
        self._ear: asyncio.Task[None] | None = None  # a held call of a full agent, which claims nothing

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            if self._ear is not None:
                self._ear.cancel()

    async def _run(self) -> None:
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
        """An agent that takes nothing stays connected, so that wishes and news reach it at once: it parks a claim of nothing."""
        if self._exchange.mode != "active":
            await self._park(0)
            return
        room = asyncio.create_task(self._capacity.wait())
        try:
            if self._ear is None:
                await asyncio.wait([room], timeout=FULL_AFTER_S)
            if not room.done():
                await self._listen(room)
        finally:
            room.cancel()

    async def _listen(self, room: "asyncio.Task[None]") -> None:
        """Until the server has said something or there is room. Raises LinkError.

        When there is room the held call is left to itself: the server answers it as soon as the next one is parked.
        """
        if self._ear is None:
            claim = Claim(max_n=0, wait_s=self._settings.claim_wait_s * self._settings.period_scale)
            self._ear = asyncio.create_task(self._hear(SyncRequest(session=self._exchange.session, claim=claim)))
        await asyncio.wait([room, self._ear], return_when=asyncio.FIRST_COMPLETED)
        if self._ear.done():
            ear, self._ear = self._ear, None
            ear.result()

    async def _hear(self, request: SyncRequest) -> None:
        await self._exchange.sync(request)
