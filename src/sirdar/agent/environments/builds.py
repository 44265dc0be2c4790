"""One making for each environment, however many tasks wait for it; a failure is remembered for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sirdar.agent.environments.base import EnvironmentFailed, Say

Made = TypeVar("Made")
SAY_EVERY_S = 0.5
TRANSIENT_SHARE = 0.1  # of the time for which a failure is remembered that may pass by itself
MOST_FAILURES = 1000


@dataclass(slots=True)
class _Build(Generic[Made]):
    task: "asyncio.Task[Made]"
    listeners: list[Say] = field(default_factory=list)
    wanted: str = ""  # to be said
    speaking: "asyncio.Task[None] | None" = None
    said: str = ""
    said_at: float = 0.0


class Builds(Generic[Made]):
    """``remember_s``: how long whoever asks for what has just failed is told so without another attempt."""

    def __init__(self, remember_s: float) -> None:
        self._remember_s = remember_s
        self._under_way: dict[object, _Build[Made]] = {}
        self._failed: dict[object, tuple[float, EnvironmentFailed]] = {}

    async def share(self, key: object, make: Callable[[Say], Coroutine[Any, Any, Made]], say: Say) -> Made:
        """What ``make`` gives: of this caller, or of another that is at it already. Raises EnvironmentFailed or OSError.

        It goes on when a caller is cancelled and others still want it; where nobody does, it is ended.
        """
        self._raise_remembered(key)
        build = self._under_way.get(key)
        if build is None:
            build = self._begin(key, make)
        build.listeners.append(say)
        if build.said:
            await tell(say, build.said)
        try:
            return await asyncio.shield(build.task)
        except EnvironmentFailed as error:  # many may raise it: each its own
            raise _again(error) from None
        finally:
            if say in build.listeners:
                build.listeners.remove(say)
            if not build.listeners and not build.task.done():
                self._drop(key, build)

    def _drop(self, key: object, build: _Build[Made]) -> None:
        """Whoever asks from now on gets another."""
        del self._under_way[key]
        build.task.cancel()

    def _begin(self, key: object, make: Callable[[Say], Coroutine[Any, Any, Made]]) -> _Build[Made]:
        def speak(text: str) -> None:
            self._speak(build, text)

        build = _Build(asyncio.create_task(make(speak)))
        self._under_way[key] = build
        build.task.add_done_callback(lambda task: self._end(key, build))
        return build

    def _end(self, key: object, build: _Build[Made]) -> None:
        task = build.task
        if self._under_way.get(key) is build:
            del self._under_way[key]
        if build.speaking is not None:
            build.speaking.cancel()
        if task.cancelled():
            return
        if isinstance(error := task.exception(), EnvironmentFailed):
            wait_s = self._remember_s * (TRANSIENT_SHARE if error.transient else 1.0)
            self._failed[key] = (time.monotonic() + wait_s, error)

    def _speak(self, build: _Build[Made], text: str) -> None:
        build.wanted = text
        if build.speaking is None or build.speaking.done():
            build.speaking = asyncio.create_task(self._speak_on(build))

    async def _speak_on(self, build: _Build[Made]) -> None:
        """To all that wait, and not too often: each is a call to the server. The last word is always said."""
        while build.wanted != build.said:
            await asyncio.sleep(max(0.0, build.said_at + SAY_EVERY_S - time.monotonic()))
            build.said, build.said_at = build.wanted, time.monotonic()
            for say in list(build.listeners):
                await tell(say, build.said)

    def _raise_remembered(self, key: object) -> None:
        now = time.monotonic()
        if len(self._failed) > MOST_FAILURES:
            self._failed = {one: failed for one, failed in self._failed.items() if failed[0] > now}
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and until > now:
            raise _again(error)
        self._failed.pop(key, None)


def _again(error: EnvironmentFailed) -> EnvironmentFailed:
    return EnvironmentFailed(str(error), log=error.log, transient=error.transient)


async def tell(say: Say, text: str) -> None:
    """Whether it has to be waited for or not."""
    answer = say(text)
    if isinstance(answer, Awaitable):
        await answer
