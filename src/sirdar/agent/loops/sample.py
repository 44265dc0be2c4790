"""Samples CPU time and memory of running programs, and how much they have written."""

import asyncio
import time

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.outbox import Outbox
from sirdar.agent.prepare import limits_of
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings
from sirdar.agent.stage_out import directory_bytes
from sirdar.agent.usage import usage_by_session
from sirdar.domain.usage import Curve
from sirdar.wire.agent import Usage

log = get_logger(__name__)

OFTEN = 60.0  # so often a task is looked at in the time that it has run, within the settings' bounds
NEARLY = 0.95  # of an interval: the loop does not come by at exact times


class SampleLoop:
    """One look at all processes for all tasks. A task that ends before its first sample costs nothing."""

    def __init__(self, settings: Settings, attempts: Attempts, run_task: RunTask, outbox: Outbox) -> None:
        self._settings = settings
        self._attempts = attempts
        self._run_task = run_task
        self._outbox = outbox
        self._last: dict[str, float] = {}  # key -> when it was looked at

    async def run(self) -> None:
        while True:
            running = await self._run_task.running()
            now = time.time()
            self._last = {attempt.key: self._last[attempt.key] for attempt in running if attempt.key in self._last}
            due = [attempt for attempt in running if self._is_due(attempt, now)]
            if due:
                await self._sample(due, now)
            await asyncio.sleep(min(1.0, self._settings.sample_first_s))

    def _is_due(self, attempt: Attempt, now: float) -> bool:
        first_s, late_s = self._settings.sample_first_s, self._settings.sample_late_s
        if attempt.started_at is None or now - attempt.started_at < first_s:
            return False
        interval_s = max(first_s, min(late_s, (now - attempt.started_at) / OFTEN))
        return not 0 <= now - self._last.get(attempt.key, 0.0) < interval_s * NEARLY

    async def _sample(self, due: list[Attempt], now: float) -> None:
        usage = await asyncio.to_thread(usage_by_session)
        for attempt in due:
            self._last[attempt.key] = now
            session_s, rss_bytes = usage.get(attempt.pid, (0.0, 0))
            cpu_s = max(0.0, session_s - attempt.used_s)
            if rss_bytes and attempt.started_at is not None:
                if attempt.curve is None:
                    attempt.curve = Curve(self._settings.sample_most)
                attempt.curve.add(now - attempt.started_at, cpu_s, rss_bytes)
                self._outbox.add_usage(Usage(key=attempt.key, rows=list(attempt.curve.piece)))
            await self._check_disk(attempt)

    async def _check_disk(self, attempt: Attempt) -> None:
        common = self._attempts.commons.get(attempt.job)
        if common is None or attempt.folder is None or attempt.disk_exceeded:
            return
        limit = limits_of(common, address_space_only=False).disk_bytes
        if limit is not None and await asyncio.to_thread(directory_bytes, attempt.folder) > limit:
            log.info("disk_limit", attempt=attempt.key, limit_bytes=limit)
            await self._run_task.exceed_disk(attempt)
