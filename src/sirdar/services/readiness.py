"""Whether this server should be sent requests: its ledger answers and is of this release, its blobs can be written, it stays."""

import asyncio
from dataclasses import dataclass

import structlog

from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import schema
from sirdar.store.errors import is_disk_full

WITHIN_S = 3.0  # what takes longer counts as no answer
KEPT_S = 2.0  # whoever asks more often is told the same: a probe writes and syncs a file
PROBE = b"Sirdar can write here.\n"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``detail`` says in words how it is, without addresses or paths."""

    name: str
    ok: bool
    detail: str


class Readiness:
    """Looks at most every ``KEPT_S`` seconds, one look at a time. A look that hangs is not doubled."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.began_at = services.store.clock()  # seconds since 1970: when this server was put together
        self._kept: tuple[float, list[Check]] = (float("-inf"), [])
        self._looking: dict[str, asyncio.Task[Check]] = {}

    async def checks(self) -> list[Check]:
        """All checks, those that cost something at most some seconds old."""
        now = asyncio.get_running_loop().time()
        at, found = self._kept
        if now - at > KEPT_S:
            found = await asyncio.gather(*(self._look(name) for name in ("database", "blobs")))
            self._kept = (asyncio.get_running_loop().time(), found)
        return [*found, self._staying()]

    def _staying(self) -> Check:
        if self._services.store.stranger:
            words = "Other servers of the database have another key: this one's home is not the one they share."
            return Check("server", False, words)
        leaving = self._services.hub.leaving or self._services.hub.closed
        return Check("server", not leaving, "The server is shutting down." if leaving else "The server takes requests.")

    async def _look(self, name: str) -> Check:
        look = self._database if name == "database" else self._blobs
        task = self._looking.get(name)
        if task is None or task.done():
            task = self._looking[name] = asyncio.create_task(look())
        try:
            async with asyncio.timeout(WITHIN_S):
                return await asyncio.shield(task)
        except TimeoutError:
            what = "The database does not answer" if name == "database" else "The blob store takes no write"
            return Check(name, False, f"{what} within {WITHIN_S:.0f} s.")

    async def _database(self) -> Check:
        try:
            found = await self._services.store.read(schema.revision)
        except Exception as error:
            log.warning("not_ready", check="database", error=str(error))
            return Check("database", False, "The database cannot be read.")
        if found is None or found < schema.HEAD:
            words = f"The database is of schema {found or 'none'}, and this server needs {schema.HEAD}."
            return Check("database", False, words)
        newer = f"; it is of a newer schema ({found})" if found > schema.HEAD else ""
        return Check("database", True, f"The database answers{newer}.")

    async def _blobs(self) -> Check:
        """Writes a small blob, always the same. Nobody names it, so it is collected one day, and written again."""
        try:
            async with self._services.blobs.writer() as writer:
                await writer.write(PROBE)
                await writer.finish()
        except Exception as error:
            log.warning("not_ready", check="blobs", error=str(error))
            full = (isinstance(error, Problem) and error.code == "disk_full") or is_disk_full(error)
            words = "The blob store is full." if full else "The blob store cannot be written."
            return Check("blobs", False, words)
        return Check("blobs", True, "The blob store can be written.")
