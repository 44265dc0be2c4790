# ruff: noqa: E402
"""All tasks that the porter carries, and the threads that run them.

A spawner thread starts a program, waits for just that one, clears up after it, and takes the next: no hand-over between
threads lies on the way of a task, and no end can be seen before its start is recorded. A process is signalled only
under the lock and before it is reaped, so a signal never meets a stranger with the same pid.
"""

import sys

assert sys.platform != "win32"

import errno
import heapq
import os
import signal
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

from sirdar.agent.porter import leftovers
from sirdar.agent.porter.cgroups import Groups, Limits
from sirdar.agent.porter.reach import AGAIN_S, REACH_PATIENCE_S
from sirdar.agent.porter.spawn import SpawnError, spawn
from sirdar.agent.porter.task import ENDED, RUNNING, STARTING, WAITING, Task
from sirdar.agent.porter.worker import Worker
from sirdar.agent.porter.workers import Workers
from sirdar.agent.porter.wrap import reap_inner, usage_fact

SPARE_SPAWNERS = 2
MOST_SPAWNERS = 512
FORGOTTEN_KEPT = 10_000
LEFTOVER_GRACE_S = 0.2
LEFTOVER_LAST_S = 5.0
SEND = "send "  # the name of a timer that sends a signal, before its number
MOST_PIDS = 1024  # processes and threads of one sandboxed task
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Table:
    """Tasks by id, and how many cpus are free. ``tell`` is called (from any thread) with each start and end.

    ``note`` writes a record to the log before it returns, and raises OSError where it cannot.
    """

    def __init__(
        self,
        slots: int,
        groups: Groups | None,
        tell: Callable[[str, dict[str, Any]], None],
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)
        self.tasks: dict[str, Task] = {}
        self.waiting: deque[Task] = deque()
        self.forgotten: OrderedDict[str, None] = OrderedDict()
        self.slots = slots
        self.free = slots
        self.live = 0  # tasks that a spawner has
        self.groups = groups
        self.tell = tell
        self.note = note
        self.hold: Callable[[Task, dict[str, Any]], bool] | None = None  # takes an end that it will ``tell_end`` later
        self.held = 0
        self.workers = Workers(self)
        self.spawners = 0
        self.idle_spawners = 0
        self.timers: list[tuple[float, int, str, str]] = []
        self.timer_count = 0
        self.timer_changed = threading.Condition(self.lock)
        threading.Thread(target=self._keep_time, name="timers", daemon=True).start()

    # ------------------------------------------------------------ commands

    def add(self, tasks: list[Task]) -> list[Task]:
        """Takes over the tasks and starts what the free cpus allow. Those whose ids it has seen before are given back."""
        with self.lock:
            known = [task for task in tasks if task.id in self.tasks or task.id in self.forgotten]
            for task in tasks:
                if task.id in self.tasks or task.id in self.forgotten:
                    continue
                task.cpus = max(1, min(task.cpus, self.slots))
                self.tasks[task.id] = task
                self.waiting.append(task)
            self._wake()
        return known

    def take_over(self, ends: list[dict[str, Any]]) -> None:
        """What an earlier porter carried, and how it ended."""
        with self.lock:
            for end in ends:
                task = Task({"id": end["id"], "argv": [], "cwd": "", "out": "", "err": ""}, {})
                task.place, task.end, task.pid, task.at = ENDED, end, end["pid"], end["at"]
                self.tasks[task.id] = task

    def resize(self, slots: int) -> None:
        with self.lock:
            self.free += slots - self.slots
            self.slots = slots
            self._wake()

    def stop(self, task_id: str, grace_s: float | None, by: str = "stop") -> None:
        """SIGTERM to the process group, SIGKILL after the grace. A task that still waits is dropped."""
        with self.lock:
            task = self.tasks.get(task_id)
            if task is None or task.place == ENDED:
                return
            task.by = task.by or by
            if grace_s is not None:
                task.grace_s = grace_s
            if task.place == WAITING:
                self.waiting.remove(task)
                self._end(task, {"code": None, "dropped": True})
            elif task.place == RUNNING:
                self._terminate(task)

    def withdraw(self, task_id: str) -> None:
        """A task that still waits is dropped; one that has started goes on."""
        with self.lock:
            task = self.tasks.get(task_id)
            if task is not None and task.place == WAITING:
                task.by = "withdraw"
                self.waiting.remove(task)
                self._end(task, {"code": None, "dropped": True})

    def signal(self, task_id: str, number: int) -> None:
        with self.lock:
            task = self.tasks.get(task_id)
            if task is not None and task.place == RUNNING and not task.reaped:
                self._send(task, number)

    def forget(self, ids: list[str]) -> None:
        """The agent has written down how these ended."""
        with self.lock:
            for task_id in ids:
                task = self.tasks.get(task_id)
                if task is not None and task.place == ENDED:
                    del self.tasks[task_id]
                    self.forgotten[task_id] = None
            while len(self.forgotten) > FORGOTTEN_KEPT:
                self.forgotten.popitem(last=False)

    def carried(self) -> list[dict[str, Any]]:
        """Everything that is not forgotten yet, for an agent that connects."""
        with self.lock:
            return [{**task.started_fact(), "place": task.place, "end": task.end} for task in list(self.tasks.values())]

    def active(self) -> int:
        """How many tasks wait or run, or have ended and are not told."""
        with self.lock:
            return len(self.waiting) + self.live + self.held

    def stop_all(self, grace_s: float, by: str = "stop") -> None:
        for item in self.carried():
            self.stop(item["id"], grace_s, by)

    # ------------------------------------------------------------ spawners

    def _wake(self) -> None:
        """Under the lock: lets idle spawners look for work, and makes new ones while cpus are free."""
        if not self.waiting:
            return
        needed = min(len(self.waiting), max(0, self.free))
        self.work.notify(min(needed, self.idle_spawners))
        while needed > self.idle_spawners and self.spawners < MOST_SPAWNERS:
            self.spawners += 1
            self.idle_spawners += 1
            threading.Thread(target=self._spawner, name="spawner", daemon=True).start()

    def _next(self) -> Task | None:
        if not self.waiting or self.waiting[0].cpus > self.free:
            return None
        task = self.waiting.popleft()
        self.free -= task.cpus
        self.live += 1
        task.place = STARTING
        self.workers.reserve(task)
        return task

    def _spawner(self) -> None:
        while True:
            with self.lock:
                task = self._next()
                while task is None:
                    rested = self.work.wait(timeout=30.0)
                    task = self._next()
                    if task is None and not rested and self.idle_spawners > SPARE_SPAWNERS:
                        self.idle_spawners -= 1
                        self.spawners -= 1
                        return
                self.idle_spawners -= 1
            end = self._run(task)
            with self.lock:
                self.free += task.cpus
                self.live -= 1
                self.workers.park(task)
                self.idle_spawners += 1
                self._end(task, end)
                if self.free > 1 or len(self.waiting) > 1:
                    self._wake()

    def _run(self, task: Task) -> dict[str, Any]:
        """Starts the program, waits for it, ends what it left. What it returns goes into the end record."""
        if task.by is not None:
            return {"code": None, "dropped": True}
        if task.keep is not None:
            try:
                return self.workers.run(task)
            except SpawnError as error:
                return {"code": None, "errno": error.number, "what": error.what, "error": str(error)}
        group = self.group_for(task)
        before = int(time.clock_gettime(BOOT_CLOCK) * CLOCK_TICKS)
        try:
            task.at = time.time()
            enters = group is not None and task.wrap is not None  # what is inside may start others at once
            pid = _spawn(task, limit_address_space=group is None, doors=group.doors() if enters else ())
        except SpawnError as error:
            if group is not None and self.groups is not None:
                self.groups.give(group)
            return {"code": None, "errno": error.number, "what": error.what, "error": str(error)}
        if group is not None and not enters:
            try:
                group.add(pid)
            except OSError:  # it has ended already
                pass
        self._record(task, pid, group, before)
        inner = task.wrap.inner_pid() if task.wrap is not None else 0
        status, usage = self._wait(task)
        ended = time.time()
        if inner:
            usage = reap_inner(inner) or usage
        left = self._clear(task)
        end: dict[str, Any] = {
            "code": os.waitstatus_to_exitcode(status),
            "ended": ended,
            **usage_fact(usage),
        }
        if task.wrap is not None:
            if task.by is not None or end["code"] < 0:  # its command may be gone before what it has made
                task.wrap.end(task.env)
            end |= task.wrap.read_end(end["code"], task.err, signalled=task.by is not None)
            end |= task.wrap.container_facts(end["code"], signalled=task.by is not None)
            task.wrap.close()
        if left:
            end["left"] = left
        if group is not None and self.groups is not None:
            end["oom"] = group.memory_killed()
            self.groups.give(group)
        return end

    def _wait(self, task: Task) -> tuple[int, Any]:
        """Waits for the end and reaps: on Linux in two steps, so that no signal is sent to a pid that is free again."""
        if sys.platform == "linux":
            os.waitid(os.P_PID, task.pid, os.WEXITED | os.WNOWAIT)
            with self.lock:
                _, status, usage = os.wait4(task.pid, 0)
                task.reaped = True
        else:
            _, status, usage = os.wait4(task.pid, 0)
            task.reaped = True
        return status, usage

    def group_for(self, task: Task) -> Any:
        sandboxed = task.wrap is not None and task.wrap.kind == "bubblewrap"
        if self.groups is None or not (task.memory_bytes or sandboxed):
            return None
        limits = Limits(task.memory_bytes, MOST_PIDS, task.cpus) if sandboxed else Limits(task.memory_bytes)
        with self.lock:
            try:
                return self.groups.take(limits)
            except OSError:
                return None

    def _record(self, task: Task, pid: int, group: Any, before: int) -> None:
        with self.lock:
            task.pid = pid
            task.group = group
            task.ticks = (before, int(time.clock_gettime(BOOT_CLOCK) * CLOCK_TICKS) + 1)
            self._runs(task)

    def record(self, task: Task, worker: Worker) -> None:
        """A kept program has got the task."""
        with self.lock:
            task.at = time.time()
            task.reaped = False  # an earlier one may have died with it unseen
            task.pid, task.group, task.ticks = worker.pid, worker.group, worker.ticks
            self._runs(task)

    def _runs(self, task: Task) -> None:
        """Under the lock."""
        task.place = RUNNING
        self.tell("start", task.started_fact())
        if task.by is not None:
            self._terminate(task)
        elif task.time_s is not None:
            self._set_timer(task.time_s, task.id, "time")

    def _end(self, task: Task, end: dict[str, Any]) -> None:
        """Under the lock."""
        task.place = ENDED
        task.env = {}
        task.argv = []
        task.keep = None
        fact = {"id": task.id, "pid": task.pid, "at": task.at, "by": task.by, "ended": time.time(), **end}
        self.held += 1
        if self.hold is None or not self.hold(task, fact):
            self.tell_end(task, fact)

    def tell_end(self, task: Task, fact: dict[str, Any]) -> None:
        """Under the lock. Before this, nobody sees that it has ended."""
        self.held -= 1
        task.end = fact
        self.tell("end", fact)

    # ------------------------------------------------------------ what is left behind

    def _clear(self, task: Task) -> int:
        """Ends what is left of the task's processes; returns how many there were (a group counts as one)."""
        found = 0
        began = time.monotonic()
        while True:
            late = time.monotonic() - began
            left = self._left(task)
            if not left or late > LEFTOVER_LAST_S:
                return found
            number = signal.SIGKILL if late >= LEFTOVER_GRACE_S else signal.SIGTERM
            if found == 0 or number == signal.SIGKILL:
                leftovers.signal_group(task.pid, number)
                leftovers.kill_pids(left, number)
            found = max(found, len(left))
            time.sleep(0.01)

    def _left(self, task: Task) -> list[int]:
        pids: list[int] = task.group.pids() if task.group is not None else []
        pids += leftovers.strays(frozenset({task.id}), task.pid)
        if leftovers.group_alive(task.pid):
            pids.append(-task.pid)
        return [pid for pid in pids if pid > 0] or ([0] if pids else [])

    # ------------------------------------------------------------ time

    def _terminate(self, task: Task) -> None:
        """Under the lock: SIGTERM now, SIGKILL after the task's grace."""
        if task.reaped or task.stop_signalled:
            return
        task.stop_signalled = True
        if not self._send(task, signal.SIGTERM):  # its grace begins when it gets that
            self._set_timer(task.grace_s + REACH_PATIENCE_S, task.id, "kill")

    def _send(self, task: Task, number: int) -> bool:
        """Under the lock. A program that cannot be reached yet gets the signal as soon as it can."""
        if task.wrap is None:
            leftovers.signal_group(task.pid, number)
        elif not task.wrap.signal(task.pid, number, task.env):
            self._set_timer(AGAIN_S, task.id, f"{SEND}{number}")
            return False
        if task.stop_signalled and number == signal.SIGTERM:
            self._set_timer(task.grace_s, task.id, "kill")
        return True

    def _set_timer(self, delay_s: float, task_id: str, what: str) -> None:
        self.timer_count += 1
        heapq.heappush(self.timers, (time.monotonic() + delay_s, self.timer_count, task_id, what))
        self.timer_changed.notify()

    def _keep_time(self) -> None:
        with self.lock:
            while True:
                wait_s = self.timers[0][0] - time.monotonic() if self.timers else None
                if wait_s is None or wait_s > 0:
                    self.timer_changed.wait(wait_s)
                    continue
                _, _, task_id, what = heapq.heappop(self.timers)
                task = self.tasks.get(task_id)
                if task is None or task.place != RUNNING or task.reaped:
                    continue
                if what == "kill":
                    leftovers.signal_group(task.pid, signal.SIGKILL)
                    pids = task.group.pids() if task.group is not None else []
                    leftovers.kill_pids(pids, signal.SIGKILL)
                elif what.startswith(SEND):
                    self._send(task, int(what.removeprefix(SEND)))
                else:
                    task.by = task.by or "time"
                    self._terminate(task)


