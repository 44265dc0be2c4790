"""What a resource runs, for whom it may be named, and how much of it is held; on both databases."""

import pytest
import sqlalchemy as sa
from tests.store.ledger import APP, CPUS, MEMORY, Ledger, caller

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import resource_tasks
from sirdar.services import resources as resource_service
from sirdar.services.resource_tasks import TasksThere, cursor_of
from sirdar.services.resources import Amount
from sirdar.store import tables as t
from sirdar.wire.agent import HeartbeatRequest, OwnedAttempt

ANNA, BORIS, ADMIN = caller("anna"), caller("boris"), caller("anna", admin=True)


def there(ledger: Ledger, who: Caller, after: str = "", limit: int = 40) -> TasksThere:
    return ledger.run(resource_tasks.list_tasks(ledger.services, who, "machine0", after=after, limit=limit))  # type: ignore[no-any-return]


def named(ledger: Ledger, who: Caller) -> tuple[list[tuple[str, str]], int]:
    found = there(ledger, who)
    assert found.seen == len(found.tasks)
    return [(task.job_id, task.state) for task in found.tasks], found.others


def test_tasks_are_named_to_whoever_sees_their_jobs(ledger: Ledger) -> None:
    agent = ledger.attach()
    mine, other = ledger.submit(), ledger.submit(owner="boris")
    first, second = agent.take(2)
    agent.phase(first)
    running, queued = first.rsplit("-", 2)[0], second.rsplit("-", 2)[0]
    both = [(running, "RUNNING"), (queued, "ACCEPTED")]
    assert {running, queued} == {mine, other}
    assert named(ledger, ANNA) == ([one for one in both if one[0] == mine], 1)
    assert named(ledger, BORIS) == ([one for one in both if one[0] == other], 1)
    found, others = named(ledger, ADMIN)
    assert (sorted(found), others) == (sorted(both), 0)
    ledger.write(lambda tx: tx.conn.execute(sa.insert(t.job_shares).values(job_id=mine, subject="user:boris")) and None)
    found, others = named(ledger, BORIS)
    assert (sorted(found), others) == (sorted(both), 0)


def test_a_narrow_token_names_the_jobs_of_its_applications_only(ledger: Ledger) -> None:
    agent = ledger.attach()
    ledger.submit()
    agent.take()
    narrow = Caller(ANNA.user_id, "anna", apps=frozenset({"another"}))
    assert named(ledger, narrow) == ([], 1)
    assert named(ledger, Caller(ANNA.user_id, "anna", apps=frozenset({APP})))[1] == 0


def test_what_was_only_offered_or_has_ended_is_not_there(ledger: Ledger) -> None:
    agent = ledger.attach()
    ledger.submit(n=3)
    done, *_ = agent.take(2)
    agent.final(done)
    agent.claim()
    (task,) = there(ledger, ANNA).tasks
    assert (task.many, task.owner, task.app, task.attempt) == (True, "anna", "anna/true", 1)


def test_page_by_page(ledger: Ledger) -> None:
    agent = ledger.attach()
    for _ in range(3):
        ledger.submit(n=2)
        agent.take(2)
        ledger.clock.now += 1.25
    whole = there(ledger, ANNA).tasks
    assert len(whole) == 6 and [task.offered_at for task in whole] == sorted(task.offered_at for task in whole)
    paged, after = [], ""
    while page := there(ledger, ANNA, after, 2).tasks:
        paged += page
        after = cursor_of(page[-1])
    assert paged == list(whole)


@pytest.mark.parametrize("after", ["nonsense", "1.0~", "nan~a-0-0", "~a-0-0", "1.0~a-0", "1.0~a-99999999999-0"])
def test_what_is_no_cursor(ledger: Ledger, after: str) -> None:
    ledger.attach()
    with pytest.raises(Problem, match="cursor"):
        there(ledger, ANNA, after)


def test_whoever_may_not_see_the_resource_sees_nothing_of_it(ledger: Ledger) -> None:
    ledger.attach(shared="")
    with pytest.raises(Problem, match="no resource"):
        there(ledger, BORIS)


def test_what_is_held_and_what_is_free(ledger: Ledger) -> None:
    agent = ledger.attach()
    ledger.submit(cpus=3, memory_bytes=1 << 30)
    ledger.submit()
    one, *_ = keys = agent.take(2)
    view = ledger.run(resource_service.show(ledger.services, ANNA, "machine0"))
    assert (view.cpus, view.running, view.accepted) == (Amount(CPUS, 0), 0, 2)
    for key in keys:
        agent.phase(key)
    (view,) = ledger.run(resource_service.list_resources(ledger.services, ANNA))
    assert (view.cpus, view.cpus.free, view.running) == (Amount(CPUS, 4), 0, 2)
    assert view.memory_bytes == Amount(MEMORY, 1 << 30) and view.gpus == Amount(0, 0)
    agent.final(one)
    assert ledger.run(resource_service.show(ledger.services, ANNA, "machine0")).running == 1


def test_what_an_agent_said_last_is_told_with_its_time(ledger: Ledger) -> None:
    agent = ledger.attach()

    def view() -> resource_service.ResourceView:
        return ledger.run(resource_service.show(ledger.services, ANNA, "machine0"))  # type: ignore[no-any-return]

    def beat(**values: object) -> None:
        request = HeartbeatRequest(session=agent.session, owned=list[OwnedAttempt](), **values)  # type: ignore[arg-type]
        ledger.run(ledger.desk.heartbeat(agent.resource_id, request))

    assert (view().row.load, view().row.load_at) == ({}, None)
    ledger.clock.now += 5
    beat(load={"cpu_used": 0.5})
    said_at = ledger.clock.now
    ledger.clock.now += 5
    agent.sync()
    assert (view().row.load, view().row.load_at, view().reachable) == ({"cpu_used": 0.5}, said_at, True)
    ledger.clock.now += 1000
    ledger.expire()
    assert (view().state, view().reachable, view().row.load_at) == ("unreachable", False, said_at)
    beat(load={"cpu_used": 0.25})
    assert (view().row.load, view().row.load_at) == ({"cpu_used": 0.25}, ledger.clock.now)
    ledger.clock.now += 1
    beat(stops=True)
    assert (view().state, view().row.load, view().row.load_at) == ("unreachable", {"cpu_used": 0.25}, said_at + 1005)
