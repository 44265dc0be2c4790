"""What the server and the agent agree on: hello, and the carrying out of every sync's answer."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import sirdar
from sirdar.agent.attempts import Attempt, Attempts, Common
from sirdar.agent.backoff import Backoff
from sirdar.agent.blobs import Blobs
from sirdar.agent.events import get_logger
from sirdar.agent.journal import Journal, JournalBroken, Record
from sirdar.agent.link import Link, LinkError, Refused, UnknownSession, Unreachable
from sirdar.agent.outbox import Outbox
from sirdar.agent.policy import NotAllowed, Policy
from sirdar.agent.probe import load
from sirdar.agent.records import job_record, live_records, offers_record, program_record
from sirdar.agent.run_task import RunTask
from sirdar.agent.seal import Seal
from sirdar.agent.settings import Settings
from sirdar.domain.app import App
from sirdar.domain.states import AttemptState
from sirdar.wire.agent import (
    PROTOCOL_VERSIONS,
    Capabilities,
    HelloReply,
    HelloRequest,
    OfferedJob,
    Program,
    SyncReply,
    SyncRequest,
)
from sirdar.wire.description_document import parse_document

log = get_logger(__name__)

APPS_KEPT = 64
ELSEWHERE = "attached_elsewhere"


class OffersNotKept(LinkError):
    """Offers could not be written down, so they are not accepted; the server will make them again, here or elsewhere."""


class VarsSink(Protocol):
    """Takes shared variables that changed on the server, and asks for all of them where some news may have been lost."""

    def push(self, changes: Iterable[tuple[str, str, str, int]]) -> None: ...
    def catch_up(self) -> None: ...


class Exchange:
    """One session with the server."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: Link,
        attempts: Attempts,
        outbox: Outbox,
        journal: Journal,
        run_task: RunTask,
        blobs: Blobs,
        seal: Seal,
        capabilities: Callable[[], Capabilities],
        life: int,
        spare_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._settings = settings
        self._policy: Policy = settings.policy
        self._link = link
        self._attempts = attempts
        self._outbox = outbox
        self._journal = journal
        self._run_task = run_task
        self._blobs = blobs
        self._seal = seal
        self._capabilities = capabilities
        self._spare_s = spare_s  # so long may an accept wait for company: there is enough to start without it
        self._apps: dict[str, App] = {}
        self._hello_lock = asyncio.Lock()
        self._said_hello = 0
        self._told_blobs = 0  # the version of the cache that the server was told last
        self.session = session_name(life)
        self.hello_reply: HelloReply | None = None
        self.told_labels: dict[str, str] | None = None  # what the server knows of them
        self.mode = "active"
        self._cut_off = False  # an answer may have been lost, and with it the news of shared variables
        self.vars_sink: VarsSink | None = None
        self.on_mode: Callable[[str], Awaitable[None]] = _nobody_asks
        self.on_trouble: Callable[[str], None] = lambda text: None  # why hello waits; empty: it was answered

    # ------------------------------------------------------------ hello

    async def hello(self) -> HelloReply:
        """Says hello until it is answered. Raises Refused where the server will never take this agent."""
        seen = self._said_hello
        backoff = Backoff(self._settings)
        capabilities = await asyncio.to_thread(self._capabilities)
        self._run_task.learn_gpus(capabilities.gpu_ids)
        async with self._hello_lock:
            while self._said_hello == seen or self.hello_reply is None:
                request = HelloRequest(
                    protocols=list(PROTOCOL_VERSIONS),
                    agent_version=sirdar.__version__,
                    session=self.session,
                    capabilities=capabilities,
                    owned=self._attempts.owned(),
                    load=load(self._settings, self._attempts),
                    renews=self._said_hello > 0,
                )
                try:
                    reply = await self._link.hello(request)
                except (Unreachable, UnknownSession) as error:
                    log.warning("hello_waits", error=str(error))
                    self.on_trouble(f"the server cannot be reached: {error}")
                    await backoff.wait()
                    continue
                except Refused as error:
                    if error.code != ELSEWHERE:
                        raise
                    log.warning("hello_waits", error=str(error))
                    self.on_trouble(f"{error.detail} {error.hint}")
                    await backoff.wait()
                    continue
                self.on_trouble("")
                self._said_hello += 1
                self.hello_reply = reply
                self.told_labels = capabilities.labels
                await self.take_mode(reply.mode)
                self._blobs.share(reply.blob_dir, reply.blob_marker)
                self._blobs.small_bytes = reply.small_bytes
                await self.carry_out(reply.desired)
                self._cut_off = True
            return self.hello_reply

    async def take_mode(self, mode: str) -> None:
        if mode != self.mode:
            self.mode = mode
            await self.on_mode(mode)

    async def carry_out(self, desired: Mapping[str, str]) -> None:
        for key, wish in desired.items():
            await self._run_task.wish(key, wish)

    # ------------------------------------------------------------ sync

    async def sync(self, request: SyncRequest) -> SyncReply:
        """One call, after which the agent has done what the answer says. Raises Unreachable or Refused."""
        held = [
            attempt.key
            for attempt in self._attempts.by_key.values()
            if attempt.state is AttemptState.OFFERED and attempt.key not in request.accepts
        ]
        if held:
            request = request.model_copy(update={"offers_held": held})
        version = self._blobs.version
        if version != self._told_blobs or (request.claim is not None and request.claim.wait_s > 0):
            request = request.model_copy(update={"blobs": self._blobs.large_ones()})
        try:
            reply = await self._link.sync(request)
        except UnknownSession:
            await self.hello()
            reply = await self._link.sync(request.model_copy(update={"session": self.session}))
        except Unreachable:
            self._cut_off = True
            raise
        self._told_blobs = version
        await self._take(request, reply)
        if self._cut_off and self.vars_sink is not None:
            self._cut_off = False
            self.vars_sink.catch_up()
        return reply

    async def _take(self, request: SyncRequest, reply: SyncReply) -> None:
        await self.take_mode(reply.mode)
        self._outbox.settle(request, reply)
        if reply.accepted:
            self._run_task.accept(reply.accepted)
        if reply.acked:
            await self._run_task.settled(reply.acked)
        if reply.forget:
            await self._run_task.forget(reply.forget)
        if reply.desired:
            await self.carry_out(reply.desired)
        if reply.vars and self.vars_sink is not None:
            self.vars_sink.push(reply.vars)
        if reply.offers:
            self._take_offers(reply)
        if reply.acked:
            self._attempts.drop_unused_commons()
            self._journal.compact(lambda: live_records(self._attempts, self._outbox.finals.values(), self._seal))

    def _take_offers(self, reply: SyncReply) -> None:
        """Writes the offers down, then accepts them. One that we hold already is accepted again."""
        records: list[Record] = []
        fresh: list[Attempt] = []
        again: list[str] = []
        for offer in reply.offers:
            known = self._attempts.get(offer.key)
            if known is not None:
                if known.state is AttemptState.OFFERED:
                    again.append(offer.key)
                continue
            job = offer.key.rsplit("-", 2)[0]
            try:
                records += self._learn(job, reply.jobs, reply.programs)
            except (KeyError, ValueError) as error:
                self._outbox.refuse(offer.key, f"this agent cannot read the application: {error}")
                continue
            except NotAllowed as why:
                log.info("offer_refused", attempt=offer.key, why=str(why))
                self._outbox.refuse(offer.key, f"{reply_name(self.hello_reply)}: {why}")
                continue
            fresh.append(Attempt(offer.key, job, offer.inputs, offer.secrets, offer.token))
        if fresh:
            try:
                self._journal.write([*records, offers_record(fresh, self._seal)])
            except JournalBroken as error:
                log.error("offers_not_journaled", error=str(error))
                self._attempts.drop_unused_commons()
                raise OffersNotKept(str(error)) from error
            for attempt in fresh:
                self._attempts.add(attempt)
        self._outbox.accept([*again, *(attempt.key for attempt in fresh)], within_s=self._spare_s())

    def _learn(self, job: str, jobs: Mapping[str, OfferedJob], programs: Mapping[str, Program]) -> list[Record]:
        """Makes sure that the job's common part is known; returns what is to be written down of it.

        Raises NotAllowed where the owner does not let it run here, and KeyError or ValueError where it cannot be read.
        """
        if job in self._attempts.commons:
            return []
        offered = jobs[job]
        known = {common.job.program for common in self._attempts.commons.values()}
        program = programs.get(offered.program) or next(
            common.program for common in self._attempts.commons.values() if common.job.program == offered.program
        )
        app = self.app_of(offered.program, program)
        self._policy.check_job(offered, app)
        offered = self._policy.limited(offered, app)
        self._attempts.commons[job] = Common(offered, program, app)
        records = [job_record(job, offered)]
        return records if offered.program in known else [program_record(offered.program, program), *records]

    def app_of(self, digest: str, program: Program) -> App:
        """The parsed description, kept by digest. Raises ValueError where it cannot be read."""
        if digest not in self._apps:
            if len(self._apps) >= APPS_KEPT:
                self._apps.clear()
            try:
                self._apps[digest] = parse_document(program.description)
            except Exception as error:
                raise ValueError(str(error)) from error
        return self._apps[digest]


async def _nobody_asks(mode: str) -> None:
    return


def session_name(life: int) -> str:
    """Begins with the number of the agent's life, where there is one: the server tells an earlier from a later one."""
    return f"{life}.{secrets.token_hex(8)}" if life else secrets.token_hex(8)


def reply_name(reply: HelloReply | None) -> str:
    return reply.name if reply is not None else "this resource"
