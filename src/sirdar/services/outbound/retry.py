"""Trying again what another server could not do at that moment, within the deadline of the whole."""

import math
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import anyio
import httpx

from sirdar.domain.problems import Problem

T = TypeVar("T")

ATTEMPTS = 5
FIRST_DELAY_S = 0.5
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Transient(Exception):
    """It failed, and may go well in a moment. ``after_s``: what the other server asked for (Retry-After), or None."""

    def __init__(self, detail: str, *, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.after_s = after_s


async def with_retries(
    attempt: Callable[[], Awaitable[T]], *, attempts: int = ATTEMPTS, first_delay_s: float = FIRST_DELAY_S
) -> T:
    """The result of ``attempt``, called again after each ``Transient`` with a delay that doubles.

    Call it under ``anyio.fail_after``. Problem ``fetch_failed`` after the last attempt, or at once where the other server
    asks for a longer wait than the deadline leaves.
    """
    for number in range(attempts):
        try:
            return await attempt()
        except Transient as failure:
            delay_s = first_delay_s * 2**number * (0.5 + random.random())  # noqa: S311  (jitter)
            delay_s = max(delay_s, failure.after_s or 0.0)
            left_s = anyio.current_effective_deadline() - anyio.current_time()
            if number + 1 == attempts or delay_s >= left_s:
                raise _gave_up(failure) from failure
        await anyio.sleep(delay_s)
    raise ValueError("attempts must be at least 1")


def retry_after_s(headers: httpx.Headers, *, now: datetime | None = None) -> float | None:
    """Seconds to wait by Retry-After (a number or a date) or RateLimit-Reset (seconds since 1970), None without them."""
    now = now or datetime.now(UTC)
    text = headers.get("Retry-After", "").strip()
    if not text:
        reset = headers.get("RateLimit-Reset", "").strip()
        return max(0.0, int(reset[:12]) - now.timestamp()) if reset.isdecimal() else None
    if text.isdecimal():
        return float(min(int(text[:12]), 10**9))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def raise_if_transient(response: httpx.Response) -> None:
    """Transient for an answer that says 'not now': 429, and 5xx of a server in trouble."""
    if response.status_code in TRANSIENT_STATUSES:
        raise Transient(
            f"{response.url.host} answered {response.status_code} {response.reason_phrase}".rstrip() + ".",
            after_s=retry_after_s(response.headers),
        )


def _gave_up(failure: Transient) -> Problem:
    if failure.after_s is None:
        return Problem("fetch_failed", failure.detail, hint="Try again later.")
    return Problem(
        "fetch_failed",
        f"{failure.detail} It asks to wait {math.ceil(failure.after_s)} s.",
        hint="Try again after that time.",
        retry_after_s=failure.after_s,
    )
