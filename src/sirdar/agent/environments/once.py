"""Work that is done once, however many ask for it at the same time; all of them hear how far it is."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sirdar.agent.environments.base import Say

Made = TypeVar("Made")


@dataclass(slots=True)
class _Work(Generic[Made]):
    task: "asyncio.Task[Made] | None" = None
    listeners: list[Say] = field(default_factory=list)
    last: str = ""


class Once(Generic[Made]):
    """By key. The work goes on where those who asked for it have gone: others will want it."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Work[Made]] = {}

    async def ask(self, key: str, work: Callable[[Say], Coroutine[Any, Any, Made]], say: Say) -> Made:
        """What the work makes, or the exception that it ended with."""
        one = self._under_way.get(key)
        if one is None:
            one = self._under_way[key] = _Work()
            one.task = asyncio.create_task(self._do(key, work))
        assert one.task is not None
        one.listeners.append(say)
        try:
            if one.last:
                await _tell(say, one.last)
            made = await asyncio.shield(one.task)
            await _tell(say, "")  # how far it is says nothing any more
            return made
        finally:
            one.listeners.remove(say)

    async def _do(self, key: str, work: Callable[[Say], Coroutine[Any, Any, Made]]) -> Made:
        one = self._under_way[key]

        async def tell_all(text: str) -> None:
            if text != one.last:
                one.last = text
                for say in list(one.listeners):
                    await _tell(say, text)

        try:
            return await work(tell_all)
        finally:
            del self._under_way[key]


async def _tell(say: Say, text: str) -> None:
    answer = say(text)
    if inspect.isawaitable(answer):
        await answer
