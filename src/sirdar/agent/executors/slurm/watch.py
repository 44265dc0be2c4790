"""One query of the queue for all jobs, seldom enough for whoever runs the cluster. That it failed says nothing of any job."""

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands
from sirdar.agent.executors.slurm.options import NAME_PREFIX
from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.executors.slurm.states import Seen, of_names, of_whole_array
from sirdar.domain.units import format_duration

log = get_logger(__name__)

SILENT_AFTER = 3  # queries in a row that gave no answer: whoever waits is told
SILENCE = "Slurm does not answer"
NEVER: Mapping[str, float] = {}
QUESTIONS_FAILED_MOST = 3  # for single jobs, in one look: the rest is asked for by the next


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
        self._waited_at: dict[str, float] = {}  # when they were last known to wait, by the monotonic clock
        self._unanswered: set[str] = set()  # of which the last question alone gave no answer
        self._heard_at: float | None = None  # when the queue was answered
        self._silent_in_row = 0
        self.queries = 0
        self.failed_queries = 0
        self.failed_in_row = 0
        self.last_error = ""

    async def turn(self) -> None:
        """Waits until the queue may be asked again."""
        await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))

    async def look(
        self,
        ids: Collection[str],
        names: Collection[str] = (),
        *,
        begun: Collection[str] = (),
        given: Mapping[str, float] = NEVER,
    ) -> Look | None:
        """None where nothing is known of any job. ``names``: of orders of which no job is known; ``begun``: what is said of their
        whole array is not said of these; ``given``: when jobs were given to Slurm, by the monotonic clock."""
        self.queries += 1
        asked_at = time.monotonic()
        self._waited_at = {job: self._waited_at.get(job, given.get(job, -math.inf)) for job in ids}
        try:
            queue = await self._commands.queue()
        except CommandFailed as error:
            self._silent_in_row += 1
            self._note_failure(error)
            return None
        else:
            self._silent_in_row, self._heard_at = 0, time.monotonic()
        finally:
            rest_s = max(self._settings.query_s, self._settings.query_times * self._commands.last_s)
            self._next_at = time.monotonic() + rest_s
        seen = {job: queue[job] for job in ids if job in queue}
        self._waited_at |= {job: asked_at for job, one in seen.items() if one.waits}
        waiting = [job for job in ids if job not in seen and job not in begun]
        seen |= {job: whole for job in waiting if (whole := of_whole_array(job, queue)) is not None}
        absent = [job for job in ids if job not in seen]
        named = of_names(queue.values(), NAME_PREFIX)
        doubtful = [name for name in names if name not in named]
        return await self._with_accounts(seen, absent, named, doubtful, begun)

    async def _with_accounts(
        self,
        seen: dict[str, Seen],
        absent: list[str],
        named: dict[str, list[Seen]],
        doubtful: list[str],
        begun: Collection[str],
    ) -> Look:
        """Accounting is asked only for what has left the queue."""
        missing: list[str] = []
        self._absent = {job: self._absent.get(job, 0) for job in absent}
        names_known = True
        failures = self.failed_queries
        try:
            if absent:
                found = await self._commands.accounts(absent)
                seen |= {job: found[job] for job in absent if job in found}
                missing += await self._search([job for job in absent if job not in found], seen, begun)
            if doubtful:
                found = await self._commands.accounts(names=[NAME_PREFIX + name for name in doubtful])
                named = {**named, **of_names(found.values(), NAME_PREFIX)}
        except CommandFailed as error:
            self._note_failure(error)
            names_known = not doubtful
        if self.failed_queries == failures:
            self.failed_in_row, self.last_error = 0, ""
        return Look(seen, missing, named, names_known)

    async def _search(self, absent: Sequence[str], seen: dict[str, Seen], begun: Collection[str]) -> list[str]:
        """Asks for those that were away often enough, and returns those that are not there.

        One question without an answer keeps nobody from the others; those that had none come last the next time. Of an array
        that is not there no member is asked for.
        """
        for job in absent:
            self._absent[job] += 1
        due = [job for job in absent if self._absent[job] >= self._settings.missed]
        missing: list[str] = []
        arrays: dict[str, Seen | None] = {}  # what was said of them
        self._unanswered &= set(due)
        failed = 0
        for job in sorted(due, key=lambda one: one in self._unanswered):
            try:
                found = await self._shown(job, arrays, whole=job not in begun)
            except CommandFailed as error:
                self._unanswered.add(job)
                self._note_failure(error)
                failed += 1
                if failed >= QUESTIONS_FAILED_MOST:
                    break
                continue
            self._unanswered.discard(job)
            if found is not None:
                seen[job] = found
            else:
                missing.append(job)
        return missing

    async def _shown(self, job: str, arrays: dict[str, Seen | None], *, whole: bool) -> Seen | None:
        """What the controller says of it, or what follows (``whole``: it never began) from what it says of its array."""
        array = job.partition("_")[0]
        found = None if array in arrays and arrays[array] is None else await self._commands.shown(job)
        if found is None and array not in arrays:
            arrays[array] = None if array == job else await self._commands.shown(array)
        said = arrays.get(array)
        if found is not None or not whole or said is None:
            return found
        if said.ended and not said.members:
            return of_whole_array(job, {array: said})
        return Seen(job, "CANCELLED", name=said.name) if await self._never_ran(job) else None

    async def _never_ran(self, job: str) -> bool:
        """Of a member that its array is without: Slurm shows what has run for a while after its end, and only a member that
        somebody cancels while it waits goes without a trace."""
        kept_s = await self._commands.kept_s()
        return time.monotonic() - self._waited_at.get(job, -math.inf) < kept_s

    def silence(self) -> str:
        """For whoever waits, once Slurm has been silent for long: what there is to say of it; else empty."""
        if self._silent_in_row < SILENT_AFTER:
            return ""
        ago = (
            "not heard of yet"
            if self._heard_at is None
            else f"last heard of {_ago(time.monotonic() - self._heard_at)} ago"
        )
        return f"{SILENCE} ({ago}): {self.last_error}"

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


def _ago(seconds: float) -> str:
    """In whole minutes from the second on: more would not be true for long."""
    return format_duration(float(round(seconds)) if seconds < 2 * 60 else seconds // 60 * 60)
