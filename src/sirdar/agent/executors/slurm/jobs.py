"""Runs each program as a Slurm job of its own, or as a member of a job array.

Three sources tell how a task stands, in this order: the record that the node wrote on the shared disk (looked for often: it is one
directory), Slurm's queue and its accounting (asked seldom). A query that failed tells nothing, and ends nothing.
"""

import asyncio
import errno
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Ability, Facts, Handle, Launch, ProgramEnd, ProgramStart
from sirdar.agent.executors.process import end_of as end_of_record
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands
from sirdar.agent.executors.slurm.leave_pilots import leave_pilots
from sirdar.agent.executors.slurm.news import News
from sirdar.agent.executors.slurm.options import asked_time
from sirdar.agent.executors.slurm.orders import Order, Orders, names_in
from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.executors.slurm.states import Seen, end_of, explained, needs_word, note_of
from sirdar.agent.executors.slurm.submitting import Submitting
from sirdar.agent.executors.slurm.tickets import Ticket, Tickets
from sirdar.agent.executors.slurm.watch import Look, Watch

log = get_logger(__name__)

HANDLE_VERSION = 1
FORGOTTEN = "unknown to Slurm"
GIVING_PATIENCE_S = 2.0  # sbatch usually has answered by then
KILL_ROOM_S = 15.0  # over a task's grace, until its job is cancelled altogether


