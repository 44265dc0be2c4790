"""Renews the lease and compares with the server what both believe of each attempt."""

import asyncio
import os
import sys

from sirdar.agent.attempts import Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.exchange import Exchange
from sirdar.agent.link import Link, LinkError, UnknownSession
from sirdar.agent.settings import Settings
from sirdar.wire.agent import HeartbeatRequest

log = get_logger(__name__)

DEFAULT_S = 15.0


class HeartbeatLoop:
    """A beat that fails is not repeated: the next one says the same."""

    def __init__(self, settings: Settings, link: Link, exchange: Exchange, attempts: Attempts) -> None:
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
            except UnknownSession:
                await self._exchange.hello()
            except LinkError as error:
                log.warning("heartbeat_failed", error=str(error))

    async def _beat(self) -> None:
        request = HeartbeatRequest(session=self._exchange.session, owned=self._attempts.owned(), load=load())
        reply = await self._link.heartbeat(request)
        self._exchange.mode = reply.mode
        await self._exchange.carry_out(reply.desired)


def load() -> dict[str, float]:
    """How busy the machine is."""
    if sys.platform == "win32":
        return {}
    return {"load_1m": os.getloadavg()[0]}
