"""One query of the queue for all jobs, seldom enough for whoever runs the cluster. That it failed says nothing of any job."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands
from sirdar.agent.executors.slurm.options import NAME_PREFIX
from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.executors.slurm.states import Seen, of_names

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one query told. ``seen``: by job id; ``missing``: Slurm has forgotten them; ``named``: by our names.

    Of what is in neither nothing is known. ``names_known``: who is not in ``named`` is not there.
    """

    seen: Mapping[str, Seen]
    missing: Collection[str]
    named: Mapping[str, list[Seen]]
    names_known: bool


class Watch:
    """Counts what failed, for the agent's status.

    A job is missing where so many answers in a row as the settings say were without it, and the controller, asked for it alone,
    does not know its number: an empty list may come from a fault, too.
    """

    def __init__(self, commands: Commands, settings: SlurmSettings) -> None:
        self._commands = commands
        self._settings = settings
        self._next_at = 0.0
        self._absent: dict[str, int] = {}  # in so many answers in a row
        self.queries = 0
        self.failed_queries = 0
        self.failed_in_row = 0
        self.last_error = ""

    async def turn(self) -> None:
        """Waits until the queue may be asked again."""
        await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))

    async def look(self, ids: Collection[str], names: Collection[str] = ()) -> Look | None:
        """None where nothing is known of any job. ``names``: of orders of which no job is known."""
        self.queries += 1
        try:
            queue = await self._commands.queue()
        except CommandFailed as error:
            self._note_failure(error)
            return None
        finally:
            rest_s = max(self._settings.query_s, self._settings.query_times * self._commands.last_s)
            self._next_at = time.monotonic() + rest_s
        seen = {job: queue[job] for job in ids if job in queue}
        absent = [job for job in ids if job not in queue]
        named = of_names(queue.values(), NAME_PREFIX)
        doubtful = [name for name in names if name not in named]
        return await self._with_accounts(seen, absent, named, doubtful)

    async def _with_accounts(
        self, seen: dict[str, Seen], absent: list[str], named: dict[str, list[Seen]], doubtful: list[str]
    ) -> Look:
        """Accounting is asked only for what has left the queue."""
        missing: list[str] = []
        self._absent = {job: self._absent.get(job, 0) for job in absent}
        names_known = True
        try:
            if absent:
                found = await self._commands.accounts(absent)
                seen |= {job: found[job] for job in absent if job in found}
                await self._search([job for job in absent if job not in found], seen, missing)
            if doubtful:
                found = await self._commands.accounts(names=[NAME_PREFIX + name for name in doubtful])
                named = {**named, **of_names(found.values(), NAME_PREFIX)}
        except CommandFailed as error:
            self._note_failure(error)
            names_known = not doubtful
        else:
            self.failed_in_row, self.last_error = 0, ""
        return Look(seen, missing, named, names_known)

    async def _search(self, absent: Collection[str], seen: dict[str, Seen], missing: list[str]) -> None:
        """Asks for those that were away often enough. Of an array that is not there no member is asked for."""
        gone: set[str] = set()
        for job in absent:
            self._absent[job] += 1
            if self._absent[job] < self._settings.missed:
                continue
            array = job.partition("_")[0]
            found = None if array in gone else await self._commands.shown(job)
            if found is not None:
                seen[job] = found
                continue
            missing.append(job)
            if array not in gone and (array == job or await self._commands.shown(array) is None):
                gone.add(array)

    def status(self) -> dict[str, object]:
        """For the agent's status, which a person reads."""
        accounting = {None: "not asked yet", True: "answers", False: "is absent"}[self._commands.accounting]
        return {
            "queries": self.queries,
            "failed_queries": self.failed_queries,
            "failed_in_row": self.failed_in_row,
            "last_error": self.last_error,
            "last_query_s": round(self._commands.last_s, 3),
            "accounting": accounting,
        }

    def _note_failure(self, error: CommandFailed) -> None:
        self.failed_queries += 1
        self.failed_in_row += 1
        self.last_error = str(error)
        log.warning("slurm_query_failed", error=str(error), in_row=self.failed_in_row)
