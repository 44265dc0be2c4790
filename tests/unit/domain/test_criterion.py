"""What a job of many tasks seeks: which task is the best, and when it has found enough."""

import math
from typing import Any

import pytest

from sirdar.domain.criterion import Best, Criterion, read_criterion, stored_criterion
from sirdar.domain.failures import FailureGroup, in_words
from sirdar.domain.ids import JobId
from sirdar.domain.job import CancelRequested, Counted, Effect, Job, ends, step, withdrawal
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.problems import Problem
from sirdar.domain.states import OnFailure, State
from sirdar.domain.task import Delta
from sirdar.wire.description import parse_yaml

APP = parse_yaml("""
sirdar: 1
alias: fit
name: Fit
command: fit ${a} ${method}
inputs:
  a: {type: integer, default: 1}
  method: {type: string, default: x}
outputs:
  loss: {type: number, from: r.json, key: loss}
  good: {type: boolean, from: r.json, key: good}
  plot: {type: file, from: p.png}
""")


def read(stop: str = "", **wanted: str) -> Criterion:
    found = read_criterion(APP, wanted, stop)
    assert found is not None
    assert stored_criterion(found.to_json()).to_json() == found.to_json()
    return stored_criterion(found.to_json())


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (True, None),
        ("1", None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
    ],
)
def test_only_a_finite_number_is_compared(value: Any, number: float | None) -> None:
    assert read(minimize="loss").value({"loss": value}, {}) == number


def test_the_better_of_two_and_of_equal_ones_the_lower_number() -> None:
    least, most = read(minimize="loss"), read(maximize="loss")
    one, other = Best(3, 1.0), Best(2, 2.0)
    assert (least.better(one, other), most.better(one, other)) == (one, other)
    assert least.better(Best(5, 1.0), one) == most.better(one, Best(5, 1.0)) == one
    assert least.better(None, one) == least.better(one, None) == one


def test_an_output_comes_before_a_number_that_tasks_report() -> None:
    assert read(minimize="loss").value({"loss": 1}, {"loss": 2}) == 1
    assert read(minimize="epochs_needed").value({"loss": 1}, {"epochs_needed": 2}) == 2


@pytest.mark.parametrize(
    ("stop", "outputs", "met"),
    [
        ("loss < 0.01", {"loss": 0.001}, True),
        ("loss < 0.01", {"loss": 0.01}, False),
        ("loss < 0.01", {"loss": math.nan}, False),
        ("loss < 0.01", {}, False),
        ("loss < 0.01", {"loss": "0"}, False),
        ("loss < 0.01", {"loss": False}, False),
        ("$loss < a && good", {"loss": 6, "good": True}, True),
        ("loss / (a - 7) < 1", {"loss": 1}, False),
        ("${method} == 'lu' or loss < 0", {"loss": 1}, True),
        ("gap < 0.5", {}, True),
        ("loss < pi and not (loss < e)", {"loss": 3}, True),
    ],
)
def test_when_it_has_found_enough(stop: str, outputs: dict[str, Any], met: bool) -> None:
    assert read(stop).met({"a": 7, "method": "lu"}, outputs, {"gap": 0.25}) is met


@pytest.mark.parametrize(
    ("wanted", "stop", "field", "words"),
    [
        ({"minimize": "plot"}, "", "criterion.minimize", "'plot' of the application is no number."),
        ({"maximize": "good"}, "", "criterion.maximize", "is no number"),
        ({"minimize": "los"}, "", "criterion.minimize", "no output 'los'"),
        ({}, "los < 1", "stopWhen", "no output 'los'"),
        ({}, "loss + 1", "stopWhen", "is a number, no condition"),
        ({}, "loss <", "stopWhen", "is no expression"),
        ({}, "__import__('os')", "stopWhen", "there is no function"),
        ({}, "plot < 1", "stopWhen", "is no number"),
    ],
)
def test_what_cannot_be_sought_is_refused(wanted: dict[str, str], stop: str, field: str, words: str) -> None:
    with pytest.raises(Problem, match=words) as caught:
        read_criterion(APP, wanted, stop)
    assert caught.value.field == field


# ---------------------------------------------------------------- the job's rules


def seeking(total: int = 100, **values: Any) -> Job:
    return Job(
        JobId("j"), State.RUNNING, total, total, **{"waiting": total, "criterion": read("loss < 0.01", minimize="loss"), **values}
    )  # fmt: skip


