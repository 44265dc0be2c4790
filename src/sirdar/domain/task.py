"""The life of a task: a pure transition table. Only the current attempt can end a task; late or doubled facts change nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import State


class InvalidTransition(Exception):
    """A fact that cannot follow what is known; carries the story for the log."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the rules need to know of a task.

    ``attempt`` is the current try (0: none), the only one that can end the task; ``last_attempt`` the newest given out;
    ``offer`` the one that is offered and not accepted yet (0: none): it becomes the current one when it is accepted.
    """

    no: int
    state: State = State.READY
    attempt: int = 0
    last_attempt: int = 0
    offer: int = 0
    leased: bool = False  # an attempt is offered, or the current one lives
    faults: int = 0
    not_before: float | None = None
    started_at: float | None = None
    outcome: Outcome | None = None

    @property
    def waits(self) -> bool:
        """It is to be placed."""
        return self.state is State.READY and not self.leased


@dataclass(frozen=True, slots=True)
class Retry:
    """How faults of the platform are tried again: up to ``limit`` times, after ``base_s`` doubled each time up to ``max_s``."""

    limit: int
    base_s: float
    max_s: float

    def delay_s(self, faults: int) -> float:
        return float(min(self.max_s, self.base_s * 2 ** min(faults - 1, 60)))  # more would not fit a float


# ---------------------------------------------------------------- facts


@dataclass(frozen=True, slots=True)
class Offered:
    """The scheduler gave the next attempt to an agent."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The agent has the attempt in its journal; it is the current one from now on."""

    attempt: int


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The open offer was not accepted in time, or was refused, or its agent began a new life."""

    attempt: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The agent was asked for the attempt and will never start it: no fault of anybody's, and no retry."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Started:
    """The program runs since ``at``."""

    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over. ``wanted`` False: the job is being cancelled or stopped, so there is no other try."""

    attempt: int
    outcome: Outcome
    retry: Retry
    wanted: bool = True
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The agent of the current attempt is silent for longer than the policy allows; the attempt stays current until replaced."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Reachable:
    """The agent of the current attempt is back before a replacement was accepted: the attempt goes on."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The job was cancelled before this task's current try was accepted anywhere."""

    outcome: Outcome


Fact = Offered | Accepted | OfferWithdrawn | GivenBack | Started | Ended | Unreachable | Reachable | Withdrawn


@dataclass(frozen=True, slots=True)
class Delta:
    """What one or many transitions add to the counts of their job."""

    expanded: int = 0
    waiting: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    def __add__(self, other: "Delta") -> "Delta":
        return Delta(
            self.expanded + other.expanded,
            self.waiting + other.waiting,
            self.leased + other.leased,
            self.done + other.done,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
        )


NOTHING = Delta()
LEASE = Delta(waiting=-1, leased=1)
RETURN = Delta(waiting=1, leased=-1)


def step(task: Task, fact: Fact, now: float) -> tuple[Task, Delta]:
    """The task after a fact, and what its job's counts change by.

    Returns the same object where the fact is late, doubled or superseded. Raises InvalidTransition where it cannot be true.
    """
    rule = RULES.get((task.state, type(fact)))
    if rule is None:
        raise InvalidTransition(f"{type(fact).__name__} cannot follow {task}")
    return rule(task, fact, now)


# ---------------------------------------------------------------- rules, in the order of a task's life


def _offer(task: Task, fact: Offered, now: float) -> tuple[Task, Delta]:
    if task.leased:
        raise InvalidTransition(f"offered twice: {task}")
    number = task.last_attempt + 1
    return replace(task, last_attempt=number, offer=number, leased=True, not_before=None), LEASE


