"""Waiting between tries: decorrelated jitter, so that many agents do not come back in step."""

import asyncio
import random

from sirdar.agent.settings import Settings


class Backoff:
    """Waits of ``retry_least_s`` to ``retry_most_s``, growing at random, scaled by ``period_scale``."""

    def __init__(self, settings: Settings) -> None:
        self._least_s = settings.retry_least_s
        self._most_s = settings.retry_most_s
        self._scale = settings.period_scale
        self._last_s = self._least_s

    def next_s(self) -> float:
        self._last_s = min(self._most_s, random.uniform(self._least_s, self._last_s * 3))  # noqa: S311
        return self._last_s * self._scale

    async def wait(self) -> None:
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        self._last_s = self._least_s
