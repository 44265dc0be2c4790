"""What a task's time was spent on, as the ledger knows it while it goes on and afterwards; on both databases."""

from typing import Any

from tests.store.ledger import START, Ledger, caller

from sirdar.services.jobs import show_now
from sirdar.services.timelines import timeline_now


def spans(ledger: Ledger, job: str) -> list[tuple[str, float, float | None, int | None]]:
    """Kind, begin and end in seconds since the test's start, attempt."""

    def read(conn: Any) -> Any:
        shown = show_now(conn, caller("anna"), job)
        assert shown.task is not None
        return timeline_now(conn, shown.job, shown.task)

    found = ledger.read(read)
    return [
        (str(span.kind), span.begin_at - START, span.end_at and span.end_at - START, span.attempt) for span in found
    ]


def test_phase_by_phase(ledger: Ledger) -> None:
    agent, job = ledger.attach(), ledger.submit()
    ledger.clock.now += 10
    assert spans(ledger, job) == [("waiting", 0, None, None)]
    (key,) = agent.take()
    ledger.clock.now += 1
    begun = [("waiting", 0, 10, None)]
    assert spans(ledger, job) == [*begun, ("queued", 10, None, 1)]
    agent.phase(key, "STAGING_IN")
    begun.append(("queued", 10, 11, 1))
    assert spans(ledger, job) == [*begun, ("staging_in", 11, None, 1)]
    ledger.clock.now += 9
    start = {"key": key, "state": "RUNNING", "at": START + 20, "staging_at": START + 11, "staged_in_s": 5}
    agent.sync(started=[start])
    begun += [("staging_in", 11, 16, 1), ("queued", 16, 20, 1)]
    assert spans(ledger, job) == [*begun, ("running", 20, None, 1)]
    agent.sync(started=[{"key": key, "state": "STAGING_OUT", "at": START + 30}])
    assert spans(ledger, job) == [*begun, ("running", 20, 30, 1), ("staging_out", 30, None, 1)]
    ledger.clock.now = START + 34
    agent.final(key, started_at=START + 20, ended_at=START + 30, reported_at=START + 33)
    assert spans(ledger, job) == [*begun, ("running", 20, 30, 1), ("staging_out", 30, 33, 1)]


def test_the_final_says_it_all(ledger: Ledger) -> None:
    agent, job = ledger.attach(), ledger.submit()
    (key,) = agent.take()
    times = {"accepted_at": START, "staging_at": START + 1, "started_at": START + 3, "reported_at": START + 9}
    agent.final(key, **times, ended_at=START + 8, stats={"staged_in_s": 1.5})
    assert spans(ledger, job) == [
        ("queued", 0, 1, 1),
        ("staging_in", 1, 2.5, 1),
        ("queued", 2.5, 3, 1),
        ("running", 3, 8, 1),
        ("staging_out", 8, 9, 1),
    ]


def test_an_agent_of_an_earlier_release_tells_less(ledger: Ledger) -> None:
    agent, job = ledger.attach(), ledger.submit()
    (key,) = agent.take()
    agent.phase(key)
    assert spans(ledger, job) == [("running", 0, None, 1)]


def test_a_second_attempt(ledger: Ledger) -> None:
    agent, job = ledger.attach(), ledger.submit()
    (key,) = agent.take()
    agent.phase(key)
    ledger.clock.now += 5
    agent.final(key, "preempted", started_at=START)
    ledger.clock.now += 60
    agent.take()
    assert spans(ledger, job) == [("running", 0, 5, 1), ("waiting", 5, 65, None), ("queued", 65, None, 2)]


def test_cancelled_before_it_was_given_out(ledger: Ledger) -> None:
    job = ledger.submit()
    ledger.clock.now += 7
    ledger.cancel(job)
    assert spans(ledger, job) == [("waiting", 0, 7, None)]
