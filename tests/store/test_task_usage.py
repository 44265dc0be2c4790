"""The curves of what programs use: told piece by piece, kept whole, shown to whoever sees the job; on both databases."""

from typing import Any

import pytest
from tests.store.ledger import Agent, Ledger, caller

from sirdar.domain.problems import Problem
from sirdar.services import task_usage
from sirdar.services.task_usage import UsageView
from sirdar.store import tables as t

FIRST, MORE = [(1.0, 1.0, 100), (2.0, 2.0, 300)], [(1.0, 1.0, 100), (2.0, 2.0, 300), (3.0, 2.5, 200)]
NEXT = [(4.0, 3.5, 400)]


def running(ledger: Ledger, **values: Any) -> tuple[Agent, str, str]:
    """An agent, and the job and the attempt that it runs."""
    agent, job = ledger.attach(), ledger.submit(**values)
    (key,) = agent.take()
    agent.phase(key)
    return agent, job, key


def tell(agent: Agent, key: str, rows: list[tuple[float, float, int]]) -> None:
    agent.sync(usage=[{"key": key, "rows": rows}])


def usage(ledger: Ledger, job: str, **which: Any) -> UsageView:
    return ledger.read(lambda conn: task_usage.show_now(conn, caller("anna"), job, 0, **which))


def curve(seen: UsageView) -> list[tuple[float, float, int]]:
    return [(point.at_s, point.cpus, point.memory_bytes) for point in seen.points]


def test_what_is_told_is_seen_while_the_program_runs(ledger: Ledger) -> None:
    agent, job, key = running(ledger, cpus=2, memory_bytes=1 << 30)
    assert (usage(ledger, job).points, usage(ledger, job).live) == ((), True)
    tell(agent, key, FIRST)
    assert curve(usage(ledger, job)) == [(1.0, 1.0, 100), (2.0, 1.0, 300)]
    tell(agent, key, MORE)
    tell(agent, key, NEXT)
    seen = usage(ledger, job)
    assert curve(seen) == [(1.0, 1.0, 100), (2.0, 1.0, 300), (3.0, 0.5, 200), (4.0, 1.0, 400)]
    assert (seen.attempt, seen.live, seen.cpu_s) == (1, True, 3.5)
    assert (seen.limit_cpus, seen.limit_memory_bytes) == (2, 1 << 30)
    assert (seen.peak_cpus, seen.peak_memory_bytes) == (1.0, 400)
    assert len(ledger.rows(t.task_usage, job_id=job)) == 2, "pieces are told again until they are full"


def test_another_server_shows_it_too(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(agent, key, FIRST)
    other = ledger.beside()
    try:
        assert len(usage(other, job).points) == 2
    finally:
        other.close()


def test_the_final_has_the_whole_curve(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(agent, key, FIRST)
    stats = {"curve": [*MORE, *NEXT], "cpu_user_s": 3.0, "cpu_system_s": 1.0, "max_rss_bytes": 500}
    agent.final(key, stats=stats)
    seen = usage(ledger, job)
    assert len(seen.points) == 4 and not seen.live
    assert (seen.cpu_s, seen.peak_memory_bytes) == (4.0, 500), "of what no sample saw, too"
    assert len(ledger.rows(t.task_usage)) == 1
    assert "curve" not in ledger.task(job).stats_json, "lists of tasks do not carry it"


def test_what_was_told_before_the_agents_restart_is_kept(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(agent, key, MORE)
    agent.hello(new=True)
    agent.final(key, stats={"curve": NEXT})
    assert [point.at_s for point in usage(ledger, job).points] == [1.0, 2.0, 3.0, 4.0]


def test_gauges_of_others_and_late_ones_count_for_nothing(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(ledger.attach(), key, FIRST)
    tell(agent, "nonsense", FIRST)
    tell(agent, key.replace(job, "job9999999999999"), FIRST)
    assert usage(ledger, job).points == ()
    agent.final(key)
    tell(agent, key, FIRST)
    assert usage(ledger, job).points == ()


def test_each_attempt_has_its_own(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(agent, key, FIRST)
    agent.final(key, "preempted", stats={"curve": FIRST})
    ledger.clock.now += 60
    (again,) = agent.take()
    agent.phase(again)
    seen = usage(ledger, job)
    assert (seen.attempt, seen.attempts, seen.points, seen.live) == (2, (1,), (), True)
    tell(agent, again, NEXT)
    assert [point.at_s for point in usage(ledger, job).points] == [4.0]
    earlier = usage(ledger, job, attempt=1)
    assert (len(earlier.points), earlier.live) == (2, False)
    agent.final(again)
    assert [point.at_s for point in usage(ledger, job).points] == [4.0], "it ended without a word of it"


@pytest.mark.parametrize(("no", "attempt"), [(1, None), (-1, None), (0, 1), (2**70, None)])
def test_what_there_is_not(ledger: Ledger, no: int, attempt: int | None) -> None:
    job = ledger.submit()
    with pytest.raises(Problem, match="has no"):
        ledger.read(lambda conn: task_usage.show_now(conn, caller("anna"), job, no, attempt=attempt))


def test_only_who_sees_the_job_sees_it(ledger: Ledger) -> None:
    _, job, _ = running(ledger)
    with pytest.raises(Problem, match="There is no job"):
        ledger.read(lambda conn: task_usage.show_now(conn, caller("boris"), job, 0))


def test_it_goes_with_the_job(ledger: Ledger) -> None:
    agent, job, key = running(ledger)
    tell(agent, key, FIRST)
    agent.final(key, stats={"curve": FIRST})
    assert ledger.delete(job)
    assert ledger.rows(t.task_usage) == []
