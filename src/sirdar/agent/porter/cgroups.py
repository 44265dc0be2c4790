# ruff: noqa: PTH102, PTH106, PTH112, PTH208
"""Limits by control groups, version 1 or 2, where this process may make some below its own: memory, processes, processors.

Groups are pooled: making one is cheap, but the kernel frees them late. Where none can be made for memory, ``Groups.find`` says so
and the porter limits the address space instead; the other two are limited where that is permitted.
"""

import os
import time
from typing import NamedTuple

ROOT = "/sys/fs/cgroup"
PERIOD_US = 100_000
MEMORY, PIDS, CPU = "memory", "pids", "cpu"


class Limits(NamedTuple):
    """Of one task; None for no limit. ``cpus``: processors' time in all, whichever of them it runs on."""

    memory_bytes: int | None = None
    pids: int | None = None
    cpus: int | None = None


class Group:
    """One control group, used by one task at a time. ``paths``: by controller; version 2 has one for all."""

    def __init__(self, paths: dict[str, str], version: int) -> None:
        self.paths = paths
        self.version = version
        self.in_force: list[str] = []
        self.kills_before = 0

    @property
    def path(self) -> str:
        return self.paths[MEMORY]

    def limit(self, limits: Limits) -> None:
        """Sets the limits and forgets the last task's peak. Raises OSError where memory cannot be limited."""
        self._limit_memory(limits.memory_bytes)
        self.in_force = [self.paths[MEMORY]]
        if PIDS in self.paths:
            self._force(
                PIDS, "pids.max", "max" if limits.pids is None else str(limits.pids), wanted=limits.pids is not None
            )
        if CPU in self.paths:
            quota = -1 if limits.cpus is None else limits.cpus * PERIOD_US
            if self.version == 2:
                text = f"{'max' if quota < 0 else quota} {PERIOD_US}"
                self._force(CPU, "cpu.max", text, wanted=limits.cpus is not None)
            else:
                self._force(CPU, "cpu.cfs_quota_us", str(quota), wanted=limits.cpus is not None)
        self.kills_before = self._kills()

    def _limit_memory(self, size_bytes: int | None) -> None:
        """Swap included where the kernel accounts for it."""
        path = self.path
        if self.version == 2:
            _write(f"{path}/memory.max", "max" if size_bytes is None else str(size_bytes))
            _try_write(f"{path}/memory.swap.max", "max" if size_bytes is None else "0")
            _try_write(f"{path}/memory.oom.group", "1")
        else:
            _try_write(f"{path}/memory.memsw.limit_in_bytes", "-1")
            _write(f"{path}/memory.limit_in_bytes", "-1" if size_bytes is None else str(size_bytes))
            if size_bytes is not None:
                _try_write(f"{path}/memory.memsw.limit_in_bytes", str(size_bytes))
            _try_write(f"{path}/memory.max_usage_in_bytes", "0")

    def _force(self, controller: str, name: str, text: str, *, wanted: bool) -> None:
        """Version 1 has a hierarchy for each controller: the task goes into those alone that limit it."""
        path = self.paths[controller]
        _try_write(f"{path}/{name}", text)
        if wanted and path not in self.in_force:
            self.in_force.append(path)

    def begin(self) -> None:
        """Another task begins: what was killed before is not counted."""
        self.kills_before = self._kills()

    def add(self, pid: int) -> None:
        """Moves the process in, with children that it made in the meantime. Raises OSError."""
        for path in self.in_force:
            _write(f"{path}/cgroup.procs", str(pid))
            for child in _read(f"/proc/{pid}/task/{pid}/children").split():
                _try_write(f"{path}/cgroup.procs", child)

    def doors(self) -> list[str]:
        """Files by which a process moves itself in: it writes 0."""
        return [f"{path}/cgroup.procs" for path in self.in_force]

    def pids(self) -> list[int]:
        return [int(word) for word in _read(f"{self.path}/cgroup.procs").split()]

    def memory_killed(self) -> bool:
        """True if the kernel ended a process of the present task because of the limit."""
        return self._kills() > self.kills_before

    def _kills(self) -> int:
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        for line in _read(f"{self.path}/{name}").splitlines():
            word, _, number = line.partition(" ")
            if word == "oom_kill":
                return int(number)
        return 0


