"""Runs beside the model: tells the agent each new line of status.txt, and notes how much memory the task holds.

python3 watch.py status.txt memory.csv PID        until SIGTERM, or until the process PID is gone
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from agent_port import AgentPort

EVERY_S = 0.1


def memory_mib(group: int) -> float:
    """Resident memory of the process group, in MiB; 0 where there is no /proc."""
    pages = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[2]) == group:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    status, table, parent = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    ending = False

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    port, told, begun, noted = AgentPort(), "", time.monotonic(), -1.0
    with table.open("w") as file:
        file.write("seconds,memory_mib\n")
        while True:
            last_round = ending or os.getppid() != parent
            text = status.read_text(encoding="utf-8").strip()
            if text and text != told and port.tell(text):
                told = text
            if (now := time.monotonic() - begun) - noted >= 1:
                file.write(f"{now:.1f},{memory_mib(os.getpgid(0)):.1f}\n")
                file.flush()
                noted = now
            if last_round:
                break
            time.sleep(EVERY_S)
    port.close()


main()
