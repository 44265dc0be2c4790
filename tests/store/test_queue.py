"""The queue: what a claim is given, in which order, on both databases; held claims; servers that claim at the same time."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.ledger import CPUS, MEMORY, Agent, Ledger, check

from sirdar.dispatch.assign import ClaimReply, ParkedClaim
from sirdar.domain.placement import Place
from sirdar.domain.problems import Problem
from sirdar.store.engine import Tx
from sirdar.wire.agent import Claim, SyncRequest


def job_of(key: str) -> str:
    return key.split("-", maxsplit=1)[0]


def test_priority_then_age(ledger: Ledger) -> None:
    low, old, young, high = (ledger.submit(priority=priority) for priority in (-1, 0, 0, 5))
    agent = ledger.attach()
    assert [job_of(key) for _ in range(4) for key in agent.take()] == [high, old, young, low]


def test_owners_take_turns_however_small_the_claims_are(ledger: Ledger) -> None:
    ledger.submit(100)
    other = ledger.submit(owner="boris")
    agent = ledger.attach()
    taken = [job_of(key) for _ in range(2) for key in agent.take()]
    assert other in taken


def test_a_users_many_jobs_do_not_hide_anothers_one(ledger: Ledger) -> None:
    for _ in range(80):
        ledger.submit()
    other = ledger.submit(owner="boris")
    agent = ledger.attach()
    taken = [job_of(key) for _ in range(2) for key in agent.take()]
    assert other in taken


def test_a_task_that_waits_for_its_retry_does_not_hold_up_others(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    agent.final(key, "start")
    other = ledger.submit()
    (key,) = agent.take()
    assert job_of(key) == other
    assert agent.claim() == []
    ledger.clock.now += 10.0
    (key,) = agent.take()
    assert job_of(key) == job


def test_tasks_that_came_back_go_first(ledger: Ledger) -> None:
    ledger.submit(10)
    agent = ledger.attach()
    one, two = agent.take(2)
    agent.final(one, "start")
    agent.final(two, "start")
    ledger.clock.now += 10.0
    assert [key.split("-", 1)[1] for key in agent.take(3)] == ["2-0", "0-1", "1-1"]
    check(ledger)


def test_an_answer_that_was_lost_is_given_again(ledger: Ledger) -> None:
    ledger.submit(4)
    agent = ledger.attach()
    lost = agent.claim(2, lost=True)
    assert agent.claim(1) == lost
    assert agent.claim(4) != lost


def test_a_claim_is_for_one_life_of_the_agent(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    agent.claim()
    agent.hello(new=True)
    assert ledger.attempt(job).reason == "offer_expired"
    assert agent.take() == [f"{job}-0-1"]


# ---------------------------------------------------------------- held claims


def held(ledger: Ledger, *agents: Agent, room: int = 4) -> "list[asyncio.Task[dict[str, Any]]]":
    """Calls that wait for work; returns when they are parked."""

    async def park() -> "list[asyncio.Task[dict[str, Any]]]":
        calls = []
        for agent in agents:
            request = SyncRequest(session=agent.session, claim=Claim(max_n=room, wait_s=20))
            calls.append(asyncio.create_task(ledger.desk.sync(agent.resource_id, request)))
        async with asyncio.timeout(10):
            while ledger.assigner.parked < len(agents):  # noqa: ASYNC110  (nobody rings for a claim that is parked)
                await asyncio.sleep(0.001)
        return calls

    return ledger.run(park())  # type: ignore[no-any-return]


def answers(ledger: Ledger, calls: "list[asyncio.Task[dict[str, Any]]]") -> list[list[str]]:
    async def gather() -> list[dict[str, Any]]:
        return await asyncio.wait_for(asyncio.gather(*calls), 10)

    return [[offer["key"] for offer in reply.get("offers", [])] for reply in ledger.run(gather())]


def test_a_submission_answers_a_held_claim(ledger: Ledger) -> None:
    agent = ledger.attach()
    calls = held(ledger, agent)
    job = ledger.submit()
    assert answers(ledger, calls) == [[f"{job}-0-0"]]
    assert ledger.job(job).leased == 1


def test_tasks_that_came_back_are_given_to_several_held_claims_once_each(ledger: Ledger) -> None:
    ledger.submit(4)
    worker = ledger.attach()
    for key in worker.take(4):
        worker.final(key, "start")
    agents = [ledger.attach(), ledger.attach()]
    ledger.clock.now += 10.0
    calls = [call for agent in agents for call in held_quietly(ledger, agent, room=2)]
    ledger.write(_hint)
    got = answers(ledger, calls)
    assert sorted(key for keys in got for key in keys) == [f"{job_of(got[0][0])}-{no}-1" for no in range(4)]
    check(ledger)


def held_quietly(ledger: Ledger, agent: Agent, room: int) -> "list[asyncio.Task[dict[str, Any]]]":
    """A held claim that was parked when nothing was due."""

    async def park() -> "list[asyncio.Task[dict[str, Any]]]":
        future: asyncio.Future[ClaimReply] = asyncio.get_running_loop().create_future()
        place = Place(agent.resource_id, "m", CPUS, MEMORY, room=room)  # type: ignore[arg-type]
        claim = ParkedClaim(agent.resource_id, agent.session, room, place, future)
        ledger.assigner.park(claim)

        async def reply() -> dict[str, Any]:
            return {"offers": (await future).offers.offers}

        return [asyncio.create_task(reply())]

    return ledger.run(park())  # type: ignore[no-any-return]


def _hint(tx: Tx) -> None:
    tx.hints.queue = True


def test_a_wish_to_cancel_answers_a_held_claim(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    calls = held(ledger, agent)
    ledger.cancel(job)

    async def gather() -> dict[str, Any]:
        return await asyncio.wait_for(calls[0], 10)

    assert ledger.run(gather())["desired"] == {key: "cancel"}


def test_a_second_call_of_an_agent_answers_the_first(ledger: Ledger) -> None:
    agent = ledger.attach()
    (first,) = held(ledger, agent)
    (second,) = held(ledger, agent)
    assert answers(ledger, [first]) == [[]]
    job = ledger.submit()
    assert answers(ledger, [second]) == [[f"{job}-0-0"]]


def test_a_call_of_an_earlier_life_gets_nothing(ledger: Ledger) -> None:
    """Its connection may not be known to be gone yet; what it is answered with would be lost until the offer expires."""
    agent = ledger.attach()
    (dead,) = held(ledger, agent)
    agent.hello(new=True)
    job = ledger.submit()
    assert answers(ledger, [dead]) == [[]]
    assert agent.take() == [f"{job}-0-0"]


def test_a_late_call_of_an_earlier_life_is_refused_and_not_held(ledger: Ledger) -> None:
    """In a burst the hello may overtake it."""
    agent = ledger.attach()
    old = agent.session
    agent.hello(new=True)
    request = SyncRequest(session=old, claim=Claim(max_n=4, wait_s=5))
    known = ledger.desk._known[agent.resource_id]

    async def late() -> Any:
        future: asyncio.Future[ClaimReply] = asyncio.get_running_loop().create_future()
        return await ledger.store.write(lambda tx: ledger.desk._serve(tx, known, request, {}, future))

    with pytest.raises(Problem, match="Another session"):
        ledger.run(late())
    assert ledger.assigner.parked == 0


def test_offers_whose_call_ended_this_very_moment_go_out_with_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ledger.attach()
    (call,) = held(ledger, agent)
    assign = ledger.assigner.assign

    def slowly(*args: Any, **more: Any) -> Any:
        leased = assign(*args, **more)
        assert ledger.assigner.unpark(ledger.assigner._parked[agent.resource_id])
        return leased

    monkeypatch.setattr(ledger.assigner, "assign", slowly)
    job = ledger.submit()
    monkeypatch.undo()
    ledger.run(_stop(call))
    assert answers(ledger, held_or_answered(ledger, agent)) == [[f"{job}-0-0"]]


async def _stop(call: "asyncio.Task[dict[str, Any]]") -> None:
    call.cancel()
    await asyncio.wait([call])


def held_or_answered(ledger: Ledger, agent: Agent) -> "list[asyncio.Task[dict[str, Any]]]":
    async def ask() -> "list[asyncio.Task[dict[str, Any]]]":
        request = SyncRequest(session=agent.session, claim=Claim(max_n=4, wait_s=5))
        return [asyncio.create_task(ledger.desk.sync(agent.resource_id, request))]

    return ledger.run(ask())  # type: ignore[no-any-return]


def test_a_transaction_that_fails_leaves_the_claims_held(ledger: Ledger) -> None:
    agent = ledger.attach()
    calls = held(ledger, agent)
    fail_next_commit(ledger)
    with pytest.raises(Exception, match="the disk is gone"):
        ledger.submit()
    assert ledger.assigner.parked == 1
    job = ledger.submit()
    assert answers(ledger, calls) == [[f"{job}-0-0"]]


def fail_next_commit(ledger: Ledger) -> None:
    def on_commit(conn: Any) -> None:
        sa.event.remove(ledger.store.write_engine, "commit", on_commit)
        raise RuntimeError("the disk is gone")

    sa.event.listen(ledger.store.write_engine, "commit", on_commit)
