"""The ledger through its services, on both databases: offers, leases, lost agents, replacements, cancelling."""

import pytest
from tests.store.ledger import Agent, Ledger, check

from sirdar.store import job_views
from sirdar.store import jobs as job_store
from sirdar.store import tables as t


def test_a_task_goes_from_submission_to_its_end(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    agent.phase(key)
    agent.final(key)
    check(ledger)
    assert (ledger.job(job).state, ledger.task(job).state, ledger.attempt(job).state) == ("DONE", "DONE", "ENDED")
    assert ledger.kinds(job) == ["submitted", "offered", "running", "state", "ended", "state"]


def silence(ledger: Ledger, *alive: Agent) -> None:
    """Time in which only the living call: the others' leases run out, and they are lost."""
    for _ in range(9):
        ledger.clock.now += 20.0
        for agent in alive:
            agent.heartbeat()
        ledger.expire()


def lost_and_offered_again(ledger: Ledger, job: str, first: Agent, second: Agent) -> tuple[str, str]:
    """Keys of an attempt that was lost after its program had started, and of its replacement, which is offered."""
    (old,) = first.take()
    first.phase(old)
    silence(ledger, second)
    (new,) = second.claim()
    return old, new


# ---------------------------------------------------------------- lost agents and replacements


def test_an_agent_that_is_back_before_the_replacement_is_accepted_goes_on(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    old, new = lost_and_offered_again(ledger, job, first, second)
    assert first.heartbeat() == {old: "run"}
    check(ledger)
    assert second.accept([new]) == [], "the replacement is withdrawn"
    assert (ledger.task(job).state, ledger.task(job).attempt) == ("RUNNING", 1)
    assert ledger.task(job).resource_id == first.resource_id
    first.final(old)
    check(ledger)
    assert ledger.job(job).state == "DONE"


def test_an_agent_that_is_back_after_that_is_told_to_forget(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    old, new = lost_and_offered_again(ledger, job, first, second)
    assert second.accept([new]) == [new]
    assert first.heartbeat() == {old: "forget"}
    first.final(old, "exit_code")
    check(ledger)
    assert ledger.task(job).state == "READY"
    assert ledger.task(job).started_at is None, "the new attempt's program has not started"
    second.final(new)
    assert (ledger.job(job).state, ledger.task(job).attempt) == ("DONE", 2)


def test_an_end_that_arrives_while_the_replacement_is_offered_counts(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    old, new = lost_and_offered_again(ledger, job, first, second)
    first.final(old)
    check(ledger)
    assert (ledger.job(job).state, ledger.task(job).resource_id) == ("DONE", first.resource_id)
    assert second.accept([new]) == []
    assert ledger.attempt(job, attempt=2).reason == "superseded"


def test_a_replacement_nobody_accepted_leaves_no_trace_when_the_agent_is_lost_again(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    lost_and_offered_again(ledger, job, first, second)
    ledger.clock.now += ledger.settings.accept_s + 1
    ledger.expire()  # the offer to the second
    first.heartbeat()
    check(ledger)
    silence(ledger, second)
    check(ledger)
    (again,) = second.take()
    second.final(again)
    assert (ledger.job(job).state, ledger.task(job).attempt) == ("DONE", 3)


def test_a_fault_of_an_agent_that_came_back_is_tried_again(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    old, _ = lost_and_offered_again(ledger, job, first, second)
    ledger.clock.now += ledger.settings.accept_s + 1
    ledger.expire()
    first.heartbeat()
    first.final(old, "porter_lost")
    check(ledger)
    ledger.clock.now += 10
    (again,) = second.take()
    second.final(again)
    assert ledger.job(job).state == "DONE"


def test_a_phase_that_a_silent_agent_reports_shows_that_it_lives(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    (key,) = first.take()
    silence(ledger, second)
    assert ledger.job(job).waiting == 1
    first.phase(key)
    check(ledger)
    ledger.expire()
    check(ledger)
    assert (ledger.job(job).leased, ledger.task(job).state) == (1, "RUNNING"), "the call renewed the lease"
    silence(ledger, second)
    check(ledger)
    assert second.take(), "lost again, replaced again"


def test_without_retries_a_lost_task_fails_and_is_not_run_again(ledger: Ledger) -> None:
    job = ledger.submit(retries=0)
    first, second = ledger.attach(), ledger.attach()
    (key,) = first.take()
    silence(ledger, second)
    check(ledger)
    assert (ledger.job(job).state, ledger.job(job).reason) == ("FAILED", "agent_lost")
    assert second.claim() == []
    assert first.heartbeat() == {key: "forget"}


def test_each_replacement_counts_as_a_retry(ledger: Ledger) -> None:
    job = ledger.submit(retries=1)
    first, second, third = ledger.attach(), ledger.attach(), ledger.attach()
    first.take()
    silence(ledger, second, third)
    assert second.take()
    assert ledger.task(job).faults == 1
    silence(ledger, third)
    check(ledger)
    assert ledger.job(job).reason == "agent_lost"


def test_a_restarted_server_gives_silent_agents_a_lease_before_it_gives_them_up(ledger: Ledger) -> None:
    job = ledger.submit(retries=0)
    agent = ledger.attach()
    (key,) = agent.take()
    ledger.clock.now += 70.0
    ledger.expire()
    assert ledger.rows(t.resources)[0].unreachable_since is not None
    ledger.clock.now += 3600.0  # the server is down; the agent runs on
    ledger.restart()
    ledger.expire()
    assert ledger.job(job).state != "FAILED"
    agent.final(key)
    assert ledger.job(job).state == "DONE"


# ---------------------------------------------------------------- cancelling, stopping


def test_what_came_back_in_the_same_call_as_the_failure_that_stops_the_job_is_withdrawn(ledger: Ledger) -> None:
    job = ledger.submit(3, on_failure="stop", retries=2)
    agent = ledger.attach()
    one, two, three = agent.take(3)
    agent.phase(three)
    finals = [agent.make_final(one, "start"), agent.make_final(two, "exit_code")]
    agent.sync(finals=finals)
    check(ledger)
    assert [ledger.task(job, no).state for no in range(3)] == ["CANCELLED", "FAILED", "RUNNING"]
    agent.final(three, "cancelled")
    check(ledger)
    assert (ledger.job(job).state, ledger.job(job).reason) == ("FAILED", "tasks_failed")


def test_an_agent_that_is_back_in_the_call_that_stops_the_job_is_told_to_end_its_task(ledger: Ledger) -> None:
    job = ledger.submit(2, on_failure="stop")
    first, second = ledger.attach(), ledger.attach()
    one, two = first.take(2)
    silence(ledger, second)
    first.sync(started=[{"key": one, "state": "RUNNING", "at": 1.0}], finals=[first.make_final(two, "exit_code")])
    check(ledger)
    assert first.cancels == {one}
    first.final(one, "cancelled")
    assert ledger.job(job).state == "FAILED"


def test_a_job_that_somebody_called_off_is_cancelled_whatever_had_failed_by_then(ledger: Ledger) -> None:
    job = ledger.submit(5)
    agent = ledger.attach()
    one, two, three = agent.take(3)
    for key in (one, two, three):
        agent.phase(key)
    agent.final(one, "exit_code")
    agent.final(two)
    ledger.cancel(job)
    assert ledger.job(job).state == "RUNNING", "its program has not ended yet"
    agent.final(three, "cancelled")
    check(ledger)
    ended = ledger.job(job)
    assert (ended.state, ended.reason) == ("CANCELLED", "cancelled")
    assert ended.message == "Cancelled by anna: 1 of 5 tasks done, 1 failed, 3 cancelled"
    assert [ledger.task(job, no).state for no in range(3)] == ["FAILED", "DONE", "CANCELLED"]


def test_a_wish_that_comes_after_the_job_stopped_itself_does_not_make_it_cancelled(ledger: Ledger) -> None:
    job = ledger.submit(3, on_failure="stop")
    agent = ledger.attach()
    one, two = agent.take(2)
    agent.phase(two)
    agent.final(one, "exit_code")
    ledger.cancel(job)
    agent.final(two, "cancelled")
    check(ledger)
    assert (ledger.job(job).state, ledger.job(job).reason) == ("FAILED", "tasks_failed")


def test_a_fault_of_the_platform_while_it_is_cancelled_is_a_cancellation(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    ledger.cancel(job)
    agent.final(key, "porter_lost")
    check(ledger)
    assert (ledger.job(job).state, ledger.job(job).reason) == ("CANCELLED", "cancelled")


# ---------------------------------------------------------------- what is kept of a try


def test_times_of_earlier_phases_stay(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    ledger.clock.now += 1
    ready_at = ledger.job(job).ready_at
    (key,) = first.take()
    first.phase(key)
    assert ledger.task(job).ready_at == ready_at
    began = ledger.clock.now
    silence(ledger, second)
    second.take()
    attempt = ledger.attempt(job)
    assert (attempt.reason, attempt.accepted_at, attempt.started_at) == ("agent_lost", began, began)


def test_an_end_that_comes_too_late_goes_into_the_story(ledger: Ledger) -> None:
    job = ledger.submit()
    first, second = ledger.attach(), ledger.attach()
    old, new = lost_and_offered_again(ledger, job, first, second)
    second.accept([new])
    for _ in range(2):
        reply = first.final(old, "exit_code")
        assert reply["acked"] == [old]
    check(ledger)
    assert ledger.kinds(job).count("superseded") == 1, "told once, however often it is sent"
    assert ledger.attempt(job).reason == "superseded"
    assert ledger.attempt(job).message.endswith("It ended: exit_code")
    second.final(new)
    assert ledger.job(job).state == "DONE"


@pytest.mark.parametrize("staging", [False, True])
def test_who_speaks_runs_though_its_start_was_not_told_yet(ledger: Ledger, staging: bool) -> None:
    alone, many = ledger.submit(), ledger.submit(2)
    agent = ledger.attach()
    keys = agent.take(2)
    assert {key.rsplit("-", 2)[0] for key in keys} == {alone, many}
    for key in keys:
        job = key.rsplit("-", 2)[0]
        if staging:
            agent.phase(key, "STAGING_IN")
        at = ledger.clock.now = ledger.clock.now + 10
        agent.sync(messages=[{"key": key, "seq": 1, "at": at, "text": "half", "progress": 0.5}])
        check(ledger)
        assert ledger.task(job).status_message == "half"
        assert ledger.task(job).state == ledger.job(job).state == ledger.attempt(job).state == "RUNNING"
        assert ledger.task(job).started_at == ledger.attempt(job).started_at == ledger.job(job).started_at == at
        agent.sync(started=[{"key": key, "state": "RUNNING", "at": at - 4}])
        assert ledger.kinds(job).count("running") == 1, "told once"
    assert ledger.job(alone).status_message == "half"
    for key in keys:
        agent.final(key)
    late = next(key for key in keys if key.startswith(alone))
    agent.sync(messages=[{"key": late, "seq": 2, "at": ledger.clock.now, "text": "late"}])
    assert (ledger.job(alone).state, ledger.job(alone).status_message) == ("DONE", "half")
    check(ledger)


def test_a_job_of_some_tasks_of_another_knows_their_numbers_there(ledger: Ledger) -> None:
    first = ledger.submit(2000)
    again = list(range(1, 1400, 2))
    second = ledger.submit(len(again), again_of=first, again_tasks=again)
    asked = [0, 255, 256, 257, 699]
    found = ledger.read(lambda conn: job_store.load_again(conn, second, asked))
    assert found == {number: again[number] for number in asked}
    assert ledger.read(lambda conn: job_store.load_again(conn, first, asked)) == {}
    for visible, seen in (
        (("id-anna", frozenset[str]()), [second]),
        (("id-bob", frozenset[str]()), []),
        (None, [second]),
    ):
        assert ledger.read(lambda conn, who=visible: job_views.repeating(conn, first, who, 10)) == seen  # type: ignore[misc]


def test_words_of_an_offer_that_nobody_accepted_say_nothing(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.claim()
    agent.sync(messages=[{"key": key, "seq": 1, "at": 1.0, "text": "half"}])
    assert (ledger.job(job).state, ledger.job(job).status_message) == ("READY", None)
    check(ledger)


def test_characters_that_a_database_does_not_take_do_not_stop_the_outbox(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    agent.sync(messages=[{"key": key, "seq": 1, "at": 1.0, "text": "half\0done"}])
    agent.final(key, "exit_code", message="It said \0", text="last\0words")
    assert (ledger.job(job).state, ledger.job(job).message) == ("FAILED", "It said \ufffd")
    assert ledger.task(job).status_message == "last\ufffdwords"
    agent.sync(finals=[agent.make_final("job\0-0-0"), agent.make_final("j-99999999999999999999-0")])


def test_a_retry_is_not_due_before_its_time_even_if_the_task_was_lost(ledger: Ledger) -> None:
    job = ledger.submit(retries=2)
    agent = ledger.attach()
    (key,) = agent.take()
    agent.final(key, "start")
    assert ledger.task(job).not_before == ledger.clock.now + ledger.settings.retry_base_s
    assert agent.claim() == []