class SlurmExecutor:
    """The agent's side. ``slots`` bounds only how much the agent takes: how many jobs run side by side is Slurm's to say."""

    def __init__(self, home: Path, slots: int, settings: SlurmSettings) -> None:
        self._home = home
        self._slots = slots
        self._settings = settings
        self.commands = Commands(settings.command_timeout_s)
        self.watch = Watch(self.commands, settings)
        self._orders = Orders(home, settings.python)
        self._tickets = Tickets()
        self._news = News()
        self._seen: set[str] = set()  # keys that were ever started
        self._read: set[str] = set()  # names of records
        self._stop_later: dict[str, tuple[float | None, str]] = {}  # asked while the order was being written
        self._active = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._stops: set[asyncio.Task[None]] = set()
        self._submitting = Submitting(
            settings,
            self.commands,
            self._orders,
            on_order=self._take_order,
            on_refused=self._refuse,
            on_failed=self._fail,
            on_note=self._note_order,
            on_submitted=self._take_submitted,
            on_unsure=self._active.set,
        )

    # ------------------------------------------------------------ the protocol

    async def recover(self, handles: Mapping[str, Handle]) -> set[str]:
        """Whatever was ordered is answered for: Slurm is asked of what has no job yet before anything is submitted again."""
        await asyncio.to_thread(self._orders.make)
        for order in await asyncio.to_thread(self._orders.load):
            self._take_up(order, handles)
        await asyncio.to_thread(self._orders.drop_strange_records, set(self._tickets.by_key))
        self._submitting.array_most = min(self._settings.array_most, await self.commands.array_most() or 1000)
        await self._look_at_records()
        for work in (self._submitting.run(), self._look_for_ever(), self._query_for_ever()):
            self._loops.append(self._news.watch(asyncio.create_task(work)))
        if self._settings.mode == "jobs":
            leaving = leave_pilots(self._home, self._settings.python, self.commands)
            self._loops.append(self._news.watch(asyncio.create_task(leaving)))
        return set(self._tickets.by_key) & set(handles)

    async def probe(self) -> Ability:
        limit = "rlimit" if self._settings.limit_memory else "slurm"
        return Ability("slurm", self._slots, limit, self.status())

    async def start(self, launches: Sequence[Launch]) -> list[Handle]:
        fresh = [launch for launch in launches if launch.key not in self._seen]
        self._seen |= {launch.key for launch in fresh}
        self._submitting.add(fresh)
        return [{"v": HANDLE_VERSION, "executor": "slurm"} for _ in launches]

    async def facts(self) -> Facts:
        return await self._news.take()

    async def stop(self, keys: Sequence[str], grace_s: float | None = None, *, waiting_only: bool = False) -> None:
        by = "withdraw" if waiting_only else "stop"
        for key in keys:
            if self._submitting.take_back(key):
                self._news.end(ProgramEnd(key, by=by, dropped=True, ended_at=time.time()))
            elif key in self._submitting.writing:
                self._stop_later[key] = (grace_s, by)
        tickets = [ticket for ticket in self._tickets.known(keys) if not ticket.ended]
        if tickets:
            self._spawn(self._stop(tickets, grace_s, by))

    async def destroy(self, keys: Sequence[str]) -> None:
        for ticket in self._tickets.known(keys):
            ticket.ended = True
            del self._tickets.by_key[ticket.key]
            await asyncio.to_thread(self._orders.forget, ticket.order, ticket.index)
            self._read -= {path.name for path in self._orders.records_of(ticket.key)}

    async def close(self, *, end_programs: bool) -> None:
        if end_programs:
            await self._end_all()
        for task in [*self._loops, *self._stops]:
            task.cancel()
        await asyncio.gather(*self._loops, *self._stops, return_exceptions=True)

    def status(self) -> dict[str, Any]:
        """How the watching goes, for a person."""
        return self.watch.status()

    # ------------------------------------------------------------ orders

    def _take_order(self, order: Order) -> None:
        for ticket in self._tickets.add(order):
            if ticket.key in self._stop_later:
                self._spawn(self._stop([ticket], *self._stop_later.pop(ticket.key)))
        asyncio.get_running_loop().call_later(GIVING_PATIENCE_S, self._note_giving, order)
        self._active.set()

    def _take_up(self, order: Order, handles: Mapping[str, Handle]) -> None:
        """An order of an earlier life; what the agent's journal does not know of it is ended."""
        unknown = []
        for ticket in self._tickets.add(order):
            self._seen.add(ticket.key)
            if not self._orders.is_open(order, ticket.index):
                del self._tickets.by_key[ticket.key]
                continue
            if self._orders.is_stopped(order, ticket.index):
                ticket.asked = "stop"
            if ticket.key not in handles:
                unknown.append(ticket)
            elif (by := self._orders.dropped_by(order, ticket.index)) is not None:
                self._end(ticket, ProgramEnd(ticket.key, by=by, dropped=True, ended_at=time.time()))
        if unknown:
            log.warning("slurm_unknown_tasks", attempts=[ticket.key for ticket in unknown])
            self._spawn(self._stop(unknown, None, "stop"))
        self._active.set()

    def _note_giving(self, order: Order) -> None:
        """``sbatch`` takes its time, or other orders are before it."""
        if not order.job:
            self._note([one for one in self._tickets.known(order.keys) if not one.note], "is being given to Slurm")

    def _take_submitted(self, order: Order) -> None:
        """Slurm has it; what was dropped while it was being submitted is not left in the queue."""
        for ticket in self._tickets.known(order.keys):
            self._note([ticket], f"in Slurm's queue as job {ticket.job_id()}")
        live = {ticket.key for ticket in self._tickets.known(order.keys) if not ticket.ended}
        if ended := [order.job_of(index) for index, key in enumerate(order.keys) if key not in live]:
            self._spawn(self._cancel(ended, ()))
        self._active.set()

    def _refuse(self, order: Order, why: str) -> None:
        for ticket in self._tickets.known(order.keys):
            self._end(
                ticket, ProgramEnd(ticket.key, ended_at=time.time(), cause="refused", error=f"Slurm refused it: {why}")
            )

    def _fail(self, keys: Sequence[str], error: OSError) -> None:
        """What cannot be written down is not submitted."""
        for key in keys:
            number = error.errno or errno.EIO
            self._news.end(
                ProgramEnd(key, ended_at=time.time(), error_number=number, error_at="system", error=str(error))
            )

    def _note_order(self, order: Order, text: str) -> None:
        self._note(self._tickets.known(order.keys), text)

    def _note(self, tickets: Sequence[Ticket], text: str) -> None:
        changed = [one for one in tickets if one.begun_at is None and not one.ended and text and one.note != text]
        for ticket in changed:
            ticket.note = text
        self._news.note({ticket.key: text for ticket in changed})

    def _end(self, ticket: Ticket, end: ProgramEnd) -> None:
        if not ticket.ended:
            ticket.ended = True
            self._news.end(end)

    # ------------------------------------------------------------ records

    async def _look_for_ever(self) -> None:
        while True:
            await self._active.wait()
            try:
                await self._look_at_records()
            except OSError as error:  # the shared disk is away: the nodes wait for it, too
                log.warning("slurm_records_unreadable", error=str(error))
            self._give_up_waiting()
            await asyncio.sleep(self._settings.look_s)

    async def _look_at_records(self) -> None:
        names = await asyncio.to_thread(names_in, self._orders.records)
        fresh = [name for name in names if name not in self._read and not name.endswith(".new")]
        for name in sorted(fresh):  # begun before ended
            key, _, what = name.rpartition(".")
            ticket = self._tickets.by_key.get(key)
            if ticket is None:
                continue
            self._read.add(name)  # one that cannot be read was not written whole, and never will be
            fact = await asyncio.to_thread(self._orders.record, name)
            if fact is None:
                continue
            ticket.runs_in(fact.get("job", ""))
            if what == "begun":
                self._begin(ticket, fact)
            else:
                self._take_record(ticket, end_of_record(dict(fact)))

    def _begin(self, ticket: Ticket, fact: Mapping[str, Any]) -> None:
        if ticket.begun_at is None and not ticket.ended:
            ticket.begun_at = fact["at"]
            self._news.start(ProgramStart(ticket.key, 0, fact["at"]))

    def _take_record(self, ticket: Ticket, end: ProgramEnd) -> None:
        if not needs_word(end):
            self._end(ticket, end)
        elif ticket.over is not None:
            self._end(ticket, explained(end, ticket.over))
        else:
            ticket.record, ticket.over_at = end, time.monotonic()

    def _give_up_waiting(self) -> None:
        """Where one source has spoken, and the other stays silent."""
        last = time.monotonic() - self._settings.record_patience_s
        for ticket in self._tickets.live():
            if ticket.record is not None and ticket.over_at < last - self._settings.query_s:
                self._end(ticket, explained(ticket.record, None))
            elif ticket.record is None and ticket.over is not None and ticket.over_at < last:
                self._end_without_record(ticket, ticket.over)

    def _end_without_record(self, ticket: Ticket, seen: Seen) -> None:
        error = self._orders.output(ticket.order, ticket.index)
        self._end(ticket, end_of(ticket.key, seen, asked=ticket.asked, started_at=ticket.begun_at, error=error))

    # ------------------------------------------------------------ Slurm's word

    async def _query_for_ever(self) -> None:
        while True:
            await self._active.wait()
            await self.watch.turn()
            live = self._tickets.live()
            asked = [ticket for ticket in live if ticket.job_id()]
            unsure = self._tickets.unsure()
            if not live and not self._submitting.busy():
                self._active.clear()  # nobody is asked anything while there is nothing to know
            if not asked and not unsure:
                await asyncio.sleep(self._settings.look_s)
                continue
            begun = {ticket.job_id() for ticket in asked if ticket.begun_at is not None}
            names = [order.name for order in unsure]
            given = {ticket.job_id(): ticket.order.given_at for ticket in asked}
            look = await self.watch.look(given, names, begun=begun, given=given)
            if look is None:
                self._note_silence(asked)
                continue
            try:
                await self._take_look(look, asked, unsure)
            except OSError as error:
                log.warning("slurm_orders_unwritable", error=str(error))

    async def _take_look(self, look: Look, asked: Sequence[Ticket], unsure: Sequence[Order]) -> None:
        self._note_answer(asked, look)
        for order in unsure:
            await self._settle(order, look)
        for ticket in asked:
            if ticket.ended:
                continue
            seen = look.seen.get(ticket.job_id())
            if seen is not None:
                await self._take_seen(ticket, seen)
            elif ticket.job_id() in look.missing:
                await self._take_over(ticket, Seen(ticket.job_id(), FORGOTTEN))

    async def _settle(self, order: Order, look: Look) -> None:
        """Whether Slurm has it: then under which number; if it certainly has not, it is submitted."""
        found = look.named.get(order.name)
        job = min(found, key=lambda one: one.ended).job.partition("_")[0] if found else ""
        job = job or await asyncio.to_thread(self._orders.claimed_job, order)  # one that Slurm has forgotten
        if job:
            log.info("slurm_job_found", order=order.name, job=job)
            await self._submitting.note_job(order, job)
        elif look.names_known:
            self._submitting.again(order)

    async def _take_seen(self, ticket: Ticket, seen: Seen) -> None:
        self._note([ticket], note_of(seen, asked_time(ticket.order.words)))
        if seen.ended:
            await self._take_over(ticket, seen)

    def _note_silence(self, tickets: Sequence[Ticket]) -> None:
        """Once: its words would be others at each query."""
        if text := self.watch.silence():
            self._note([one for one in tickets if not one.silence], text)
            for ticket in tickets:
                ticket.silence = True

    def _note_answer(self, tickets: Sequence[Ticket], look: Look) -> None:
        """Slurm answers again. Of what it has no word on, it is said what is known."""
        for ticket in [one for one in tickets if one.silence]:
            ticket.silence = False
            seen = look.seen.get(ticket.job_id())
            if seen is None or not seen.waits:
                self._note([ticket], f"was given to Slurm as job {ticket.job_id()}")

    async def _take_over(self, ticket: Ticket, seen: Seen) -> None:
        """Its job is no more: if no node has claimed the task, none ever will; else its record may still be on its way."""
        if ticket.record is not None:
            self._end(ticket, explained(ticket.record, seen))
        elif ticket.begun_at is None and await asyncio.to_thread(self._orders.claim, ticket.order, ticket.index):
            self._end_without_record(ticket, seen)
        elif ticket.over is None:
            ticket.over, ticket.over_at = seen, time.monotonic()

    # ------------------------------------------------------------ stopping

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _stop(self, tickets: Sequence[Ticket], grace_s: float | None, by: str) -> None:
        """What has not started is dropped there and then: no node will run it, whatever Slurm does. The others are told to end."""
        dropped: list[Ticket] = []
        running: list[Ticket] = []
        if by == "stop":  # noted first: whoever finds it dropped knows what for
            for ticket in tickets:
                ticket.asked = by
                await self._note_stop(ticket, grace_s)
        for ticket in tickets:
            claimed = await asyncio.to_thread(self._orders.claim, ticket.order, ticket.index)
            (dropped if claimed else running).append(ticket)
        for ticket in dropped:
            self._end(ticket, ProgramEnd(ticket.key, by=by, dropped=True, ended_at=time.time()))
        await self._cancel(_ids(dropped), ())
        if by == "withdraw" or not running:
            return
        await self._cancel(_ids(running), ("--signal=TERM", "--batch"))
        await asyncio.sleep((10.0 if grace_s is None else grace_s) + KILL_ROOM_S)
        await self._cancel(_ids(ticket for ticket in running if not ticket.ended), ())

    async def _note_stop(self, ticket: Ticket, grace_s: float | None) -> None:
        try:
            await asyncio.to_thread(self._orders.note_stop, ticket.order, ticket.index, grace_s)
        except OSError as error:  # Slurm can still end it
            log.warning("slurm_stop_not_noted", attempt=ticket.key, error=str(error))

    async def _cancel(self, ids: Sequence[str], how: Sequence[str]) -> None:
        try:
            if ids:
                await self.commands.cancel(ids, how=how)
        except CommandFailed as error:  # the node looks for its note by itself, and what was dropped cannot run
            log.warning("slurm_not_cancelled", jobs=ids, error=str(error))

    async def _end_all(self) -> None:
        """Cancels all; returns when all have ended, or when they have had their time."""
        for ticket in self._tickets.live():
            ticket.asked = "stop"
        work = asyncio.create_task(self._stop(self._tickets.live(), None, "stop"))
        last = time.monotonic() + 10.0 + KILL_ROOM_S
        while self._tickets.live() and time.monotonic() < last:  # noqa: ASYNC110  (the end of jobs on other machines)
            await asyncio.sleep(min(0.1, self._settings.look_s))
        if self._tickets.live():
            await self._cancel(_ids(self._tickets.live()), ())
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _ids(tickets: Iterable[Ticket]) -> list[str]:
    return [job for ticket in tickets if (job := ticket.job_id())]
