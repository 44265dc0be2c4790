"""The life of a job: a pure transition table over its counts of tasks. ``step(job, event, now) -> (job, effects)``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sirdar.domain.criterion import Best, Criterion
from sirdar.domain.failures import FailureGroup, in_words
from sirdar.domain.ids import JobId
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import OnFailure, State
from sirdar.domain.task import Delta, InvalidTransition


@dataclass(frozen=True, slots=True)
class Job:
    """What the rules need to know of a job. ``waiting + leased + done + failed + cancelled == total`` always holds."""

    id: JobId
    state: State
    total: int
    expanded: int = 0
    waiting: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    on_failure: OnFailure = OnFailure.CONTINUE
    ready_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    cancel_requested_at: float | None = None
    cancel_requested_by: str | None = None
    criterion: Criterion | None = None
    best: Best | None = None
    met: int | None = None  # the task that met the condition on which the job stops
    many: bool = False  # its tasks are a set, which may have one member
    open_until: float | None = None  # more tasks may come until then; None: no more come
    cut_short: str | None = None  # why no more were taken, where its client has not said that these were all

    @property
    def open(self) -> bool:
        """Its client may add tasks, so that it does not end when those that it has have ended."""
        return self.open_until is not None

    @property
    def idle(self) -> bool:
        """All tasks that it has have ended."""
        return self.waiting == 0 and self.leased == 0

    @property
    def stopped_early(self) -> bool:
        """Tasks were called off because the condition was met."""
        return self.met is not None and self.cancel_requested_by == STOPPED_BY_CONDITION


class Effect(StrEnum):
    """What the service has to do in the same transaction.

    WITHDRAW: cancel all tasks that no agent has accepted; then ``Counted`` follows. STOP: ask agents to end what runs.
    TELL_END: dependants, notices and waiters learn of the end. PLACE: there is something for the scheduler.
    """

    WITHDRAW = "withdraw"
    STOP = "stop"
    TELL_END = "tell_end"
    PLACE = "place"


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files are here, code is resolved, what it waited for is done."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be run: a file or its code could not be fetched, or the job it waited for did not end DONE."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Counted:
    """Tasks of the job changed. ``outcome``: of the task that ended last (or of the first that failed), for the words.

    ``best``: the best of those that are done now; ``met``: the first of them that met the condition. ``failures``: why tasks of the
    job failed, the most frequent first, where the job ends with it (see ``ends``).
    """

    delta: Delta
    started_at: float | None = None
    outcome: Outcome | None = None
    best: Best | None = None
    met: int | None = None
    failures: tuple[FailureGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants it ended."""

    by: str


@dataclass(frozen=True, slots=True)
class Added:
    """``n`` more tasks of an open job. ``open_until`` None: there will be no more, because its client says so or ``cut_short``.

    ``outcome`` and ``failures``: as of ``Counted``, where the job ends with it.
    """

    n: int = 0
    open_until: float | None = None
    cut_short: str | None = None
    outcome: Outcome | None = None
    failures: tuple[FailureGroup, ...] = ()


JobEvent = Prepared | Refused | Counted | CancelRequested | Added
STOPPED_BY_FAILURE = "on_failure: stop"  # no user's name has a space or a colon
STOPPED_BY_CONDITION = "stop_when: met"
CANCELLED_OPEN = "it was open for more tasks"


def step(job: Job, event: JobEvent, now: float) -> tuple[Job, tuple[Effect, ...]]:
    """The job after an event, and what has to follow. Raises InvalidTransition where the event cannot be true."""
    rule = RULES.get((job.state, type(event)))
    if rule is None:
        raise InvalidTransition(f"{type(event).__name__} cannot follow {job}")
    return rule(job, event, now)


def ends(job: Job, delta: Delta) -> bool:
    """Whether the job ends with this change of its counts, unless it is open for more tasks."""
    return job.waiting + delta.waiting == 0 and job.leased + delta.leased == 0


# ---------------------------------------------------------------- rules


