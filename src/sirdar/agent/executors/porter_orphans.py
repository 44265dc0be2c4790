"""After the porter's death: ends the processes that it left."""

import os
import signal
import sys
import time
from pathlib import Path

from sirdar.agent.porter.facts_log import Past, boot_id

MARKS = (b"SIRDAR_TASK_ID", b"SIRDAR_WORKER_ID")
LAST_WAIT_S = 5.0


def end_orphans(past: Past) -> int:
    """Kills what still runs of the tasks that have no end in the log, and of kept programs; returns how many processes and groups.

    A process is taken for the task's if its pid, start time and boot fit the log, or if it carries the id in its
    environment. Returns when none is left, at the latest after five seconds.
    """
    wanted = (set(past.got) - set(past.ends)) | set(past.workers)
    if sys.platform == "win32" or not wanted:
        return 0
    same_boot = past.boot == boot_id()
    killed = 0
    for key in wanted:
        start = past.starts.get(key) or past.workers.get(key)
        if same_boot and start is not None and "pid" in start and is_same(start["pid"], start["ticks"]):
            killed += _kill_group(start["pid"])
    last = time.monotonic() + LAST_WAIT_S
    while time.monotonic() < last:
        marked = _marked(wanted)
        if not marked:
            break
        killed += len(marked)
        for pid in marked:
            _kill(pid)
        time.sleep(0.02)
    return killed


def is_same(pid: int, ticks: tuple[int, int]) -> bool:
    """True if the process with this pid was started in the range of clock ticks since boot."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    started = int(text.rpartition(")")[2].split()[19])
    return ticks[0] - 1 <= started <= ticks[1] + 1


def _kill_group(pid: int) -> int:
    if sys.platform == "win32":
        return 0
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return 0
    return 1


def _kill(pid: int) -> None:
    if sys.platform == "win32":
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _marked(keys: set[str]) -> list[int]:
    """Live processes whose environment carries one of the ids."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        pairs = [word.partition(b"=") for word in variables]
        if any(name in MARKS and value.decode(errors="replace") in keys for name, _, value in pairs):
            found.append(int(entry.name))
    return found
