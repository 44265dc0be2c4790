"""The loop that removes what has expired. It owns one verb: sweep."""

import logging
from dataclasses import dataclass, field

import anyio

from sirdar.dispatch.trouble import passes
from sirdar.services import retention
from sirdar.services.context import Services
from sirdar.services.retention import DeleteJobs, Removed

log = logging.getLogger("sirdar.sweep")

ORPHANS_EVERY_S = 86400.0


@dataclass(slots=True)
class SweepStatus:
    """What a person may want to know of the loop. Times in seconds since 1970."""

    swept_at: float | None = None
    orphans_at: float | None = None
    last: Removed = field(default_factory=Removed)
    failures: int = 0  # in a row
    last_error: str | None = None


async def run(services: Services, delete_jobs: DeleteJobs, status: SweepStatus | None = None) -> None:
    """Sweep every ``settings.sweep_every_s`` until cancelled. A sweep that fails is tried again at the next turn."""
    status = status or SweepStatus()
    while True:
        await _turn(services, delete_jobs, status)
        await anyio.sleep(services.settings.sweep_every_s)


async def _turn(services: Services, delete_jobs: DeleteJobs, status: SweepStatus) -> None:
    now = services.store.clock()
    try:
        async with services.store.hold("sweep") as mine:
            status.last = Removed()
            if mine:
                await _sweep(services, delete_jobs, status, now)
    except Exception as error:  # a full disk, a database that is away: the next turn may find it well again
        status.failures += 1
        status.last_error = f"{type(error).__name__}: {error}"
        log.warning("sweep_failed failures=%d", status.failures, exc_info=not passes(error))
        return
    status.swept_at, status.failures, status.last_error = now, 0, None
    if status.last:
        log.info("swept %s", status.last)


async def _sweep(services: Services, delete_jobs: DeleteJobs, status: SweepStatus, now: float) -> None:
    status.last = await retention.sweep(services, delete_jobs)
    if status.orphans_at is None or now - status.orphans_at >= ORPHANS_EVERY_S:
        orphans = await retention.remove_orphans(services)
        status.orphans_at = now
        if orphans:
            log.info("orphans_removed count=%d", orphans)
