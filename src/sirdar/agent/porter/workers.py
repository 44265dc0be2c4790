# ruff: noqa: E402
"""Programs that are kept between tasks: who gets which, and when they end.

A task is handed to an idle process of its own kind (``Keep.identity``), else to a new one. A process that was signalled, that
did not answer as it must, or that has served its number of tasks, is not used again. No more of them are idle than cpus are
free: whoever starts anything takes the place of the one that has been idle for longest.
"""

import sys

assert sys.platform != "win32"

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from sirdar.agent.porter import leftovers
from sirdar.agent.porter.cgroups import Groups
from sirdar.agent.porter.spawn import SpawnError
from sirdar.agent.porter.task import Task
from sirdar.agent.porter.worker import CLOCK_TICKS, Meter, NotKept, Worker

LOOK_S = 0.5  # how soon it is seen that an idle one has died
LEAVING_LOOK_S = 0.01
LEAVE_S = 1.0  # from the end of its stream to SIGTERM, and from there to SIGKILL
LEFTOVER_GRACE_S, LEFTOVER_LAST_S = 0.2, 5.0
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Owner(Protocol):
    """What the ``Table`` does for kept programs. All under its lock, but for ``note`` and ``group_for``."""

    lock: Any
    free: int
    groups: Groups | None

    def group_for(self, task: Task) -> Any: ...
    def record(self, task: Task, worker: Worker) -> None: ...
    def note(self, record: dict[str, Any]) -> None: ...
    def tell(self, kind: str, fact: dict[str, Any]) -> None: ...


class _Unseen(Exception):
    """The process died while nobody looked, and has seen nothing of the task: another one gets it."""


