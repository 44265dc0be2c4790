"""Advance: prepares SUBMITTED jobs, a few at a time, and removes jobs whose deletion was waiting for their end."""

import asyncio
import random

import anyio

from sirdar.dispatch.trouble import tell
from sirdar.services.advance import advance, remove_unwanted
from sirdar.services.context import Services
from sirdar.store import preparing

AT_ONCE = 8
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0


async def run(services: Services) -> None:
    """The loop: kicked by the hub, corrected by looking now and then."""
    busy: set[str] = set()
    places = anyio.Semaphore(AT_ONCE)
    async with anyio.create_task_group() as group:
        while True:
            try:
                await remove_unwanted(services)
                for job_id in await services.store.read(preparing.submitted_jobs):
                    if job_id not in busy:
                        busy.add(job_id)
                        group.start_soon(_prepare, services, job_id, busy, places)
            except Exception as error:
                tell("advance_failed", error)
            await services.hub.pending.wait(services.settings.expire_every_s * 6)


async def _prepare(services: Services, job_id: str, busy: set[str], places: anyio.Semaphore) -> None:
    """One job, until it is READY, refused, or waits for another job. A server's own trouble is tried again."""
    delay_s = FIRST_RETRY_S
    try:
        while True:
            try:
                async with places:
                    await advance(services, job_id)
                return
            except Exception as error:
                tell("prepare_failed", error, job=job_id)
            await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))  # noqa: S311
            delay_s = min(LAST_RETRY_S, delay_s * 2)
    finally:
        busy.discard(job_id)
