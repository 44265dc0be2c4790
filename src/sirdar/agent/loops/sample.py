"""Samples CPU time and memory of running programs, and how much they have written."""

import asyncio
import os
import sys
import time
from pathlib import Path

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.prepare import limits_of
from sirdar.agent.run_task import RunTask
from sirdar.agent.settings import Settings
from sirdar.agent.stage_out import directory_bytes

log = get_logger(__name__)

Usage = tuple[float, int]


class SampleLoop:
    """One look at all processes for all tasks. A curve that is full is thinned, and its interval doubled."""

    def __init__(self, settings: Settings, attempts: Attempts, run_task: RunTask) -> None:
        self._settings = settings
        self._attempts = attempts
        self._run_task = run_task
        self._next: dict[str, tuple[float, float]] = {}  # key -> (when, interval)

    async def run(self) -> None:
        while True:
            running = await self._run_task.running()
            now = time.time()
            self._next = {attempt.key: self._next[attempt.key] for attempt in running if attempt.key in self._next}
            due = [attempt for attempt in running if self._is_due(attempt, now)]
            if due:
                await self._sample(due, now)
            await asyncio.sleep(min(1.0, self._settings.sample_first_s))

    def _is_due(self, attempt: Attempt, now: float) -> bool:
        if attempt.started_at is None or now - attempt.started_at < self._settings.sample_first_s:
            return False
        return now >= self._next.get(attempt.key, (0.0, 0.0))[0]

    async def _sample(self, due: list[Attempt], now: float) -> None:
        usage = await asyncio.to_thread(usage_by_session)
        for attempt in due:
            _, interval_s = self._next.get(attempt.key, (0.0, self._settings.sample_first_s))
            cpu_s, rss_bytes = usage.get(attempt.pid, (0.0, 0))
            if rss_bytes and attempt.started_at is not None:
                attempt.curve.append((round(now - attempt.started_at, 2), round(cpu_s, 2), rss_bytes))
            if len(attempt.curve) >= self._settings.sample_most:
                attempt.curve = attempt.curve[::2]
                interval_s *= 2
            self._next[attempt.key] = (now + interval_s * 0.95, interval_s)
            await self._check_disk(attempt)

    async def _check_disk(self, attempt: Attempt) -> None:
        common = self._attempts.commons.get(attempt.job)
        if common is None or attempt.folder is None or attempt.disk_exceeded:
            return
        limit = limits_of(common, address_space_only=False).disk_bytes
        if limit is not None and await asyncio.to_thread(directory_bytes, attempt.folder) > limit:
            log.info("disk_limit", attempt=attempt.key, limit_bytes=limit)
            await self._run_task.exceed_disk(attempt)


def usage_by_session() -> dict[int, Usage]:
    """CPU seconds and resident bytes of all live processes, summed by session; empty where there is no /proc."""
    if sys.platform != "linux":
        return {}
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found: dict[int, Usage] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        session = int(words[3])
        cpu_s, rss_bytes = found.get(session, (0.0, 0))
        # Times of children that it has waited for are the process's too.
        spent = sum(int(word) for word in words[11:15]) / ticks
        found[session] = (cpu_s + spent, rss_bytes + int(words[21]) * page)
    return found
