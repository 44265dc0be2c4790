"""What is kept on the server and who keeps it. Counting reads whole tables, so it is done seldom, and says when it was done."""

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirdar.domain.people import Caller
from sirdar.services import access
from sirdar.services.context import Services
from sirdar.store import storage as store
from sirdar.store.people import Conn
from sirdar.store.storage import Amount, OwnerAmount, Quarantined

KEPT_S = 30.0
SHARE = 20  # it is counted anew only after this many times what it took: at most a twentieth of a reader's time
TOP = 20
QUARANTINED = 100
HOLDERS = 5


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds a directory, in bytes. ``free``: for this server's account."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Counted at ``at`` (seconds since 1970), which took ``took_s``."""

    at: float
    took_s: float
    blobs: Amount
    unnamed: Amount
    quarantined: Amount
    by_kind: Mapping[str, Amount]  # job, version, file; a blob counts in each kind that names it
    uploads: Amount
    top: Sequence[OwnerAmount]
    database_bytes: int


@dataclass(frozen=True, slots=True)
class Storage:
    figures: Figures
    quarantine: Sequence[Quarantined]  # as it is now, the latest
    disk: Disk | None  # of the home; None where it does not say


class StorageCount:
    """Figures that were counted lately. Several who ask at once wait for one count."""

    def __init__(self) -> None:
        self._figures: Figures | None = None
        self._until = float("-inf")  # monotonic
        self._lock = asyncio.Lock()

    async def figures(self, services: Services) -> Figures:
        async with self._lock:
            if self._figures is None or time.monotonic() >= self._until:
                now = services.store.clock()
                self._figures = await services.store.read(lambda conn: _count(conn, now))
                self._until = time.monotonic() + max(KEPT_S, SHARE * self._figures.took_s)
            return self._figures


async def show(services: Services, caller: Caller, count: StorageCount) -> Storage:
    """For administrators. Raises ``forbidden``."""
    access.require_admin(caller)
    figures = await count.figures(services)
    quarantine = await services.store.read(lambda conn: store.quarantine(conn, limit=QUARANTINED, holders=HOLDERS))
    return Storage(figures, quarantine, await asyncio.to_thread(disk_of, services.settings.home))


def disk_of(directory: Path) -> Disk | None:
    """Blocks."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return None
    return Disk(usage.total, usage.free)


def _count(conn: Conn, now: float) -> Figures:
    started = time.monotonic()
    found = {
        "blobs": store.all_blobs(conn),
        "unnamed": store.unnamed_blobs(conn),
        "quarantined": store.quarantined_blobs(conn),
        "uploads": store.unfinished_uploads(conn),
    }
    kinds, top, size = store.by_kind(conn), store.top_owners(conn, limit=TOP), store.database_bytes(conn)
    return Figures(now, time.monotonic() - started, by_kind=kinds, top=top, database_bytes=size, **found)
