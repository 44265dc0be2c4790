"""Coroutines that handle attempts, each of which ends the attempts that it is about should it break."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.domain.outcome import Reason

log = get_logger(__name__)


class Work:
    """What is under way. ``give_up`` ends attempts for a reason, and says the words."""

    def __init__(self, give_up: Callable[[Sequence[str], Reason, str], Coroutine[Any, Any, None]]) -> None:
        self._give_up = give_up
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, None], keys: Sequence[str] = (), reason: Reason = Reason.STAGE_IN
    ) -> None:
        """``keys``: the attempts it is about, which end for this reason should it break."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, keys=keys, reason=reason))

    def _done(self, task: "asyncio.Task[None]", keys: Sequence[str], reason: Reason) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_handling_broke", exc_info=error)
            self.spawn(self._give_up(keys, reason, f"the agent has met a fault of its own: {error!r}"))

    async def close(self) -> None:
        """Breaks off what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
