"""Values and combinations of a sweep may be millions: they are made in a thread of their own, and not for long."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import anyio.to_thread

from sirdar.domain.problems import Problem

LONGEST_S = 20.0
PATIENCE_S = 30.0  # for which a submission waits for its turn
MOST_WAITING, MOST_OF_ONE = 500, 50  # submissions: of all users, and of one
MOST_QUICK = 4  # of one user, where less time is given
AFTER_S = 10
T = TypeVar("T")
Expired = Callable[[], bool]


class Combining:
    """One submission's at a time, beside the threads that read and keep files; users take turns. Of one event loop."""

    def __init__(self, longest_s: float = LONGEST_S, patience_s: float = PATIENCE_S) -> None:
        self._longest_s = longest_s
        self._patience_s = patience_s
        self._busy = False
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # of those who wait, by user; the first is the next

    async def run(self, work: Callable[[Expired], T], user: str = "", *, within_s: float | None = None) -> T:
        """What ``work`` gives; it is to end soon after its argument says that the time is over, counted from its start.

        ``within_s``: less time than submissions have, for the turn to come and again for the work. Raises Problem ``unavailable``
        where too many wait, or when its turn did not come for long.
        """
        longest_s = self._longest_s if within_s is None else min(within_s, self._longest_s)
        if within_s is not None and len(self._queues.get(user, ())) >= MOST_QUICK:
            raise _busy("Sweeps of yours wait to be made ready.")
        await self._turn(user, self._patience_s if within_s is None else min(within_s, self._patience_s))
        try:
            return await anyio.to_thread.run_sync(self._timed, work, longest_s)
        finally:
            self._pass_on()

    def _timed(self, work: Callable[[Expired], T], longest_s: float) -> T:
        end = monotonic() + longest_s
        return work(lambda: monotonic() > end)

    async def _turn(self, user: str, patience_s: float) -> None:
        if not self._busy:
            self._busy = True
            return
        mine = self._queues.get(user, ())
        if len(mine) >= MOST_OF_ONE:
            raise _busy(f"{len(mine)} sweeps of yours wait to be made ready; no more are taken until some have begun.")
        if sum(map(len, self._queues.values())) >= MOST_WAITING:
            raise _busy("Very many sweeps wait to be made ready; no more are taken until some have begun.")
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user, deque()).append(turn)
        try:
            async with asyncio.timeout(patience_s):
                await turn
        except BaseException as error:
            self._leave(user, turn)
            if isinstance(error, TimeoutError):
                words = (
                    f"Other sweeps have been made ready for {patience_s:g} s, and the turn did not come to this one."
                )
                raise _busy(words) from None
            raise

    def _leave(self, user: str, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():  # its turn came just when it went
            self._pass_on()
        elif turn in (queue := self._queues.get(user, deque())):
            queue.remove(turn)
            if not queue:
                del self._queues[user]

    def _pass_on(self) -> None:
        """The next user's turn; who has more waits behind the others."""
        while self._queues:
            user = next(iter(self._queues))
            queue = self._queues.pop(user)
            turn = queue.popleft()
            if queue:
                self._queues[user] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


def _busy(detail: str) -> Problem:
    return Problem("unavailable", detail, hint="Nothing was made; send it again in a while.", retry_after_s=AFTER_S)
