# ruff: noqa: E402, PTH208
"""Finds and ends what a program leaves behind when its first process has ended.

The porter is a 'child subreaper' (Linux): whatever loses its parent becomes a child of the porter's main thread, also
what made a session of its own, and is seen in one small file. A process belongs to a task if it is in its session or
carries its id, or that of the kept program which did the task, in the environment.
"""

import sys

assert sys.platform != "win32"

import ctypes
import os
import signal
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
MARKS = (b"SIRDAR_TASK_ID", b"SIRDAR_WORKER_ID")


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants' orphans, where the system can."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (AttributeError, OSError):
            return


def group_alive(pid: int) -> bool:
    """True while the process group has a process (also one that we may not signal)."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return sys.platform == "linux"  # macOS says so of groups that hold zombies only
    return True


def signal_group(pid: int, number: int) -> None:
    """Sends a signal to the process group; a stopped group is woken, so that it can act on it."""
    try:
        os.killpg(pid, number)
        if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
            os.killpg(pid, signal.SIGCONT)
    except (ProcessLookupError, PermissionError):
        return


_children_fd = -1
used: dict[int, Any] = {}  # what orphans had used that were reaped here, the last ones
USED_KEPT = 256
kept: set[int] = set()  # processes that live on between tasks: a thread that ends leaves its own to the main one


def orphans() -> list[int]:
    """Pids of adopted orphans that live; those that have ended are reaped on the way.

    The kernel lists a process's children by thread; the main thread starts none itself, so its list is that of the
    adopted. The file is kept open: this is asked at the end of every task.
    """
    global _children_fd  # noqa: PLW0603
    try:
        if _children_fd < 0:
            _children_fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
        listed = os.pread(_children_fd, 1 << 16, 0)
    except OSError:
        return []
    return [pid for pid in map(int, listed.split()) if pid not in kept and not _reap(pid)]


def _reap(pid: int) -> bool:
    try:
        found, _, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    if found == pid:
        used[pid] = usage
        while len(used) > USED_KEPT:
            used.pop(next(iter(used)), None)
    return found == pid


def strays(ids: "frozenset[str]", session: int) -> list[int]:
    """Orphans that belong to the task, or the kept program, of these ids."""
    return [pid for pid in orphans() if session_of(pid) == session or not ids.isdisjoint(owners_of(pid))]


def children_of(pid: int) -> list[int]:
    """Live children of a process, whichever of its threads started them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        return [child for child in found if is_alive(child)]
    return [child for child in found if is_alive(child)]


def is_alive(pid: int) -> bool:
    """False of what has ended and was not waited for yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2][1:2] not in b"ZX"
    except OSError:
        return False


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def owners_of(pid: int) -> list[str]:
    """Ids of the task and the kept program whose environment the process carries."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read(1 << 20).split(b"\0")
    except OSError:
        return []
    pairs = [word.partition(b"=") for word in variables]
    return [value.decode(errors="replace") for name, _, value in pairs if name in MARKS]


def kill_pids(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
