# ruff: noqa: E402, PTH108, PTH119
"""One process that serves many tasks, and what is said to it over its socket (its file descriptor ``SIRDAR_WORKER_FD``).

A line of JSON for each task, ``{"task": ID, "directory": DIR, "command": [..], "environment": {..}, "stdout": PATH, "stderr":
PATH}``, answered by ``{"task": ID, "exit_code": N}``. The end of the stream asks it to end. docs/how-to/keep-alive.md is for
those who write one.
"""

import sys

assert sys.platform != "win32"

import errno
import fcntl
import json
import os
import select
import socket
import time
from typing import Any

from sirdar.agent.porter import leftovers
from sirdar.agent.porter.spawn import OUT_FLAGS, spawn
from sirdar.agent.porter.task import Keep, Task

FD = 3
ANSWER_BYTES = 64 << 10
SEND_BUFFER_BYTES = 1 << 20
CLOSED_PATIENCE_S = 1.0  # from the end of its stream to its own end
WATCH_MS = 20  # where the system cannot wake us at a process's end
LOG_BYTES = 1 << 20  # of what it writes between tasks
TOLD_BYTES = 64 << 10  # of that: what goes to the streams of a task in which it died
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class NotKept(Exception):
    """The process did not answer as it must; the message says what it did instead."""