def _accept(task: Task, fact: Accepted, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.offer:
        return task, NOTHING
    faults = task.faults + (1 if task.attempt else 0)  # the one that it replaces was lost
    return replace(task, attempt=fact.attempt, offer=0, faults=faults, started_at=None), NOTHING


def _withdraw_offer(task: Task, fact: OfferWithdrawn, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.offer:
        return task, NOTHING
    return replace(task, offer=0, leased=False), RETURN


def _give_back(task: Task, fact: GivenBack, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.attempt:
        return task, NOTHING
    if task.offer or not task.leased:  # it had been given up: a replacement is wanted already
        return replace(task, attempt=0, started_at=None), NOTHING
    return replace(task, attempt=0, leased=False, started_at=None), RETURN


def _start(task: Task, fact: Started, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.attempt:
        return task, NOTHING
    delta = NOTHING if task.leased else LEASE  # an agent that was given up says that it goes on
    return replace(task, state=State.RUNNING, offer=0, leased=True, started_at=fact.at), delta


def _end(task: Task, fact: Ended, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.attempt:
        return task, NOTHING
    before = Delta(leased=-1) if task.leased else Delta(waiting=-1)
    started_at = fact.started_at if fact.started_at is not None else task.started_at
    if fact.outcome.reason.retryable and fact.wanted and task.faults < fact.retry.limit:
        faults = task.faults + 1
        if task.offer:  # a replacement is offered already: it goes on
            return replace(task, attempt=0, faults=faults, started_at=None), NOTHING
        again = replace(
            task,
            state=State.READY,
            attempt=0,
            leased=False,
            faults=faults,
            not_before=now + fact.retry.delay_s(faults),
            started_at=None,
        )
        return again, before + Delta(waiting=1)
    outcome = fact.outcome if fact.wanted else _unwanted(fact.outcome)
    state, after = _ending(outcome)
    ended = replace(task, state=state, offer=0, leased=False, started_at=started_at, outcome=outcome)
    return ended, before + after


def _unwanted(outcome: Outcome) -> Outcome:
    """A fault of the platform in a job that is being cancelled: it would have been tried again, were it still wanted."""
    if not outcome.reason.retryable:
        return outcome
    return Outcome(Reason.CANCELLED, f"Cancelled; {outcome.message}", outcome.exit_code)


def _ending(outcome: Outcome) -> tuple[State, Delta]:
    if outcome.ok:
        return State.DONE, Delta(done=1)
    if outcome.reason is Reason.CANCELLED:
        return State.CANCELLED, Delta(cancelled=1)
    return State.FAILED, Delta(failed=1)


def _lose(task: Task, fact: Unreachable, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.attempt or task.offer or not task.leased:
        return task, NOTHING
    return replace(task, state=State.READY, leased=False), RETURN


def _recover(task: Task, fact: Reachable, now: float) -> tuple[Task, Delta]:
    if fact.attempt != task.attempt or (task.leased and not task.offer):
        return task, NOTHING
    state = State.READY if task.started_at is None else State.RUNNING
    return replace(task, state=state, offer=0, leased=True), NOTHING if task.offer else LEASE


def _withdraw(task: Task, fact: Withdrawn, now: float) -> tuple[Task, Delta]:
    state, after = _ending(fact.outcome)
    before = Delta(leased=-1) if task.leased else Delta(waiting=-1)
    return replace(task, state=state, offer=0, leased=False, outcome=fact.outcome), before + after


def _ignore(task: Task, fact: Fact, now: float) -> tuple[Task, Delta]:
    return task, NOTHING


RULES: dict[tuple[State, type], Callable[[Task, Any, float], tuple[Task, Delta]]] = {
    (State.READY, Offered): _offer,
    (State.READY, Accepted): _accept,
    (State.READY, OfferWithdrawn): _withdraw_offer,
    (State.READY, GivenBack): _give_back,
    (State.READY, Started): _start,
    (State.READY, Ended): _end,
    (State.READY, Unreachable): _lose,
    (State.READY, Reachable): _recover,
    (State.READY, Withdrawn): _withdraw,
    (State.RUNNING, Accepted): _ignore,
    (State.RUNNING, OfferWithdrawn): _ignore,
    (State.RUNNING, GivenBack): _ignore,
    (State.RUNNING, Started): _start,
    (State.RUNNING, Ended): _end,
    (State.RUNNING, Unreachable): _lose,
    (State.RUNNING, Reachable): _ignore,
    **{
        (state, fact): _ignore
        for state in (State.DONE, State.FAILED, State.CANCELLED)
        for fact in (Accepted, OfferWithdrawn, GivenBack, Started, Ended, Unreachable, Reachable, Withdrawn)
    },
}
