"""Removes the live log files of tasks whose job has ended: what they held stands in rows and blobs by then."""

import asyncio

import structlog

from sirdar.services.context import Services
from sirdar.services.hub import Bell
from sirdar.store import job_views
from sirdar.store.hints import Hints

log = structlog.get_logger()


class LogTidy:
    """Collects ended jobs as they are committed and removes their files in a thread, a batch at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ended: set[str] = set()
        self._bell = Bell()

    def on_commit(self, hints: Hints) -> None:
        if hints.ended:
            self._ended |= hints.ended
            self._bell.ring()

    async def run(self) -> None:
        """The loop. What a dead server left is found at the start."""
        logs, store = self._services.logs, self._services.store
        for job_id in await asyncio.to_thread(logs.jobs):
            job = await store.read(lambda conn, job_id=job_id: job_views.find_job(conn, job_id))  # type: ignore[misc]
            if job is None or job.ended_at is not None:
                self._ended.add(job_id)
        while True:
            ended, self._ended = self._ended, set()
            try:
                await asyncio.to_thread(logs.remove_jobs, ended)
            except OSError:
                log.exception("log_tidy_failed")
            if not self._ended:
                await self._bell.wait()
