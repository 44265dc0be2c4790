"""Jobs that are open for more tasks, in the ledger: what is added, how they end, and who closes them."""

import json
from typing import Any

import pytest
from tests.store.ledger import CRITERION, Ledger, check

from sirdar.domain.problems import Problem
from sirdar.services.job_inputs import Prepared
from sirdar.services.open_jobs import add_now
from sirdar.store import jobs as job_store
from sirdar.store import tables as t

OPEN_S = 60.0


def opened(ledger: Ledger, n: int = 2, **values: Any) -> str:
    return ledger.submit(n, open_s=OPEN_S, **values)


def done(ledger: Ledger, agent: Any, n: int) -> None:
    """The agent takes so many tasks and does them."""
    while n:
        keys = agent.take(min(n, 4))
        assert keys
        agent.sync(finals=[agent.make_final(key) for key in keys])
        n -= len(keys)
    check(ledger)


def test_it_ends_with_the_last_of_its_tasks_and_not_before_they_were_told(ledger: Ledger) -> None:
    job, agent = opened(ledger), ledger.attach()
    done(ledger, agent, 2)
    row = ledger.job(job)
    assert (row.state, row.ended_at, row.done, row.open_until) == ("READY", None, 2, ledger.clock() + OPEN_S)
    assert ledger.explain(job).summary == (
        "All 2 task(s) that it has so far have ended. It waits for more from the client that submitted it;"
        " if none come within 1 min, the server closes it."
    )
    ledger.clock.now += 59.0
    ledger.add(job, 3)
    ledger.clock.now += 59.0
    ledger.expire()
    agent.heartbeat()
    done(ledger, agent, 2)
    ledger.add(job, 1, last=True)
    assert ledger.job(job).ended_at is None
    done(ledger, agent, 2)
    row = ledger.job(job)
    assert (row.state, row.message, row.open_until) == ("DONE", "6 of 6 tasks done", None)
    added = [json.loads(event.data_json) for event in ledger.rows(t.events, job_id=job) if event.kind == "added"]
    assert added == [{"first": 2, "count": 3, "last": False}, {"first": 5, "count": 1, "last": True}]


def test_it_ends_at_once_where_the_last_word_comes_after_the_last_end(ledger: Ledger) -> None:
    job, agent = opened(ledger), ledger.attach()
    agent.final(agent.take(1)[0], "exit_code")
    done(ledger, agent, 1)
    ledger.add(job, last=True)
    row = ledger.job(job)
    assert (row.state, row.reason) == ("FAILED", "tasks_failed")
    assert row.message == "1 of 2 tasks failed; task 0: It ended: exit_code"
    check(ledger)


def test_input_sets_stand_in_order_however_they_came(ledger: Ledger) -> None:
    job = opened(ledger, 1)
    for n in (254, 1, 1, 600, 0, 168, 2):
        ledger.add(job, n)
    items = ledger.read(lambda conn: job_store.load_items(conn, job, range(1027)))
    assert items == {no: {"i": no} for no in range(1027)}
    assert [row.first for row in ledger.rows(t.job_items, job_id=job)] == [0, 256, 512, 768, 1024]
    check(ledger)


def test_nobody_adds_and_the_server_closes_it(ledger: Ledger) -> None:
    idle, busy = opened(ledger), opened(ledger)
    agent = ledger.attach()
    done(ledger, agent, 2)
    (key, *_) = agent.take(2)
    ledger.clock.now += OPEN_S + 1
    agent.heartbeat()
    ledger.expire()
    row = ledger.job(idle)
    why = "no more tasks came within 1 min after the first 2"
    assert (row.state, row.message) == ("DONE", f"2 of 2 tasks done; {why}")
    assert ledger.explain(idle).summary == row.message
    row = ledger.job(busy)
    assert (row.state, row.open_until, row.cut_short) == ("READY", None, why)
    with pytest.raises(Problem, match=f"takes no more tasks: {why}") as refused:
        ledger.add(busy, 1)
    assert refused.value.code == "conflict"
    for key in list(agent.owned):
        agent.final(key)
    assert ledger.job(busy).message == f"2 of 2 tasks done; {why}"
    check(ledger)


def test_called_off_while_more_were_to_come_it_is_cancelled(ledger: Ledger) -> None:
    idle, busy = opened(ledger, 1), opened(ledger)
    agent = ledger.attach()
    done(ledger, agent, 1)
    ledger.cancel(idle)
    row = ledger.job(idle)
    assert (row.state, row.reason) == ("CANCELLED", "cancelled")
    assert row.message == "Cancelled by anna: 1 of 1 tasks done, 0 cancelled; it was open for more tasks"
    with pytest.raises(Problem, match=r"it is CANCELLED \(Cancelled by anna"):
        ledger.add(idle, 1)
    (key, other) = agent.take(2)
    ledger.cancel(busy)
    with pytest.raises(Problem, match="it is being cancelled for anna"):
        ledger.add(busy, 1)
    agent.sync(finals=[agent.make_final(key), agent.make_final(other)])  # quicker than the wish; but not all of them
    assert ledger.job(busy).state == "CANCELLED"
    check(ledger)


def test_what_was_sought_ends_it_and_so_does_a_failure_where_that_was_asked(ledger: Ledger) -> None:
    agent = ledger.attach()
    sought, strict = opened(ledger, 1, criterion_json=CRITERION), opened(ledger, 1, on_failure="stop")
    (found,) = agent.take(1)
    agent.final(found, outputs={"loss": 0.125})
    row = ledger.job(sought)
    assert (row.state, row.met_task) == ("DONE", 0)
    (bad,) = agent.take(1)
    agent.final(bad, "exit_code")
    row = ledger.job(strict)
    assert (row.state, row.message) == ("FAILED", "It ended: exit_code")
    for job in (sought, strict):
        with pytest.raises(Problem, match="takes no more tasks: it is"):
            ledger.add(job, 1)
    check(ledger)


def test_another_number_than_the_next_is_refused(ledger: Ledger) -> None:
    job = opened(ledger)
    for first in (1, 3):
        with pytest.raises(Problem, match=f"the next one is number 2, not {first}") as refused:
            ledger.write(
                lambda tx, first=first: add_now(
                    tx, ledger.settings, job, Prepared({}, [{"i": 0}]), first=first, last=False
                )
            )
        assert (refused.value.code, refused.value.field, refused.value.expected) == ("conflict", "first", "2")
    assert ledger.job(job).total == 2


def test_a_server_that_dies_between_two_portions_loses_and_doubles_nothing(ledger: Ledger) -> None:
    job, agent = opened(ledger), ledger.attach()
    done(ledger, agent, 2)
    ledger.restart()
    ledger.add(job, 2)
    done(ledger, agent, 2)
    ledger.restart()
    ledger.add(job, last=True)
    row = ledger.job(job)
    assert (row.state, row.total, row.done) == ("DONE", 4, 4)


@pytest.mark.postgres
def test_portions_come_to_one_server_and_run_by_another(ledger: Ledger) -> None:
    if ledger.store.sqlite:
        pytest.skip("one server at a time")
    job, other = opened(ledger), ledger.beside()
    agent = ledger.attach()
    done(ledger, agent, 2)
    other.add(job, 2)
    done(ledger, agent, 2)
    other.add(job, 1, last=True)
    done(ledger, agent, 1)
    assert other.job(job).state == "DONE"
    other.close()
