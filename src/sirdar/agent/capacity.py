"""How much more work the agent should ask for: what it can start within about a second."""

import asyncio
import time

from sirdar.agent.attempts import Attempts
from sirdar.agent.settings import Settings

WEIGHT = 0.1
FORGET_AFTER_S = 2.0
SPARE = 0.25


class Capacity:
    """Watches how long tasks take. After a pause nothing is known: the next job may be of another kind."""

    def __init__(self, settings: Settings, attempts: Attempts) -> None:
        self._slots = settings.slots
        self._ahead_s = settings.claim_ahead_s
        self._most = settings.claim_most
        self._company_s = settings.company_s * settings.period_scale
        self._attempts = attempts
        self._mean_s: float | None = None
        self._noted_at = 0.0
        self._changed = asyncio.Event()
        self.closed = False  # nothing more is wanted: the agent is about to end

    def note(self, took_s: float) -> None:
        """A program ran for so long."""
        self._mean_s = took_s if self._mean_s is None else self._mean_s + WEIGHT * (took_s - self._mean_s)
        self._noted_at = time.monotonic()

    def changed(self) -> None:
        """Room may have become free."""
        self._changed.set()

    async def wait(self) -> None:
        """Returns when there may be room again."""
        self._changed.clear()
        await self._changed.wait()

    def spare_s(self) -> float:
        """How long word of an end may wait without a slot left idle for it: a part of the time for which there is work at hand."""
        if self._mean_s is None:
            return 0.0
        each_s = max(self._mean_s, 0.001) * SPARE / self._slots
        return min(self._company_s, each_s * self._attempts.cpus_waiting(self._company_s / each_s))

    def wanted(self) -> int:
        """How many tasks of one cpu to ask for now; 0 when enough is at hand."""
        return 0 if self.closed else max(0, min(self._target() - self._attempts.cpus_in_hand(), self._most))

    def _target(self) -> int:
        if time.monotonic() - self._noted_at > FORGET_AFTER_S:
            self._mean_s = None
        if self._mean_s is None:
            return 2 * self._slots
        ahead = self._slots * self._ahead_s / max(self._mean_s, 0.001)
        return self._slots + int(min(ahead, self._most))
