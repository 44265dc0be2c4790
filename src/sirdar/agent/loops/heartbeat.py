"""Renews the lease and compares with the server what both believe of each attempt."""

import asyncio
from collections.abc import Callable

from sirdar.agent.attempts import Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.exchange import Exchange
from sirdar.agent.link import Link, LinkError, UnknownSession
from sirdar.agent.probe import load
from sirdar.agent.settings import Settings
from sirdar.agent.usage import CpuMeter
from sirdar.wire.agent import HeartbeatRequest

log = get_logger(__name__)

DEFAULT_S = 15.0


class HeartbeatLoop:
    """A beat that fails is not repeated: the next one says the same. ``tell`` hears why; empty: it was answered."""

    def __init__(
        self,
        settings: Settings,
        link: Link,
        exchange: Exchange,
        attempts: Attempts,
        labels: Callable[[], dict[str, str]],
        tell: Callable[[str], None],
    ) -> None:
        self._labels = labels
        self._tell = tell
        self._number = 0
        self._cpus = CpuMeter()
        self._settings = settings
        self._link = link
        self._exchange = exchange
        self._attempts = attempts

    async def run(self) -> None:
        while True:
            told = self._exchange.hello_reply
            told_s = told.heartbeat_s if told is not None else DEFAULT_S
            await asyncio.sleep(self._settings.heartbeat_s or told_s)
            try:
                await self._beat()
                self._tell("")
            except UnknownSession:
                await self._exchange.hello()
            except LinkError as error:
                log.warning("heartbeat_failed", error=str(error))
                self._tell(f"the server cannot be reached: {error}")

    async def last(self) -> None:
        """Says that the agent ends now. Servers of earlier releases take it for one more beat. Raises LinkError."""
        await self._link.heartbeat(self._request(stops=True))

    def _request(self, *, stops: bool = False, news: dict[str, str] | None = None) -> HeartbeatRequest:
        """``news``: the machine's labels, where they have changed, as when a solver was installed."""
        self._number += 1
        used = self._cpus.used()
        return HeartbeatRequest(
            session=self._exchange.session,
            number=self._number,
            owned=self._attempts.owned(),
            load=load(self._settings, self._attempts) | ({} if used is None else {"cpu_used": used}),
            stops=stops,
            labels=news,
        )

    async def _beat(self) -> None:
        found = await asyncio.to_thread(self._labels)
        news = found if self._exchange.told_labels not in (None, found) else None
        reply = await self._link.heartbeat(self._request(news=news))
        if news is not None:
            self._exchange.told_labels = news
        await self._exchange.take_mode(reply.mode)
        await self._exchange.carry_out(reply.desired)
