"""Cancelling and deleting many jobs: by their ids, or all that fit a filter. What could not be done is told with its reason.

A hundred at a time in one transaction, so that other writers get their turn; five thousand in one request.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.domain.states import ENDED, State
from sirdar.services import audit
from sirdar.services.access import require_scope
from sirdar.services.context import Services
from sirdar.services.job_filters import JobQuery, read_filter
from sirdar.services.jobs import cancel_now, find_own, narrow
from sirdar.store import job_lists
from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.job_lists import JobFilter
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.wire.bulk import JobChoice

AT_ONCE = 100
MOST = 5000
IN_FLIGHT = tuple(state.value for state in State if state not in ENDED)


@dataclass(frozen=True, slots=True)
class Refused:
    """A job with which nothing was done, and why: code and sentence of the problem."""

    id: str
    code: str
    detail: str


@dataclass(slots=True)
class BulkReply:
    """``done``: ids of jobs whose cancelling was asked for, or that are gone; ``later``: that are cancelled first and go then.

    ``more``: others fit the filter still; ask again.
    """

    done: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    more: bool = False

    def add(self, other: "BulkReply") -> None:
        self.done += other.done
        self.later += other.later
        self.refused += other.refused

    @property
    def count(self) -> int:
        return len(self.done) + len(self.later) + len(self.refused)


_Act = Callable[[Tx, Services, Caller, list[JobView]], BulkReply]


async def cancel_jobs(services: Services, caller: Caller, choice: JobChoice) -> BulkReply:
    """Wish jobs, and those that their tasks submitted, ended. By a filter those that have not ended and are not asked to yet.

    Raises Problem ``invalid_field`` where the choice is none, ``forbidden`` for a token that may not.
    """
    return await _act_on(services, caller, choice, _cancel, in_flight=True)


async def delete_jobs(services: Services, caller: Caller, choice: JobChoice) -> BulkReply:
    """Remove jobs; those that run are cancelled first, and go when they have ended. Raises Problem as ``cancel_jobs``."""
    return await _act_on(services, caller, choice, _delete, in_flight=False)


@dataclass(frozen=True, slots=True)
class Meant:
    """How many jobs a choice means, counted up to ``MOST``; of these how many have ended and how many have not."""

    count: int
    ended: int
    in_flight: int


async def count_meant(services: Services, caller: Caller, choice: JobChoice, verb: str) -> Meant:
    """What ``cancel_jobs`` or ``delete_jobs`` would act on. Raises Problem as they do."""
    require_scope(caller, Scope.RUN)
    cancels = verb == "cancel"
    if choice.ids is not None:
        ids = choice.ids
        wanted = narrow(caller, JobFilter())
        found = await services.store.read(lambda conn: job_lists.list_these(conn, wanted, ids))
        ended = sum(job.ended_at is not None for job in found)
        return Meant(len(found) - (ended if cancels else 0), ended, len(found) - ended)
    narrowed = narrow(caller, _read(caller, choice, in_flight=cancels))
    flying = [state for state in narrowed.state or IN_FLIGHT if state in IN_FLIGHT]

    def read(conn: Conn) -> Meant:
        count = job_lists.count_jobs(conn, narrowed, MOST)
        in_flight = job_lists.count_jobs(conn, replace(narrowed, state=flying), MOST) if flying else 0
        return Meant(count, count - in_flight, in_flight)

    return await services.store.read(read)


async def _act_on(services: Services, caller: Caller, choice: JobChoice, act: _Act, *, in_flight: bool) -> BulkReply:
    require_scope(caller, Scope.RUN)
    if (choice.ids is None) == (choice.filter is None):
        raise Problem(
            "invalid_field", "Which jobs? Give their ids, or a filter.", field="ids", expected="ids or filter"
        )
    if choice.ids is not None:
        return await _by_ids(services, caller, list(dict.fromkeys(choice.ids)), act)
    return await _by_filter(services, caller, _read(caller, choice, in_flight=in_flight), act)


def _read(caller: Caller, choice: JobChoice, *, in_flight: bool) -> JobFilter:
    asked = choice.filter
    assert asked is not None
    given = asked.model_dump(exclude={"state"}, exclude_none=True)
    query = JobQuery(state=asked.states, **given)
    if not asked.states and not any(given.values()):
        raise Problem(
            "invalid_field",
            "The filter says nothing, so that all of your jobs would be meant.",
            field="filter",
            expected="at least one of state, app, text, owner, name, since, until, parent",
        )
    wanted = read_filter(caller, query)
    if not in_flight:
        return wanted
    states = [state for state in wanted.state or IN_FLIGHT if state in IN_FLIGHT]
    if not states:
        raise Problem(
            "invalid_field",
            "Jobs in these states have ended already.",
            field="filter.state",
            expected=", ".join(IN_FLIGHT),
        )
    return replace(wanted, state=states, asked_to_end=False)


async def _by_ids(services: Services, caller: Caller, ids: Sequence[str], act: _Act) -> BulkReply:
    reply = BulkReply()
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        reply.add(await services.store.write(partial(_these, services=services, caller=caller, ids=some, act=act)))
    return reply


async def _by_filter(services: Services, caller: Caller, wanted: JobFilter, act: _Act) -> BulkReply:
    reply = BulkReply()
    async for ids in _pages(services, narrow(caller, wanted)):
        if reply.count + len(ids) > MOST:
            reply.more = True
            break
        reply.add(await services.store.write(partial(_these, services=services, caller=caller, ids=ids, act=act)))
    return reply


async def _pages(services: Services, wanted: JobFilter) -> AsyncIterator[list[str]]:
    """Ids of what fits, the newest first."""
    before = wanted.before_seq
    while True:
        page = replace(wanted, before_seq=before)
        found = await services.store.read(partial(job_lists.list_ids, wanted=page, limit=AT_ONCE))
        if found:
            yield [job_id for _, job_id in found]
        if len(found) < AT_ONCE:
            return
        before = found[-1][0]


def _these(tx: Tx, *, services: Services, caller: Caller, ids: Sequence[str], act: _Act) -> BulkReply:
    reply = BulkReply()
    own: dict[str, JobView] = {}
    for job_id in ids:
        try:
            job = find_own(tx.conn, caller, job_id)
            own[job.id] = job
        except Problem as problem:
            reply.refused.append(Refused(job_id, problem.code, problem.detail))
    reply.add(act(tx, services, caller, list(own.values())))
    return reply


def _cancel(tx: Tx, services: Services, caller: Caller, jobs: list[JobView]) -> BulkReply:
    ended = [job for job in jobs if job.ended_at is not None]
    ids = [job.id for job in jobs if job.ended_at is None]
    if ids:
        cancel_now(tx, services, ids, caller.name)
    for job_id in ids:
        audit.record(tx, caller, "job.cancel", f"job:{job_id}")
    late = [Refused(job.id, "conflict", f"Job {job.id} has ended already: it is {job.state}.") for job in ended]
    return BulkReply(done=ids, refused=late)


def _delete(tx: Tx, services: Services, caller: Caller, jobs: list[JobView]) -> BulkReply:
    gone = [job.id for job in jobs if job.ended_at is not None]
    running = [job for job in jobs if job.ended_at is None]
    if gone:
        job_store.delete_jobs(tx, gone)
        tx.hints.jobs |= set(gone)
    for job in running:
        job_store.wish_delete(tx, job.id)
    if unasked := [job.id for job in running if job.cancel_requested_at is None]:
        cancel_now(tx, services, unasked, caller.name)
    tx.hints.pending |= bool(running)
    for job in jobs:
        audit.record(tx, caller, "job.delete", f"job:{job.id}")
    return BulkReply(done=gone, later=[job.id for job in running])
