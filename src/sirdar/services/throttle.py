"""Slows down whoever guesses: after some free failures each further one doubles the wait, up to a limit."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sirdar.domain.problems import Problem


@dataclass(frozen=True, slots=True)
class Pace:
    """``free`` failures cost nothing; then ``first_s``, doubled each time up to ``longest_s``; forgotten when quiet."""

    free: int
    first_s: float
    longest_s: float
    forgotten_s: float


# Guesses at one name from one address; at one name from anywhere, slow to start and short, so that a stranger's guesses
# keep nobody out of their own account for long; and from one address at any names.
PAIR = Pace(free=5, first_s=1.0, longest_s=900.0, forgotten_s=3600.0)
NAME = Pace(free=50, first_s=1.0, longest_s=30.0, forgotten_s=900.0)
ADDRESS = Pace(free=30, first_s=1.0, longest_s=60.0, forgotten_s=900.0)


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float
    wait_until: float


class Throttle:
    """Failures by key, in bounded memory: the keys quiet for longest are forgotten first."""

    def __init__(self, *, size: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()

    def enter(self, name: str, address: str) -> None:
        """Before a guess: raises ``too_many_requests`` while it must wait, else counts it as failed until ``succeeded``.

        Counting first means that guesses sent side by side do not slip through.
        """
        keys = _keys(name, address)
        wait_s = max(self._wait_s(key, pace) for key, pace in keys)
        if wait_s > 0:
            seconds = math.ceil(wait_s)
            raise Problem(
                "too_many_requests",
                f"Too many failed sign-ins; the next one is looked at in {seconds} s.",
                hint="Wait, then try again; an administrator can make a one-time login link for you.",
                retry_after_s=seconds,
            )
        for key, pace in keys:
            self._count(key, pace)

    def succeeded(self, name: str, address: str) -> None:
        """The guess was right: its name is free again; its address only loses this one failure."""
        pair, by_name, by_address = (key for key, _ in _keys(name, address))
        self._failures.pop(pair, None)
        self._failures.pop(by_name, None)
        if (failures := self._failures.get(by_address)) is not None:
            failures.count -= 1
            failures.wait_until = min(failures.wait_until, self._clock())

    def undone(self, name: str, address: str) -> None:
        """It was not a guess, for nobody could look at it: take back what ``enter`` counted."""
        for key, _ in _keys(name, address):
            if (failures := self._failures.get(key)) is not None:
                failures.count -= 1
                failures.wait_until = min(failures.wait_until, self._clock())

    def _wait_s(self, key: tuple[str, ...], pace: Pace) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        now = self._clock()
        if now - failures.last_at > pace.forgotten_s:
            del self._failures[key]
            return 0.0
        return failures.wait_until - now

    def _count(self, key: tuple[str, ...], pace: Pace) -> None:
        now = self._clock()
        failures = self._failures.pop(key, None) or _Failures(0, now, now)
        failures.count += 1
        failures.last_at = now
        if (over := failures.count - pace.free) >= 0:
            failures.wait_until = now + min(pace.longest_s, pace.first_s * 2.0 ** min(over, 40))
        self._failures[key] = failures
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)


def _keys(name: str, address: str) -> Iterable[tuple[tuple[str, ...], Pace]]:
    name = name[:64]
    return [(("pair", name, address), PAIR), (("name", name), NAME), (("address", address), ADDRESS)]
