"""Submissions by ``wrk``, a compiled client: a set number of POSTs on a few connections, with its own CPU measured."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "submit.lua"
LONGEST_S = 120


class NoWrk(RuntimeError):
    """wrk is not installed."""

    def __init__(self) -> None:
        super().__init__("wrk is missing; on Debian and Ubuntu: scripts/debian-packages bench")


@dataclass(frozen=True, slots=True)
class Submitted:
    """What wrk did. ``began_at`` is the clock's time of the first request; ``cpu_s`` is wrk's own."""

    ids: tuple[str, ...]
    refused: int
    took_s: float
    began_at: float
    cpu_s: float

    @property
    def per_second(self) -> float:
        return len(self.ids) / self.took_s


def submit(
    url: str, path: str, *, n: int, connections: int, work: Path, token: str = "", body: str = "{}"
) -> Submitted:
    """Send ``n`` submissions, each connection the next one when the last is answered. Raises NoWrk."""
    program = shutil.which("wrk")
    if program is None:
        raise NoWrk
    ids = work / "wrk.ids"
    sizes = ["-t1", f"-c{connections}", f"-d{LONGEST_S}", "--timeout", f"{LONGEST_S}s"]
    words = [program, *sizes, "-s", str(SCRIPT), url, "--", str(n), path, token, body, str(ids)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.decode())
        if line.startswith(b"over "):
            break
    process.send_signal(signal.SIGINT)  # it would sleep until its time is over
    process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    figures = said[-1].split() if said else []
    if len(figures) != 5 or figures[0] != "over":
        raise RuntimeError(f"wrk did not end as it should:\n{''.join(said)}")
    accepted, refused, took_s, began_at = int(figures[1]), int(figures[2]), float(figures[3]), float(figures[4])
    listed = tuple(ids.read_text().split())
    assert len(listed) == accepted, (len(listed), accepted)
    return Submitted(listed, refused, took_s, began_at, usage.ru_utime + usage.ru_stime)
