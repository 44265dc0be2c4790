"""What the machine has, and what of it is free. All that asks the operating system stands here."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sirdar.agent.attempts import Attempts
from sirdar.agent.environments.all import Environments
from sirdar.agent.executors.slurm.cluster import largest_node
from sirdar.agent.gpus import VARIABLE
from sirdar.agent.isolation import Isolation
from sirdar.agent.settings import Settings
from sirdar.agent.solvers import solver_labels
from sirdar.wire.agent import Capabilities

if sys.platform != "linux":
    from sirdar.agent import usage_elsewhere

GPU_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
GPU_PATIENCE_S = 10.0
NO_LIMIT_BYTES = 1 << 60  # older control groups write a number like this for "none"


def capabilities(settings: Settings, isolation: Isolation, environments: Environments) -> Capabilities:
    """What the machine has, and what its owner allows.

    Asks ``nvidia-smi`` where there is one; memory is that of the container, where that has a limit.
    """
    node = largest_node() if settings.batch else None
    gpus = gpu_names() if not settings.batch else []  # those of the login node are nobody's
    ids = gpu_ids(gpus, os.environ)
    return Capabilities(
        cpus=node.cpus if node is not None else cpu_count(),
        memory_bytes=node.memory_bytes if node is not None else memory_bytes(),
        gpus=len(ids),
        gpu_names=gpus,
        gpu_ids=ids,
        disk_bytes=shutil.disk_usage(settings.home).free,
        slots=settings.slots,
        executors=[settings.executor],
        platform=f"{platform.system()} {platform.machine()}",
        system=system_name(),
        hostname=socket.gethostname(),
        python=".".join(map(str, sys.version_info[:3])),
        labels=labels(settings, environments),
        policy=settings.policy.sentences(),
        batch=settings.batch,
        gives_back=True,
        no_strangers=isolation.why_no_strangers(),
    )


def labels(settings: Settings, environments: Environments) -> dict[str, str]:
    """The machine's solvers and the environments that it can provide, and what its owner says of it, which comes first."""
    return {**solver_labels(os.environ), **environments.labels(), **settings.labels}


def load(settings: Settings, attempts: Attempts) -> dict[str, float]:
    """How busy it is: what the system does not tell is left out."""
    running = attempts.cpus_running()
    disk = shutil.disk_usage(settings.home)
    found = {
        "slots_free": float(max(0, settings.slots - running)),
        "disk_free_bytes": float(disk.free),
        "disk_total_bytes": float(disk.total),
    }
    if settings.batch:  # how busy the login node is says nothing of the others
        return found
    found["cpus_free"] = float(max(0, cpu_count() - running))
    if sys.platform != "win32":
        found["load_1m"] = os.getloadavg()[0]
    if (free := memory_free_bytes()) is not None:
        found["memory_free_bytes"] = float(free)
    return found


def cpu_count() -> int:
    """Those that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Of the machine, or of the container; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _number("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    return whole if limit is None else min(whole, limit)


def memory_free_bytes() -> int | None:
    """What new programs could have without others giving way; None where the system does not tell."""
    if sys.platform != "linux":
        return usage_elsewhere.memory_free_bytes()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)
    limit = _number("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    used = _number("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
    if free is None or limit is None or used is None:
        return free
    return min(free, max(0, limit - used))


def gpu_names() -> list[str]:
    """One name for each card that NVIDIA's tool lists; none where it is missing, fails or hangs."""
    try:
        said = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=GPU_PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


def gpu_ids(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """As ``CUDA_VISIBLE_DEVICES`` names them: those that the agent was given itself, else all, by their numbers."""
    given = environment.get(VARIABLE)
    if given is None:
        return [str(number) for number in range(len(names))]
    return [one.strip() for one in given.split(",") if one.strip()] if names else []


def system_name() -> str:
    """``Debian GNU/Linux 13 (trixie)``."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _number(*paths: str) -> int | None:
    """The number in the first of these files that there is; None for no limit."""
    for path in paths:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() and int(text) < NO_LIMIT_BYTES else None
    return None
