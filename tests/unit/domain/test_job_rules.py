"""Every pair of a job's state and an event, and how a job ends for each way in which its tasks can."""

from dataclasses import replace
from typing import Any

import pytest

from sirdar.domain.failures import FailureGroup
from sirdar.domain.ids import JobId
from sirdar.domain.job import (
    RULES,
    STOPPED_BY_FAILURE,
    Added,
    CancelRequested,
    Counted,
    Effect,
    Job,
    Prepared,
    Refused,
    step,
)
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import ENDED, OnFailure, State
from sirdar.domain.task import Delta, InvalidTransition

NOW = 1000.0
BAD = Outcome(Reason.EXIT_CODE, "It ended with 3", 3)
OK = Outcome(Reason.OK, "It ended well", 0)
GONE = Outcome(Reason.INPUT_UNREACHABLE, "No such file")
EVENTS: list[Any] = [Prepared(), Refused(GONE), Counted(Delta(waiting=-1, leased=1)), CancelRequested("anna"), Added(1)]
IMPOSSIBLE = {
    (State.SUBMITTED, Counted),
    *((state, event) for state in (State.READY, State.RUNNING) for event in (Prepared, Refused)),
    *((state, event) for state in ENDED for event in (Counted, Added)),
}


def job(state: State = State.READY, total: int = 3, **values: Any) -> Job:
    return Job(JobId("j"), state, total, **{"waiting": total, "many": total > 1, **values})


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_pair_has_a_rule_or_is_known_to_be_impossible(state: State, event: Any) -> None:
    assert ((state, type(event)) in RULES) != ((state, type(event)) in IMPOSSIBLE)
    if (state, type(event)) in IMPOSSIBLE:
        with pytest.raises(InvalidTransition, match=f"{type(event).__name__} cannot follow"):
            step(job(state), event, NOW)
    elif state.ended:
        ended = job(state, waiting=0, done=3, ended_at=1.0, outcome=OK)
        assert step(ended, event, NOW) == (ended, ())


def test_prepared_makes_ready_and_asks_for_a_place() -> None:
    after, effects = step(job(State.SUBMITTED), Prepared(), NOW)
    assert (after.state, after.ready_at, effects) == (State.READY, NOW, (Effect.PLACE,))


@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (Refused(GONE), State.FAILED, Reason.INPUT_UNREACHABLE),
        (CancelRequested("anna"), State.CANCELLED, Reason.CANCELLED),
    ],
)
def test_what_was_never_ready_ends_with_all_its_tasks(event: Any, state: State, reason: Reason) -> None:
    after, effects = step(job(State.SUBMITTED), event, NOW)
    assert (after.state, after.waiting, after.failed + after.cancelled, after.ended_at) == (state, 0, 3, NOW)
    assert after.outcome is not None
    assert after.outcome.reason is reason
    assert effects == (Effect.TELL_END,)


def test_a_job_runs_from_its_first_start_to_its_last_end() -> None:
    one, _ = step(job(), Counted(Delta(waiting=-3, leased=3)), NOW)
    assert one.state is State.READY
    two, _ = step(one, Counted(Delta(leased=-1, done=1), started_at=5.0), NOW)
    assert (two.state, two.started_at) == (State.RUNNING, 5.0)
    three, _ = step(two, Counted(Delta(leased=-2, done=2), started_at=4.0, outcome=OK), NOW)
    assert (three.state, three.started_at, three.ended_at) == (State.DONE, 5.0, NOW)


def test_a_task_that_comes_back_asks_for_a_place() -> None:
    leased = job(waiting=0, leased=3)
    assert step(leased, Counted(Delta(waiting=1, leased=-1)), NOW)[1] == (Effect.PLACE,)


def test_counts_never_fall_below_nothing() -> None:
    with pytest.raises(InvalidTransition, match="does not fit"):
        step(job(), Counted(Delta(leased=-1, done=1)), NOW)