def test_it_stops_when_a_task_meets_the_condition_and_is_done() -> None:
    job = seeking(waiting=80, leased=3, done=15, failed=2)
    after, effects = step(job, Counted(Delta(leased=-1, done=1), best=Best(17, 0.001), met=17), 5.0)
    assert (after.met, after.best, after.cancel_requested_by) == (17, Best(17, 0.001), "stop_when: met")
    assert effects == (Effect.WITHDRAW, Effect.STOP)
    rest = Delta(waiting=-80, leased=-2, cancelled=82)
    assert ends(after, rest)
    failures = (FailureGroup("exit_code", "It ended with 3", 3, 2, 4),)
    ended, effects = step(after, Counted(rest, failures=failures), 6.0)
    assert (ended.state, effects) == (State.DONE, (Effect.TELL_END,))
    assert ended.outcome == Outcome(
        Reason.OK,
        "Stopped early: task 17 met loss < 0.01; 16 of 100 tasks done, 82 not needed, "
        "2 failed: 2 by exit_code (task 4: It ended with 3)",
    )


def test_who_is_called_as_the_condition_is_only_a_user() -> None:
    job = seeking(4, waiting=2, leased=1, done=1)
    called_off, _ = step(job, CancelRequested("stop_when"), 5.0)
    assert not called_off.stopped_early
    assert withdrawal(called_off) == Outcome(Reason.CANCELLED, "Cancelled by stop_when before it started")
    ended, _ = step(called_off, Counted(Delta(waiting=-2, leased=-1, cancelled=3)), 6.0)
    assert ended.state is State.CANCELLED
    assert ended.outcome == Outcome(Reason.CANCELLED, "Cancelled by stop_when: 1 of 4 tasks done, 3 cancelled")


def test_a_condition_met_after_somebody_called_it_off_changes_nothing() -> None:
    job = seeking(2, waiting=0, leased=2, cancel_requested_at=1.0, cancel_requested_by="anna")
    after, _ = step(job, Counted(Delta(leased=-1, done=1), best=Best(0, 0.0), met=0), 5.0)
    assert (after.met, after.best, after.cancel_requested_by) == (None, Best(0, 0.0), "anna")
    ended, _ = step(after, Counted(Delta(leased=-1, cancelled=1)), 6.0)
    assert ended.state is State.CANCELLED


def test_the_last_task_may_meet_it_though_others_failed() -> None:
    job = seeking(3, waiting=0, leased=1, done=1, failed=1)
    ended, _ = step(job, Counted(Delta(leased=-1, done=1), best=Best(2, 0.001), met=2), 5.0)
    assert ended.state is State.DONE
    assert ended.outcome is not None
    assert ended.outcome.message == "2 of 3 tasks done, 1 failed; task 2 met loss < 0.01"


def test_failures_that_are_ignored_are_told_by_kind() -> None:
    job = Job(JobId("j"), State.RUNNING, 9, 9, leased=1, done=5, failed=3, on_failure=OnFailure.IGNORE)
    groups = (FailureGroup("exit_code", "no point 5.", 1, 2, 5), FailureGroup("time_limit", "x" * 500, None, 1, 7))
    ended, _ = step(job, Counted(Delta(leased=-1, failed=1), failures=groups), 6.0)
    assert ended.state is State.DONE
    assert ended.outcome is not None
    told = f"4 failed: 2 by exit_code (task 5: no point 5), 1 by time_limit (task 7: {'x' * 160}…), 1 of other kinds"
    assert ended.outcome.message == f"5 of 9 tasks done, {told}"
    assert in_words((), 4) == "4 failed"


def test_many_kinds_of_failures_are_all_told_and_more_briefly() -> None:
    reasons = ("exit_code", "signal", "output_missing", "output_invalid", "time_limit", "output_too_large")
    groups = [FailureGroup(reason, "x" * 200, None, 5, number) for number, reason in enumerate(reasons)]
    told = in_words(groups, 30)
    assert all(f"5 by {reason} (task {number}: {'x' * 90}…)" in told for number, reason in enumerate(reasons))
    assert "other kinds" not in told and len(told) < 1000
    assert in_words(groups, 37).endswith(", 7 of other kinds")