def _prepare(job: Job, event: Prepared, now: float) -> tuple[Job, tuple[Effect, ...]]:
    return replace(job, state=State.READY, ready_at=now), (Effect.PLACE,)


def _refuse(job: Job, event: Refused, now: float) -> tuple[Job, tuple[Effect, ...]]:
    state = State.CANCELLED if event.outcome.reason is Reason.CANCELLED else State.FAILED
    counts = (
        {"cancelled": job.cancelled + job.waiting} if state is State.CANCELLED else {"failed": job.failed + job.waiting}
    )
    ended = replace(job, state=state, waiting=0, ended_at=now, outcome=event.outcome, open_until=None, **counts)  # type: ignore[arg-type]
    return ended, (Effect.TELL_END,)


def _count(job: Job, event: Counted, now: float) -> tuple[Job, tuple[Effect, ...]]:
    delta = event.delta
    counted = replace(
        job,
        expanded=job.expanded + delta.expanded,
        waiting=job.waiting + delta.waiting,
        leased=job.leased + delta.leased,
        done=job.done + delta.done,
        failed=job.failed + delta.failed,
        cancelled=job.cancelled + delta.cancelled,
    )
    if counted.waiting < 0 or counted.leased < 0:
        raise InvalidTransition(f"{delta} does not fit {job}")
    if event.started_at is not None and job.started_at is None:
        counted = replace(counted, state=State.RUNNING, started_at=event.started_at)
    counted = _judge(counted, event)
    by = _stopped_by(counted, delta)
    if by is not None:
        counted = replace(counted, open_until=None)
    if counted.idle and not counted.open:
        return _finish(counted, event, now), (Effect.TELL_END,)
    if by is not None:
        return replace(counted, cancel_requested_at=now, cancel_requested_by=by), (Effect.WITHDRAW, Effect.STOP)
    return counted, (Effect.PLACE,) if delta.waiting > 0 else ()


def _stopped_by(job: Job, delta: Delta) -> str | None:
    """What calls the rest of the tasks off with this change, if anything."""
    if job.cancel_requested_at is not None:
        return None
    if job.met is not None:
        return STOPPED_BY_CONDITION
    return STOPPED_BY_FAILURE if delta.failed > 0 and job.on_failure is OnFailure.STOP else None


def _judge(job: Job, event: Counted) -> Job:
    """The best so far; and the task that met the condition, unless the job was called off before."""
    if job.criterion is None:
        return job
    met = job.met
    if met is None and job.cancel_requested_at is None:
        met = event.met
    return replace(job, best=job.criterion.better(job.best, event.best), met=met)


def _add(job: Job, event: Added, now: float) -> tuple[Job, tuple[Effect, ...]]:
    if not job.open:
        raise InvalidTransition(f"{event} cannot follow {job}: it is not open")
    grown = replace(
        job,
        total=job.total + event.n,
        waiting=job.waiting + event.n,
        open_until=event.open_until,
        cut_short=event.cut_short,
    )
    if grown.idle and not grown.open:
        return _finish(grown, event, now), (Effect.TELL_END,)
    return grown, (Effect.PLACE,) if event.n and job.state is not State.SUBMITTED else ()


def _finish(job: Job, event: Counted | Added, now: float) -> Job:
    state = _end_state(job)
    outcome = _end_outcome(job, state, event)
    if job.cut_short:
        outcome = replace(outcome, message=f"{outcome.message}; {job.cut_short}")
    return replace(job, state=state, ended_at=now, outcome=outcome)


def _end_state(job: Job) -> State:
    lacks = job.cancelled or job.cut_short
    if lacks and job.cancel_requested_by not in {None, STOPPED_BY_FAILURE, STOPPED_BY_CONDITION}:
        return State.CANCELLED  # somebody called it off, whatever had failed by then
    if job.met is not None:
        return State.DONE  # what was sought is found, whatever else failed
    if job.failed and (job.on_failure is not OnFailure.IGNORE or not (job.many or job.total > 1)):
        return State.FAILED
    if job.cancelled and not (job.on_failure is OnFailure.IGNORE and job.cancel_requested_at is None):
        return State.CANCELLED
    return State.DONE


