# ruff: noqa: E402
"""Ends of programs that may be Slurm's doing.

Slurm ends a job by SIGTERM to all of its processes at about the same time, in any order. What a program did at that moment is not
its own doing, whatever its exit code: a shell whose ``sleep`` was ended goes on with the next line, and may end well. So an end
that nobody asked for is not told before there was time for our own SIGTERM to come.
"""

import sys

assert sys.platform != "win32"

import os
import select
import signal
import threading
import time
from collections import deque
from typing import Any

from sirdar.agent.porter.table import Table
from sirdar.agent.porter.task import Task

SIGNALLED = (
    -signal.SIGTERM,
    -signal.SIGKILL,
    128 + signal.SIGTERM,
    128 + signal.SIGKILL,
)  # 128 + N: what a shell makes of it
SIGNALLED_NEWS_S = 0.3
OTHER_NEWS_S = 0.05
TURN_S = 0.01


def news_s(fact: dict[str, Any]) -> float:
    """So long after such an end may our own signal come; 0 where it does not matter: somebody is known to have ended it."""
    if fact["by"] is not None or fact["code"] is None:
        return 0.0
    return SIGNALLED_NEWS_S if fact["code"] in SIGNALLED else OTHER_NEWS_S


class Told:
    """Whether SIGTERM has come: known as soon as it is there, whichever thread the kernel has given it to.

    Python's own handler may run much later: only in the main thread, which the signal need not wake. ``fd`` can be read from then
    on, and nobody does. Made in the main thread; SIGTERM needs a handler, and no other signal may have one.
    """

    def __init__(self) -> None:
        self.fd, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def within(self, wait_s: float | None) -> bool:
        """Returns when it has come, or when the time is over. ``None``: it has no end."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(None if wait_s is None else wait_s * 1000))


class Held:
    """Ends in a pilot, from when they are known until they are told. Their cpus are free meanwhile."""

    def __init__(self, table: Table, told: Told) -> None:
        self._table = table
        self._told = told
        self._some = threading.Condition(table.lock)
        self._ends: dict[float, deque[tuple[float, Task, dict[str, Any]]]] = {
            OTHER_NEWS_S: deque(),
            SIGNALLED_NEWS_S: deque(),
        }
        table.hold = self._hold
        threading.Thread(target=self._let_go_for_ever, name="ends", daemon=True).start()

    def _hold(self, task: Task, fact: dict[str, Any]) -> bool:
        """Under the table's lock."""
        wait_s = news_s(fact)
        if not wait_s:
            return False
        if not any(self._ends.values()):
            self._some.notify()
        self._ends[wait_s].append((time.monotonic() + wait_s, task, fact))
        return True

    def _let_go_for_ever(self) -> None:
        while True:
            with self._table.lock:
                while not any(self._ends.values()):
                    self._some.wait()
            cut_off = self._told.within(TURN_S)  # many at a time: one line to the agent for all of them
            with self._table.lock:
                self._let_go(cut_off=cut_off)

    def _let_go(self, *, cut_off: bool) -> None:
        now = time.monotonic()
        for ends in self._ends.values():
            while ends and (cut_off or ends[0][0] <= now):
                _, task, fact = ends.popleft()
                self._table.tell_end(task, {**fact, "by": "porter"} if cut_off else fact)
