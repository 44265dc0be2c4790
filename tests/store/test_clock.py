"""The loop that looks for expired leases, when the server's clock is set or its database was away: nobody pays for that."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.ledger import Agent, Ledger

from sirdar.dispatch import expire
from sirdar.domain.problems import Problem
from sirdar.store import resources
from sirdar.store import tables as t
from sirdar.store.clock import WatchedClock
from sirdar.store.errors import is_away

HOUR_S = 3600.0
STEP_S = 10.0  # less than a quarter of a lease: no jump


@contextlib.asynccontextmanager
async def looking(ledger: Ledger) -> AsyncIterator[None]:
    """The loop, after its first round."""
    quick = replace(ledger.settings, expire_every_s=0.002)
    loop = asyncio.create_task(expire.run(ledger.store, quick))
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def lease(ledger: Ledger, agent: Agent) -> Any:
    (row,) = ledger.rows(t.resources, id=agent.resource_id)
    return row


def play(ledger: Ledger, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    ledger.clock.now += 1  # so that the loop's first round can be seen

    async def played() -> None:
        async with looking(ledger):
            await scene()

    ledger.run(played())


def test_a_clock_that_is_set_back_makes_nobody_wait(ledger: Ledger) -> None:
    """The lease of a silent agent, an offer that nobody accepts and a retry last as long as they would have."""
    agent = ledger.attach()
    failed = ledger.submit(1)
    (key,) = agent.take(1)
    agent.final(key, "stage_in")
    offered = ledger.submit(1)
    assert agent.claim(1)
    assert ledger.task(failed).not_before > ledger.clock()

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        ledger.clock.now -= HOUR_S
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        assert ledger.task(failed).not_before <= ledger.clock() + ledger.settings.retry_max_s
        assert ledger.attempt(offered).offered_at == ledger.clock()
        for _ in range(4):
            ledger.clock.now += STEP_S
        await until(lambda: ledger.attempt(offered).reason == "offer_expired")

    play(ledger, scene)


def test_a_clock_that_is_set_ahead_gives_nobody_up(ledger: Ledger) -> None:
    agent = ledger.attach()
    job = ledger.submit(1)
    agent.take(1)

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        ledger.clock.now += HOUR_S
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        assert lease(ledger, agent).unreachable_since is None

    play(ledger, scene)
    assert "returned" not in ledger.kinds(job)


def test_an_agent_that_is_slow_to_come_back_after_a_jump_is_silent_since_then_only(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was heard last an hour ago by the new clock; that hour is none in which it could have been heard."""
    agent = ledger.attach()
    job = ledger.submit(1)
    (key,) = agent.take(1)
    read, rounds = ledger.store.read, [0]

    async def counted(run: Any) -> Any:
        rounds[0] += 1
        return await read(run)

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        monkeypatch.setattr(ledger.store, "read", counted)
        ledger.clock.now += HOUR_S
        jumped = ledger.clock()
        await until(lambda: lease(ledger, agent).lease_until == jumped + ledger.settings.lease_s)
        while ledger.clock() <= jumped + ledger.settings.lease_s:
            ledger.clock.now += STEP_S
            before = rounds[0]
            await until(lambda before=before: rounds[0] > before + 1)
        await until(lambda: lease(ledger, agent).unreachable_since is not None)
        assert lease(ledger, agent).unreachable_since == jumped
        assert ledger.attempt(job).state != "ENDED", key

    play(ledger, scene)
    assert "returned" not in ledger.kinds(job)


