"""CPU time and memory of this machine's processes, summed by session: each program is one."""

import os
import sys
from collections.abc import Iterator

import psutil

Usage = tuple[float, int]


def usage_by_session() -> dict[int, Usage]:
    """CPU seconds and resident bytes of all live processes by session: one look for all tasks.

    CPU time of children that a process has waited for is the process's too. Memory that processes share counts for each.
    """
    found: dict[int, Usage] = {}
    for session, cpu_s, rss_bytes in _from_proc() if sys.platform == "linux" else _from_psutil():
        before_s, before_bytes = found.get(session, (0.0, 0))
        found[session] = (before_s + cpu_s, before_bytes + rss_bytes)
    return found


def _from_proc() -> Iterator[tuple[int, float, int]]:
    """(session, CPU seconds, resident bytes) of each process: a third of what psutil takes for it."""
    if sys.platform == "win32":
        return
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            file = os.open(f"/proc/{entry.name}/stat", os.O_RDONLY)
        except OSError:  # it has ended
            continue
        try:
            words = os.read(file, 4096).rpartition(b")")[2].split()
        except OSError:
            continue
        finally:
            os.close(file)
        yield int(words[3]), sum(int(word) for word in words[11:15]) / ticks, int(words[21]) * page


def _from_psutil() -> Iterator[tuple[int, float, int]]:
    """The same where there is no /proc. What may not be looked at is nobody's task."""
    if sys.platform == "win32":
        return  # it has no sessions, and the process executor does not run there
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                times, rss_bytes = process.cpu_times(), process.memory_info().rss
            session = os.getsid(process.pid)
        except (psutil.Error, OSError):
            continue
        children_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        yield session, times.user + times.system + children_s, rss_bytes
