# ruff: noqa: PTH104, PTH108
"""The porter's log: one line of JSON for each thing that happened, so that a new agent can learn what a dead porter did.

``{"r": "boot", "boot": .., "porter": pid}`` first; ``got`` (ids taken over, written before any of them starts), ``start`` (id, pid,
ticks), ``end``, and ``forget`` (ids); of a program that is kept between tasks, ``worker`` (id, before it starts; then with pid and
ticks) and ``gone`` (id). Ends are in the log before the agent hears of them. A porter takes over what the one before it has not
been told to forget, so no end depends on the life of one agent or porter.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

NAME = "porter.log"
COMPACT_OVER_BYTES = 4 << 20


def boot_id() -> str:
    """What tells one run of the machine from another; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


class FactsLog:
    """Appends to the log. Used by one thread at a time."""

    def __init__(self, path: str, records: Iterable[dict[str, Any]] = ()) -> None:
        """Begins a log that holds these records, in place of the one that is there."""
        self.path = path
        self.boot = boot_id()
        self.fd = -1
        self.size_bytes = 0
        self.unsynced = False  # ends were written that are not on the disk yet
        self.rewrite(records)

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Writes the records; they may not be on the disk yet when this returns."""
        self._write(_lines(records))

    def append_encoded(self, facts: list[tuple[str, str]]) -> None:
        """Writes facts (kind, JSON object as text)."""
        self._write("".join(f'{{"r":"{kind}",{text[1:]}\n' for kind, text in facts).encode())
        self.unsynced = self.unsynced or any(kind == "end" for kind, _ in facts)

    def sync(self) -> None:
        """Brings to the disk what was written. Raises OSError."""
        self.unsynced = False
        _sync(self.fd)

    def _write(self, raw: bytes) -> None:
        """All or nothing: half a record would hide what follows it. Raises OSError."""
        try:
            _write_all(self.fd, raw)
        except OSError:
            os.ftruncate(self.fd, self.size_bytes)
            raise
        self.size_bytes += len(raw)

    def rewrite(self, records: Iterable[dict[str, Any]]) -> None:
        """Replaces the log by one that holds these records only. Raises OSError and leaves the old one."""
        raw = _lines([{"r": "boot", "boot": self.boot, "porter": os.getpid()}, *records])
        temporary = self.path + ".new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write_all(fd, raw)
            _sync(fd)
            os.rename(temporary, self.path)
        except OSError:
            os.close(fd)
            os.unlink(temporary)
            raise
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = fd
        self.size_bytes = len(raw)


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()


def _write_all(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]


def _sync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)


def read(path: str) -> list[dict[str, Any]]:
    """All whole records of a log; a torn last line is left out. Empty where there is none."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        return []
    records = []
    for line in raw.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


class Past:
    """What a log says of the tasks that are not forgotten: ids taken over, starts and ends by id; kept programs; the boot id."""

    def __init__(self, path: str) -> None:
        self.got: dict[str, None] = {}
        self.starts: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.boot = ""
        for record in read(path):
            self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        kind = record.pop("r", None)
        if kind == "boot":
            self.boot = record["boot"]
        elif kind == "got":
            self.got.update(dict.fromkeys(record["ids"]))
        elif kind in ("start", "end"):
            self.got[record["id"]] = None
            (self.starts if kind == "start" else self.ends)[record["id"]] = record
        elif kind == "worker":
            self.workers[record["id"]] = record
        elif kind == "gone":
            self.workers.pop(record["id"], None)
        elif kind == "forget":
            for task_id in record["ids"]:
                self.got.pop(task_id, None)
                self.starts.pop(task_id, None)
                self.ends.pop(task_id, None)