def _end_outcome(job: Job, state: State, event: Counted | Added) -> Outcome:
    last = event.outcome
    if job.total == 1 and not job.cut_short and last is not None and (last.ok or state is not State.DONE):
        return last
    if state is State.DONE:
        return Outcome(Reason.OK, _done_words(job, event.failures))
    if state is State.CANCELLED:
        by = f" by {job.cancel_requested_by}" if job.cancel_requested_by else ""
        if job.total == job.cancelled == 1:  # no task of it ended by itself
            return Outcome(Reason.CANCELLED, f"Cancelled{by} before it started")
        failed = f", {job.failed} failed" if job.failed else ""
        return Outcome(
            Reason.CANCELLED, f"Cancelled{by}: {job.done} of {job.total} tasks done{failed}, {job.cancelled} cancelled"
        )
    first = f"; {last.message}" if last is not None and not last.ok else ""
    rest = f", {job.cancelled} not run" if job.cancelled else ""
    return Outcome(Reason.TASKS_FAILED, f"{job.failed} of {job.total} tasks failed{rest}{first}")


def _done_words(job: Job, failures: tuple[FailureGroup, ...]) -> str:
    failed = f", {in_words(failures, job.failed)}" if job.failed else ""
    counts = f"{job.done} of {job.total} tasks done"
    if job.met is None:
        return f"{counts}{failed}"
    if not job.cancelled:
        return f"{counts}{failed}; {condition_met(job)}"
    return f"Stopped early: {condition_met(job)}; {counts}, {job.cancelled} not needed{failed}"


def condition_met(job: Job) -> str:
    """``task 17 met loss < 0.01``."""
    return f"task {job.met} met {job.criterion.stop.text if job.criterion and job.criterion.stop else 'the condition'}"


def withdrawal(job: Job) -> Outcome:
    """How tasks end that no agent had accepted when the job was called off."""
    if job.stopped_early:
        return Outcome(Reason.CANCELLED, f"Not needed: {condition_met(job)}")
    return Outcome(Reason.CANCELLED, f"Cancelled by {job.cancel_requested_by or '?'} before it started")


def _cancel(job: Job, event: CancelRequested, now: float) -> tuple[Job, tuple[Effect, ...]]:
    if job.cancel_requested_at is not None:
        return job, ()
    wished = replace(job, cancel_requested_at=now, cancel_requested_by=event.by)
    if job.open:
        wished = replace(wished, open_until=None, cut_short=CANCELLED_OPEN)
    if wished.idle:  # nothing is left that could end
        return _finish(wished, Added(), now), (Effect.TELL_END,)
    return wished, (Effect.WITHDRAW, Effect.STOP)


def _cancel_submitted(job: Job, event: CancelRequested, now: float) -> tuple[Job, tuple[Effect, ...]]:
    wished = replace(job, cancel_requested_at=now, cancel_requested_by=event.by)
    return _refuse(wished, Refused(Outcome(Reason.CANCELLED, f"Cancelled by {event.by} before it was ready")), now)


def _ignore(job: Job, event: JobEvent, now: float) -> tuple[Job, tuple[Effect, ...]]:
    return job, ()


RULES: dict[tuple[State, type], Callable[[Job, Any, float], tuple[Job, tuple[Effect, ...]]]] = {
    (State.SUBMITTED, Prepared): _prepare,
    (State.SUBMITTED, Refused): _refuse,
    (State.SUBMITTED, CancelRequested): _cancel_submitted,
    (State.SUBMITTED, Added): _add,
    (State.READY, Counted): _count,
    (State.READY, CancelRequested): _cancel,
    (State.READY, Added): _add,
    (State.RUNNING, Counted): _count,
    (State.RUNNING, CancelRequested): _cancel,
    (State.RUNNING, Added): _add,
    **{
        (state, event): _ignore
        for state in (State.DONE, State.FAILED, State.CANCELLED)
        for event in (Prepared, Refused, CancelRequested)
    },
}
