"""Sends the programs' streams to the server while they run, by byte offset."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.link import Link, LinkError, Refused
from sirdar.agent.live_streams import (
    PIECE_BYTES,
    Newest,
    Piece,
    Seen,
    count_lines,
    jump_ahead,
    read_piece,
)
from sirdar.agent.redact import redact, safe_length, secrets_of
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings

log = get_logger(__name__)

TICK_S = 0.1
MARKS_PER_CALL = 100  # they stand in the address, of which proxies take some kilobytes
LEAST_BYTES = 1 << 10  # of a piece; where even that is too large, nothing is sent
ADDRESS_TOO_LONG = 414
BODY_TOO_LARGE = 413


@dataclass(slots=True)
class Progress:
    """How far one stream of one attempt has been sent. ``over``: nothing more of it is sent live.

    ``sent_bytes``: of its head; ``newest``: of what comes after the head, once that is full. ``most_bytes``, ``most_marks``: of
    what one call carries.
    """

    sent_bytes: int = 0
    newest: Newest | None = None
    flushed_at: float = 0.0
    over: bool = False
    most_bytes: int = PIECE_BYTES
    most_marks: int = MARKS_PER_CALL

    def shrink(self, status: int) -> bool:
        """Whether less may be taken by the proxy that answered so."""
        if status == ADDRESS_TOO_LONG and self.most_marks:
            self.most_marks //= 2
            return True
        if status == BODY_TOO_LARGE and self.most_bytes > LEAST_BYTES:
            self.most_bytes //= 2
            return True
        return False

    @property
    def reached_bytes(self) -> int:
        return max(self.sent_bytes, self.newest.sent_bytes if self.newest is not None else 0)


@dataclass(slots=True)
class Streams:
    secrets: list[bytes]
    progress: dict[str, Progress] = field(default_factory=lambda: {"stdout": Progress(), "stderr": Progress()})


class LogLoop:
    """What it fails to send it sends the next time; the final carries the whole stream anyway."""

    def __init__(self, settings: Settings, link: Link, attempts: Attempts, run_task: RunTask) -> None:
        self._settings = settings
        self._link = link
        self._attempts = attempts
        self._run_task = run_task
        self._streams: dict[str, Streams] = {}

    async def run(self) -> None:
        while True:
            running = await self._run_task.running()
            now = time.time()
            self._streams = {a.key: self._streams[a.key] for a in running if a.key in self._streams}
            due = [
                self._flush(attempt, name)
                for attempt in running
                if attempt.started_at is not None and now - attempt.started_at >= self._settings.log_after_s
                for name in ("stdout", "stderr")
                if self._is_due(attempt, name)
            ]
            if due:
                await asyncio.gather(*due)
            await asyncio.sleep(TICK_S)

    def _is_due(self, attempt: Attempt, name: str) -> bool:
        if attempt.folder is None:
            return False
        streams = self._streams.get(attempt.key)
        if streams is None:
            streams = Streams(secrets_of([attempt.token, *attempt.secrets.values()]))
            self._streams[attempt.key] = streams
        progress = streams.progress[name]
        try:
            size = os.stat(attempt.folder / name).st_size  # noqa: PTH116
        except OSError:
            return False
        seen = attempt.seen.setdefault(name, Seen(attempt.started_at or 0.0))
        seen.look(size, time.time())
        waiting = size - progress.reached_bytes
        if progress.over or waiting <= 0:
            return False
        age_s = time.time() - (attempt.started_at or 0.0)
        young = age_s < self._settings.log_young_s
        every_s = self._settings.log_flush_s if young else self._settings.log_late_flush_s
        return waiting >= self._settings.log_flush_bytes or time.monotonic() - progress.flushed_at >= every_s

    async def _flush(self, attempt: Attempt, name: str) -> None:
        progress = self._streams[attempt.key].progress[name]
        folder = attempt.folder
        if folder is None:
            return
        try:
            piece = await asyncio.to_thread(self._next, folder / name, progress, self._streams[attempt.key].secrets)
        except OSError:
            return
        if not piece.raw or attempt.folder is not folder:
            return
        await self._send(attempt, name, progress, piece)
        progress.flushed_at = time.monotonic()

    async def _send(self, attempt: Attempt, name: str, progress: Progress, piece: Piece) -> None:
        seen = attempt.seen.get(name)
        marks = seen.untold[: progress.most_marks] if seen is not None else []
        raw = piece.raw[: progress.most_bytes]
        try:
            size = await self._link.put_log(attempt.key, name, piece.offset, raw, line=piece.line, seen=marks)
        except Refused as error:
            if progress.shrink(error.status):
                return
            log.warning("log_refused", attempt=attempt.key, error=str(error))
            progress.over = True
            return
        except LinkError:
            return
        if seen is not None:
            seen.untold = [mark for mark in seen.untold if mark not in marks]
        if piece.line is not None:
            progress.newest = Newest(piece.offset + len(raw), piece.line + raw.count(b"\n"))
            return
        full = size == piece.offset or size >= self._settings.log_head_bytes
        progress.sent_bytes = size
        if full:
            progress.newest = Newest(0, 0)  # its lines are counted from the beginning

    def _next(self, path: Path, progress: Progress, secrets: list[bytes]) -> Piece:
        """What is to be sent now. Raises OSError."""
        newest = progress.newest
        held = len(secrets[0]) if secrets else 0  # a secret may lie across a border
        if newest is None:
            most = self._settings.log_head_bytes - progress.sent_bytes
            before = min(progress.sent_bytes, held)
            raw = read_piece(path, progress.sent_bytes - before, before + most + held)
            stop = min(before + most, safe_length(raw, secrets))
            return Piece(progress.sent_bytes, redact(raw, secrets)[before:stop])
        if newest.sent_bytes < progress.sent_bytes:
            lines = count_lines(path, newest.sent_bytes, progress.sent_bytes)
            newest = Newest(progress.sent_bytes, newest.line + lines)
        newest = progress.newest = jump_ahead(path, newest)
        before = min(newest.sent_bytes, held)
        raw = read_piece(path, newest.sent_bytes - before, PIECE_BYTES)
        return Piece(newest.sent_bytes, redact(raw, secrets)[before : safe_length(raw, secrets)], newest.line)