class Groups:
    """The pool of this porter's groups, below the control groups that it is in itself."""

    def __init__(self, paths: dict[str, str], version: int) -> None:
        self.paths = paths
        self.version = version
        self.free: list[Group] = []
        self.made = 0

    @classmethod
    def find(cls, name: str) -> "Groups | None":
        """The pool called ``name``, or None where memory groups cannot be made here."""
        for version, own in _own_groups():
            paths = {controller: f"{path}/sirdar-{name}" for controller, path in own.items()}
            made: dict[str, str] = {}
            try:
                for controller, folder in paths.items():
                    if _make(controller, folder, version, known=set(made.values())):
                        made[controller] = folder
                groups = cls(made, version)
                groups.give(groups.take(Limits(1 << 30)))
            except (OSError, KeyError):
                for folder in set(made.values()):
                    _clear(folder)
                continue
            return groups
        return None

    def take(self, limits: Limits) -> Group:
        """A group with these limits and nothing in it. Raises OSError."""
        if self.free:
            group = self.free.pop()
        else:
            self.made += 1
            paths = {controller: f"{path}/{self.made}" for controller, path in self.paths.items()}
            for path in set(paths.values()):
                os.mkdir(path)
            group = Group(paths, self.version)
        group.limit(limits)
        return group

    def give(self, group: Group) -> None:
        """Takes back a group; one that still holds a process is left alone and not used again."""
        if not group.pids():
            self.free.append(group)

    def close(self) -> None:
        for path in set(self.paths.values()):
            _clear(path)


def _make(controller: str, folder: str, version: int, *, known: set[str]) -> bool:
    """The folder of all groups of a controller. False where there is none but memory's, which raises OSError."""
    try:
        if folder not in known:
            _clear(folder)
            os.mkdir(folder)
        if version == 2:
            _write(f"{folder}/cgroup.subtree_control", f"+{controller}")
    except OSError:
        if controller == MEMORY:
            _clear(folder)
            raise
        return False
    return True


def _own_groups() -> list[tuple[int, dict[str, str]]]:
    """(version, path by controller) of the groups below which ours may be made: memory's first."""
    legacy: dict[str, str] = {}
    unified: dict[str, str] = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            unified = dict.fromkeys((MEMORY, PIDS, CPU), f"{ROOT}{path}".rstrip("/"))
        for one in controllers.split(","):
            if one in {MEMORY, PIDS, CPU}:
                legacy[one] = f"{ROOT}/{controllers if os.path.isdir(f'{ROOT}/{controllers}') else one}{path}".rstrip(
                    "/"
                )
    ordered = {one: legacy[one] for one in (MEMORY, PIDS, CPU) if one in legacy and os.path.isdir(legacy[one])}
    places = [(1, ordered), (2, unified)]
    return [(version, paths) for version, paths in places if MEMORY in paths and os.path.isdir(paths[MEMORY])]


def _clear(folder: str) -> None:
    """Removes a group with its children; what still holds processes stays."""
    if not os.path.isdir(folder):
        return
    for entry in os.listdir(folder):
        if os.path.isdir(f"{folder}/{entry}"):
            _remove(f"{folder}/{entry}")
    _remove(folder)


def _remove(folder: str) -> None:
    for _ in range(20):
        try:
            os.rmdir(folder)
        except OSError:  # the kernel lets go of the last process a little late
            time.sleep(0.005)
        else:
            return


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _try_write(path: str, text: str) -> None:
    try:
        _write(path, text)
    except OSError:
        return
