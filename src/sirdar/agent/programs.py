"""Which programs of a home run, whether its agent lives or not: from the porter's own log, and the system's word."""

import sys
from pathlib import Path

from sirdar.agent.executors.porter_orphans import is_same
from sirdar.agent.porter.facts_log import NAME, Past, boot_id
from sirdar.agent.porter.launch import held


def programs_here(home: Path) -> int:
    """How many programs of the home run, or wait for a cpu with a porter that lives."""
    past = Past(str(home / NAME))
    if past.boot != boot_id():  # they have ended with that run of the machine
        return 0
    open_ends = [key for key in past.got if key not in past.ends]
    if held(home):
        return len(open_ends)
    return sum(_lives(past, key) for key in open_ends)  # a porter that was killed leaves them


def programs_running(home: Path) -> int:
    """How many programs of the home run now."""
    past = Past(str(home / NAME))
    if past.boot != boot_id():
        return 0
    started = [key for key in past.starts if key not in past.ends]
    if held(home):
        return len(started)
    return sum(_lives(past, key) for key in started)


def _lives(past: Past, key: str) -> bool:
    start = past.starts.get(key)
    return sys.platform == "linux" and start is not None and is_same(start["pid"], start["ticks"])
