"""How one attempt at a delivery ended, and when the next one is made."""

from collections.abc import Callable
from dataclasses import dataclass

DELAYS_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 86400.0)
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side took it. ``answer`` is its status, for the record."""

    answer: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Not delivered, and it may go well after ``after_s`` seconds."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Not delivered, and it is not tried again."""

    reason: str


Delivery = Delivered | Retry | GaveUp


def retry_delay_s(failures: int, draw: Callable[[], float]) -> float | None:
    """Seconds to wait after the n-th failure (1 is the first): 10 s to 24 h, each up to a fifth shorter or longer.

    ``draw`` gives a random number from 0 to 1, so that many letters that failed together do not come back together.
    None: it has failed often enough, over about a day and a half.
    """
    if failures < 1:
        raise ValueError("there is nothing to retry before the first failure")
    if failures > len(DELAYS_S):
        return None
    return DELAYS_S[failures - 1] * (1 - JITTER + 2 * JITTER * draw())


def failed(reason: str, *, tries: int, draw: Callable[[], float], asked_s: float | None = None) -> Retry | GaveUp:
    """The outcome of a failed attempt after ``tries`` earlier ones; ``asked_s`` is the wait that the other side asked for."""
    delay_s = retry_delay_s(tries + 1, draw)
    if delay_s is None:
        return GaveUp(f"{reason} It was tried {tries + 1} times.")
    return Retry(max(delay_s, min(asked_s or 0.0, DELAYS_S[-1])), reason)