@pytest.mark.parametrize(
    ("on_failure", "counts", "wished", "state"),
    [
        ("continue", {"done": 3}, False, State.DONE),
        ("continue", {"done": 2, "failed": 1}, False, State.FAILED),
        ("continue", {"done": 2, "cancelled": 1}, False, State.CANCELLED),
        ("continue", {"done": 1, "cancelled": 2}, True, State.CANCELLED),
        ("continue", {"done": 3}, True, State.DONE),
        ("continue", {"failed": 1, "cancelled": 2}, True, State.FAILED),
        ("stop", {"done": 1, "failed": 1, "cancelled": 1}, True, State.FAILED),
        ("ignore", {"done": 1, "failed": 2}, False, State.DONE),
        ("ignore", {"failed": 3}, False, State.DONE),
        ("ignore", {"done": 1, "cancelled": 2}, True, State.CANCELLED),
    ],
)
def test_how_many_tasks_ended_says_how_the_job_ends(
    on_failure: str, counts: dict[str, int], wished: bool, state: State
) -> None:
    before = job(
        State.RUNNING,
        waiting=0,
        leased=3,
        on_failure=OnFailure(on_failure),
        cancel_requested_at=1.0 if wished else None,
    )
    after, effects = step(before, Counted(Delta(leased=-3, **counts), outcome=BAD), NOW)
    assert (after.state, after.ended_at, effects) == (state, NOW, (Effect.TELL_END,))
    assert after.outcome is not None


@pytest.mark.parametrize("on_failure", list(OnFailure))
@pytest.mark.parametrize("by", ["anna", "job 7f3k2a"])
def test_what_somebody_called_off_is_cancelled_whatever_had_failed_by_then(on_failure: OnFailure, by: str) -> None:
    before = job(State.RUNNING, 6, waiting=0, leased=4, done=1, failed=1, on_failure=on_failure)
    wished, _ = step(before, CancelRequested(by), NOW)
    after, effects = step(wished, Counted(Delta(leased=-4, failed=1, cancelled=3), outcome=BAD), NOW)
    assert (after.state, effects) == (State.CANCELLED, (Effect.TELL_END,))
    said = f"Cancelled by {by}: 1 of 6 tasks done, 2 failed, 3 cancelled"
    assert after.outcome == Outcome(Reason.CANCELLED, said)


def test_a_wish_that_came_too_late_for_every_task_changes_no_end() -> None:
    """All had ended by themselves before an agent heard of it: nothing was called off."""
    for counts, state in (({"done": 3}, State.DONE), ({"done": 2, "failed": 1}, State.FAILED)):
        wished, _ = step(job(State.RUNNING, waiting=0, leased=3), CancelRequested("anna"), NOW)
        after, _ = step(wished, Counted(Delta(leased=-3, **counts), outcome=BAD), NOW)
        assert after.state is state


@pytest.mark.parametrize(
    ("many", "on_failure", "state", "said"),
    [
        (
            True,
            OnFailure.IGNORE,
            State.DONE,
            Outcome(Reason.OK, "0 of 1 tasks done, 1 failed: 1 by exit_code (task 0: It ended with 3)"),
        ),
        (True, OnFailure.CONTINUE, State.FAILED, BAD),
        (False, OnFailure.IGNORE, State.FAILED, BAD),
    ],
)
def test_a_set_of_one_ends_as_larger_sets_do(many: bool, on_failure: OnFailure, state: State, said: Outcome) -> None:
    """A job that is one task, and no set, ends as its task does, whatever it says of failures."""
    before = job(State.RUNNING, 1, waiting=0, leased=1, on_failure=on_failure, many=many)
    failures = (FailureGroup(Reason.EXIT_CODE, BAD.message, 3, count=1, example=0),)
    after, _ = step(before, Counted(Delta(leased=-1, failed=1), outcome=BAD, failures=failures), NOW)
    assert (after.state, after.outcome) == (state, said)


