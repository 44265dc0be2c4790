"""What the cluster has, for the server's placement: asked once, when the agent says hello."""

import subprocess
from dataclasses import dataclass

PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Largest:
    """The most that one node has: a task runs on one."""

    cpus: int
    memory_bytes: int


def largest_node() -> Largest | None:
    """None where Slurm does not answer."""
    words = ["sinfo", "-h", "-N", "-o", "%c|%m"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return read_nodes(said)


def read_nodes(text: str) -> Largest | None:
    """From ``sinfo -o '%c|%m'``: cpus, MiB; ``+`` stands behind numbers that are the least of several."""
    found = []
    for line in text.splitlines():
        cpus, _, memory = line.strip().partition("|")
        if (cpus := cpus.rstrip("+")).isdecimal() and (memory := memory.rstrip("+")).isdecimal():
            found.append((int(cpus), int(memory)))
    if not found:
        return None
    return Largest(max(cpus for cpus, _ in found), max(memory for _, memory in found) << 20)
