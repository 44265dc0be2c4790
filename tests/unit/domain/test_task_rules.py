"""Every pair of a task's state and a fact: what follows, what changes nothing, what cannot be."""

import itertools
from typing import Any

import pytest

from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import ENDED, State
from sirdar.domain.task import (
    LEASE,
    NOTHING,
    RETURN,
    RULES,
    Accepted,
    Delta,
    Ended,
    GivenBack,
    InvalidTransition,
    Offered,
    OfferWithdrawn,
    Reachable,
    Retry,
    Started,
    Task,
    Unreachable,
    Withdrawn,
    step,
)

NOW = 1000.0
OK = Outcome(Reason.OK, "It ended well", 0)
BAD = Outcome(Reason.EXIT_CODE, "It ended with 3", 3)
FAULT = Outcome(Reason.START, "It could not be started")
STOPPED = Outcome(Reason.CANCELLED, "Cancelled by anna")
RETRY = Retry(2, 2.0, 300.0)
FACTS: list[Any] = [
    Offered(),
    Accepted(1),
    OfferWithdrawn(1),
    GivenBack(1),
    Started(1, 5.0),
    Ended(1, OK, RETRY),
    Unreachable(1),
    Reachable(1),
    Withdrawn(STOPPED),
]
FRESH = Task(0)
OFFERED = Task(0, last_attempt=1, offer=1, leased=True)
ACCEPTED = Task(0, attempt=1, last_attempt=1, leased=True)
RUNNING = Task(0, State.RUNNING, attempt=1, last_attempt=1, leased=True, started_at=5.0)
LOST = Task(0, attempt=1, last_attempt=1, started_at=5.0)
REPLACED = Task(0, attempt=1, last_attempt=2, offer=2, leased=True, started_at=5.0)
SITUATIONS = {
    "fresh": FRESH,
    "offered": OFFERED,
    "accepted": ACCEPTED,
    "running": RUNNING,
    "lost": LOST,
    "replaced": REPLACED,
    **{state.value: Task(0, state, 1, 1, outcome=OK) for state in sorted(ENDED)},
}
IMPOSSIBLE = {
    (State.SUBMITTED, fact)
    for fact in (type(fact) for fact in FACTS)  # a task of such a job has no row
} | {
    (State.RUNNING, Offered),
    (State.RUNNING, Withdrawn),
    *((state, Offered) for state in ENDED),
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_every_pair_has_a_rule_or_is_known_to_be_impossible(state: State, fact: Any) -> None:
    assert ((state, type(fact)) in RULES) != ((state, type(fact)) in IMPOSSIBLE)
    if (state, type(fact)) in IMPOSSIBLE:
        with pytest.raises(InvalidTransition, match=f"{type(fact).__name__} cannot follow"):
            step(Task(0, state), fact, NOW)


@pytest.mark.parametrize("state", sorted(ENDED))
@pytest.mark.parametrize("fact", FACTS[1:], ids=lambda fact: type(fact).__name__)
def test_nothing_follows_an_end(state: State, fact: Any) -> None:
    ended = Task(0, state, 1, 1, outcome=OK)
    after, delta = step(ended, fact, NOW)
    assert after is ended
    assert delta == NOTHING


@pytest.mark.parametrize("name", [name for name, task in SITUATIONS.items() if not task.state.ended])
@pytest.mark.parametrize(
    "fact",
    [Accepted(9), OfferWithdrawn(9), GivenBack(9), Started(9, 1.0), Ended(9, OK, RETRY), Unreachable(9), Reachable(9)],
    ids=lambda fact: type(fact).__name__,
)
def test_facts_of_an_attempt_that_does_not_count_change_nothing(name: str, fact: Any) -> None:
    task = SITUATIONS[name]
    assert step(task, fact, NOW) == (task, NOTHING)


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("fact", [*FACTS, Ended(1, FAULT, RETRY), Ended(1, FAULT, RETRY, wanted=False)], ids=repr)
def test_the_change_of_counts_is_the_change_of_the_task(name: str, fact: Any) -> None:
    task = SITUATIONS[name]
    try:
        after, delta = step(task, fact, NOW)
    except InvalidTransition:
        return
    expected = _counts(after) + _minus(_counts(task))
    assert delta == expected
    assert after.offer in (0, after.last_attempt)
    assert not after.offer or after.leased
    assert (after.outcome is not None) == after.state.ended


def _counts(task: Task) -> Delta:
    if task.state.ended:
        return Delta(**{task.state.value.lower(): 1})
    return Delta(leased=1) if task.leased else Delta(waiting=1)


def _minus(delta: Delta) -> Delta:
    return Delta(*(-getattr(delta, name) for name in Delta.__dataclass_fields__))


# ---------------------------------------------------------------- a life


def test_offer_accept_start_end() -> None:
    task, delta = step(FRESH, Offered(), NOW)
    assert (task, delta) == (OFFERED, LEASE)
    task, _ = step(task, Accepted(1), NOW)
    assert task == ACCEPTED
    task, _ = step(task, Started(1, 5.0), NOW)
    assert task == RUNNING
    task, delta = step(task, Ended(1, BAD, RETRY), NOW)
    assert (task.state, task.outcome, task.started_at) == (State.FAILED, BAD, 5.0)
    assert delta == Delta(leased=-1, failed=1)


def test_what_is_leased_is_not_offered_again() -> None:
    for task in (OFFERED, ACCEPTED, REPLACED):
        with pytest.raises(InvalidTransition, match="offered twice"):
            step(task, Offered(), NOW)


def test_an_offer_that_is_withdrawn_leaves_the_task_waiting() -> None:
    task, delta = step(OFFERED, OfferWithdrawn(1), NOW)
    assert (task.leased, task.offer, task.last_attempt, delta) == (False, 0, 1, RETURN)


def test_what_is_given_back_waits_again_and_nothing_counts_as_tried() -> None:
    task, delta = step(ACCEPTED, GivenBack(1), NOW)
    assert (task, delta) == (Task(0, last_attempt=1), RETURN)
    task, _ = step(step(task, Offered(), NOW)[0], Accepted(2), NOW)
    assert (task.attempt, task.faults) == (2, 0)
    assert step(RUNNING, GivenBack(1), NOW) == (RUNNING, NOTHING), "it had started"


# ---------------------------------------------------------------- faults


def test_a_fault_is_tried_again_after_a_while_as_often_as_allowed() -> None:
    task, delta = step(RUNNING, Ended(1, FAULT, RETRY), NOW)
    assert (task.state, task.attempt, task.faults, task.not_before) == (State.READY, 0, 1, NOW + 2.0)
    assert (task.started_at, delta) == (None, RETURN)
    worn = Task(0, State.RUNNING, 3, 3, leased=True, faults=2)
    task, _ = step(worn, Ended(3, FAULT, RETRY), NOW)
    assert (task.state, task.outcome) == (State.FAILED, FAULT)


def test_the_wait_before_a_retry_doubles_up_to_a_bound() -> None:
    assert [Retry(9, 2.0, 20.0).delay_s(n) for n in range(1, 6)] == [2.0, 4.0, 8.0, 16.0, 20.0]
    assert Retry(5000, 2.0, 300.0).delay_s(2000) == 300.0


def test_the_programs_fault_is_not_tried_again() -> None:
    for reason in Reason:
        task, _ = step(RUNNING, Ended(1, Outcome(reason, "It ended"), RETRY), NOW)
        assert task.state.ended != reason.retryable, reason


def test_what_is_not_wanted_is_not_tried_again() -> None:
    task, _ = step(RUNNING, Ended(1, FAULT, RETRY, wanted=False), NOW)
    assert task.state is State.CANCELLED
    assert task.outcome == Outcome(Reason.CANCELLED, "Cancelled; It could not be started")
    task, _ = step(RUNNING, Ended(1, BAD, RETRY, wanted=False), NOW)
    assert task.state is State.FAILED, "the program's own end is told as it was"


# ---------------------------------------------------------------- lost agents


def test_a_lost_attempt_waits_for_a_replacement_and_stays_current() -> None:
    task, delta = step(RUNNING, Unreachable(1), NOW)
    assert (task, delta) == (LOST, RETURN)
    task, delta = step(task, Offered(), NOW)
    assert (task, delta) == (REPLACED, LEASE)


@pytest.mark.parametrize(("before", "delta"), [(LOST, LEASE), (REPLACED, NOTHING)], ids=["lost", "replaced"])
@pytest.mark.parametrize("fact", [Reachable(1), Started(1, 5.0)], ids=lambda fact: type(fact).__name__)
def test_an_agent_that_is_back_in_time_goes_on(before: Task, delta: Delta, fact: Any) -> None:
    after, found = step(before, fact, NOW)
    assert (after.state, after.attempt, after.offer, after.leased, found) == (State.RUNNING, 1, 0, True, delta)
    again, _ = step(after, Unreachable(1), NOW)
    assert (again.state, again.leased) == (State.READY, False), "and may be lost again"


def test_an_accepted_replacement_counts_alone_and_is_a_retry() -> None:
    task, delta = step(REPLACED, Accepted(2), NOW)
    assert (task.attempt, task.offer, task.faults, task.started_at, delta) == (2, 0, 1, None, NOTHING)
    assert step(task, Ended(1, OK, RETRY), NOW) == (task, NOTHING)


def test_the_end_of_the_lost_one_counts_while_the_replacement_is_open() -> None:
    task, delta = step(REPLACED, Ended(1, OK, RETRY), NOW)
    assert (task.state, task.offer, delta) == (State.DONE, 0, Delta(leased=-1, done=1))
    task, delta = step(REPLACED, Ended(1, FAULT, RETRY), NOW)
    assert (task.state, task.attempt, task.offer, task.leased, delta) == (State.READY, 0, 2, True, NOTHING)


# ---------------------------------------------------------------- order of facts


def test_any_order_of_doubled_facts_ends_once() -> None:
    facts = [Accepted(1), Started(1, 5.0), Ended(1, OK, RETRY), OfferWithdrawn(1)]
    for order in itertools.permutations([*facts, Ended(1, BAD, RETRY)]):
        task, total = OFFERED, NOTHING
        for fact in order:
            task, delta = step(task, fact, NOW)
            total += delta
        assert total == _counts(task) + Delta(leased=-1), order
        assert total.done + total.failed <= 1


def test_a_story_stands_in_the_error() -> None:
    with pytest.raises(InvalidTransition, match=r"Withdrawn cannot follow Task.*RUNNING"):
        step(RUNNING, Withdrawn(STOPPED), NOW)
