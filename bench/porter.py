"""Tasks per second through the porter alone, next to ``xargs -P2 -n1 true`` in the same run.

``python bench/porter.py [--tasks N] [--rounds N]``. Each task has its own directory and stream files (pooled), its exit
code, rusage and a durable end record.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sirdar.agent.porter.launch import launch

POOL = 256


class Porter:
    """A porter in a temporary home and the socket to it."""

    def __init__(self, home: Path, slots: int) -> None:
        self.process = launch(home, slots, 30.0)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(home / "porter.sock"))
        self.buffer = b""
        self.receive()

    def send(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        while b"\n" not in self.buffer:
            self.buffer += self.socket.recv(1 << 20)
        line, _, self.buffer = self.buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self.send({"op": "shutdown", "kill": True, "grace": 1})
        self.process.wait()
        self.socket.close()


def porter_round(porter: Porter, work: Path, tasks: int, label: str) -> float:
    """Seconds for all tasks, at most POOL of them handed over and not ended."""
    free = [work / f"slot-{number}" for number in range(POOL)]
    for folder in free:
        (folder / "dir").mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp"}
    held: dict[str, Path] = {}
    sent = ended = 0
    began = time.perf_counter()
    while ended < tasks:
        orders = []
        while free and sent < tasks:
            folder = free.pop()
            key = f"{label}-{sent}-0"
            held[key] = folder
            streams = {"out": f"{folder}/stdout", "err": f"{folder}/stderr"}
            orders.append({"id": key, "argv": ["true"], "cwd": f"{folder}/dir", **streams})
            sent += 1
        if orders:
            porter.send({"op": "start", "bases": [env], "tasks": orders})
        ends = porter.receive()["ended"]
        for end in ends:
            assert end["code"] == 0, end
            free.append(held.pop(end["id"]))
        ended += len(ends)
        if ends:
            porter.send({"op": "forget", "ids": [end["id"] for end in ends]})
    return time.perf_counter() - began


def xargs_round(tasks: int) -> float:
    lines = "\n".join(map(str, range(tasks)))
    began = time.perf_counter()
    subprocess.run(["xargs", "-P2", "-n1", "true"], input=lines, text=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"porter": [], "xargs": []}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        porter = Porter(home, options.slots)
        for number in range(options.rounds):
            rates["porter"].append(options.tasks / porter_round(porter, home / "work", options.tasks, f"r{number}"))
            rates["xargs"].append(options.tasks / xargs_round(options.tasks))
        pss = Path(f"/proc/{porter.process.pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
        porter.close()
    porter_rate, xargs_rate = (statistics.median(rates[name]) for name in ("porter", "xargs"))
    print(f"porter {porter_rate:.0f} tasks/s, xargs -P2 {xargs_rate:.0f} tasks/s, ratio {porter_rate / xargs_rate:.2f}")
    print(f"porter's memory after it: {int(pss) / 1024:.1f} MiB PSS")


if __name__ == "__main__":
    main()
