"""The server's clock, which knows when somebody has set it."""

import time
from collections.abc import Callable

SURE_S = 0.05  # readings that took longer say nothing: the thread was held up between them


class WatchedClock:
    """Seconds since the epoch, as ``time.time``; compared with the steady clock at every reading.

    Whatever the ledger has a time of was read here. So a clock that was set and set back between two looks at it is noticed if
    anything was written meanwhile. Time in which the machine was suspended counts as a jump ahead: the steady clock stood still.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._least = self._most = wall() - steady()

    def __call__(self) -> float:
        before = self._steady()
        now = self._wall()
        if self._steady() - before < SURE_S:
            ahead = now - before
            if ahead < self._least:
                self._least = ahead
            elif ahead > self._most:
                self._most = ahead
        return now

    @property
    def swing_s(self) -> float:
        """By how many seconds it was set, in all, since ``settle``."""
        return self._most - self._least

    def settle(self) -> None:
        """As it goes from now on is right."""
        before = self._steady()
        self._least = self._most = self._wall() - before
