"""The agent's journal: what it must still know after ``kill -9``, as lines of JSON with a checksum.

Records (``t``): ``job`` and ``program`` (what attempts have in common), ``offers`` (a batch; tokens and secrets
encrypted), ``run`` (handed to the executor, with its directory), ``message``, ``final``, ``gone`` (acknowledged or dropped).
One thread writes; all who wait at that moment share one ``fdatasync``.
"""

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes an encoder for each call
COMPACT_OVER_BYTES = 8 << 20


class JournalBroken(Exception):
    """The journal cannot be written, for instance because the disk is full. What was asked for is not kept."""


class Journal:
    """Appends records; ``commit`` returns when they are on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size_bytes = os.fstat(self._fd).st_size
        self._queue: list[tuple[bytes, asyncio.Future[None] | None]] = []
        self._rewrite: bytes | None = None
        self._in_flight = b""
        self._changed = threading.Condition()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_for_ever, name="journal", daemon=True)
        self._thread.start()

    def append(self, records: Iterable[Record | bytes]) -> None:
        """Writes the records some time soon; a crash of the machine may lose them, one of the agent hardly."""
        self._put(encode(records), None)

    async def commit(self, records: Iterable[Record | bytes]) -> None:
        """Returns when the records are on the disk. Raises JournalBroken."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._put(encode(records), future)
        await future

    def compact(self, live: Callable[[], Iterable[Record | bytes]]) -> None:
        """Replaces the journal by the live records when it has grown; what is appended later comes after them."""
        if self.size_bytes < COMPACT_OVER_BYTES:
            return
        raw = encode(live())
        with self._changed:
            if len(raw) * 2 < self.size_bytes:
                # What is being written just now goes into the old file, and may not be among the live records yet.
                self._rewrite = raw + self._in_flight
                self.size_bytes = len(raw)
                self._changed.notify()

    def close(self) -> None:
        """Writes what is left and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._fd)

    def _put(self, raw: bytes, future: "asyncio.Future[None] | None") -> None:
        with self._changed:
            self.size_bytes += len(raw)
            self._queue.append((raw, future))
            self._changed.notify()

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._rewrite is None and not self._closing:
                    self._changed.wait()
                batch, self._queue = self._queue, []
                rewrite, self._rewrite = self._rewrite, None
                if not batch and rewrite is None:
                    return
                self._in_flight = b"".join(raw for raw, _ in batch)
            waiting = [future for _, future in batch if future is not None]
            error = self._write(self._in_flight, rewrite, durable=bool(waiting))
            with self._changed:
                self._in_flight = b""
            if waiting:
                self._answer(waiting, error)

    def _answer(self, waiting: "list[asyncio.Future[None]]", error: OSError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, waiting, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _write(self, raw: bytes, rewrite: bytes | None, *, durable: bool) -> OSError | None:
        if rewrite is not None:
            self._try_replace(rewrite)
        try:
            size = os.fstat(self._fd).st_size
            try:
                view = memoryview(raw)
                while view:
                    view = view[os.write(self._fd, view) :]
                if durable:
                    getattr(os, "fdatasync", os.fsync)(self._fd)
            except OSError:
                os.ftruncate(self._fd, size)  # half a record would hide what follows it
                raise
        except OSError as error:
            return error
        return None

    def _try_replace(self, raw: bytes) -> None:
        """Where there is no room for a shorter journal, the longer one is as good."""
        temporary = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        except OSError:
            return
        try:
            view = memoryview(raw)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
            temporary.replace(self.path)
        except OSError:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            return
        os.close(self._fd)
        self._fd = fd


def _resolve(waiting: "list[asyncio.Future[None]]", error: OSError | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(JournalBroken(f"the journal cannot be written: {error}"))


def encode(records: Iterable[Record | bytes]) -> bytes:
    """Lines of a checksum (CRC-32, 8 hexadecimal digits), a space and JSON. A record may be JSON already."""
    lines = []
    for record in records:
        raw = record if isinstance(record, bytes) else _to_json(record).encode()
        lines.append(b"%08x %s\n" % (zlib.crc32(raw), raw))
    return b"".join(lines)


def replay(path: Path) -> list[Record]:
    """All whole records of a journal, oldest first. A torn last line is cut off, so that later ones can follow it."""
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
    if good < len(raw):
        os.truncate(path, good)
    return records


def _decode(line: bytes) -> Record | None:
    body = line[9:].rstrip(b"\n")
    if not line.endswith(b"\n") or line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(body):
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None