class Workers:
    """Every live process of the kind. What is idle or on its way out belongs to the thread of ``_look_after``."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.changed = threading.Condition(owner.lock)
        self.keeping = True
        self.live: dict[str, Worker] = {}
        self.idle: list[Worker] = []  # the one that has been idle for longest first
        self.leaving: list[tuple[Worker, float]] = []  # and since when
        self.count = 0
        self.watched = False

    # ------------------------------------------------------------ under the lock

    def reserve(self, task: Task) -> None:
        """A task begins: it gets an idle process of its kind, if there is one; others make room."""
        if task.keep is not None:
            for worker in [one for one in reversed(self.idle) if one.identity == task.keep.identity]:
                self.idle.remove(worker)
                if worker.is_quiet():
                    task.worker = worker
                    break
                self._leave(worker)
        while len(self.idle) > max(0, self.owner.free):
            self._leave(self.idle.pop(0))

    def park(self, task: Task) -> None:
        """The task has ended: what did it waits for another, or goes."""
        worker, task.worker = task.worker, None
        if worker is None:
            return
        if not self.keeping or worker.served >= worker.most:
            self._leave(worker)
            return
        worker.idle_since = time.monotonic()
        self.idle.append(worker)
        if len(self.idle) == 1:
            self._watch()

    def keep(self, *, keeping: bool) -> None:
        """Whether processes are kept at all from now on."""
        self.keeping = keeping
        if not keeping:
            while self.idle:
                self._leave(self.idle.pop())

    def records(self) -> list[dict[str, Any]]:
        """Of the live ones, for the log."""
        return [
            {"r": "worker", "id": one.id, "pid": one.pid, "ticks": one.ticks} for one in self.live.values() if one.pid
        ]

    def homes(self) -> list[str]:
        """Names of the directories that live ones have started in."""
        return list({one.home for one in self.live.values()})

    def _leave(self, worker: Worker) -> None:
        """The end of its stream asks it to end; whoever does not is made to."""
        worker.socket.close()
        self.leaving.append((worker, time.monotonic()))
        self._watch()

    def _watch(self) -> None:
        if not self.watched:
            self.watched = True
            threading.Thread(target=self._look_after, name="workers", daemon=True).start()
        self.changed.notify()

    # ------------------------------------------------------------ a task, in its spawner's thread

    def run(self, task: Task) -> dict[str, Any]:
        """Has the task done; what it returns goes into the end record. Raises SpawnError."""
        if task.worker is not None:
            try:
                return self._serve(task, task.worker, fresh=False)
            except _Unseen:
                task.worker = None
        return self._serve(task, self._start(task), fresh=True)

    def _serve(self, task: Task, worker: Worker, *, fresh: bool) -> dict[str, Any]:
        """Raises SpawnError, and, where it is not fresh, _Unseen."""
        meter = Meter(worker.pid, fresh=fresh)
        task.used_s = 0.0 if fresh else meter.used_s
        try:
            handed = worker.hand(task)
        except OSError as error:
            task.worker = None
            self._end_now(worker)
            raise SpawnError(error.errno or errno.EIO, "directory", task.out) from None
        if not handed and not fresh:
            self._end_now(worker)
            raise _Unseen
        task.worker = worker
        self.owner.record(task, worker)
        try:
            code = worker.answer(task)
        except NotKept as why:
            return self._ended(task, worker, meter, fresh=fresh, why=str(why))
        if code is not None:
            return self._answered(task, worker, meter, code)
        if worker.unread and not fresh and task.by is None:
            self._end_now(worker, task)
            raise _Unseen
        return self._ended(task, worker, meter, fresh=fresh)

    def _start(self, task: Task) -> Worker:
        assert task.keep is not None
        with self.owner.lock:
            self.count += 1
            worker_id = f"{os.getpid()}-{time.time_ns():x}-{self.count}"
        try:
            self.owner.note({"r": "worker", "id": worker_id})  # before it starts: its environment says whose it is
        except OSError as error:
            raise SpawnError(error.errno or errno.EIO, "log", "the porter's log") from None
        worker = Worker(worker_id, task.keep, self.owner.group_for(task))
        before = int(time.clock_gettime(BOOT_CLOCK) * CLOCK_TICKS)
        try:
            worker.start(task, limit_address_space=worker.group is None)
        except (SpawnError, OSError) as error:
            self._give_group(worker)
            self._note_gone(worker)
            if isinstance(error, SpawnError):
                raise
            raise SpawnError(error.errno or errno.EIO, "directory", task.keep.home) from None
        worker.ticks = (before, int(time.clock_gettime(BOOT_CLOCK) * CLOCK_TICKS) + 1)
        with self.owner.lock:
            self.live[worker.id] = worker
            self.owner.tell("worker", {"id": worker.id, "pid": worker.pid, "ticks": worker.ticks})
        return worker

    def _answered(self, task: Task, worker: Worker, meter: Meter, code: int) -> dict[str, Any]:
        ended = time.time()
        with self.owner.lock:
            task.reaped = True  # from now on no signal of this task's meets the process
            stopped = task.by is not None or task.stop_signalled
        end = {"code": code, "ended": ended, **meter.read()}
        if left := self._clear_beside(task, worker):
            end["left"] = left
        if worker.group is not None:
            end["oom"] = worker.group.memory_killed()
        if stopped:
            self._end_now(worker, task)
            task.worker = None
        return end

    def _ended(self, task: Task, worker: Worker, meter: Meter, *, fresh: bool, why: str = "") -> dict[str, Any]:
        """The process has ended in the middle of the task, or is ended for what it did."""
        oom = worker.group is not None and worker.group.memory_killed()
        if why:
            leftovers.signal_group(worker.pid, signal.SIGKILL)
        status, usage = self._reap(worker, task)
        ended = time.time()
        worker.tell_log(task.err)
        left = self._end_now(worker, task)
        task.worker = None
        code = os.waitstatus_to_exitcode(status)
        end: dict[str, Any] = {"code": code, "ended": ended, **meter.of_rusage(usage, fresh=fresh), "oom": oom}
        if left:
            end["left"] = left
        if not why and code == 0:
            why = "it ended with exit code 0 before it had answered"
        if why and task.by is None:
            end |= {"code": None, "errno": errno.EPROTO, "what": "worker", "error": why}
        return end

    # ------------------------------------------------------------ their ends

    def _reap(self, worker: Worker, task: Task | None = None) -> tuple[int, Any]:
        """Waits for the end; no signal is sent to the pid afterwards."""
        if sys.platform == "linux":
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        with self.owner.lock:
            if worker.left is None:
                worker.left = os.wait4(worker.pid, 0)[1:]
            status, usage = worker.left
            worker.reaped = True
            leftovers.kept.discard(worker.pid)
            if task is not None:
                task.reaped = True
        return status, usage

    def _end_now(self, worker: Worker, task: Task | None = None) -> int:
        """Ends the process and all that it has started; returns how many of these there were."""
        if not worker.reaped:
            leftovers.signal_group(worker.pid, signal.SIGKILL)
            self._reap(worker, task)
        left = self._clear(lambda: self._left(worker, task), lambda number: leftovers.signal_group(worker.pid, number))
        worker.close()
        self._give_group(worker)
        with self.owner.lock:
            self.live.pop(worker.id, None)
            if worker in self.idle:
                self.idle.remove(worker)
            self._note_gone(worker)
        return left

    def _note_gone(self, worker: Worker) -> None:
        with self.owner.lock:
            last = all(one.home != worker.home for one in self.live.values())
            self.owner.tell("gone", {"id": worker.id, **({"home": worker.home} if last else {})})

    def _give_group(self, worker: Worker) -> None:
        if worker.group is not None and self.owner.groups is not None:
            with self.owner.lock:
                self.owner.groups.give(worker.group)

    def _clear_beside(self, task: Task, worker: Worker) -> int:
        """Ends what the task has left, but not the process that did it."""
        return self._clear(
            lambda: [
                pid for pid in [*self._left(worker, task), *leftovers.children_of(worker.pid)] if pid != worker.pid
            ]
        )

    def _left(self, worker: Worker, task: Task | None) -> list[int]:
        ids = frozenset({worker.id} if task is None else {worker.id, task.id})
        pids = leftovers.strays(ids, worker.pid)
        pids += [pid for pid in (worker.group.pids() if worker.group is not None else ()) if leftovers.is_alive(pid)]
        return [*pids, 0] if worker.reaped and leftovers.group_alive(worker.pid) else pids

    def _clear(self, find: Callable[[], list[int]], signal_all: Callable[[int], None] | None = None) -> int:
        """Signals whatever ``find`` finds, first kindly, until it finds nothing (0: a process that only its group is known of)."""
        found, began = 0, time.monotonic()
        while True:
            late = time.monotonic() - began
            left = find()
            if not left or late > LEFTOVER_LAST_S:
                return found
            number = signal.SIGKILL if late >= LEFTOVER_GRACE_S else signal.SIGTERM
            if found == 0 or number == signal.SIGKILL:
                if signal_all is not None:
                    signal_all(number)
                leftovers.kill_pids([pid for pid in left if pid], number)
            found = max(found, len(left))
            time.sleep(0.01)

    # ------------------------------------------------------------ the idle ones

    def _look_after(self) -> None:
        while True:
            with self.owner.lock:
                while not self.idle and not self.leaving:
                    self.changed.wait()
                now = time.monotonic()
                for worker in [one for one in self.idle if one.has_ended() or now - one.idle_since >= one.idle_s]:
                    self.idle.remove(worker)
                    self._leave(worker)
                over = [entry for entry in self.leaving if entry[0].has_ended()]
                for entry in over:
                    self.leaving.remove(entry)
                for worker, since in self.leaving:
                    _hurry(worker, now - since)
                if not over:
                    self.changed.wait(self._next_look_s(now))
            for worker, _ in over:
                self._end_now(worker)

    def _next_look_s(self, now: float) -> float:
        if self.leaving:
            return LEAVING_LOOK_S
        return max(0.0, min(LOOK_S, *(one.idle_since + one.idle_s - now for one in self.idle))) if self.idle else LOOK_S


def _hurry(worker: Worker, late_s: float) -> None:
    if late_s >= LEAVE_S:
        leftovers.signal_group(worker.pid, signal.SIGKILL if late_s >= 2 * LEAVE_S else signal.SIGTERM)
