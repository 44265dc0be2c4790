"""Values and combinations of a sweep may be millions: they are made in a thread of their own, and not for long."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import anyio.to_thread

LONGEST_S = 20.0
T = TypeVar("T")
Expired = Callable[[], bool]


class Combining:
    """One submission's at a time, beside the threads that read and keep files. Made and used on one event loop."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[Expired], T], *, within_s: float | None = None) -> T:
        """What ``work`` gives; it is to end soon after its argument says that the time is over, counted from its start.

        ``within_s``: less time than submissions have."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(1)
        longest_s = self._longest_s if within_s is None else min(within_s, self._longest_s)
        return await anyio.to_thread.run_sync(self._timed, work, longest_s, limiter=self._limiter)

    def _timed(self, work: Callable[[Expired], T], longest_s: float) -> T:
        end = monotonic() + longest_s
        return work(lambda: monotonic() > end)
