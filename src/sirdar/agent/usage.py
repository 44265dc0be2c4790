"""How busy this machine is, and with what: its processes by session (each program is one), its processors, its memory."""

import sys

if sys.platform == "linux":
    from sirdar.agent import usage_linux as machine
else:
    from sirdar.agent import usage_elsewhere as machine

Usage = tuple[float, int]


def usage_by_session() -> dict[int, Usage]:
    """CPU seconds and resident bytes of all live processes by session: one look for all tasks.

    CPU time of children that a process has waited for is the process's too. Memory that processes share counts for each.
    """
    found: dict[int, Usage] = {}
    for session, cpu_s, rss_bytes in machine.sessions():
        before_s, before_bytes = found.get(session, (0.0, 0))
        found[session] = (before_s + cpu_s, before_bytes + rss_bytes)
    return found


class CpuMeter:
    """How busy the machine's processors are, whoever keeps them so."""

    def __init__(self) -> None:
        self._idle, self._whole = machine.processor_times()

    def used(self) -> float | None:
        """The share of their time since the last answer that was spent, from 0 to 1; None where too little has passed."""
        idle, whole = machine.processor_times()
        idle_before, whole_before = self._idle, self._whole
        if whole <= whole_before:
            return None
        self._idle, self._whole = idle, whole
        return round(min(1.0, max(0.0, 1 - (idle - idle_before) / (whole - whole_before))), 3)
