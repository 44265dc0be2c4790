"""Facts that wait for the agent to take them."""

import asyncio
from collections.abc import Mapping

from sirdar.agent.executors.base import Facts, ProgramEnd, ProgramStart


class News:
    """Starts, ends and notes since the last answer."""

    def __init__(self) -> None:
        self._started: list[ProgramStart] = []
        self._ended: list[ProgramEnd] = []
        self._notes: dict[str, str] = {}
        self._any = asyncio.Event()
        self._broken: BaseException | None = None

    def watch(self, task: "asyncio.Task[None]") -> "asyncio.Task[None]":
        """A loop of the executor: where it breaks, whoever takes facts hears its error."""
        task.add_done_callback(self._note_break)
        return task

    def _note_break(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
            self._any.set()

    def start(self, start: ProgramStart) -> None:
        self._started.append(start)
        self._any.set()

    def end(self, end: ProgramEnd) -> None:
        self._ended.append(end)
        self._notes.pop(end.key, None)
        self._any.set()

    def note(self, notes: Mapping[str, str]) -> None:
        if notes:
            self._notes.update(notes)
            self._any.set()

    async def take(self) -> Facts:
        while not self._any.is_set():
            await self._any.wait()
        if self._broken is not None:
            raise self._broken
        self._any.clear()
        facts = Facts(self._started, self._ended, (), self._notes)
        self._started, self._ended, self._notes = [], [], {}
        return facts
