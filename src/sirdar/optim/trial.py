"""Solves a small problem with a command, really: whether it behaves as an AMPL solver, and how long it takes."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sirdar.optim.sol import SOLVED, read_sol

PATIENCE_S = 60.0
WORKER_PATIENCE_S = 10.0
ANSWER_BYTES = 4096
VERSION = re.compile(r"\d+(?:\.\d+)+")
TOLERANCE = 1e-5
# Maximise 3x + 2y, x + y <= 4, x + 3y <= 6, 0 <= x <= 3: x = 3, y = 1.
PROBLEM = """g3 1 1 0
 2 2 1 0 0
 0 0
 0 0
 0 0 0
 0 0 0 1
 0 0 0 0 0
 4 2
 0 0
 0 0 0 0 0
C0
n0
C1
n0
O0 1
n0
r
1 4
1 6
b
0 0 3
2 0
k1
2
J0 2
0 1
1 1
J1 2
0 1
1 3
G0 2
0 3
1 2
"""
POINT = (3.0, 1.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """``why``: what went wrong; empty where it solved the problem. ``seconds``: of the whole process."""

    seconds: float
    why: str = ""


def attempt(command: str | Path, *, patience_s: float = PATIENCE_S) -> Trial:
    """Solve the small problem with the command in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="sirdar-trial-") as place:
        folder = Path(place)
        (folder / "small.nl").write_text(PROBLEM, encoding="ascii")
        began = time.perf_counter()
        why = _run([str(command), "small", "-AMPL"], folder, patience_s)
        seconds = time.perf_counter() - began
        return Trial(seconds, why or _fault(folder / "small.sol"))


def serves(command: str | Path, *, patience_s: float = WORKER_PATIENCE_S) -> bool:
    """Whether one process of the command solves the small problem twice, as a program does that is kept between tasks."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="sirdar-trial-") as place, ours, suppress(OSError):
        with theirs:
            environment = {**_surroundings(), "SIRDAR_WORKER_FD": str(theirs.fileno())}
            process = subprocess.Popen(
                [str(command)],
                cwd=place,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            ours.settimeout(patience_s)
            return all(_served(ours, Path(place) / str(turn)) for turn in (1, 2))
        finally:
            process.kill()
            process.wait()
    return False


def _served(worker: socket.socket, folder: Path) -> bool:
    """Hands it the small problem. Raises OSError where it is silent or gone."""
    folder.mkdir()
    (folder / "small.nl").write_text(PROBLEM, encoding="ascii")
    streams = {name: str(folder / name) for name in ("stdout", "stderr")}
    for path in streams.values():
        Path(path).touch()
    task = {"task": folder.name, "directory": str(folder), "command": ["small", "-AMPL"], "environment": {}, **streams}
    worker.sendall(json.dumps(task).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        more = worker.recv(4096)
        if not more or len(answer) > ANSWER_BYTES:
            return False
        answer += more
    try:
        right = json.loads(answer) == {"task": folder.name, "exit_code": 0}
    except ValueError:
        return False
    return right and not _fault(folder / "small.sol")


def version_of(command: str | Path, *, patience_s: float = PATIENCE_S) -> str:
    """What it prints for ``-v``: the line with the version; empty where it says nothing."""
    try:
        done = subprocess.run(
            [str(command), "-v"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        return ""
    return next((line for line in lines if VERSION.search(line)), lines[0])


def _surroundings() -> dict[str, str]:
    """Without options that somebody's shell gives to solvers."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_options")}


def _run(words: Sequence[str], folder: Path, patience_s: float) -> str:
    """What went wrong with the process."""
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=_surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"it did not end within {patience_s:g} s"
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        return f"it ended with exit code {done.returncode}" + (f": {lines[-1].strip()}" if lines else "")
    return ""


def _fault(solution: Path) -> str:
    if not solution.is_file():
        return "it wrote no .sol file: it does not behave as an AMPL solver"
    try:
        answer = read_sol(solution)
    except ValueError as error:
        return str(error)
    if answer.code != SOLVED or len(answer.x) != len(POINT):
        return f"it answered with code {answer.code}: {answer.message}"
    if any(abs(value - right) > TOLERANCE for value, right in zip(answer.x, POINT, strict=True)):
        return f"its solution is wrong: {list(answer.x)}, not {list(POINT)}"
    return ""
