"""The agent's journal: what it must still know after ``kill -9``, as lines of JSON with a checksum.

Records (``t``): ``job`` and ``program`` (what attempts have in common), ``offers`` (a batch; tokens and secrets
encrypted), ``run`` (handed to the executor, with its directory), ``message``, ``final``, ``gone`` (acknowledged or dropped).

A record that is written survives the agent; a thread brings it to the disk soon, for the day when the machine itself stops.
Nobody waits for that: what may have been under way when a machine stopped counts as lost (``offers`` and ``run`` name the boot),
and a final is safe with the server as soon as the server has it. Where the system does not tell one boot from another,
``sync_first`` brings each record to the disk before ``write`` returns.
"""

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger

log = get_logger(__name__)

Record = dict[str, Any]
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes an encoder for each call
COMPACT_OVER_BYTES = 8 << 20
SYNC_EVERY_S = 0.05
SYNC_AGAIN_S = 1.0  # after the disk has refused


class JournalBroken(Exception):
    """The journal cannot be written, for instance because the disk is full. What was asked for is not kept."""


class Journal:
    """Appends records. Used by one thread; another one of its own brings them to the disk."""

    def __init__(self, path: Path, *, sync_first: bool = False) -> None:
        self.path = path
        self._sync_first = sync_first
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size_bytes = os.fstat(self._fd).st_size
        self._rewrite: bytes | None = None
        self._since: list[bytes] = []  # written since the live records of a compaction were taken
        self._unsynced = False
        self._fault: OSError | None = None  # the disk did not take what was written
        self._lock = threading.Lock()  # of the file
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._sync_for_ever, name="journal", daemon=True)
        self._thread.start()

    def write(self, records: Iterable[Record | bytes]) -> None:
        """Returns when the records are written, all or none. Raises JournalBroken."""
        raw = encode(records)
        with self._lock:
            try:
                if self._fault is not None:
                    raise self._fault
                self._append(raw)
            except OSError as error:
                raise JournalBroken(f"the journal cannot be written: {error}") from error
        with self._changed:
            self._unsynced = True
            self._changed.notify()

    def note(self, records: Iterable[Record | bytes]) -> None:
        """Writes records that are of use, but may be missing."""
        with contextlib.suppress(JournalBroken):
            self.write(records)

    def compact(self, live: Callable[[], Iterable[Record | bytes]]) -> None:
        """Replaces the journal by the live records when it has grown; what is written later comes after them."""
        if self.size_bytes < COMPACT_OVER_BYTES or self._rewrite is not None:
            return
        raw = encode(live())
        if len(raw) * 2 < self.size_bytes:
            with self._changed:
                self._rewrite = raw
                self._since = []
                self._changed.notify()

    def close(self) -> None:
        """Brings to the disk what is not there yet, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _append(self, raw: bytes) -> None:
        """All or nothing: half a record would hide what follows it."""
        try:
            _write_all(self._fd, raw)
            if self._sync_first:
                _sync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self.size_bytes)
            raise
        self.size_bytes += len(raw)
        if self._rewrite is not None:
            self._since.append(raw)

    def _sync_for_ever(self) -> None:
        while True:
            with self._changed:
                while not (self._unsynced or self._rewrite is not None or self._closing):
                    self._changed.wait()
                if not self._unsynced and self._rewrite is None:
                    return
                if not self._closing and self._rewrite is None:
                    wait_s = SYNC_EVERY_S if self._fault is None else SYNC_AGAIN_S
                    self._changed.wait_for(lambda: self._closing, wait_s)  # many records share one
                self._unsynced = False
            if self._rewrite is not None:
                self._replace(self._rewrite)
            try:
                _sync(self._fd)
                self._fault = None
            except OSError as error:  # a disk on the network may say only now that it is full
                log.error("journal_not_synced", error=str(error))
                self._fault = error
                with self._changed:
                    self._unsynced = not self._closing  # tried again, since nothing is written until it succeeds

    def _replace(self, raw: bytes) -> None:
        """Where there is no room for a shorter journal, the longer one is as good."""
        temporary = self.path.with_name(self.path.name + ".new")
        fd = -1
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            _write_all(fd, raw)
            _sync(fd)
            with self._lock:
                since = b"".join(self._since)
                _write_all(fd, since)
                if self._sync_first:  # they were promised to be on the disk
                    _sync(fd)
                temporary.replace(self.path)
                self._fd, fd = fd, self._fd
                self.size_bytes = len(raw) + len(since)
        except OSError:
            temporary.unlink(missing_ok=True)
        finally:
            if fd >= 0:
                os.close(fd)
            with self._lock:
                self._rewrite = None
                self._since = []


def _write_all(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]


def _sync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)


def encode(records: Iterable[Record | bytes]) -> bytes:
    """Lines of a checksum (CRC-32, 8 hexadecimal digits), a space and JSON. A record may be JSON already."""
    lines = []
    for record in records:
        raw = record if isinstance(record, bytes) else _to_json(record).encode()
        lines.append(b"%08x %s\n" % (zlib.crc32(raw), raw))
    return b"".join(lines)


def replay(path: Path, *, mend: bool = True) -> list[Record]:
    """All whole records of a journal, oldest first. A torn last line is cut off, so that later ones can follow it.

    Not ``mend``: nothing is touched, for somebody else may be writing.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    records, good = [], 0
    for line in raw.splitlines(keepends=True):
        record = _decode(line)
        if record is not None:
            records.append(record)
        if record is not None or line.endswith(b"\n"):
            good += len(line)
    if mend and good < len(raw):
        os.truncate(path, good)
    return records


def _decode(line: bytes) -> Record | None:
    body = line[9:].rstrip(b"\n")
    if not line.endswith(b"\n") or line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(body):
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None
