"""The same as ``usage_linux`` where there is no /proc."""

import os
import sys
from collections.abc import Iterator

import psutil


def sessions() -> Iterator[tuple[int, float, int]]:
    """(session, CPU seconds, resident bytes) of each process; what may not be looked at is nobody's task."""
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


def processor_times() -> tuple[float, float]:
    """Of all processors together: the time that was not spent, and all of it, in one unit."""
    twice = {"guest", "guest_nice"}  # which are within user and nice
    times = {name: spent for name, spent in psutil.cpu_times()._asdict().items() if name not in twice}
    return times["idle"] + times.get("iowait", 0.0), sum(times.values())


def memory_free_bytes() -> int:
    return int(psutil.virtual_memory().available)
