"""Sends the programs' streams to the server while they run, by byte offset."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.link import Link, LinkError, Refused
from sirdar.agent.redact import redact, safe_length, secrets_of
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings

log = get_logger(__name__)

TICK_S = 0.1


@dataclass(slots=True)
class Progress:
    """How far one stream of one attempt has been sent. ``over``: nothing more of it is sent live."""

    sent_bytes: int = 0
    flushed_at: float = 0.0
    over: bool = False


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
        waiting = size - progress.sent_bytes
        if progress.over or waiting <= 0:
            return False
        age_s = time.time() - (attempt.started_at or 0.0)
        young = age_s < self._settings.log_young_s
        every_s = self._settings.log_flush_s if young else self._settings.log_late_flush_s
        return waiting >= self._settings.log_flush_bytes or time.monotonic() - progress.flushed_at >= every_s

    async def _flush(self, attempt: Attempt, name: str) -> None:
        streams = self._streams[attempt.key]
        progress = streams.progress[name]
        folder = attempt.folder
        if folder is None:
            return
        raw = await asyncio.to_thread(self._read, folder / name, progress.sent_bytes)
        raw = redact(raw, streams.secrets)
        raw = raw[: safe_length(raw, streams.secrets)]
        if not raw or attempt.folder is not folder:
            return
        try:
            progress.sent_bytes = await self._link.put_log(attempt.key, name, progress.sent_bytes, raw)
        except Refused as error:
            log.warning("log_refused", attempt=attempt.key, error=str(error))
            progress.over = True
        except LinkError:
            pass
        progress.flushed_at = time.monotonic()
        progress.over = progress.over or progress.sent_bytes >= self._settings.log_head_bytes

    def _read(self, path: Path, offset: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(min(self._settings.log_head_bytes - offset, 1 << 20))
        except OSError:
            return b""
