"""How many pilots there are: more while work waits and Slurm gives them, fewer when they have nothing to do."""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands, Refused, Unsure
from sirdar.agent.executors.slurm.options import PILOT_NAME, Needs, asked_time, words_of
from sirdar.agent.executors.slurm.pilot import Pilot, items_of
from sirdar.agent.executors.slurm.pilot_folders import PilotFolders
from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.executors.slurm.states import Seen, note_of
from sirdar.agent.executors.slurm.watch import Look, Watch

log = get_logger(__name__)

FOR_MANY = " (an allocation for many tasks)"
AGAIN_LEAST_S, AGAIN_MOST_S = 1.0, 300.0
ANSWER_PATIENCE_S = 2.0  # many begin sooner: nobody need be told that they wait
LONELY_LEAST_S = 60.0  # so long does one that has nothing to do wait for an agent that went away


class Fleet:
    """``waiting``: cpus of tasks that have no pilot; ``on_gone``: settles what a pilot leaves; ``on_note``: why they wait;
    ``on_change``: the same, for those that were told something else before."""

    def __init__(
        self,
        home: Path,
        settings: SlurmSettings,
        *,
        waiting: Callable[[], int],
        on_gone: Callable[[Pilot], Awaitable[None]],
        on_note: Callable[[str], None],
        on_change: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._waiting, self._on_gone, self._on_note, self._on_change = waiting, on_gone, on_note, on_change
        self._commands = Commands(settings.command_timeout_s)
        self._watch = Watch(self._commands, settings)
        self.folders = PilotFolders(home, settings.python)
        self.pilots: dict[str, Pilot] = {}
        self._buried: dict[str, Pilot] = {}  # gone, but for ends that the agent has not written down
        self._kicked = asyncio.Event()
        self._ordering: asyncio.Task[None] | None = None
        self._active = asyncio.Event()
        self._again_s = AGAIN_LEAST_S
        self._not_before = 0.0
        self._drop_not_before = 0.0
        self._ending = False
        self.failed_in_row = 0  # pilots that ended before they called in, or that Slurm did not take
        self.trouble = ""

    # ------------------------------------------------------------ for the executor

    def load(self, keys: Collection[str]) -> None:
        """Pilots of earlier lives, with those of their tasks that somebody waits for."""
        for name, (given, job) in self.folders.load().items():
            time_s = given.get("time_s") or self._settings.pilots.time_s
            pilot = Pilot(name, given["slots"], time_s, job, unsure=not job)
            pilot.outdated = given.get("asks") != self._asks() or self.folders.is_dropped(name)
            for batch_name, batch in self.folders.batches(name).items():
                pilot.next_batch = int(batch_name.partition(".")[0]) + 1
                items = [item for item in items_of(batch, batch_name) if item.key in keys]
                pilot.items.update({item.key: item for item in items})
                if items:
                    pilot.batches[batch_name] = {item.key for item in items}
                else:
                    self.folders.drop_batch(name, batch_name)
            self.pilots[name] = pilot
        self._kicked.set()
        self._active.set()

    def kick(self) -> None:
        self._kicked.set()
        self._active.set()

    def called_in(self, pilot: Pilot) -> None:
        self.failed_in_row, self._again_s, self.trouble = 0, AGAIN_LEAST_S, ""
        pilot.unsure = False
        if pilot.begun_at is None:
            begun = self.folders.begun(pilot.id) or {}
            pilot.begun_at = begun.get("at", time.time())
            pilot.job = pilot.job or begun.get("job", "")

    def all(self) -> list[Pilot]:
        """Those that are gone, too, where somebody may still ask how their tasks ended."""
        return [*self.pilots.values(), *self._buried.values()]

    async def let_go(self, pilot: Pilot) -> None:
        """Removes the directory of one that is gone, where the agent has written down all that it says."""
        if pilot.id in self._buried and not pilot.over_keys:
            del self._buried[pilot.id]
            await asyncio.to_thread(self.folders.remove, pilot.id)

    async def end(self) -> None:
        """Ends all pilots, with what runs in them; returns when they are gone. There will be no others."""
        self._ending = True
        if self._ordering is not None:
            await asyncio.gather(self._ordering, return_exceptions=True)
        for pilot in list(self.pilots.values()):
            pilot.closing = True
            pilot.say({"op": "shutdown", "kill": True, "grace": 1.0})
        away = [pilot for pilot in self.pilots.values() if not pilot.connected]
        await self._cancel([pilot for pilot in away if not self.folders.is_over(pilot.id)])
        for pilot in away:
            if not pilot.ordering and await asyncio.to_thread(self.folders.claim, pilot.id):
                await self._gone(pilot)  # it has not begun, and never will
        self._kicked.set()
        while self.pilots:
            await asyncio.sleep(min(0.1, self._settings.look_s))
            self._kicked.set()

    async def close(self) -> None:
        """What is being ordered is broken off: the next life asks Slurm whether it has it."""
        if self._ordering is not None:
            self._ordering.cancel()
            await asyncio.gather(self._ordering, return_exceptions=True)

    def status(self) -> dict[str, Any]:
        connected = sum(pilot.connected for pilot in self.pilots.values())
        return {
            **self._watch.status(),
            "pilots": len(self.pilots),
            "pilots_connected": connected,
            "pilots_failed_in_row": self.failed_in_row,
            "trouble": self.trouble,
        }

    # ------------------------------------------------------------ growing and shrinking

    async def manage(self) -> None:
        """For ever: looks at the disk, grows, shrinks."""
        while True:
            if not self.pilots and not self._wanted():
                await self._kicked.wait()
            self._kicked.clear()
            for pilot in list(self.pilots.values()):
                if not pilot.connected and await asyncio.to_thread(self.folders.is_over, pilot.id):
                    await self._gone(pilot)
            await self._drop_outdated()
            await self._grow()
            await self._shrink()
            try:
                async with asyncio.timeout(self._settings.look_s):
                    await self._kicked.wait()
            except TimeoutError:
                continue

    def _wanted(self) -> int:
        """How many there should be for what waits and runs."""
        if self._ending:
            return 0
        own = self._settings.pilots
        busy = sum(bool(pilot.items) for pilot in self.pilots.values())
        return max(own.least, min(own.most, busy + math.ceil(self._waiting() / own.cpus)))

    async def _grow(self) -> None:
        open_ones = [pilot for pilot in self.pilots.values() if not pilot.closing]
        more = self._wanted() - len(open_ones)
        ordering = self._ordering is not None and not self._ordering.done()
        if more > 0 and not ordering and time.monotonic() >= self._not_before:
            self._ordering = asyncio.create_task(self._order_so_many(more))  # Slurm may take its time to answer
        if self._waiting() and (self.trouble or self._fresh()):
            self._tell_waiting()

    async def _order_so_many(self, count: int) -> None:
        for _ in range(count):
            try:
                if self._ending or not await self._order():
                    return
            except OSError as error:
                self._note_failure(f"no pilot could be ordered: {error}")
                return

    async def _drop_outdated(self) -> None:
        """What has not begun, and was ordered by other settings, leaves the queue: Slurm may never start it."""
        for pilot in [one for one in self.pilots.values() if one.outdated]:
            if time.monotonic() < self._drop_not_before:
                return
            if pilot.connected or (pilot.job and not await asyncio.to_thread(self.folders.claim, pilot.id)):
                pilot.outdated = False  # it runs, and goes on
            elif pilot.job and await self._cancel([pilot]):
                log.info("pilot_outdated", pilot=pilot.id, job=pilot.job)
                pilot.closing = True
                await self._gone(pilot)
            elif pilot.job:
                self._drop_not_before = time.monotonic() + self._settings.query_s

    async def _shrink(self) -> None:
        own = self._settings.pilots
        open_ones = [pilot for pilot in self.pilots.values() if not pilot.closing]
        now = time.monotonic()
        spare = len(open_ones) - max(own.least, 1 if self._waiting() else 0)
        for pilot in open_ones:
            if spare <= 0:
                return
            if pilot.items or (self._waiting() and not pilot.connected):
                continue
            if now - pilot.idle_since >= own.idle_s:
                await self._close(pilot)
                spare -= 1

    async def _close(self, pilot: Pilot) -> None:
        """Tells an idle one to end; one that has not begun never will."""
        log.info("pilot_closed", pilot=pilot.id, job=pilot.job)
        pilot.closing = True
        if pilot.connected:
            pilot.say({"op": "shutdown", "kill": False})
        elif pilot.job and not pilot.unsure and await asyncio.to_thread(self.folders.claim, pilot.id):
            await self._cancel([pilot])
            await self._gone(pilot)
        else:
            pilot.closing = False  # it runs, and has not called in: it will

    async def _order(self) -> bool:
        """One more. False where it was not to be had now."""
        own = self._settings.pilots
        pilot = Pilot(f"{int(time.time())}-{secrets.token_hex(4)}", own.cpus, own.time_s, ordering=True)
        folder = await asyncio.to_thread(
            lambda: self.folders.add(
                pilot.id,
                slots=own.cpus,
                idle_s=max(own.idle_s, LONELY_LEAST_S),
                memory=self._memory(),
                time_s=own.time_s,
                asks=self._asks(),
            )
        )
        self.pilots[pilot.id] = pilot
        self._active.set()
        try:
            job = await self._commands.submit(self._words(pilot, folder))
        except Unsure as error:
            log.warning("pilot_unsure", pilot=pilot.id, error=str(error))
            pilot.unsure = not pilot.job
            return True
        except (Refused, CommandFailed) as error:
            if pilot.job or self.pilots.pop(pilot.id, None) is None:  # the queue has it
                return True
            await asyncio.to_thread(self.folders.remove, pilot.id)
            self._note_failure(f"Slurm gives no pilot: {error}")
            return False
        finally:
            pilot.ordering = False  # nothing comes between this and the job's id
        pilot.job, pilot.unsure = job, False
        await asyncio.to_thread(self.folders.note_job, pilot.id, job)
        log.info("pilot_ordered", pilot=pilot.id, job=job)
        return True

    def _words(self, pilot: Pilot, folder: Path) -> list[str]:
        """What follows ``sbatch``."""
        words = words_of(self._needs(), name=PILOT_NAME + pilot.id, comment=f"pilot {pilot.id}")
        own_files = [f"--chdir={folder}", f"--output={folder}/output", str(self.folders.script), str(folder)]
        return [*words, *own_files]

    def _needs(self) -> Needs:
        own = self._settings.pilots
        return Needs(own.cpus, own.memory_bytes, own.time_s, tuple(sorted(self._settings.options.items())))

    def _asks(self) -> list[str]:
        """What all pilots that are ordered now ask of Slurm."""
        return words_of(self._needs(), name=PILOT_NAME, comment="")

    def _memory(self) -> str:
        return "rlimit" if self._settings.limit_memory else "auto"

    def _note_failure(self, text: str) -> None:
        self.failed_in_row += 1
        self.trouble = text
        self._not_before = time.monotonic() + self._again_s
        self._again_s = min(AGAIN_MOST_S, 2 * self._again_s)
        log.warning("pilot_failed", error=text, in_row=self.failed_in_row)

    async def _gone(self, pilot: Pilot) -> None:
        if self.pilots.pop(pilot.id, None) is None:
            return
        if pilot.begun_at is None and not pilot.closing:
            words = await asyncio.to_thread(self.folders.last_words, pilot.id)
            state = f" ({pilot.seen.state})" if pilot.seen is not None else ""
            self._note_failure(
                f"the pilot of job {pilot.job} ended{state} before it called in{f': {words}' if words else ''}"
            )
        self._buried[pilot.id] = pilot
        await asyncio.to_thread(self.folders.note_over, pilot.id)
        await self._on_gone(pilot)

    # ------------------------------------------------------------ Slurm's word

    async def query_for_ever(self) -> None:
        while True:
            await self._active.wait()
            await self._watch.turn()
            if not self.pilots:
                self._active.clear()
                continue
            asked = [pilot for pilot in self.pilots.values() if pilot.job]
            # Those that are being submitted are not asked for: this answer may be older than they are.
            unsure = [pilot for pilot in self.pilots.values() if not pilot.job and not pilot.ordering]
            look = await self._watch.look({pilot.job for pilot in asked}, [PILOT_NAME + pilot.id for pilot in unsure])
            if look is not None:
                await self._take_look(look, asked, unsure)
            elif silence := self._watch.silence():
                self._on_note(silence)

    async def _take_look(self, look: Look, asked: Collection[Pilot], unsure: Collection[Pilot]) -> None:
        for pilot in unsure:
            found = look.named.get(PILOT_NAME + pilot.id)
            if found:
                pilot.job, pilot.unsure = found[0].job, False
                await asyncio.to_thread(self.folders.note_job, pilot.id, pilot.job)
            elif look.names_known and await asyncio.to_thread(self.folders.claim, pilot.id):
                await self._gone(pilot)  # Slurm never got it; the next one may
        for pilot in asked:
            seen = look.seen.get(pilot.job)
            if seen is not None:
                await self._take_seen(pilot, seen)
            elif pilot.job in look.missing and not pilot.connected:
                await self._gone(pilot)
        self._tell_waiting()

    async def _take_seen(self, pilot: Pilot, seen: Seen) -> None:
        pilot.seen = seen
        if not seen.ended or pilot.connected:
            pilot.over_at = None
            return
        pilot.over_at = pilot.over_at or time.monotonic()
        never = await asyncio.to_thread(self.folders.claim, pilot.id)
        if never or time.monotonic() - pilot.over_at >= self._settings.record_patience_s:
            await self._gone(pilot)

    def _tell_waiting(self) -> None:
        """One reason for all that wait: that of an allocation which waits itself, or why there is none."""
        if not self._waiting() or (self.pilots and self._watch.silence()):
            return
        asked = asked_time(self._asks())
        away = [pilot for pilot in self.pilots.values() if not pilot.connected and pilot.job]
        notes = [note for pilot in away if pilot.seen is not None and (note := note_of(pilot.seen, asked))]
        if notes:
            self._on_note(notes[0] + FOR_MANY)
        elif self.trouble:
            self._on_note(self.trouble)
        elif fresh := self._fresh():
            job = fresh[0].job
            self._on_note((f"in Slurm's queue as job {job}" if job else "is being given to Slurm") + FOR_MANY)
        elif any(pilot.connected for pilot in self.pilots.values()):
            self._on_change("waits for room in Slurm's allocations")

    def _fresh(self) -> list[Pilot]:
        """Those of which Slurm's queue has said nothing yet, for a while; those that have a job first."""
        last = time.monotonic() - ANSWER_PATIENCE_S
        found = [
            one for one in self.pilots.values() if one.seen is None and not one.connected and one.ordered_at <= last
        ]
        return sorted(found, key=lambda one: not one.job)

    async def _cancel(self, pilots: Collection[Pilot]) -> bool:
        """False where Slurm does not answer."""
        ids = [pilot.job for pilot in pilots if pilot.job]
        try:
            if ids:
                await self._commands.cancel(ids)
        except CommandFailed as error:
            log.warning("pilots_not_cancelled", jobs=ids, error=str(error))
            return False
        return True