class Worker:
    """A live process. It belongs to one thread at a time, which is changed under the lock of the ``Table``."""

    __slots__ = (
        "buffer", "group", "home", "id", "identity", "idle_s", "idle_since", "left", "log_at", "log_fd", "most", "pid", "pidfd",
        "reaped", "served", "socket", "ticks", "unread", "unsent",
    )  # fmt: skip

    def __init__(self, worker_id: str, keep: Keep, group: Any) -> None:
        self.id = worker_id
        self.identity = keep.identity
        self.home = os.path.basename(keep.home)
        self.idle_s = keep.idle_s
        self.most = keep.most
        self.group = group
        self.pid = 0
        self.pidfd = -1
        self.ticks = (0, 0)
        self.served = 0
        self.idle_since = 0.0
        self.reaped = False
        self.buffer = b""
        self.unsent = b""
        self.unread = False  # it is gone, and has not read what it was told last
        self.log_at = 0
        self.left: Any = None  # (status, rusage) of one that has ended, where that is known before it is asked for

    def start(self, task: Task, *, limit_address_space: bool) -> None:
        """Raises SpawnError or OSError; nothing is left open then."""
        assert task.keep is not None
        keep = task.keep
        self.log_fd = _nameless(f"{keep.home}.{self.id}")
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        numbers = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs.fileno(), self.log_fd)]
        theirs.close()
        env = {"SIRDAR_WORKER_FD": str(FD), "SIRDAR_WORKER_ID": self.id}
        order = {"id": task.id, "argv": task.argv[: keep.words], "cwd": keep.home, "out": keep.home, "err": keep.home,
                 "mem": task.memory_bytes, "env": env}  # fmt: skip
        try:
            given = {FD: numbers[0], 1: numbers[1], 2: numbers[1]}
            self.pid = spawn(Task(order, keep.base), limit_address_space=limit_address_space, given=given)
        except BaseException:
            self.close()
            raise
        finally:
            for number in numbers:
                os.close(number)
        leftovers.kept.add(self.pid)
        if self.group is not None:
            try:
                self.group.add(self.pid)
            except OSError:  # it has ended already
                pass
        if hasattr(os, "pidfd_open"):
            try:
                self.pidfd = os.pidfd_open(self.pid)
            except OSError:
                pass

    def close(self) -> None:
        """Lets go of all that it was watched by."""
        self.socket.close()
        for fd in (self.log_fd, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.log_fd = self.pidfd = -1

    def has_ended(self) -> bool:
        """Whether the process is over; it is not reaped here."""
        if self.reaped:
            return True
        if sys.platform == "linux":
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._ended_elsewhere()

    def _ended_elsewhere(self) -> bool:
        """Where one cannot look without reaping: what it left of itself is kept for whoever asks."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.left, self.reaped = (status, usage), True
            leftovers.kept.discard(self.pid)
        return bool(pid)

    def is_quiet(self) -> bool:
        """Whether it lives and has said nothing since its last answer."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self.buffer and not self.has_ended()
        except OSError:
            return False
        return False

    # ------------------------------------------------------------ a task

    def hand(self, task: Task) -> bool:
        """Gives it the task; False where it is gone, and has seen nothing of it. Raises OSError: its streams cannot be made."""
        assert task.keep is not None
        for path in (task.out, task.err):  # what an earlier task wrote there must not be taken for this one's
            os.close(os.open(path, OUT_FLAGS, 0o600))
        self.log_at = os.fstat(self.log_fd).st_size
        if self.log_at > LOG_BYTES:
            os.ftruncate(self.log_fd, 0)
            self.log_at = 0
        if self.group is not None:
            self.group.begin()
        message = {
            "task": task.id,
            "directory": task.cwd,
            "command": task.argv[task.keep.words :],
            "environment": task.keep.told,
            "stdout": task.out,
            "stderr": task.err,
        }
        self.unsent = json.dumps(message).encode() + b"\n"
        self.served += 1
        return self._send()

    def _send(self) -> bool:
        """As much as goes. False where nobody reads it any more."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def answer(self, task: Task) -> int | None:
        """Waits for the exit code of the task; None where the process ended first. Raises NotKept."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | (select.POLLOUT if self.unsent else 0))
        if self.pidfd >= 0:
            poll.register(self.pidfd, select.POLLIN)
        closed_at: float | None = None
        while True:
            patient = self.pidfd >= 0 and closed_at is None
            events = dict(poll.poll(None if patient else WATCH_MS))
            found = events.get(self.socket.fileno(), 0) if closed_at is None else 0
            if found & select.POLLOUT and (not self._send() or not self.unsent):
                self.unsent = b""
                poll.modify(self.socket, select.POLLIN)
            if found & ~select.POLLOUT and not self._receive():
                poll.unregister(self.socket)
                closed_at = time.monotonic()
            line, whole, rest = self.buffer.partition(b"\n")
            if whole:
                self.buffer = rest
                return _exit_code(line, task.id)
            if len(self.buffer) > ANSWER_BYTES:
                raise NotKept("its answer is longer than 64 KiB")
            if (closed_at is not None or not found) and self.has_ended():
                return None
            if closed_at is not None and time.monotonic() - closed_at > CLOSED_PATIENCE_S:
                raise NotKept("it closed SIRDAR_WORKER_FD before it had answered")

    def _receive(self) -> bool:
        """False at the end of the stream."""
        try:
            raw = self.socket.recv(ANSWER_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:  # so the kernel says that bytes were left unread
            self.unread = error.errno == errno.ECONNRESET
            return False
        self.buffer += raw
        return bool(raw)

    def tell_log(self, path: str) -> None:
        """What it wrote to its own streams during the task goes to the task's: the traceback of a start that failed, say."""
        try:
            size = os.fstat(self.log_fd).st_size
            raw = os.pread(self.log_fd, TOLD_BYTES, max(self.log_at, size - TOLD_BYTES))
            if raw:
                fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(fd, raw)
                finally:
                    os.close(fd)
        except OSError:
            return


def _nameless(path: str) -> int:
    """A file that is gone when nobody has it open. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd


def _exit_code(line: bytes, task_id: str) -> int:
    try:
        answer = json.loads(line)
    except ValueError:
        raise NotKept("its answer is no JSON") from None
    if not isinstance(answer, dict) or answer.get("task") != task_id:
        raise NotKept("it answered for another task")
    code = answer.get("exit_code")
    if type(code) is not int or not -64 <= code <= 255:
        raise NotKept("its answer has no exit_code from 0 to 255")
    return code


# ---------------------------------------------------------------- what it uses


class Meter:
    """What a process uses from now on: CPU seconds and the most memory. Absent where the system does not say."""

    def __init__(self, pid: int, *, fresh: bool) -> None:
        self.pid = pid
        self.before = (0.0, 0.0, 0.0) if fresh else times_of(pid)
        self.peak = fresh or _reset_peak(pid)

    def read(self) -> dict[str, Any]:
        """The fields of an end record, of a process that lives."""
        return {**self._cpu(times_of(self.pid)), **({"rss": peak} if self.peak and (peak := _peak(self.pid)) else {})}

    def of_rusage(self, usage: Any, *, fresh: bool) -> dict[str, Any]:
        """Those of one that has ended: of its memory only the most of its whole life is known."""
        children = self.before[2] if self.before is not None else 0.0  # ended ones are in the rusage
        both = usage.ru_utime + usage.ru_stime - children
        rss = {"rss": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)} if fresh else {}
        return {**self._cpu((both, usage.ru_stime, children)), **rss}

    def _cpu(self, now: tuple[float, float, float] | None) -> dict[str, Any]:
        if now is None or self.before is None:
            return {}
        spent, system, children = (max(0.0, after - before) for after, before in zip(now, self.before, strict=True))
        system = min(system, spent)
        return {"u": round(spent - system + children, 4), "s": round(system, 4)}

    @property
    def used_s(self) -> float:
        return self.before[0] + self.before[2] if self.before is not None else 0.0


def times_of(pid: int) -> tuple[float, float, float] | None:
    """CPU seconds of a process (exact), those of the kernel among them, and those of ended children (in ticks); None: not told."""
    if sys.platform != "linux":
        return None
    try:
        both = time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of another process, as clock_getcpuclockid makes it
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return both, int(words[12]) / CLOCK_TICKS, (int(words[13]) + int(words[14])) / CLOCK_TICKS


def _reset_peak(pid: int) -> bool:
    try:
        fd = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, b"5")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _peak(pid: int) -> int:
    """Bytes; 0 where nobody says."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            line = next((line for line in file if line.startswith(b"VmHWM:")), b"")
    except OSError:
        return 0
    return int(line.split()[1]) * 1024 if line else 0
