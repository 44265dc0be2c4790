"""The agent, put together: recovery from the journal, the session with the server, the loops, the end."""

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sirdar.agent.attempts import Attempt, Attempts, Common
from sirdar.agent.backoff import Backoff
from sirdar.agent.blobs import Blobs
from sirdar.agent.capacity import Capacity
from sirdar.agent.control import Ending
from sirdar.agent.directories import Directories
from sirdar.agent.environments.all import Environments
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.environments.providers import providers
from sirdar.agent.events import get_logger
from sirdar.agent.exchange import Exchange
from sirdar.agent.executors.base import Executor
from sirdar.agent.executors.mock import MockExecutor
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.pilots import PilotExecutor
from sirdar.agent.home import Home
from sirdar.agent.identity import load_identity, save_identity
from sirdar.agent.isolation import Isolation
from sirdar.agent.journal import Journal, replay
from sirdar.agent.kept import Homes
from sirdar.agent.link import Detached, Link, LinkError, Unreachable
from sirdar.agent.loops.claim import ClaimLoop
from sirdar.agent.loops.heartbeat import HeartbeatLoop
from sirdar.agent.loops.listen import ListenLoop
from sirdar.agent.loops.logs import LogLoop
from sirdar.agent.loops.report import ReportLoop
from sirdar.agent.loops.sample import SampleLoop
from sirdar.agent.outbox import Outbox
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.prepare import Surroundings
from sirdar.agent.probe import capabilities, labels
from sirdar.agent.records import Recovered, recover
from sirdar.agent.run_task import RunTask
from sirdar.agent.seal import Seal
from sirdar.agent.settings import Settings
from sirdar.agent.task_port import TaskPort
from sirdar.agent.wraps.containers import end_containers
from sirdar.domain.states import AttemptState
from sirdar.wire.agent import GoodbyeRequest, VarsReply, VarsRequest

log = get_logger(__name__)

COLLECT_EVERY_S = 600.0  # between two looks at whether environments take too much space
CANCEL_PATIENCE_S = 30.0
GOODBYE_PATIENCE_S = 5.0
STOP_PATIENCE_S = 2.0


