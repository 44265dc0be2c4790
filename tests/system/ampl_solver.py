#!/usr/bin/env python3
"""A solver that speaks AMPL's language and does what its options say: the peer of the tests of ``sirdar.optim``.

``NAME STUB.nl -AMPL k=v ...``: writes STUB.sol with the start values plus ``step``, duals 0.5, 1.5, .., and each suffix of the
problem again under its name with ``_in`` made ``_out``. ``code``: the solve code; ``crash``: words for stderr and exit code 3;
``refuse``: a word for standard output and exit code 1; ``die``: the process kills itself; ``mute``: writes nothing;
``pid``: tells its process; ``gate``: waits for a file, and adds a line to the file ``begun`` beside it.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sirdar.worker import serve


def main(words: Sequence[str]) -> int:
    stub = Path(words[0]).with_suffix("")
    options = dict(word.partition("=")[::2] for word in words[1:] if "=" in word)
    file = stub.parent / "ipopt.opt"
    if file.exists():
        options |= dict(line.split() for line in file.read_text().splitlines())
    print("This is the tests' solver", *sorted(f"{name}={value}" for name, value in options.items()))
    if "gate" in options:
        wait(Path(options["gate"]), stub)
    if "pid" in options:
        print("pid", os.getpid())
    if "die" in options:
        os.kill(os.getpid(), signal.SIGKILL)
    if "refuse" in options:
        print(f'Unknown keyword "{options["refuse"]}"')
        return 1
    if "crash" in options:
        print("crash:", options["crash"], file=sys.stderr)
        return 3
    lines = stub.with_suffix(".nl").read_text().splitlines()
    variables, constraints = (int(word) for word in lines[1].split()[:2])
    start = dict.fromkeys(range(variables), 0.0) | segment(lines, "x")
    values = [start[number] + float(options.get("step", 0)) for number in range(variables)]
    print("Number of Iterations....: 7\nTotal seconds in IPOPT                               = 0.25")
    print(f"Objective...............:   1.0e+00    {sum(values)!r}")
    if "mute" not in options:
        stub.with_suffix(".sol").write_text(solution(options, values, constraints, lines))
    return 0


def wait(gate: Path, stub: Path) -> None:
    with gate.with_name("begun").open("a") as begun:
        begun.write(f"{stub.absolute()}\n")
    last = time.monotonic() + 60
    while not gate.exists() and time.monotonic() < last:
        time.sleep(0.01)


def segment(lines: list[str], letter: str) -> dict[int, float]:
    """The numbered values after the line that begins so."""
    for at, line in enumerate(lines):
        head, *rest = line[1:].split()[:1] or [""]
        if line[:1] == letter and head.isdecimal() and not rest:
            pairs = (row.split() for row in lines[at + 1 : at + 1 + int(head)])
            return {int(number): float(value) for number, value in pairs}
    return {}


def solution(options: dict[str, str], values: list[float], constraints: int, lines: list[str]) -> str:
    code = int(options.get("code", 0))
    duals = [number + 0.5 for number in range(constraints)]
    counts = [0, 1, 0, constraints, constraints, len(values), len(values)]
    text = [
        "tests 1.0: solved",
        f"objective {sum(values)!r}" if "tell" in options else "",
        "Options",
        "3",
        "0",
        "1",
        "0",
    ]
    text += [str(count) for count in counts[3:]]
    text += [repr(value) for value in [*duals, *values]] + [f"objno 0 {code}"]
    for at, line in enumerate(lines):
        if line[:1] == "S":  # S4 2 ipopt_zL_in: kind, count, name
            kind, count, name = line[1:].split()[:3]
            out = name.replace("_in", "_out")
            text += [f"suffix {kind} {count} {len(out) + 1} 0 0", out, *lines[at + 1 : at + 1 + int(count)]]
    return "\n" + "\n".join(text) + "\n"


if __name__ == "__main__":
    serve(main)
