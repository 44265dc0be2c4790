"""An executor that runs nothing: for trying out a server, and for tests. A command's words say what is to happen.

``mock run_for=0.2 exit_code=3`` "runs" for 0.2 s; ``start_error=EAGAIN`` cannot be started; ``kill_after=1`` ends by SIGKILL
after a second. A real program's words (no ``mock`` in front) run for no time and end with 0.
"""

import asyncio
import errno
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from sirdar.agent.executors.base import Ability, Facts, Handle, Launch, ProgramEnd, ProgramStart

KILL_SIGNAL = 9


class MockExecutor:
    """Carries out what the words say, with slots and first come, first started, in this process."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._free = slots
        self._waiting: deque[Launch] = deque()
        self._running: dict[str, tuple[Launch, asyncio.TimerHandle, float]] = {}
        self._seen: set[str] = set()
        self._started: list[ProgramStart] = []
        self._ended: list[ProgramEnd] = []
        self._news = asyncio.Event()

    async def recover(self, handles: Mapping[str, Handle]) -> set[str]:
        """Nothing outlives the agent here: all that was handed over is lost."""
        self._seen |= set(handles)
        for key in handles:
            self._tell_end(ProgramEnd(key, lost=True, ended_at=time.time()))
        return set(handles)

    async def probe(self) -> Ability:
        return Ability("mock", self._slots)

    async def start(self, launches: Sequence[Launch]) -> list[Handle]:
        for launch in launches:
            if launch.key not in self._seen:
                self._seen.add(launch.key)
                self._waiting.append(launch)
        self._start_what_fits()
        return [{"v": 1, "executor": "mock"} for _ in launches]

    async def facts(self) -> Facts:
        await self._news.wait()
        self._news.clear()
        facts = Facts(self._started, self._ended)
        self._started, self._ended = [], []
        return facts

    async def stop(self, keys: Sequence[str], grace_s: float | None = None, *, waiting_only: bool = False) -> None:
        dropped = [launch for launch in self._waiting if launch.key in keys]
        for launch in dropped:  # before a place becomes free for them
            self._waiting.remove(launch)
            by = "withdraw" if waiting_only else "stop"
            self._tell_end(ProgramEnd(launch.key, by=by, dropped=True, ended_at=time.time()))
        for key in keys:
            if key in self._running and not waiting_only:
                self._finish(key, -signal.SIGTERM, by="stop")

    async def destroy(self, keys: Sequence[str]) -> None:
        """Keeps the keys: none may start twice."""

    async def close(self, *, end_programs: bool) -> None:
        for _, timer, _ in self._running.values():
            timer.cancel()

    def _start_what_fits(self) -> None:
        while self._waiting and min(self._waiting[0].cpus, self._slots) <= self._free:
            launch = self._waiting.popleft()
            script = _read_script(launch)
            if "start_error" in script:
                number = getattr(errno, script["start_error"], errno.EIO)
                at = "program" if number in {errno.ENOENT, errno.EACCES} else "system"
                error = f"{launch.argv[0]}: {os.strerror(number)}"
                self._tell_end(
                    ProgramEnd(launch.key, ended_at=time.time(), error_number=number, error_at=at, error=error)
                )
                continue
            self._free -= min(launch.cpus, self._slots)
            self._run(launch, script)

    def _run(self, launch: Launch, script: dict[str, str]) -> None:
        for stream, word in ((launch.stdout, "out"), (launch.stderr, "err")):
            Path(stream).write_text(script.get(word, ""))
        ends = [(float(script.get("run_for", 0)), int(script.get("exit_code", 0)), None)]
        if "kill_after" in script:
            ends.append((float(script["kill_after"]), -KILL_SIGNAL, None))
        endings: list[tuple[float, int, str | None]] = [*ends]
        if launch.time_s is not None:
            endings.append((launch.time_s, -signal.SIGTERM, "time"))
        after_s, code, by = min(endings)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(after_s, lambda: self._finish(launch.key, code, by=by))
        now = time.time()
        self._running[launch.key] = (launch, timer, now)
        self._started.append(ProgramStart(launch.key, 0, now))
        self._news.set()

    def _finish(self, key: str, code: int, *, by: str | None) -> None:
        launch, timer, began = self._running.pop(key)
        timer.cancel()
        self._free += min(launch.cpus, self._slots)
        self._tell_end(ProgramEnd(key, code, began, time.time(), by=by))
        self._start_what_fits()

    def _tell_end(self, end: ProgramEnd) -> None:
        self._ended.append(end)
        self._news.set()


def _read_script(launch: Launch) -> dict[str, str]:
    if not launch.argv or Path(launch.argv[0]).name != "mock":
        return {}
    return dict(word.split("=", 1) for word in launch.argv[1:] if "=" in word)
