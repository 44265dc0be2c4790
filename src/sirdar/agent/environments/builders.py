"""Which process makes something, written beside it: the next agent ends it, should this one be killed."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from sirdar.agent.executors.porter_orphans import is_same

NAME = "builder"


def note_builder(folder: Path, pid: int, boot: str) -> None:
    """``boot``: this run of the machine, since numbers of processes come again. Raises OSError."""
    if (ticks := _ticks(pid)) is not None:
        (folder / NAME).write_text(f"{pid} {ticks} {boot}")


def end_builder(folder: Path, boot: str, end: Callable[[int], None]) -> None:
    """``end`` is called with its pid, where it still lives."""
    with contextlib.suppress(OSError, ValueError):
        pid, ticks, *of_boot = (folder / NAME).read_text().split()
        if "".join(of_boot) == boot and is_same(int(pid), (int(ticks), int(ticks))):
            end(int(pid))


def _ticks(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