class Agent:
    """One life of the agent on a home directory."""

    def __init__(self, settings: Settings, home: Home) -> None:
        self.settings = settings
        self.home = home
        self.identity = load_identity(home.path)
        self.seal = Seal(home.path)
        self.attempts = Attempts(by_task=settings.batch)
        self.outbox = Outbox(
            started_delay_s=settings.started_delay_s,
            finals_per_sync=settings.finals_per_sync,
            usage_every_s=settings.usage_every_s,
        )
        self.link = Link(settings, self.identity)
        known = recover(replay(home.path / "journal"), self.seal)
        self.journal = Journal(home.path / "journal", sync_first=not boot_id())
        self.images = ImageStore(home.path, engine=settings.container_engine, bound_bytes=settings.image_bytes)
        self.executor = _executor(settings, home.path, self.images)
        self.blobs = Blobs(settings, home.cache, self.link)
        self.directories = Directories(home.work)
        self.homes = Homes(home.workers)
        self.capacity = Capacity(settings, self.attempts)
        self.isolation = Isolation(settings.policy.isolation, home.path, self.images)
        self.environments = Environments(
            providers(settings, home.path, self.images),
            self.blobs.find,
            self._tell,
            lambda common: self.isolation.may_build(common, settings.policy.environments.builds),
        )
        self.run_task = RunTask(
            settings,
            attempts=self.attempts,
            outbox=self.outbox,
            journal=self.journal,
            executor=self.executor,
            blobs=self.blobs,
            directories=self.directories,
            capacity=self.capacity,
            homes=self.homes,
            environments=self.environments,
            isolation=self.isolation,
        )
        self.exchange = Exchange(
            settings,
            link=self.link,
            attempts=self.attempts,
            outbox=self.outbox,
            journal=self.journal,
            run_task=self.run_task,
            blobs=self.blobs,
            seal=self.seal,
            capabilities=partial(capabilities, settings, self.isolation, self.environments),
            life=home.begin_life(),
            spare_s=self.capacity.spare_s,
        )
        self.listen = ListenLoop(settings, self.outbox, self.journal, self.run_task)
        self.run_task.on_note = self._tell
        self.task_port = TaskPort(self.attempts, self._ask_vars, self.listen.take_status)
        self.exchange.vars_sink = self.task_port
        self._known = known
        self._asked = asyncio.Event()
        self._ending = Ending.LEAVE
        self._name = ""
        self._status: dict[str, Any] = {}
        self._beats: HeartbeatLoop | None = None
        self._say: Callable[[str], None] = lambda text: None
        self.detached: Detached | None = None
        self.link.on_detached = self._end_detached
        self.exchange.on_trouble = self._note_trouble
        self.exchange.on_mode = self._take_mode

    # ------------------------------------------------------------ life

    async def run(self, on_ready: Callable[[str], None], say: Callable[[str], None] | None = None) -> int:
        """Lives until it is asked to end; returns how many programs it left running. ``say``: hears what it waits for.

        ``detached`` is set afterwards where the server ended it. Raises LinkError where the server will not have it.
        """
        self._say = say or self._say
        loops: list[asyncio.Task[None]] = []
        try:
            await self._recover()
            samples = SampleLoop(self.settings, self.attempts, self.run_task, self.outbox)
            for work in (
                self.run_task.watch(),
                self.listen.run(),
                samples.run(),
                self.environments.run(COLLECT_EVERY_S),
            ):
                loops.append(asyncio.create_task(work))
            session = asyncio.create_task(self._begin(on_ready, loops), name="session")
            loops.append(session)
            await self._wait_for_end(loops)
            if self._ending is Ending.CANCEL and self.detached is None:
                await self._cancel_all()
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            left = await self._close()
        return left

    def end(self, ending: Ending) -> None:
        """Asks it to end; a later CANCEL overrides LEAVE as long as it has not ended."""
        if not self._asked.is_set() or ending is Ending.CANCEL:
            self._ending = ending
        self._asked.set()

    def _end_detached(self, error: Detached) -> None:
        """The server wants nothing of this agent any more: what it runs is ended, and nothing is asked for again."""
        if self.detached is None:
            log.error("detached", error=str(error))
            self._note_trouble(f"detached: {error.detail} {error.hint}")
            self.detached = error
            self.end(Ending.CANCEL)

    async def _wait_for_end(self, loops: "list[asyncio.Task[None]]") -> None:
        """Until somebody asks; a loop that breaks ends the agent with its error (its home is in order: start it again)."""
        asked = asyncio.create_task(self._asked.wait())
        while True:
            waited: list[asyncio.Future[Any]] = [asked, *loops]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return
            for task in [task for task in loops if task.done()]:
                loops.remove(task)
                if (error := task.exception()) is not None and self.detached is None:
                    raise error

    async def _begin(self, on_ready: Callable[[str], None], loops: "list[asyncio.Task[None]]") -> None:
        """Joins where needed, says hello, and starts the loops."""
        await self._join()
        reply = await self.exchange.hello()
        self._name = reply.name
        self.isolation.owner = reply.owner
        self._surround(reply.task_api_url)
        self._note_trouble("")
        claims = ClaimLoop(self.settings, self.exchange, self.capacity)
        reports = ReportLoop(self.outbox, self.exchange, self.capacity, claims, Backoff(self.settings))
        beats = self._beats = HeartbeatLoop(
            self.settings,
            self.link,
            self.exchange,
            self.attempts,
            partial(labels, self.settings, self.environments),
            self._note_trouble,
        )
        logs = LogLoop(self.settings, self.link, self.attempts, self.run_task)
        for loop in (claims, reports, beats, logs):
            loops.append(asyncio.create_task(loop.run(), name=type(loop).__name__))
        gc.collect()
        gc.freeze()  # what was imported stays for ever: the collector need not look at it again
        on_ready(reply.name)
        await asyncio.Event().wait()

    async def _join(self) -> None:
        if self.identity.resource_id or self.settings.token:
            return
        if not self.settings.join:
            raise ValueError("this agent has not joined a server yet: give it a join token (--join)")
        backoff = Backoff(self.settings)
        while True:
            try:
                reply = await self.link.join(self.settings.join, socket.gethostname())
                break
            except Unreachable as error:
                log.warning("join_waits", error=str(error))
                await backoff.wait()
        server = self.link.server
        self.identity = replace(self.identity, resource_id=reply.resource_id, name=reply.name, server=server)
        save_identity(self.home.path, self.identity)
        self.link.take_identity(self.identity)

    def _surround(self, api_url: str) -> None:
        self.run_task.surroundings = Surroundings.of(
            self.settings,
            api_url=api_url or self.link.server,
            port=self.task_port.port,
            resource=self._name or self.identity.name,
        )

    def _tell(self, attempt: Attempt, text: str) -> None:
        """How far the making of its environment is, or what it waits for in a batch system's queue, as the task's status."""
        if self.attempts.get(attempt.key) is attempt:
            self.listen.note(attempt, text)

    def _note_trouble(self, text: str) -> None:
        """Writes how it stands, where that has changed; says a new trouble on the terminal. Being detached is the last one."""
        if self.detached is not None:
            return
        if text and text != self._status.get("trouble"):
            self._say(text)
        porter = self.executor.porter_pid if isinstance(self.executor, ProcessExecutor) else None
        status = {
            "pid": os.getpid(),
            "session": self.exchange.session,
            "porter_pid": porter,
            "name": self._name or self.identity.name,
            "owner": self.isolation.owner,
            "server": self.link.server,
            "task_port": self.task_port.port,
            "slots": self.settings.slots,
            "mode": self.exchange.mode,
            "trouble": text,
            **self._batch_status(),
        }
        if status != self._status or status != self.home.read_status():  # `sirdar agent drain` writes there, too
            self._status = status
            try:
                self.home.write_status(status)
            except OSError as error:  # a full disk: the next one may be written again
                log.warning("status_not_written", error=str(error))

    def _batch_status(self) -> dict[str, Any]:
        """Of programs on other machines nobody but the executor knows."""
        if not isinstance(self.executor, SlurmExecutor | PilotExecutor):
            return {}
        return {"running": len(self.attempts.running()), "slurm": self.executor.status()}

    async def _ask_vars(self, request: VarsRequest) -> VarsReply:
        """Asks until the server answers: a program waits for it."""
        backoff = Backoff(self.settings)
        while True:
            try:
                return await self.link.vars(request)
            except Unreachable:
                await backoff.wait()
            except LinkError as error:
                log.warning("variables_refused", job=request.job, error=str(error))
                return VarsReply(values=[])

    # ------------------------------------------------------------ recovery

    async def _recover(self) -> None:
        """Takes up again what the journal says, before anything new."""
        known, self._known = self._known, Recovered()
        last_port = self.home.read_status().get("task_port", 0)
        await self.task_port.listen(self.settings.task_address, self.settings.task_port, last_port)
        self.isolation.owner = self.home.read_status().get("owner", "")
        self._surround("")
        broken = self._recover_attempts(known)
        handles = {key: handle for key, handle in known.handles.items() if key not in known.finals}
        answered = await self.executor.recover(handles)
        ability = await self.executor.probe()
        self.run_task.address_space_only = ability.memory_limit == "rlimit"
        folders = [attempt.folder for attempt in self.attempts.by_key.values() if attempt.folder is not None]
        await asyncio.to_thread(self.directories.recover, set(folders))
        await asyncio.to_thread(self.homes.recover, self._kept_homes())
        self.outbox.add_finals(known.finals.values())
        self.outbox.give_back([key for key, attempt in known.attempts.items() if attempt.given_back])
        self.outbox.accept(
            [a.key for a in self.attempts.by_key.values() if a.state is AttemptState.OFFERED and not a.handed_over]
        )
        self.run_task.resume(set(handles) - answered)
        await self.run_task.report_unreadable(broken)
        await self.run_task.report_rebooted(known.before_boot)
        if self.attempts.by_key:
            log.info("recovered", attempts=len(self.attempts.by_key), running=len(answered), finals=len(known.finals))

    def _kept_homes(self) -> set[str]:
        """Where kept programs live, or will, whose tasks are the executor's already."""
        live = self.executor.kept if isinstance(self.executor, ProcessExecutor) else set()
        attempts = self.attempts.by_key.values()
        return live | {one.kept for one in attempts if one.kept and one.state is not AttemptState.ENDED}

    async def _take_mode(self, mode: str) -> None:
        """A drained machine keeps no idle program."""
        if isinstance(self.executor, ProcessExecutor):
            await self.executor.keep(keeping=mode == "active")

    def _recover_attempts(self, known: Recovered) -> list[str]:
        """Fills the table; returns the keys whose application cannot be read any more."""
        broken = []
        for key, attempt in known.attempts.items():
            self.attempts.add(attempt)
            if attempt.folder is not None:  # the journal's path may be of a home that was moved since
                attempt.folder = self.home.work / attempt.folder.name
            if key in known.finals or attempt.given_back:
                attempt.state = AttemptState.ENDED
                attempt.folder = None
                continue
            if attempt.gpus:
                self.run_task.gpus.keep(key, attempt.gpus)
            if attempt.handed_over:
                attempt.state = AttemptState.ACCEPTED
            try:
                offered = known.jobs[attempt.job]
                program = known.programs[offered.program]
                app = self.exchange.app_of(offered.program, program)
                common = self.attempts.commons[attempt.job] = Common(offered, program, app)
            except (KeyError, ValueError):
                broken.append(key)
                continue
            if attempt.handed_over and attempt.environment:
                self.environments.take_up(attempt, common)
        return broken

    # ------------------------------------------------------------ end

    async def _cancel_all(self) -> None:
        self.capacity.closed = True
        last = asyncio.get_running_loop().time() + CANCEL_PATIENCE_S
        while asyncio.get_running_loop().time() < last:
            await self.run_task.stop_all()  # again and again: an answer to an earlier call may still bring something
            if not self.attempts.by_key:
                return
            if all(attempt.state is AttemptState.ENDED for attempt in self.attempts.by_key.values()):
                last = min(last, asyncio.get_running_loop().time() + 2.0)  # only the server's word is missing
            await asyncio.sleep(0.02)

    async def _close(self) -> int:
        await self.task_port.close()
        await self.run_task.close()
        end_programs = self._ending is Ending.CANCEL or self.settings.throwaway
        left = 0 if end_programs else self.attempts.left()
        await self.executor.close(end_programs=end_programs)
        await asyncio.to_thread(self.homes.recover, self._kept_homes())
        await self._say_goodbye()
        await self._say_stop()
        await self.link.close()
        await asyncio.to_thread(self.journal.close)
        return left

    async def _say_goodbye(self) -> None:
        """Whoever takes its home along will not come back: its tasks need not wait for the end of its lease.

        Nor need those of an agent whose resource token has ended; where a key was revoked, the server has seen to that.
        """
        by_token = self.detached is not None and bool(self.settings.token)
        if not self._name or not (by_token or (self.settings.throwaway and self.detached is None)):
            return
        try:
            async with asyncio.timeout(GOODBYE_PATIENCE_S):
                await self.link.goodbye(GoodbyeRequest(session=self.exchange.session))
        except (LinkError, TimeoutError) as error:
            log.warning("goodbye_unheard", error=str(error))

    async def _say_stop(self) -> None:
        """Whoever keeps its home may come back: the server need not take it for reachable until then."""
        if self._beats is None or self.settings.throwaway or self.detached is not None:
            return
        try:
            async with asyncio.timeout(STOP_PATIENCE_S):
                await self._beats.last()
        except (LinkError, TimeoutError) as error:
            log.warning("stop_unheard", error=str(error))


def _executor(settings: Settings, home: Path, images: ImageStore) -> Executor:
    if settings.executor == "mock":
        return MockExecutor(settings.slots)
    if settings.executor == "slurm" and settings.slurm.mode == "pilots":
        return PilotExecutor(home, settings.slots, settings.slurm, address=settings.task_address)
    if settings.executor == "slurm":
        return SlurmExecutor(home, settings.slots, settings.slurm)
    return ProcessExecutor(
        home,
        settings.slots,
        idle_s=settings.porter_idle_s,
        memory=settings.memory_limit_by,
        end_containers=partial(end_containers, images),
    )
