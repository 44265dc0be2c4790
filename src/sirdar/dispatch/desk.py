"""The desk at which agents are served: sessions, hello, sync, heartbeat. It keeps what is known of each resource in memory.

The memory is a cache: a server that restarts reads it back from the ledger at an agent's next call. An agent's calls may come to
several servers of one database in turn: whether a call counts (session, mode, access) is decided by the resource's row, within the
transaction that the call changes anything in.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from sirdar.blobs.base import BlobStore
from sirdar.dispatch.assign import Assigner, ClaimReply, ParkedClaim
from sirdar.dispatch.variable_news import VariableNews
from sirdar.domain.ids import AttemptKey
from sirdar.domain.placement import Place
from sirdar.domain.problems import Problem
from sirdar.services import attach, calls, meters
from sirdar.services.attach import AgentToken
from sirdar.services.keys import Keys
from sirdar.services.offers import Offers, build_offers
from sirdar.services.places import place_of
from sirdar.services.report import Report, apply_report
from sirdar.services.report_files import bring_small
from sirdar.services.settings import Settings
from sirdar.store import moving
from sirdar.store import resources as resource_store
from sirdar.store import tasks as task_store
from sirdar.store.engine import Store, Tx
from sirdar.store.hints import Hints
from sirdar.store.resources import ResourceRow
from sirdar.wire.agent import HeartbeatRequest, HelloReply, HelloRequest, SyncRequest

log = structlog.get_logger()
TOKENS_KEPT = 10_000
SMALL_BYTES = 64 << 10  # of the files that may travel in a final
HELD_BACK_S = 2.0  # for which what an agent gave back is kept for others


@dataclass(slots=True)
class _Known:
    """What this process knows of a resource."""

    row: ResourceRow
    missed: set[AttemptKey] = field(default_factory=set)
    blobs: frozenset[str] = frozenset()  # beginnings of the digests of large ones that lie there
    beats: int = 0  # the number of the latest heartbeat
    settled: bool = (
        False  # nothing is offered to it, and nothing of its is to be cancelled, as far as this process knows
    )
    asked: set[str] = field(default_factory=set)  # keys of attempts that it was told to give back
    wished: bool = True  # there may be more of them
    told: int = 0  # how often a wish for it was committed


class Desk:
    """See the module."""

    def __init__(self, settings: Settings, store: Store, keys: Keys, assigner: Assigner, blobs: BlobStore) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._assigner = assigner
        self._blobs = blobs
        self._news = VariableNews(store, assigner)
        self._known: dict[str, _Known] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._tokens: dict[str, AgentToken] = {}  # agents' tokens that were checked, and until when they hold

    async def resource(self, token: str) -> ResourceRow:
        """The resource whose agent holds this token. Raises Problem."""
        held = await self._held(token)
        known = self._known.get(held.resource_id)
        if known is None or not _is_key_of(held, known.row):
            row = await self._store.read(lambda conn: resource_store.find_resource(conn, held.resource_id))
            if row is None or row.revoked_at is not None:
                raise attach.detached(by_key=held.key is not None)
            if not _is_key_of(held, row):
                raise attach.another_key()
            known = self._known[held.resource_id] = _Known(row)
        calls.made_by(resource=held.resource_id)
        return known.row

    async def _held(self, token: str) -> AgentToken:
        """Checks a token once; those of keys live for an hour, resource tokens are looked at again now and then."""
        now = self._store.clock()
        held = self._tokens.get(token)
        if held is None or held.until < now:
            if token.startswith(attach.RESOURCE_PREFIX):
                held = await self._store.read(lambda conn: attach.resource_of_resource_token(conn, token, now))
            else:
                held = attach.resource_of_token(self._keys, token, now)
            if len(self._tokens) >= TOKENS_KEPT:
                self._tokens.clear()
            self._tokens[token] = held
        return held

    def on_others(self, hints: Hints) -> None:
        """Another server has committed something."""
        if hints.everything:
            self._known.clear()
            self._tokens.clear()
            self._news.lost()
            self._assigner.drop_all()  # they call again, and hear what they have missed
            return
        for resource_id in hints.changed:
            self.forget(resource_id)
        self.on_commit(hints)

    def forget(self, resource_id: str) -> None:
        """The resource or its tokens changed (joined, drained, revoked): read them again, from its next call on."""
        self._known.pop(resource_id, None)
        self._tokens = {token: held for token, held in self._tokens.items() if held.resource_id != resource_id}
        self._assigner.drop(resource_id)

    def on_commit(self, hints: Hints) -> None:
        """A wish for an agent may have been written while its next claim was on the way: it is not settled any more."""
        self._news.on_commit(hints)
        for resource_id in hints.resources:
            if (known := self._known.get(resource_id)) is not None:
                known.settled, known.wished = False, True
                known.told += 1
            self._tell(resource_id)

    def _tell(self, resource_id: str) -> None:
        """Have the agent's held call answered with what is wished."""
        if self._assigner.is_held(resource_id):
            task = asyncio.ensure_future(self._store.write(partial(self._assigner.tell, resource_id=resource_id)))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # ------------------------------------------------------------ hello and heartbeat

    async def hello(self, resource_id: str, request: HelloRequest, *, by_key: bool = True) -> HelloReply:
        settings = self._settings
        known = self._known.get(resource_id)  # the token was made for this key; another may have joined elsewhere since
        key = attach.key_print(known.row.public_key) if known is not None and by_key else None

        def greet(tx: Tx) -> attach.Greeting:
            greeting = attach.hello(tx, settings, resource_id, request, by_key=by_key, key=key)
            self._assigner.begin_session(resource_id, request.session)
            return greeting

        greeting = await self._store.write(greet, resource_id=resource_id)
        self._news.forget(resource_id)
        row = replace(greeting.row, session=request.session, capabilities=request.capabilities.model_dump())
        self._known[resource_id] = _Known(row)
        log.info("agent_hello", resource=row.id, name=row.name, session=request.session, version=request.agent_version)
        shared = self._blobs.shared if row.embedded else None
        return HelloReply(
            protocol=greeting.protocol,
            mode="drain" if row.mode == "drain" else "active",
            resource_id=row.id,
            name=row.name,
            owner=greeting.owner,
            heartbeat_s=settings.heartbeat_s,
            lease_s=settings.lease_s,
            accept_s=settings.accept_s,
            server_time=self._store.clock(),
            desired=greeting.desired,
            blob_dir=str(shared.path) if shared else None,
            blob_marker=shared.marker if shared else None,
            small_bytes=SMALL_BYTES,
        )

    async def heartbeat(self, resource_id: str, request: HeartbeatRequest) -> dict[str, Any]:
        known = await self._checked(resource_id, request.session)
        late = 0 < request.number <= known.beats  # the network brought it twice, or after a newer one
        known.beats = max(known.beats, request.number)
        missed = set() if late else known.missed
        beat = await self._store.write(
            lambda tx: attach.heartbeat(tx, self._settings, known.row, request, missed), resource_id=resource_id
        )
        if not late:
            known.missed = beat.absent
            known.row = replace(known.row, load=request.load)
        if request.stops:
            self.forget(resource_id)
        elif (known.row.mode, known.row.capabilities) != (beat.mode, beat.capabilities):
            known.row = replace(known.row, mode=beat.mode, capabilities=beat.capabilities)
            self._assigner.drop(resource_id)
        return {
            "lease_s": self._settings.lease_s,
            "desired": beat.desired,
            "mode": beat.mode,
            "server_time": self._store.clock(),
        }

    async def _checked(self, resource_id: str, session: str) -> _Known:
        """What is known of the resource. Raises Problem ``unknown_session`` where the ledger has another session too."""
        known = self._known.get(resource_id)
        if known is None or known.row.session != session:  # it may have begun on another server
            row = await self._store.read(lambda conn: resource_store.find_resource(conn, resource_id))
            if row is None or row.session != session or row.revoked_at is not None:
                raise _unknown_session()
            known = self._known[resource_id] = _Known(row)
            self._assigner.begin_session(resource_id, session)
        return known

    # ------------------------------------------------------------ sync

    async def sync(self, resource_id: str, request: SyncRequest) -> dict[str, Any]:
        """Commit what the call carries, answer what it claims; hold it where there is nothing to say and ``wait_s`` allows."""
        reply = await self._sync(resource_id, request)
        if request.claim is not None:
            meters.claim_answered(work="offers" in reply)
        return reply

    async def _sync(self, resource_id: str, request: SyncRequest) -> dict[str, Any]:
        known = await self._checked(resource_id, request.session)
        claim = request.claim
        if request.blobs is not None:
            known.blobs = frozenset(request.blobs)
            self._assigner.note_blobs(resource_id, known.blobs)
        # A drained agent claims nothing. One that has not heard of being drained or resumed is told at once.
        knows_mode = claim is None or (claim.max_n == 0) == (known.row.mode == "drain")
        waits = claim is not None and claim.wait_s > 0 and knows_mode
        future: asyncio.Future[ClaimReply] | None = asyncio.get_running_loop().create_future() if waits else None
        settled = known.settled and not self._news.owes(resource_id)
        if future is not None and request.claim is not None and settled and not _says_something(request):
            held = self._hold(known.row, request.session, request.claim.max_n, future)
            if self._assigner.park_if_dry(held):
                claimed = await self._await(held, min(request.claim.wait_s, self._settings.claim_wait_s))
                return (
                    self._answer(known, claimed) if claimed is not None else _render(known.row, Report(), Offers(), {})
                )
        brought = await bring_small(self._blobs, request)
        reply, parked = await self._store.write(
            lambda tx: self._serve(tx, known, request, brought, future), patient=True, resource_id=resource_id
        )
        if self._news.owes(resource_id) and (parked is None or self._assigner.unpark(parked)):
            return reply | {"vars": await self._news.collect(resource_id)}
        if parked is None or request.claim is None:
            return reply
        claimed = await self._await(parked, min(request.claim.wait_s, self._settings.claim_wait_s))
        if claimed is None:
            return reply
        return self._answer(known, claimed)

    def _hold(self, row: ResourceRow, session: str, max_n: int, future: "asyncio.Future[ClaimReply]") -> ParkedClaim:
        draining = row.mode == "drain"
        place = self._place(row, max_n)
        return ParkedClaim(row.id, session, 0 if draining else max_n, place, future)

    def _place(self, row: ResourceRow, max_n: int) -> Place:
        """The resource whose agent asks just now, so that it can be reached."""
        known = self._known.get(row.id)
        blobs = known.blobs if known is not None else frozenset()
        return replace(place_of(row, max_n, blobs=blobs), reachable=True)

    def _answer(self, known: _Known, claimed: ClaimReply) -> dict[str, Any]:
        """What a held call is answered with."""
        known = self._known.get(known.row.id, known)  # another session may have begun meanwhile
        known.settled = known.settled and not claimed.offers.offers and not claimed.wishes
        reply = _render(known.row, Report(), claimed.offers, claimed.wishes)
        return reply | {"vars": claimed.variables} if claimed.variables else reply

    async def _await(self, parked: ParkedClaim, wait_s: float) -> ClaimReply | None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.shield(parked.future)
        except TimeoutError:
            return None if self._assigner.unpark(parked) else await parked.future
        except asyncio.CancelledError:
            self._assigner.unpark(parked)
            raise
        finally:
            calls.held(time.perf_counter() - began)

    def _serve(
        self,
        tx: Tx,
        known: _Known,
        request: SyncRequest,
        brought: Mapping[str, int],
        future: "asyncio.Future[ClaimReply] | None",
    ) -> tuple[dict[str, Any], ParkedClaim | None]:
        standing = resource_store.standing(tx.conn, known.row.id)
        if standing is None or standing.session != request.session or standing.revoked_at is not None:
            raise _unknown_session()
        if standing.mode != known.row.mode:
            known.row = replace(known.row, mode=standing.mode)
        row, told, heard = known.row, known.told, self._assigner.heard
        report = apply_report(tx, self._settings, row.id, request, brought)
        if request.given_back:
            self._assigner.hold_back(row.id, tx.now + HELD_BACK_S)
        offers = Offers()
        claim = request.claim
        draining = row.mode == "drain"
        offered, cancelled = task_store.open_of_resource(tx.conn, row.id)
        if claim is not None and standing.unreachable_since is not None:
            # What it still runs may be about to be replaced: it says what that is before it is given more.
            raise Problem("unknown_session", "The agent's lease ran out meanwhile.", hint="Say hello.")
        if claim is not None and not draining:
            offers = self._claim(tx, row, request, offered, claim.max_n)
        wishes = {key.text: "cancel" for key in cancelled} | self._asked_back(tx, known)
        known.settled = not (offered or cancelled or offers.offers)
        reply = _render(row, report, offers, wishes)
        busy = offers.offers or wishes or _says_something(request)
        if claim is None or future is None or busy:
            return reply, None
        parked = self._hold(row, request.session, claim.max_n, future)
        self._assigner.park(parked)
        # What others committed after the ledger was read here, and before the call was there to be answered:
        if heard != self._assigner.heard:
            tx.hints.after.append(self._assigner.look_again)
        if told != known.told:
            tx.hints.after.append(partial(self._tell, row.id))
        tx.hints.undo.append(lambda: self._assigner.unpark(parked))
        return reply, parked

    def _asked_back(self, tx: Tx, known: _Known) -> dict[str, str]:
        """What the agent shall give back, each told once: where it is too late for that, there is no answer."""
        if not known.wished:
            return {}
        known.wished = False
        asked = {key.text for key in moving.asked_back(tx.conn, known.row.id)}
        fresh, known.asked = asked - known.asked, asked
        return dict.fromkeys(fresh, "give_back")

    def _claim(self, tx: Tx, row: ResourceRow, request: SyncRequest, offered: list[AttemptKey], max_n: int) -> Offers:
        """Offers that the agent has not got (an answer was lost on the way), then new ones."""
        held = {*request.offers_held, *request.accepts, *request.refusals}
        lost = [key for key in offered if key.text not in held]
        if lost:
            return build_offers(tx.conn, self._keys, lost)
        if request.given_back:  # for another: whoever asks is served before this is committed
            return Offers()
        if max_n <= 0 or (self._assigner.dry and not tx.hints.queue):
            return Offers()
        return self._assigner.assign(tx, [(self._place(row, max_n), request.session)]).get(row.id, Offers())


def _unknown_session() -> Problem:
    return Problem("unknown_session", "Another session of this agent is known here.", hint="Say hello.")


def _is_key_of(held: AgentToken, row: ResourceRow) -> bool:
    """Whether the token was made for the resource's key. A resource token is for none."""
    return held.key is None or held.key == attach.key_print(row.public_key)


def _says_something(request: SyncRequest) -> bool:
    words = request.started or request.messages or request.finals or request.given_back or request.usage
    return bool(request.accepts or request.refusals or words)


def _render(row: ResourceRow, report: Report, offers: Offers, wishes: dict[str, str]) -> dict[str, Any]:
    """A SyncReply as plain JSON values; empty parts are left out."""
    reply: dict[str, Any] = {"mode": row.mode}
    parts = {
        "accepted": report.accepted,
        "forget": report.forget,
        "acked": report.acked,
        "offers": offers.offers,
        "jobs": offers.jobs,
        "programs": offers.programs,
        "desired": wishes,
    }
    reply.update({name: part for name, part in parts.items() if part})
    return reply
