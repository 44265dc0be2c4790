"""Assign: gives waiting tasks to agents that ask for work.

Agents ask by a call that is held (a *parked claim*) or that is answered at once. Assignment runs inside the writer's transaction:
as the last step of the batch that made something ready, so that a submission, its lease and the answer to the agent are one
commit. Parked claims are in memory only: a server that dies loses the calls with it, and the agents call again.

Where several servers share a database each gives work to the agents whose calls it holds. A transaction that may hold locks
already passes over jobs that another one has locked; the loop then looks again by itself, and waits for them.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sirdar.dispatch.trouble import tell
from sirdar.domain.ids import AttemptKey, ResourceId
from sirdar.domain.job import Job
from sirdar.domain.placement import Place, Plan, Wanted, plan
from sirdar.domain.task import Task
from sirdar.services import meters
from sirdar.services.batch import Batch
from sirdar.services.hub import Bell
from sirdar.services.keys import Keys
from sirdar.services.offers import Offers, build_offers
from sirdar.services.places import informed
from sirdar.services.report import new_batch
from sirdar.services.settings import Settings
from sirdar.store import moving
from sirdar.store import queue as queue_store
from sirdar.store import resources as resource_store
from sirdar.store import tasks as task_store
from sirdar.store.engine import Store, Tx
from sirdar.store.hints import Hints

LEAST_LOOK = 32  # jobs of the queue
MOST_LOOK = 4096


@dataclass(slots=True)
class ParkedClaim:
    """An agent's call that waits for work or wishes."""

    resource_id: str
    session: str
    max_n: int
    place: Place
    future: "asyncio.Future[ClaimReply]"


@dataclass(slots=True)
class ClaimReply:
    """What a claim is answered with."""

    offers: Offers
    wishes: dict[str, str]  # key -> cancel or give_back
    variables: list[tuple[str, str, str, int]] = field(default_factory=list)  # shared ones: job, name, value, version