def _spawn(task: Task, *, limit_address_space: bool, doors: Sequence[str]) -> int:
    """Raises SpawnError."""
    wrap = task.wrap
    if wrap is None:
        return spawn(task, limit_address_space=limit_address_space)
    try:
        given = wrap.descriptors()
    except OSError as error:
        raise SpawnError(error.errno or errno.EIO, "system", error.filename or wrap.kind) from None
    try:
        return spawn(task, limit_address_space=limit_address_space, given=given, doors=doors)
    except SpawnError:
        wrap.close()
        raise
    finally:
        wrap.started()


def lost_end(task_id: str, start: dict[str, Any] | None) -> dict[str, Any]:
    """The end of a task that died with an earlier porter, or whose end nobody saw."""
    known = start or {"pid": 0, "at": 0.0}
    return {
        "id": task_id,
        "pid": known["pid"],
        "at": known["at"],
        "by": None,
        "code": None,
        "ended": time.time(),
        "lost": True,
    }


def unknown_end(task: Task) -> dict[str, Any]:
    """The end of a task that this porter refuses because it has seen its id and forgotten how it ended."""
    return {"id": task.id, "pid": 0, "at": 0.0, "by": None, "code": None, "ended": time.time(), "errno": errno.EEXIST,
            "what": "seen", "error": "the porter has run this attempt before"}  # fmt: skip


def not_noted(task: Task, error: OSError) -> dict[str, Any]:
    """The end of a task that was not started, since the log has no room for it."""
    return {"id": task.id, "pid": 0, "at": 0.0, "by": None, "code": None, "ended": time.time(), "errno": error.errno,
            "what": "log", "error": f"the porter cannot write its log: {error.strerror}"}  # fmt: skip
