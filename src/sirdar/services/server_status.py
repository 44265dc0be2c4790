"""How the server stands, for administrators: what it checks of itself, what it works with, and what is going on."""

import asyncio
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

import sirdar
from sirdar.domain.people import Caller
from sirdar.services import access, meters
from sirdar.services.context import Services
from sirdar.services.meters import Totals
from sirdar.services.readiness import WITHIN_S, Check, Readiness
from sirdar.services.resources import ResourceView, views_now
from sirdar.services.settings import Settings
from sirdar.services.storage import Disk, disk_of
from sirdar.store import counts, listening, schema
from sirdar.store.listening import Server
from sirdar.store.opening import shown
from sirdar.store.people import Conn

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Work:
    """What the ledger says is going on. ``waiting_since``: when the oldest job with waiting tasks became ready."""

    jobs: Mapping[str, int]  # in flight, by state
    waiting_tasks: int
    waiting_since: float | None
    notices_waiting: int
    resources: Sequence[ResourceView]
    servers: Sequence[Server]  # of the same database; empty with SQLite
    schema: str | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """``work`` None: the database did not answer. Times in seconds since 1970."""

    checks: Sequence[Check]
    version: str
    python: str
    system: str
    began_at: float
    name: str  # of this process among the servers of one database
    database: str  # without its password
    blobs: str
    totals: Totals
    disk: Disk | None
    work: Work | None


async def show(services: Services, caller: Caller, readiness: Readiness) -> ServerStatus:
    """Raises ``forbidden`` for those who do not administer."""
    access.require_admin(caller)
    checks = await readiness.checks()
    return ServerStatus(
        checks=checks,
        version=sirdar.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        began_at=readiness.began_at,
        name=services.store.name,
        database=shown(services.settings.database_url),
        blobs=_blobs(services.settings),
        totals=meters.totals(),
        disk=await asyncio.to_thread(disk_of, services.settings.home),
        work=await _work(services),
    )


def _blobs(settings: Settings) -> str:
    return settings.blobs or str(settings.home / "blobs")


async def _work(services: Services) -> Work | None:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await services.store.read(_read)
    except Exception as error:
        log.warning("status_without_ledger", error=type(error).__name__)
        return None


def _read(conn: Conn) -> Work:
    waiting, since = counts.queue(conn)
    return Work(
        jobs=counts.jobs_in_flight_by_state(conn),
        waiting_tasks=waiting,
        waiting_since=since,
        notices_waiting=counts.notices_waiting(conn),
        resources=views_now(conn),
        servers=listening.servers(conn),
        schema=schema.revision(conn),
    )
