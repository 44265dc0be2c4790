"""The way of a task on its resource: staged in (`staging`), started through an executor, watched, staged out, reported."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sirdar.agent.attempts import Attempt, Attempts, Common, gpus_of
from sirdar.agent.blobs import Blobs
from sirdar.agent.capacity import Capacity
from sirdar.agent.code_version import CodeVersions
from sirdar.agent.directories import Directories, remove
from sirdar.agent.environments.all import Environments
from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Executor, Launch, ProgramEnd
from sirdar.agent.finish import Finishing, compose, examine, is_slow_to_examine, transfer, without_program
from sirdar.agent.gpus import VARIABLE, Gpus
from sirdar.agent.isolation import Isolation
from sirdar.agent.journal import Journal, JournalBroken
from sirdar.agent.kept import Homes
from sirdar.agent.outbox import Outbox
from sirdar.agent.prepare import Surroundings
from sirdar.agent.records import final_record, given_back_record, gone_record, run_record
from sirdar.agent.settings import Settings
from sirdar.agent.staging import Staging, say
from sirdar.agent.work import Work
from sirdar.agent.wraps.containers import with_gpus
from sirdar.domain.outcome import Reason
from sirdar.domain.states import AttemptState
from sirdar.wire.agent import Final, Started

log = get_logger(__name__)

BATCH = 32


class RunTask:
    """Carries accepted attempts to their finals."""

    def __init__(
        self,
        settings: Settings,
        *,
        attempts: Attempts,
        outbox: Outbox,
        journal: Journal,
        executor: Executor,
        blobs: Blobs,
        directories: Directories,
        capacity: Capacity,
        homes: Homes,
        environments: Environments,
        isolation: Isolation,
    ) -> None:
        self._settings = settings
        self._attempts = attempts
        self._outbox = outbox
        self._journal = journal
        self._executor = executor
        self._blobs = blobs
        self._directories = directories
        self._capacity = capacity
        self._homes = homes
        self._environments = environments
        self._versions = CodeVersions(executor, directories, lambda: self.surroundings, settings.policy, isolation)
        self._work = Work(self._give_up)
        self._staging = Staging(
            settings,
            attempts=attempts,
            outbox=outbox,
            blobs=blobs,
            directories=directories,
            versions=self._versions,
            homes=homes,
            environments=environments,
            isolation=isolation,
            work=self._work,
            surroundings=lambda: self.surroundings,
            hand_over=self._hand_over,
            report=self._report,
        )
        self.gpus = Gpus()
        self._for_gpus: dict[str, Launch] = {}  # ready, but for gpus that others have
        self.surroundings = Surroundings({})
        self.address_space_only = False
        self.on_note: Callable[[Attempt, str], None] = lambda attempt, text: None
        self._busy = asyncio.Event()  # set while a program runs

    # ------------------------------------------------------------ in

    def accept(self, keys: Iterable[str]) -> None:
        """The server has committed that these are ours: they start as soon as their files are here."""
        self._staging.begin(keys)

    async def _hand_over(self, launches: Sequence[Launch]) -> None:
        """Writes down that these may run from now on, then gives them to the executor."""
        launches = await self._with_gpus([launch for launch in launches if launch.key in self._attempts.by_key])
        attempts = [self._attempts.by_key[launch.key] for launch in launches]
        if not attempts:
            return
        try:
            self._journal.write([run_record(attempt) for attempt in attempts])
        except JournalBroken as error:
            await self._report([without_program(attempt, Reason.STAGE_IN, say(error)) for attempt in attempts])
            return
        for attempt in attempts:
            attempt.handed_over = True
        await self._executor.start(launches)
        unwanted = [attempt.key for attempt in attempts if attempt.wish != "run"]
        if unwanted:
            await self._executor.stop(unwanted)

    # ------------------------------------------------------------ gpus

    def learn_gpus(self, ids: Sequence[str]) -> None:
        """The machine has these."""
        self.gpus.learn(ids)
        self._try_gpus()

    async def _with_gpus(self, launches: Sequence[Launch]) -> list[Launch]:
        """Those that can start, told which gpus are theirs. The others wait until some are released."""
        ready = []
        for launch in launches:
            attempt = self._attempts.by_key[launch.key]
            wanted = gpus_of(self._attempts.common(attempt))
            if wanted and (ids := self.gpus.take(attempt.key, wanted)) is not None:
                attempt.gpus = ids
            elif wanted and self.gpus.known and wanted > self.gpus.count():
                message = f"the machine has {self.gpus.count()} gpu(s) by now; the task needs {wanted}"
                await self._report([without_program(attempt, Reason.START, message)])
                continue
            elif wanted:
                self._for_gpus[attempt.key] = launch
                continue
            own = self.gpus.environment(attempt.key)
            ready.append(_with_own(launch, own) if own else launch)
        return ready

    def _free_gpus(self, keys: Iterable[str]) -> None:
        if [key for key in keys if self.gpus.release(key)]:
            self._try_gpus()

    def _try_gpus(self) -> None:
        if self._for_gpus:
            waiting, self._for_gpus = list(self._for_gpus.values()), {}
            self._work.spawn(self._hand_over(waiting), [launch.key for launch in waiting], Reason.STAGE_IN)

    # ------------------------------------------------------------ wishes

    async def wish(self, key: str, wish: str) -> None:
        """Carries out what the server wants of an attempt: ``run``, ``cancel``, ``forget`` or ``give_back``."""
        attempt = self._attempts.get(key)
        if attempt is not None and wish == "give_back":
            await self._give_back(attempt)
            return
        if attempt is None or wish == attempt.wish or wish not in {"cancel", "forget"} or attempt.wish == "forget":
            return
        attempt.wish = wish
        log.info("attempt_wish", attempt=key, wish=wish)
        if attempt.state is AttemptState.OFFERED or (attempt.state is AttemptState.ENDED and wish == "forget"):
            await self._drop([key])
        elif attempt.handed_over and attempt.state is not AttemptState.STAGING_OUT:
            await self._executor.stop([key])
        elif self._for_gpus.pop(key, None) is not None:
            await self._report([without_program(attempt, Reason.CANCELLED, "cancelled before it started")])

    async def _give_back(self, attempt: Attempt) -> None:
        """A resource with a free slot could take it. What has started stays, and what files are on their way for: no answer."""
        if attempt.wish != "run" or attempt.state not in (AttemptState.ACCEPTED, AttemptState.STAGING_IN):
            return
        if attempt.handed_over:
            await self._executor.stop([attempt.key], waiting_only=True)
        elif self._for_gpus.pop(attempt.key, None) is not None or attempt.state is AttemptState.ACCEPTED:
            self._end_given_back([attempt])

    def _end_given_back(self, attempts: Sequence[Attempt]) -> None:
        """They will never start here. The journal knows that before the server hears it."""
        keys = [attempt.key for attempt in attempts]
        for attempt in attempts:
            attempt.given_back, attempt.state = True, AttemptState.ENDED
            self._release(attempt)
        self._journal.note([given_back_record(keys)])
        self._free_gpus(keys)
        self._outbox.give_back(keys)
        self._capacity.changed()
        log.info("given_back", attempts=keys)

    async def stop_all(self) -> None:
        """Cancels whatever the agent has (its owner asked for it)."""
        for key in list(self._attempts.by_key):
            await self.wish(key, "cancel")

    async def exceed_disk(self, attempt: Attempt) -> None:
        attempt.disk_exceeded = True
        await self._executor.stop([attempt.key])

    # ------------------------------------------------------------ out

    async def watch(self) -> None:
        """Takes starts and ends from the executor, for ever."""
        while True:
            facts = await self._executor.facts()
            self._let_go(facts.gone)
            for key, text in facts.notes.items():
                if (noted := self._attempts.get(key)) is not None and noted.state is not AttemptState.ENDED:
                    self.on_note(noted, text)
            for start in facts.started:
                attempt = self._attempts.get(start.key)
                if attempt is not None and attempt.state is not AttemptState.STAGING_OUT:
                    attempt.state, attempt.pid, attempt.started_at = AttemptState.RUNNING, start.pid, start.at
                    attempt.used_s = start.used_s
                    log.info("attempt_started", attempt=start.key, pid=start.pid)
                    times = {"staging_at": attempt.staging_at, "staged_in_s": attempt.staged_in_s}
                    self._outbox.add_started(Started(key=start.key, state="RUNNING", at=start.at, **times))
                    if attempt.said.waits:
                        self.on_note(attempt, "")
                    self._busy.set()
            if facts.ended:
                self._work.spawn(self._finish(list(facts.ended)), [end.key for end in facts.ended], Reason.STAGE_OUT)

    def _let_go(self, gone: Iterable[str]) -> None:
        """Directories of kept programs that live no more, and that no task is on its way to."""
        over = (AttemptState.STAGING_OUT, AttemptState.ENDED)
        needed = {attempt.kept for attempt in self._attempts.by_key.values() if attempt.state not in over}
        for name in gone:
            away = self._homes.let_go(name) if name not in needed else None
            if away is not None:
                self._work.spawn(asyncio.to_thread(remove, away))

    async def running(self) -> list[Attempt]:
        """The attempts whose programs run; waits until there is one."""
        while not (running := self._attempts.running()):
            self._busy.clear()
            await self._busy.wait()
        return running

    async def _finish(self, ends: list[ProgramEnd]) -> None:
        for begin in range(0, len(ends), BATCH):
            finals, unknown = [], []
            withdrawn: list[Attempt] = []
            for end in ends[begin : begin + BATCH]:
                attempt = self._attempts.get(end.key)
                if self._versions.take_end(end):
                    continue
                if attempt is None or attempt.state is AttemptState.ENDED:
                    unknown.append(end.key)
                elif attempt.forget_wanted():
                    await self._drop([end.key])
                elif end.by == "withdraw" and end.dropped and attempt.wish == "run":
                    withdrawn.append(attempt)
                elif (final := self._examine(attempt, end)) is not None:
                    finals.append(final)
            if finals:
                await self._report(finals)
            if withdrawn:
                self._end_given_back(withdrawn)
                await self._executor.destroy([attempt.key for attempt in withdrawn])
            if unknown:
                await self._executor.destroy(unknown)

    def _examine(self, attempt: Attempt, end: ProgramEnd) -> Final | None:
        """The final, or None where a coroutine of its own has to bring files away first."""
        if end.started_at and attempt.state is not AttemptState.RUNNING:  # so short that only its end was told
            log.info("attempt_started", attempt=attempt.key)
        attempt.state = AttemptState.STAGING_OUT
        attempt.started_at = end.started_at or attempt.started_at
        common = self._attempts.common(attempt)
        if end.started_at:
            self._capacity.note(end.ended_at - end.started_at)
        if is_slow_to_examine(common):
            self._work.spawn(self._examine_aside(attempt, common, end), [attempt.key], Reason.STAGE_OUT)
            return None
        try:
            finishing = self._look(attempt, common, end)
        except OSError as error:
            return without_program(attempt, Reason.STAGE_OUT, say(error))
        if finishing.needs_transfer or attempt.shared:
            self._work.spawn(self._transfer(finishing), [attempt.key], Reason.STAGE_OUT)
            return None
        return compose(finishing)

    def _look(self, attempt: Attempt, common: Common, end: ProgramEnd) -> Finishing:
        return examine(
            attempt,
            common,
            end,
            self._settings,
            address_space_only=self.address_space_only,
            small_bytes=self._blobs.small_bytes,
        )

    async def _examine_aside(self, attempt: Attempt, common: Common, end: ProgramEnd) -> None:
        """Where all that the program wrote has to be looked through: others must not wait for that."""
        try:
            finishing = await asyncio.to_thread(self._look, attempt, common, end)
        except OSError as error:
            await self._report([without_program(attempt, Reason.STAGE_OUT, say(error))])
            return
        await self._transfer(finishing)

    async def _transfer(self, finishing: Finishing) -> None:
        attempt = finishing.attempt
        self._outbox.add_started(Started(key=attempt.key, state="STAGING_OUT", at=finishing.end.ended_at))
        if attempt.folder is not None:
            await transfer(finishing, self._settings, self._blobs)
        await self._report([compose(finishing)])

    async def _report(self, finals: list[Final]) -> None:
        """Writes the finals down, then lets them go to the server, and clears up behind them.

        Where they cannot be written down, the directories of those that went well are kept until the server has the finals: the
        next agent would have to look at them again.
        """
        finals = [final for final in finals if final.key in self._attempts.by_key]
        for final in finals:
            _log_end(final)
        durable, failed = True, {final.key for final in finals if final.reason != Reason.OK}
        try:
            self._journal.write([final_record(final) for final in finals])
        except JournalBroken as error:
            log.error("final_not_journaled", attempts=[final.key for final in finals], error=str(error))
            durable = False
        ended = [attempt for final in finals if (attempt := self._attempts.get(final.key)) is not None]
        for attempt in ended:
            attempt.state = AttemptState.ENDED
            # What a failed program has left may be what fills the disk: everything that is told of it is in the final already.
            attempt.unwritten = not durable
            if durable or attempt.key in failed:
                self._release(attempt)
        self._free_gpus([attempt.key for attempt in ended])
        self._outbox.add_finals(finals, within_s=self._may_wait_s(finals) if durable else 0.0)
        self._capacity.changed()
        if durable:
            handed = [attempt.key for attempt in ended if attempt.handed_over]
            if handed:
                await self._executor.destroy(handed)

    def _may_wait_s(self, finals: Sequence[Final]) -> float:
        """How long the server may hear of these later: not at all where one may be its job's last, or was cancelled."""
        if any(final.reason == Reason.CANCELLED for final in finals):
            return 0.0
        jobs = {final.key.rsplit("-", 2)[0] for final in finals}
        return self._capacity.spare_s() if all(map(self._attempts.waits, jobs)) else 0.0

    async def settled(self, keys: Iterable[str]) -> None:
        """The server has these finals."""
        gone = self._attempts.drop(keys)
        if gone:
            self._journal.note([gone_record([attempt.key for attempt in gone])])
        unwritten = [attempt for attempt in gone if attempt.unwritten]
        for attempt in unwritten:
            self._release(attempt)
        if unwritten:
            await self._executor.destroy([attempt.key for attempt in unwritten if attempt.handed_over])

    async def _drop(self, keys: Sequence[str]) -> None:
        """Nobody wants to hear of these any more."""
        self._outbox.drop(keys)
        gone = self._attempts.drop(keys)
        self._journal.note([gone_record([attempt.key for attempt in gone])])
        for attempt in gone:
            self._release(attempt)
            self._for_gpus.pop(attempt.key, None)
        await self._executor.destroy([attempt.key for attempt in gone if attempt.handed_over])
        self._free_gpus([attempt.key for attempt in gone])
        self._capacity.changed()

    async def forget(self, keys: Iterable[str]) -> None:
        """The server says that these came too late: what runs of them is ended, nothing is reported."""
        for key in keys:
            await self.wish(key, "forget")

    def _release(self, attempt: Attempt) -> None:
        self._environments.release(attempt.key)
        if attempt.folder is not None:
            folder, attempt.folder = attempt.folder, None
            if not self._directories.give(folder):
                self._work.spawn(asyncio.to_thread(self._directories.give_slowly, folder))

    # ------------------------------------------------------------ recovery

    def resume(self, lost: Collection[str]) -> None:
        """Attempts that the journal says were handed over, and that the executor knows nothing of: start anew."""
        for key in lost:
            attempt = self._attempts.get(key)
            if attempt is not None:
                attempt.handed_over = False
                self._release(attempt)
                attempt.state = AttemptState.OFFERED
        self.accept(list(lost))

    async def report_unreadable(self, keys: Sequence[str]) -> None:
        """Attempts of an earlier agent whose application this one cannot read: it ends them."""
        ran = [key for key in keys if (attempt := self._attempts.get(key)) is not None and attempt.handed_over]
        await self._executor.stop(ran)
        message = "the agent was replaced by one that cannot read the application"
        attempts = [attempt for key in keys if (attempt := self._attempts.get(key)) is not None]
        await self._report([without_program(attempt, Reason.START, message) for attempt in attempts])

    async def report_rebooted(self, keys: Iterable[str]) -> None:
        """Attempts that were taken before the machine restarted, and of which no later word reached its disk."""
        attempts = [attempt for key in keys if (attempt := self._attempts.get(key)) is not None]
        silent = [one for one in attempts if not one.handed_over and one.state is not AttemptState.ENDED]
        message = "the machine restarted; whether the program had started before is not known"
        await self._report([without_program(attempt, Reason.PORTER_LOST, message) for attempt in silent])

    # ------------------------------------------------------------ the end

    async def _give_up(self, keys: Sequence[str], reason: Reason, message: str) -> None:
        """No attempt stays for ever in a state that nobody works on. Programs that run go on."""
        attempts = [attempt for key in keys if (attempt := self._attempts.get(key)) is not None]
        lost = [
            attempt
            for attempt in attempts
            if attempt.state is not AttemptState.ENDED and (reason is Reason.STAGE_OUT or not attempt.handed_over)
        ]
        await self._report([without_program(attempt, reason, message) for attempt in lost])

    async def close(self) -> None:
        """Breaks off what is under way; the journal knows where it stands."""
        await self._versions.close()
        await self._work.close()


def _with_own(launch: Launch, own: Mapping[str, str]) -> Launch:
    """A kept program sees its gpus from its start on; in a container there are no others."""
    if launch.wrap is not None and launch.wrap.inside:
        return replace(launch, wrap=with_gpus(launch.wrap, own[VARIABLE].split(",")))
    keep = launch.keep.with_env(own) if launch.keep is not None else None
    return replace(launch, env={**launch.env, **own}, keep=keep)


def _log_end(final: Final) -> None:
    event = "attempt_refused" if final.reason == Reason.REFUSED else "attempt_ended"
    words = {"exit_code": final.exit_code, "why": final.message or None}
    log.info(
        event, attempt=final.key, reason=final.reason, **{name: one for name, one in words.items() if one is not None}
    )
