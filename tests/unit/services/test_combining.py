"""Combinations are made beside the event loop: one submission's at a time, and not for long."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from sirdar.domain.app import App
from sirdar.domain.plan import parse_plan
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.sweep import SweepError
from sirdar.services.combining import MOST_OF_ONE, MOST_QUICK, MOST_WAITING, Combining, Expired
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


class Held:
    """Work that is held until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, expired: Expired) -> None:
        self.begun.set()
        assert self.go.wait(30)


@contextlib.asynccontextmanager
async def held(combining: Combining) -> AsyncIterator[Held]:
    work = Held()
    first = asyncio.create_task(combining.run(work, "first"))
    try:
        assert await asyncio.to_thread(work.begun.wait, 30)
        yield work
    finally:
        work.go.set()
        await first


async def queued(combining: Combining, user: str, count: int, done: list[str]) -> list["asyncio.Task[None]"]:
    """So many submissions of a user, each of which waits for its turn."""
    made = [asyncio.create_task(combining.run(lambda _: done.append(user), user)) for _ in range(count)]
    await asyncio.sleep(0)
    return made


def test_users_take_turns() -> None:
    async def work() -> list[str]:
        combining, done = Combining(), list[str]()
        async with held(combining) as first:
            tasks = [*await queued(combining, "a", 4, done), *await queued(combining, "b", 2, done)]
            first.go.set()
            await asyncio.gather(*tasks)
        await combining.run(lambda _: done.append("later"))
        return done

    assert asyncio.run(work()) == ["a", "b", "a", "b", "a", "a", "later"]


def test_the_queue_has_an_end_for_one_user_and_for_all() -> None:
    async def work() -> None:
        combining, done = Combining(), list[str]()
        async with held(combining) as first:
            tasks = await queued(combining, "a", MOST_OF_ONE, done)
            with pytest.raises(Problem, match="50 sweeps of yours wait") as told:
                await combining.run(lambda _: None, "a")
            assert (told.value.status, told.value.retry_after_s) == (503, 10)
            for number in range(MOST_WAITING // MOST_OF_ONE - 1):
                tasks += await queued(combining, f"user {number}", MOST_OF_ONE, done)
            with pytest.raises(Problem, match="Very many sweeps wait"):
                await combining.run(lambda _: None, "z")
            first.go.set()
            await asyncio.gather(*tasks)
        assert len(done) == MOST_WAITING
        await combining.run(lambda _: None, "z")

    asyncio.run(work())


def test_a_quick_look_waits_no_longer_than_it_may_take_and_keeps_no_place_of_a_submission() -> None:
    async def work() -> None:
        combining, done = Combining(), list[str]()
        async with held(combining) as first:
            looks = [asyncio.create_task(combining.run(lambda _: None, "a", within_s=30)) for _ in range(MOST_OF_ONE)]
            await asyncio.sleep(0)
            tasks = await queued(combining, "a", MOST_OF_ONE - MOST_QUICK, done)
            with pytest.raises(Problem, match=r"made ready for 0\.05 s"):
                await combining.run(lambda _: None, "b", within_s=0.05)
            first.go.set()
            told = await asyncio.gather(*looks, return_exceptions=True)
            await asyncio.gather(*tasks)
        assert told.count(None) == MOST_QUICK
        assert len(done) == MOST_OF_ONE - MOST_QUICK

    asyncio.run(work())


def test_whose_turn_does_not_come_is_told_and_who_goes_leaves_the_queue() -> None:
    async def work() -> None:
        combining, done = Combining(patience_s=0.05), list[str]()
        async with held(combining):
            with pytest.raises(Problem, match=r"made ready for 0\.05 s, and the turn did not come") as told:
                await combining.run(lambda _: None, "a")
            assert (told.value.code, told.value.retry_after_s) == ("unavailable", 10)
            (gone,) = await queued(combining, "b", 1, done)
            gone.cancel()
            await asyncio.wait([gone])
        await asyncio.wait_for(combining.run(lambda _: done.append("next"), "c"), 30)
        assert done == ["next"]

    asyncio.run(work())


def test_a_turn_that_comes_just_when_its_user_goes_is_passed_on() -> None:
    async def work() -> None:
        combining, done = Combining(), list[str]()
        async with held(combining):
            gone, stays = [*await queued(combining, "a", 1, done), *await queued(combining, "b", 1, done)]
            combining._pass_on()  # the same moment: what is held goes on in its thread
            gone.cancel()
            await asyncio.wait([gone, stays])
        assert done == ["b"] and gone.cancelled()

    asyncio.run(work())


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
    plan = parse_plan("parameter n from 0 to 2999\nparameter m from 0 to 2999\nconstraint n < 0\ncommand x").plan
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