def test_a_jump_within_a_round_is_left_to_the_next(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ledger.attach()
    job = ledger.submit(1)
    agent.take(1)
    read, jumps = ledger.store.read, [HOUR_S]

    async def jump_after(run: Any) -> Any:
        await read(run)
        if jumps:
            ledger.clock.now += jumps.pop()
        return True

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        monkeypatch.setattr(ledger.store, "read", jump_after)
        await until(lambda: not jumps and lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        assert lease(ledger, agent).unreachable_since is None

    play(ledger, scene)
    assert "returned" not in ledger.kinds(job)


def test_a_clock_that_is_set_twice_between_two_rounds_gives_nobody_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease that was written meanwhile ended an hour ago by the clock of the next round."""
    agent = ledger.attach()
    job = ledger.submit(1)
    agent.take(1)
    watched = WatchedClock(ledger.clock, lambda: 0.0)
    monkeypatch.setattr(ledger.store, "watched", watched)
    monkeypatch.setattr(ledger.store, "clock", watched)
    lease_s = ledger.settings.lease_s

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + lease_s)
        ledger.clock.now -= HOUR_S
        ledger.store.write_now(lambda tx: resources.renew_lease(tx, agent.resource_id, lease_s=lease_s))
        ledger.clock.now += HOUR_S
        assert lease(ledger, agent).lease_until < ledger.clock()
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + lease_s)
        assert lease(ledger, agent).unreachable_since is None

    play(ledger, scene)
    assert "returned" not in ledger.kinds(job)


def test_a_clock_that_is_set_back_while_nothing_can_be_written(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ledger.attach()
    failed = ledger.submit(1)
    (key,) = agent.take(1)
    agent.final(key, "stage_in")
    watched = WatchedClock(ledger.clock, lambda: 0.0)
    monkeypatch.setattr(ledger.store, "watched", watched)
    monkeypatch.setattr(ledger.store, "clock", watched)
    write, refused = ledger.store.write, [0]

    async def full(run: Any) -> Any:
        refused[0] += 1
        raise OSError("no room")

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        monkeypatch.setattr(ledger.store, "write", full)
        ledger.clock.now -= HOUR_S
        await until(lambda: refused[0] > 3)
        monkeypatch.setattr(ledger.store, "write", write)
        await until(lambda: ledger.task(failed).not_before <= ledger.clock() + ledger.settings.retry_max_s)

    play(ledger, scene)


def test_what_a_watched_clock_has_seen() -> None:
    wall, steady = [1000.0], [5.0]
    clock = WatchedClock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = 1060.0, 65.0
    assert (clock(), clock.swing_s) == (1060.0, 0.0)
    wall[0] += 30
    assert (clock(), clock.swing_s) == (1090.0, 30.0)
    wall[0] -= 40
    assert (clock(), clock.swing_s) == (1050.0, 40.0)
    clock.settle()
    assert (clock(), clock.swing_s) == (1050.0, 0.0)


def test_a_thread_that_was_held_up_while_it_read_the_clock_has_seen_no_jump() -> None:
    readings = iter(
        [5.0, 6.0, 9.0, 20.0]
    )  # of the steady clock: as it is made, before and after the wall's, and once more
    clock = WatchedClock(lambda: 1000.0, lambda: next(readings))
    assert (clock(), clock.swing_s) == (1000.0, 0.0)


def test_time_without_a_database_does_not_count(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it is away, no agent can renew its lease."""
    agent = ledger.attach()
    read, away = ledger.store.read, [0]

    async def gone(run: Any) -> Any:
        away[0] += 1
        raise Problem("unavailable", "The database is away.")

    async def scene() -> None:
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        monkeypatch.setattr(ledger.store, "read", gone)
        for _ in range(20):
            before = away[0]
            ledger.clock.now += STEP_S
            await until(lambda before=before: away[0] > before)
        monkeypatch.setattr(ledger.store, "read", read)
        await until(lambda: lease(ledger, agent).lease_until == ledger.clock() + ledger.settings.lease_s)
        assert lease(ledger, agent).unreachable_since is None

    play(ledger, scene)


@pytest.mark.postgres
def test_a_connection_that_is_broken_off_is_told_from_a_fault(ledger: Ledger) -> None:
    def kill(conn: sa.Connection) -> None:
        conn.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    if ledger.store.sqlite:
        with pytest.raises(sa.exc.OperationalError) as fault:
            ledger.run(ledger.store.read(lambda conn: conn.execute(sa.text("SELECT nothing"))))
        assert not is_away(fault.value)
        return
    with pytest.raises(Problem, match="cannot reach its database") as told:
        ledger.run(ledger.store.read(kill))
    assert (told.value.code, told.value.status) == ("unavailable", 503)
    with pytest.raises(Problem, match="cannot reach its database"):
        ledger.write(lambda tx: kill(tx.conn))
    with pytest.raises(sa.exc.ProgrammingError):
        ledger.run(ledger.store.read(lambda conn: conn.execute(sa.text("SELECT nothing"))))
    assert ledger.submit(1), "the next connection is a good one"
