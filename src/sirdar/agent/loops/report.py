"""Tells the server whatever there is to tell, as soon as it is due, and asks for more work in the same call."""

import asyncio

from sirdar.agent.backoff import Backoff
from sirdar.agent.capacity import Capacity
from sirdar.agent.events import get_logger
from sirdar.agent.exchange import Exchange
from sirdar.agent.link import LinkError, Refused
from sirdar.agent.loops.claim import ClaimLoop
from sirdar.agent.outbox import Outbox
from sirdar.wire.agent import Claim

log = get_logger(__name__)

TOO_LARGE = 413


class ReportLoop:
    """One call at a time: what happens meanwhile goes with the next, so batches grow with the load by themselves."""

    def __init__(
        self, outbox: Outbox, exchange: Exchange, capacity: Capacity, claims: ClaimLoop, backoff: Backoff
    ) -> None:
        self._outbox = outbox
        self._exchange = exchange
        self._capacity = capacity
        self._claims = claims
        self._backoff = backoff

    async def run(self) -> None:
        while True:
            if self._outbox.is_empty():  # else the next report claims, too
                self._claims.reporting.set()
            await self._outbox.wait()
            self._claims.reporting.clear()
            try:
                await self._report()
                self._backoff.reset()
            except Refused as error:
                log.error("report_refused", error=str(error))
                await self._backoff.wait()
            except LinkError as error:
                log.warning("report_waits", error=str(error))
                await self._backoff.wait()

    async def _report(self) -> None:
        request = self._outbox.compose(self._exchange.session)
        wanted = self._capacity.wanted() if self._exchange.mode == "active" and not self._claims.parked else 0
        if wanted:
            request = request.model_copy(update={"claim": Claim(max_n=wanted)})
        try:
            await self._exchange.sync(request)
        except BaseException as error:
            self._outbox.unsent()
            if isinstance(error, Refused) and error.status == TOO_LARGE:
                self._outbox.too_large(request)
            raise
        await asyncio.sleep(0)
