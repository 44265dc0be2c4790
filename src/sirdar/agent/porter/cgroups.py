# ruff: noqa: PTH102, PTH106, PTH112, PTH208
"""Memory limits by control groups, version 1 or 2, where this process may make some below its own.

Groups are pooled: making one is cheap, but the kernel frees them late. Where none can be made, ``Groups.find`` says so
and the porter limits the address space instead.
"""

import os
import time

ROOT = "/sys/fs/cgroup"


class Group:
    """One control group, used by one task at a time."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version
        self.kills_before = 0

    def limit(self, size_bytes: int) -> None:
        """Sets the limit, swap included where the kernel accounts for it, and forgets the last task's peak. Raises OSError."""
        if self.version == 2:
            _write(f"{self.path}/memory.max", str(size_bytes))
            _try_write(f"{self.path}/memory.swap.max", "0")
            _try_write(f"{self.path}/memory.oom.group", "1")
        else:
            _try_write(f"{self.path}/memory.memsw.limit_in_bytes", "-1")
            _write(f"{self.path}/memory.limit_in_bytes", str(size_bytes))
            _try_write(f"{self.path}/memory.memsw.limit_in_bytes", str(size_bytes))
            _try_write(f"{self.path}/memory.max_usage_in_bytes", "0")
        self.kills_before = self._kills()

    def begin(self) -> None:
        """Another task begins: what was killed before is not counted."""
        self.kills_before = self._kills()

    def add(self, pid: int) -> None:
        """Moves the process in, with children that it made in the meantime. Raises OSError."""
        _write(f"{self.path}/cgroup.procs", str(pid))
        fresh = _read(f"/proc/{pid}/task/{pid}/children").split()
        while fresh:  # a sandbox starts its program two processes on
            for child in fresh:
                _try_write(f"{self.path}/cgroup.procs", child)
            fresh = [one for child in fresh for one in _read(f"/proc/{child}/task/{child}/children").split()]

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
    """The pool of this porter's groups, below the control group that it is in itself."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version
        self.free: list[Group] = []
        self.made = 0

    @classmethod
    def find(cls, name: str) -> "Groups | None":
        """The pool called ``name``, or None where memory groups cannot be made here."""
        for version, path in _own_groups():
            folder = f"{path}/sirdar-{name}"
            try:
                _clear(folder)
                os.mkdir(folder)
                groups = cls(folder, version)
                if version == 2:
                    _write(f"{folder}/cgroup.subtree_control", "+memory")
                probe = groups.take(1 << 30)
                groups.give(probe)
            except OSError:
                _clear(folder)
                continue
            return groups
        return None

    def take(self, limit_bytes: int) -> Group:
        """A group with this limit and nothing in it. Raises OSError."""
        if self.free:
            group = self.free.pop()
        else:
            self.made += 1
            group = Group(f"{self.path}/{self.made}", self.version)
            os.mkdir(group.path)
        group.limit(limit_bytes)
        return group

    def give(self, group: Group) -> None:
        """Takes back a group; one that still holds a process is left alone and not used again."""
        if not group.pids():
            self.free.append(group)

    def close(self) -> None:
        _clear(self.path)


def _own_groups() -> list[tuple[int, str]]:
    """(version, path) of the groups below which ours may be made."""
    places = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            places.append((1, f"{ROOT}/memory{path}"))
        elif controllers == "":
            places.append((2, f"{ROOT}{path}"))
    return [(version, path.rstrip("/")) for version, path in places if os.path.isdir(path)]


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