class Assigner:
    """The parked claims, and the step that serves them before each commit."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        self._parked: dict[str, ParkedClaim] = {}
        self._lock = threading.Lock()
        self._busy = threading.Lock()  # one assignment of this process at a time
        self._again = Bell()
        self._served: dict[str, int] = {}  # by owner: the last turn in which they were given something
        self._turn = 0
        self._closed = False
        self._dry = False  # the queue was seen empty, and nothing was made ready since
        self._sessions: dict[str, str] = {}  # by resource: the only one whose calls are held
        self._held_back: dict[str, float] = {}  # by resource: until when it claims nothing ahead
        self._missed: set[str] = set()  # resources whose call was gone when it was to be answered with offers
        self.heard = 0  # how often another server has told of work

    async def run(self, store: Store) -> None:
        """The loop: looks again when an assignment was put off, and from time to time for retries that are due."""
        while True:
            await self._again.wait(self._settings.expire_every_s)
            if any(claim.max_n > 0 for claim in list(self._parked.values())):
                try:
                    await store.write(self._look_again, apart=True)
                except Exception as error:
                    tell("assign_failed", error)
                    await asyncio.sleep(1.0)

    def on_others(self, hints: Hints) -> None:
        """Another server has committed something: there may be work, and an agent may have begun a session there."""
        with self._lock:
            for resource_id in hints.changed:
                self._sessions.pop(resource_id, None)
            if hints.everything:
                self._sessions.clear()
        if hints.queue or hints.everything:
            self.heard += 1
            self.look_again()

    def look_again(self) -> None:
        """Have the loop look at the queue, where a call is held that wants work."""
        self._again.ring()

    def park(self, claim: ParkedClaim) -> None:
        """Hold a claim. An older one of the same resource is answered empty: its caller is gone or will call again."""
        with self._lock:
            if self._closed or self._sessions.get(claim.resource_id, claim.session) != claim.session:
                older: ParkedClaim | None = claim
            else:
                older = self._parked.pop(claim.resource_id, None)
                self._parked[claim.resource_id] = claim
        if older is not None:  # this is the store's thread
            older.future.get_loop().call_soon_threadsafe(_resolve, older, ClaimReply(Offers(), {}))

    def park_if_dry(self, claim: ParkedClaim) -> bool:
        """Hold a claim without asking the ledger, where the queue is known to be empty. False: ask it.

        Other servers' submissions are not known here; the loop looks now and then for those who are held.
        """
        with self._lock:
            dry = self._dry and not self._closed and claim.resource_id not in self._missed
            self._missed.discard(claim.resource_id)
        if dry:
            self.park(claim)
            with self._lock:  # made ready in this very moment: let the loop look
                if not self._dry:
                    self._again.ring()
        return dry

    def begin_session(self, resource_id: str, session: str) -> None:
        """The agent has begun another session: calls of an earlier one are answered empty, now and later."""
        with self._lock:
            self._sessions[resource_id] = session
            claim = self._parked.get(resource_id)
            if claim is None or claim.session == session:
                return
            del self._parked[resource_id]
        _resolve(claim, ClaimReply(Offers(), {}))

    def note_blobs(self, resource_id: str, blobs: frozenset[str]) -> None:
        """What lies on the resource has changed since its call was held."""
        with self._lock:
            if (claim := self._parked.get(resource_id)) is not None:
                claim.place = replace(claim.place, blobs=blobs)

    def hold_back(self, resource_id: str, until: float) -> None:
        """What the resource has just given back is for others: until then it gets only what it can start at once."""
        self._held_back[resource_id] = until

    def drop(self, resource_id: str) -> None:
        """Answer a held call empty: the resource has changed under it (drained, revoked)."""
        with self._lock:
            claim = self._parked.pop(resource_id, None)
        if claim is not None:
            _resolve(claim, ClaimReply(Offers(), {}))

    def _take(self, claim: ParkedClaim) -> ParkedClaim | None:
        """The call that gets what was meant for this one: itself, or the same agent's next one.

        None where its caller has given up this very moment: the agent's next call shall ask the ledger.
        """
        with self._lock:
            held = self._parked.get(claim.resource_id)
            if held is None or held.session != claim.session:
                self._missed.add(claim.resource_id)
                return None
            del self._parked[claim.resource_id]
            return held

    def unpark(self, claim: ParkedClaim) -> bool:
        """Stop holding it. False: it is being answered just now, the future will get its value."""
        with self._lock:
            if self._parked.get(claim.resource_id) is claim:
                del self._parked[claim.resource_id]
                return True
        return False

    def _hold_again(self, claim: ParkedClaim) -> None:
        """What it was to be answered with was rolled back."""
        with self._lock:
            self._parked.setdefault(claim.resource_id, claim)

    @property
    def parked(self) -> int:
        return len(self._parked)

    def release_all(self) -> None:
        """When the server stops: every held call is answered empty, and none is held any more."""
        with self._lock:
            self._closed = True
        self.drop_all()

    def drop_all(self) -> None:
        """Answer every held call empty."""
        with self._lock:
            claims = list(self._parked.values())
            self._parked.clear()
        for claim in claims:
            _resolve(claim, ClaimReply(Offers(), {}))

    def before_commit(self, tx: Tx) -> None:
        """Serve parked claims from what this batch made ready, and tell agents of new wishes."""
        if tx.hints.queue:
            with self._lock:
                self._dry = False
        if not self._parked or not (tx.hints.queue or tx.hints.resources):
            return
        if not self._busy.acquire(blocking=False):  # waiting here could deadlock with the other's row locks
            tx.hints.after.append(self._again.ring)
            return
        try:
            self._serve(tx, look=tx.hints.queue)
        finally:
            self._busy.release()

    def _look_again(self, tx: Tx) -> None:
        """A look at the queue for its own sake. It waits for jobs that others have locked, so that nobody starves."""
        if not self._busy.acquire(blocking=False):
            tx.hints.after.append(self._again.ring)
            return
        try:
            self._serve(tx, look=True, wait=True)
        finally:
            self._busy.release()

    def _serve(self, tx: Tx, *, look: bool, wait: bool = False) -> None:
        with self._lock:
            claims = dict(self._parked)
        hungry = [claim for claim in claims.values() if claim.max_n > 0] if look else []
        if hungry:  # a call may be held longer than its agent's lease, or its session may have ended elsewhere
            takers = resource_store.takers(tx.conn, {claim.resource_id: claim.session for claim in hungry})
            hungry = [claim for claim in hungry if claim.resource_id in takers]
        asking = [(claim.place, claim.session) for claim in hungry]
        offers = self.assign(tx, asking, wait=wait) if hungry else {}
        for resource_id, claim in claims.items():
            work = offers.get(resource_id)
            wishes = self._wishes(tx, resource_id) if resource_id in tx.hints.resources else {}
            if work is None and not wishes:
                continue
            held = self._take(claim)
            if held is None:
                continue
            reply = ClaimReply(work or Offers(), wishes)
            tx.hints.after.append(lambda held=held, reply=reply: _resolve(held, reply))  # type: ignore[misc]
            tx.hints.undo.append(lambda held=held: self._hold_again(held))  # type: ignore[misc]

    @property
    def dry(self) -> bool:
        """The queue is known to be empty."""
        return self._dry

    def is_held(self, resource_id: str) -> bool:
        return resource_id in self._parked

    def tell(self, tx: Tx, resource_id: str) -> None:
        """Answer the resource's held claim where there is a wish for it."""
        with self._lock:
            claim = self._parked.get(resource_id)
        wishes = self._wishes(tx, resource_id) if claim is not None else {}
        if claim is not None and wishes and self.unpark(claim):
            tx.hints.after.append(lambda: _resolve(claim, ClaimReply(Offers(), wishes)))
            tx.hints.undo.append(lambda: self._hold_again(claim))

    def answer_with_news(self, resource_id: str, news: list[tuple[str, str, str, int]]) -> bool:
        """Answer the resource's held claim with shared variables that changed. False: none is held."""
        with self._lock:
            claim = self._parked.pop(resource_id, None)
        if claim is not None:
            _resolve(claim, ClaimReply(Offers(), {}, news))
        return claim is not None

    def _wishes(self, tx: Tx, resource_id: str) -> dict[str, str]:
        wishes = {key.text: "give_back" for key in moving.asked_back(tx.conn, resource_id)}
        cancelled = task_store.open_of_resource(tx.conn, resource_id)[1]
        return wishes | {key.text: "cancel" for key in cancelled}

    def idle(self) -> list[Place]:
        """Places whose agents ask for work now, and were given none."""
        return [claim.place for claim in list(self._parked.values()) if claim.max_n > 0]

    def assign(self, tx: Tx, claims: Sequence[tuple[Place, str]], *, wait: bool = False) -> dict[str, Offers]:
        """Lease what fits to the places that ask; what each is to be sent, by resource id.

        Not ``wait``: jobs that another transaction has locked are passed over, and the loop is asked to look again.
        """
        sessions = {place.id: session for place, session in claims}
        decided = self._plan(tx, [place for place, _ in claims])
        if not decided.assignments:
            return {}
        batch = new_batch(tx, self._settings)
        wanted = {assignment.job for assignment in decided.assignments}
        batch.lock(wanted, wait=wait)
        if not wait and any(batch.job(job_id) is None for job_id in wanted):
            tx.hints.placed = False
            tx.hints.after.append(self._again.ring)
        leased: dict[ResourceId, list[AttemptKey]] = {}
        for given in decided.assignments:
            row = batch.job(given.job)
            if row is None or row.job.state.ended or row.job.cancel_requested_at is not None:
                continue
            again = self._given_back(tx, batch, row.job, given.n)
            first = row.job.expanded
            fresh = [Task(no) for no in range(first, min(row.job.total, first + given.n - len(again)))]
            if not again and not fresh:
                continue
            keys = batch.lease(
                given.job,
                [*fresh, *again],
                fresh=len(fresh),
                resource_id=given.resource,
                session=sessions[given.resource],
            )
            batch.settle(given.job)  # a job may be given to several places
            leased.setdefault(given.resource, []).extend(keys)
        batch.flush()
        tx.hints.after.append(partial(meters.attempts_offered, sum(map(len, leased.values()))))
        self._note_dry(tx)
        return {resource: build_offers(tx.conn, self._keys, keys) for resource, keys in leased.items()}

    def _plan(self, tx: Tx, places: Sequence[Place]) -> Plan:
        """Looks at as much of the queue as can fill the room, and further where what stands first does not fit."""
        if self._held_back:
            self._held_back = {id: until for id, until in self._held_back.items() if until > tx.now}
            places = [replace(place, eager=False) if place.id in self._held_back else place for place in places]
        room = sum(place.room for place in places)
        look = max(LEAST_LOOK, 2 * room)
        while True:
            queue = queue_store.waiting_jobs(tx.conn, look, now=tx.now)
            if not queue:
                self._note_dry(tx)
                return Plan(())
            decided = plan(queue, _informed(tx, queue, places), self._served)
            given = sum(assignment.n for assignment in decided.assignments)
            if len(queue) < look or given >= room or look >= MOST_LOOK:
                self._note_turns(queue, decided)
                tx.hints.placed = len(queue) < look and given == sum(job.n for job in queue)
                return decided
            look *= 8

    def _note_dry(self, tx: Tx) -> None:
        """Not on PostgreSQL, where other writers' submissions may be under way; nor where retries will be due."""
        if not tx.postgres and not queue_store.anything_waits(tx.conn):
            self._dry = True
            tx.hints.undo.append(self._wet)

    def _wet(self) -> None:
        """What was seen is not so: the transaction was rolled back."""
        self._dry = False

    def _note_turns(self, queue: Sequence[Wanted], decided: Plan) -> None:
        """Who was served goes behind those who were not."""
        owners = {wanted.job: wanted.owner for wanted in queue}
        self._turn += 1
        for given in decided.assignments:
            self._served[owners[given.job]] = self._turn

    def _given_back(self, tx: Tx, batch: Batch, job: Job, n: int) -> list[Task]:
        """Tasks of the job that were tried before and wait again; they go first. Not those that this batch leased already."""
        if job.waiting == job.total - job.expanded:
            return []
        leased = batch.tasks_of(job.id)
        rows = task_store.ready_rows(tx, job.id, n + len(leased))
        return [task for task in rows if task.no not in leased][:n]


def _informed(tx: Tx, queue: Sequence[Wanted], places: Sequence[Place]) -> list[Place]:
    """With what they have already, where that matters: among several places, or for what is not claimed ahead."""
    counted = (
        len(places) > 1
        or not all(place.eager for place in places)
        or any(wanted.memory_bytes or wanted.gpus for wanted in queue)
    )
    return informed(tx.conn, places, loads=counted)


def _resolve(claim: ParkedClaim, reply: ClaimReply) -> None:
    """Answer it, from whatever thread this is."""

    def answer() -> None:
        if not claim.future.done():
            claim.future.set_result(reply)

    with contextlib.suppress(RuntimeError):  # the loop was closed under us
        claim.future.get_loop().call_soon_threadsafe(answer)
