"""Threads in which tables and archives are made while they are downloaded: a few of their own, so that neither the event loop
nor those who read and write files wait for them."""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar

AT_ONCE = 4
_Made = TypeVar("_Made")
_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("sirdar_exports")


async def in_thread(work: Callable[[], _Made]) -> _Made:
    """What ``work`` gives; at most ``AT_ONCE`` run at once."""
    limiter = _LIMITER.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        _LIMITER.set(limiter)
    return await anyio.to_thread.run_sync(work, limiter=limiter)
