"""Calls that last, event streams and held calls: whoever made one is looked at again while it lasts.

A token may be revoked, a user disabled or taken from a group, while a stream that began before goes on for days.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services

T = TypeVar("T")
QUIET_S = 15.0  # clients believe a line dead after 20 s of silence
EARLY = 0.9  # a stream speaks after just the period: a timer that is a moment early must not make it two


def quiet_s(services: Services) -> float:
    """After this much silence a stream says that it is still there."""
    return min(QUIET_S, services.settings.stream_look_s)


class Standing:
    """The caller of a call that lasts."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._looked_at = time.monotonic()

    async def look(self) -> Caller:
        """The caller as they are now, or were within the last ``stream_look_s``. Raises as ``Authenticator.caller`` does."""
        if time.monotonic() - self._looked_at >= EARLY * self._services.settings.stream_look_s:
            self._looked_at = time.monotonic()
            self._caller = await self._services.auth.again(self._caller)
        return self._caller


async def while_allowed(
    services: Services, caller: Caller | None, messages: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """The messages, as long as the caller's token works and means what it meant when they began.

    ``messages`` speak at least every ``quiet_s``. Who watches by a job's link alone (None) has no token: the messages
    themselves look whether the link still works.
    """
    standing = Standing(services, caller) if caller is not None else None
    async with aclosing(messages):
        async for message in messages:
            try:
                changed = standing is not None and await standing.look() != caller
            except Problem:
                return  # whoever watches comes again, and is told then
            if changed:
                return
            yield message