def test_what_its_own_rule_stopped_has_failed() -> None:
    before = job(State.RUNNING, waiting=1, leased=2, on_failure=OnFailure.STOP)
    stopped, _ = step(before, Counted(Delta(leased=-1, failed=1), outcome=BAD), NOW)
    after, _ = step(stopped, Counted(Delta(waiting=-1, leased=-1, cancelled=2), outcome=BAD), NOW)
    assert after.state is State.FAILED
    assert after.outcome == Outcome(Reason.TASKS_FAILED, "1 of 3 tasks failed, 2 not run; It ended with 3")


def test_a_job_of_one_task_ends_as_its_task_did() -> None:
    before = job(State.RUNNING, 1, waiting=0, leased=1, on_failure=OnFailure.IGNORE)
    after, _ = step(before, Counted(Delta(leased=-1, failed=1), outcome=BAD), NOW)
    assert (after.state, after.outcome) == (State.FAILED, BAD)


def test_a_job_of_many_says_how_many_failed_and_what_the_first_said() -> None:
    before = job(State.RUNNING, waiting=0, leased=3)
    after, _ = step(before, Counted(Delta(leased=-3, done=1, failed=2), outcome=BAD), NOW)
    assert after.outcome == Outcome(Reason.TASKS_FAILED, "2 of 3 tasks failed; It ended with 3")


def test_stop_withdraws_the_others_once() -> None:
    before = job(State.RUNNING, waiting=1, leased=2, on_failure=OnFailure.STOP)
    after, effects = step(before, Counted(Delta(leased=-1, failed=1), outcome=BAD), NOW)
    assert (after.cancel_requested_at, after.cancel_requested_by) == (NOW, STOPPED_BY_FAILURE)
    assert set(effects) == {Effect.WITHDRAW, Effect.STOP}
    _, again = step(after, Counted(Delta(waiting=-1, cancelled=1)), NOW)
    assert again == ()


def test_a_wish_is_written_once_and_ends_nothing_by_itself() -> None:
    after, effects = step(job(State.RUNNING), CancelRequested("anna"), NOW)
    assert (after.state, after.cancel_requested_by, set(effects)) == (
        State.RUNNING,
        "anna",
        {Effect.WITHDRAW, Effect.STOP},
    )
    assert step(after, CancelRequested("boris"), NOW) == (after, ())


def test_the_sum_of_counts_stays(total: int = 5) -> None:
    before = job(State.RUNNING, total, waiting=2, leased=3)
    for delta in (Delta(waiting=-1, leased=1), Delta(leased=-1, done=1), Delta(leased=-1, waiting=1)):
        after, _ = step(before, Counted(delta), NOW)
        assert after.waiting + after.leased + after.done + after.failed + after.cancelled == total
        assert replace(after, waiting=0, leased=0, done=0, failed=0, cancelled=0).total == total


# ---------------------------------------------------------------- open for more tasks


def test_tasks_are_added_to_an_open_job_only() -> None:
    grown, effects = step(job(open_until=60.0), Added(2, 90.0), NOW)
    assert (grown.total, grown.waiting, grown.open_until, effects) == (5, 5, 90.0, (Effect.PLACE,))
    assert step(job(State.SUBMITTED, open_until=60.0), Added(2, 90.0), NOW)[1] == (), "what is not ready has no place"
    with pytest.raises(InvalidTransition, match="it is not open"):
        step(job(), Added(1), NOW)


def test_an_open_job_ends_when_no_more_come_and_not_before() -> None:
    last = Counted(Delta(waiting=-3, done=3), started_at=1.0, outcome=OK)
    waits, effects = step(job(open_until=60.0), last, NOW)
    assert (waits.state, waits.idle, waits.ended_at, effects) == (State.RUNNING, True, None, ())
    ended, effects = step(waits, Added(), NOW)
    assert (ended.state, ended.ended_at, effects) == (State.DONE, NOW, (Effect.TELL_END,))
    silent, _ = step(waits, Added(cut_short="nobody added"), NOW)
    assert silent.state is State.DONE and silent.outcome == Outcome(Reason.OK, "3 of 3 tasks done; nobody added")
    cancelled, effects = step(waits, CancelRequested("anna"), NOW)
    assert (cancelled.state, cancelled.open, effects) == (State.CANCELLED, False, (Effect.TELL_END,))
