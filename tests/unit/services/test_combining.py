"""Combinations are made beside the event loop: one submission's at a time, and not for long."""

import asyncio
import threading

import pytest

from sirdar.domain.app import App
from sirdar.domain.plan import parse_plan
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.sweep import SweepError
from sirdar.services.combining import Combining, Expired
from sirdar.services.sweeps import _axes, _combinations, _count
from sirdar.wire.description import parse_yaml
from sirdar.wire.submit import Sweep

APP: App = parse_yaml("{sirdar: 1, alias: a, name: A, command: 'x ${n} ${m}', inputs: {n: integer, m: integer}}")


def test_one_works_at_a_time_and_none_in_the_event_loop() -> None:
    inside = 0

    def work(expired: Expired) -> tuple[bool, bool, int]:
        nonlocal inside
        inside += 1
        found = (expired(), threading.current_thread() is threading.main_thread(), inside)
        inside -= 1
        return found

    async def several() -> list[tuple[bool, bool, int]]:
        combining = Combining()
        return list(await asyncio.gather(*(combining.run(work) for _ in range(20))))

    assert set(asyncio.run(several())) == {(False, False, 1)}


def test_what_takes_too_long_is_refused() -> None:
    over = Combining(longest_s=-1)
    sweep = Sweep.model_validate({"parameters": {"n": "0..2999", "m": "0..2999"}, "where": "n < 0"})
    errors: list[FieldError] = []
    axes = _axes(APP, sweep, 10, errors, lambda: False)
    assert not errors
    with pytest.raises(Problem, match="takes too long") as told:
        asyncio.run(over.run(lambda expired: _combinations(axes, sweep, 10, expired)))
    assert told.value.code == "invalid_input"
    with pytest.raises(Problem, match="takes too long"):
        asyncio.run(over.run(lambda expired: _axes(APP, sweep, 10, errors, expired)))
    plan, _ = parse_plan("parameter n from 0 to 2999\nparameter m from 0 to 2999\nconstraint n < 0\ncommand x")
    assert plan is not None
    with pytest.raises(SweepError, match="takes too long"):
        asyncio.run(over.run(lambda expired: plan.combinations(10, expired)))


def test_values_are_counted_before_they_are_checked() -> None:
    paired = Sweep.model_validate({"parameters": {"n": [1]}, "mode": "zip", "where": "n < 0"})
    _count([10**6, 10**6], paired, 10**6)
    with pytest.raises(SweepError, match="more than 2000000 values of all parameters together"):
        _count([10**6, 10**6, 1], paired, 10**6)
    wrong = Sweep.model_validate({"parameters": {"n": ["no number"] * 100, "m": "1..100"}})
    errors: list[FieldError] = []
    with pytest.raises(Problem, match="at least 100 combinations are too many"):
        _axes(APP, wrong, 10, errors, lambda: False)
    assert not errors
    _axes(APP, wrong, 10_000, errors, lambda: False)
    assert len(errors) == 50
