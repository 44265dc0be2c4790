"""What Linux says of its processes and processors: read from /proc, in a third of the time and without the 5 MB of psutil."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path


def sessions() -> Iterator[tuple[int, float, int]]:
    """(session, CPU seconds, resident bytes) of each process."""
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


def processor_times() -> tuple[float, float]:
    """Of all processors together: the time that was not spent, and all of it, in one unit."""
    try:
        words = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return 0.0, 0.0
    times = [float(word) for word in words]
    return sum(times[3:5]), sum(times)
