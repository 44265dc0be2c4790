"""Resources and their tokens on both databases: names, revocation, who is let in beside whom."""

import asyncio

import pytest
from tests.store.ledger import Ledger, caller

from sirdar.domain.problems import Problem
from sirdar.services import attach, resources
from sirdar.store import resource_tokens
from sirdar.store import resources as resource_store
from sirdar.store import tables as t
from sirdar.wire.agent import (
    Capabilities,
    Claim,
    GoodbyeRequest,
    HeartbeatRequest,
    HelloRequest,
    JoinRequest,
    OwnedAttempt,
    SyncRequest,
)

ADMIN = caller("anna", admin=True)
KEYS = (
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
)  # RFC 8037, RFC 8032


def hello(session: str, *, renews: bool = False) -> HelloRequest:
    has = Capabilities(cpus=2, memory_bytes=1 << 30, slots=2)
    return HelloRequest(protocols=[1], agent_version="1", session=session, capabilities=has, renews=renews)


def greet(ledger: Ledger, resource_id: str, request: HelloRequest, *, by_key: bool = True) -> None:
    ledger.run(ledger.desk.hello(resource_id, request, by_key=by_key))


def test_a_name_is_free_again_when_its_resource_is_deleted(ledger: Ledger) -> None:
    first = ledger.run(resources.create(ledger.services, ADMIN, "lab", None)).row
    with pytest.raises(Problem, match="There is a resource lab already"):
        ledger.run(resources.create(ledger.services, ADMIN, "lab", None))
    ledger.run(resources.delete(ledger.services, ADMIN, "lab"))
    second = ledger.run(resources.create(ledger.services, ADMIN, "lab", None)).row
    assert ledger.read(lambda conn: resources.named(conn, ADMIN, "lab")).id == second.id != first.id
    with pytest.raises(Problem, match="There is no resource"):
        ledger.read(lambda conn: resources.named(conn, ADMIN, first.id))


def test_a_resource_says_since_when_it_is_what_it_is(ledger: Ledger) -> None:
    """Online without a break, not heard of last; a break begins it anew; drained since the first time it was told."""
    agent = ledger.attach("lab")

    def stands() -> tuple[str, float | None]:
        view = ledger.run(resources.show(ledger.services, ADMIN, "lab"))
        return view.state, view.since

    began = ledger.clock.now
    ledger.clock.now += 10
    agent.heartbeat()
    assert stands() == ("online", began)
    for mode, later in (("drain", 5), ("drain", 5)):
        ledger.clock.now += later
        ledger.run(resources.change(ledger.services, ADMIN, "lab", {"mode": mode}))
    assert stands() == ("draining", began + 15)
    ledger.run(resources.change(ledger.services, ADMIN, "lab", {"mode": "active"}))
    assert stands() == ("online", began)
    heard = ledger.clock.now = ledger.clock.now + 10
    agent.heartbeat()
    ledger.clock.now += 1000
    ledger.write(lambda tx: resource_store.mark_unreachable(tx, ledger.services.settings.lease_s))
    assert stands() == ("unreachable", heard)
    agent.heartbeat()
    assert stands() == ("online", ledger.clock.now)


def test_what_a_revoked_resource_had_goes_back_to_the_queue(ledger: Ledger) -> None:
    job = ledger.submit(3)
    agent = ledger.attach("bad")
    taken = agent.take(2)
    offered = agent.claim(1)
    ledger.run(resources.revoke(ledger.services, ADMIN, "bad"))
    ledger.desk.forget(agent.resource_id)
    with pytest.raises(Problem, match="revoked or deleted") as told:
        agent.heartbeat()
    assert told.value.code == "detached"
    other = ledger.attach("good")
    again = {key.rsplit("-", 1)[0] for key in other.take(5)}
    ledger.clock.now += 30  # the second try of what had been accepted
    again |= {key.rsplit("-", 1)[0] for key in other.take(5)}
    assert again == {key.rsplit("-", 1)[0] for key in taken + offered}
    assert "detached from the server by anna" in ledger.attempt(job).message


def test_an_agent_that_was_sent_away_gets_nothing_by_its_held_call(ledger: Ledger) -> None:
    """The call is held while its access ends; what was offered to it returns to the queue in that very transaction."""
    job = ledger.submit(1)
    agent = ledger.attach("bad")
    assert agent.claim(1)

    async def scene() -> None:
        held = SyncRequest(session=agent.session, claim=Claim(max_n=4, wait_s=30))
        call = asyncio.create_task(
            ledger.desk.sync(agent.resource_id, held.model_copy(update={"offers_held": [*agent.offers]}))
        )
        async with asyncio.timeout(20):
            while not ledger.assigner.parked:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await resources.revoke(ledger.services, ADMIN, "bad")
        ledger.desk.forget(agent.resource_id)
        assert "offers" not in await call

    ledger.run(scene())
    assert [(row.no, row.reason) for row in ledger.rows(t.attempts, job_id=job)] == [(1, "agent_lost")]


def test_another_key_makes_the_first_ones_token_worthless(ledger: Ledger) -> None:
    made = ledger.run(resources.create(ledger.services, ADMIN, "lab", None))
    ledger.write(lambda tx: attach.join(tx, JoinRequest(token=made.token, public_key=KEYS[0])))
    again = ledger.write(lambda tx: attach.join(tx, JoinRequest(token=made.token, public_key=KEYS[0])))
    assert again.id == made.row.id, "the same key may ask twice"
    token = attach.agent_token(ledger.keys, made.row.id, ledger.clock() + 3600, KEYS[0])
    assert ledger.run(ledger.desk.resource(token)).name == "lab"
    second = ledger.run(resources.new_join(ledger.services, ADMIN, "lab"))
    ledger.write(lambda tx: attach.join(tx, JoinRequest(token=second.token, public_key=KEYS[1])))
    ledger.desk.forget(made.row.id)
    with pytest.raises(Problem, match="made for another key"):
        ledger.run(ledger.desk.resource(token))


def test_a_token_of_before_a_revocation_does_not_come_alive_again(ledger: Ledger) -> None:
    made = ledger.run(resources.create(ledger.services, ADMIN, "lab", None))
    ledger.write(lambda tx: attach.join(tx, JoinRequest(token=made.token, public_key=KEYS[0])))
    token = attach.agent_token(ledger.keys, made.row.id, ledger.clock() + 3600, KEYS[0])
    text = ledger.run(resources.new_token(ledger.services, ADMIN, "lab", label="vm", lifetime_s=None))[1]
    ledger.run(resources.revoke(ledger.services, ADMIN, "lab"))
    ledger.run(resources.new_token(ledger.services, ADMIN, "lab", label="vm", lifetime_s=None))
    for dead, why in ((token, "made for another key"), (text, "unknown or was revoked")):
        with pytest.raises(Problem, match=why):
            ledger.run(ledger.desk.resource(dead))


def test_leaving_by_a_resource_token_ends_that_token_alone(ledger: Ledger) -> None:
    row = ledger.run(resources.create(ledger.services, ADMIN, "cloud", None)).row
    greet(ledger, row.id, hello("one"), by_key=False)
    first, second = (
        ledger.write(lambda tx: attach.new_resource_token(tx, row.id, label="t", lifetime_s=None))[0] for _ in range(2)
    )
    request = GoodbyeRequest(session="one", leave=True)
    ledger.write(lambda tx: resources.goodbye(tx, ledger.settings, row, request, resource_token=first))
    with pytest.raises(Problem, match="revoked"):
        ledger.read(lambda conn: attach.resource_of_resource_token(conn, first, ledger.clock()))
    assert (
        ledger.read(lambda conn: attach.resource_of_resource_token(conn, second, ledger.clock())).resource_id == row.id
    )
    found = ledger.read(lambda conn: resource_store.find_resource(conn, row.id))
    assert found is not None and found.revoked_at is None and found.session is None


def test_a_resource_token_lives_as_long_as_it_was_made_for(ledger: Ledger) -> None:
    ledger.run(resources.create(ledger.services, ADMIN, "vm", None))
    row, text, token = ledger.run(resources.new_token(ledger.services, ADMIN, "vm", label="a", lifetime_s=100.0))
    assert ledger.run(ledger.desk.resource(text)).id == row.id
    assert text not in str(ledger.rows(resource_tokens.t))
    ledger.clock.now += 99
    assert ledger.run(ledger.desk.resource(text)).id == row.id
    ledger.clock.now += 2
    with pytest.raises(Problem, match="has expired"):
        ledger.run(ledger.desk.resource(text))
    assert ledger.run(resources.list_tokens(ledger.services, ADMIN, "vm")) == []
    assert token.label == "a"


def test_one_agent_is_let_in_at_a_time(ledger: Ledger) -> None:
    row = ledger.run(resources.create(ledger.services, ADMIN, "vm", None)).row
    greet(ledger, row.id, hello("one"), by_key=False)
    for request, by_key in ((hello("two"), False), (hello("two", renews=True), True)):
        with pytest.raises(Problem, match="Another agent is attached as vm") as told:
            greet(ledger, row.id, request, by_key=by_key)
        assert told.value.code == "attached_elsewhere"
    greet(ledger, row.id, hello("one", renews=True), by_key=False)
    greet(ledger, row.id, hello("three"))  # a new life on its own home
    ledger.clock.now += ledger.settings.lease_s + 1
    greet(ledger, row.id, hello("two"), by_key=False)
    found = ledger.read(lambda conn: resource_store.find_resource(conn, row.id))
    assert found is not None
    ledger.write(lambda tx: attach.goodbye(tx, ledger.settings, found, GoodbyeRequest(session="one")))
    with pytest.raises(Problem):  # it was another one's goodbye
        greet(ledger, row.id, hello("four"), by_key=False)
    ledger.write(lambda tx: attach.goodbye(tx, ledger.settings, found, GoodbyeRequest(session="two")))
    greet(ledger, row.id, hello("four"), by_key=False)


def test_an_earlier_life_waits_for_the_end_of_the_lease(ledger: Ledger) -> None:
    """Its hello was on the way when it died. One whose home has lost its number is let in when the lease is over."""
    row = ledger.run(resources.create(ledger.services, ADMIN, "lab", None)).row
    for session in ("9.aa", "10.bb", "10.cc", "without"):
        greet(ledger, row.id, hello(session))
    greet(ledger, row.id, hello("12.dd"))
    with pytest.raises(Problem) as told:
        greet(ledger, row.id, hello("11.ee"))
    assert told.value.code == "attached_elsewhere"
    ledger.clock.now += ledger.settings.lease_s + 1
    greet(ledger, row.id, hello("1.ff"))


def test_a_heartbeat_that_comes_twice_or_late_takes_nothing_away(ledger: Ledger) -> None:
    """It is from before the acceptance. Two newer ones that do not name the attempt mean that the agent lost it."""
    job = ledger.submit(1)
    agent = ledger.attach()
    agent.take(1)

    def beat(number: int) -> None:
        request = HeartbeatRequest(session=agent.session, number=number, owned=[])
        ledger.run(ledger.desk.heartbeat(agent.resource_id, request))

    for number in (2, 2, 1, 2):
        beat(number)
    assert ledger.attempt(job).reason is None
    beat(3)
    assert ledger.attempt(job).reason == "agent_lost"


def test_labels_that_a_heartbeat_tells_count_at_once_and_the_rest_stays(ledger: Ledger) -> None:
    """As when a solver is installed while the agent runs: the job that waits for it goes there."""
    job = ledger.submit(1, labels_json='{"solver-highs": "1.15.1"}')
    agent = ledger.attach()
    assert agent.claim() == []

    def beat(labels: dict[str, str] | None) -> None:
        request = HeartbeatRequest(session=agent.session, owned=[], labels=labels)
        ledger.run(ledger.desk.heartbeat(agent.resource_id, request))

    def has() -> dict[str, object]:
        row = ledger.read(lambda conn: resource_store.find_resource(conn, agent.resource_id))
        assert row is not None
        return row.capabilities

    before = has()
    beat(None)
    assert has() == before
    assert agent.claim() == []
    beat({"solver-highs": "1.15.1"})
    assert has() == {**before, "labels": {"solver-highs": "1.15.1"}}
    (key,) = agent.claim()
    assert key.startswith(job)
    beat({})
    assert has() == before


def test_an_offer_names_the_submitters_groups(ledger: Ledger) -> None:
    ledger.submit(owner="boris")
    agent = ledger.attach()
    offered = agent.sync(claim={"max_n": 1})["jobs"]
    assert {(one["owner"], one["app_owner"]) for one in offered.values()} == {("boris", "anna")}


def test_an_agent_that_says_that_it_stops_is_unreachable_at_once_and_not_lost(ledger: Ledger) -> None:
    job, waiting = ledger.submit(1), ledger.submit(1)
    agent = ledger.attach("m2")
    agent.phase(*agent.take(1))
    assert agent.claim(1)
    owned = [OwnedAttempt(key=key, state=state) for key, state in agent.owned.items()]
    ledger.clock.now += 3
    request = HeartbeatRequest(session=agent.session, number=9, owned=owned, stops=True)
    ledger.run(ledger.desk.heartbeat(agent.resource_id, request))
    view = ledger.run(resources.show(ledger.services, ADMIN, "m2"))
    assert (view.state, view.since) == ("unreachable", ledger.clock())
    assert "slots_free" not in view.row.load, "it has none to give"
    why = [(one.code, one.text) for one in ledger.explain(waiting).why]
    assert why == [("no_fit", "m2 is unreachable")], "it was offered it, and had not accepted it"
    ledger.expire()
    assert (ledger.task(job).state, ledger.attempt(job).reason) == ("RUNNING", None)
    agent.hello(new=True)
    assert ledger.run(resources.show(ledger.services, ADMIN, "m2")).state == "online"
    assert agent.claim(1), "it is given work again"
    agent.offers.clear()
    ledger.run(ledger.desk.heartbeat(agent.resource_id, request.model_copy(update={"session": agent.session})))
    ledger.clock.now += ledger.settings.lost_after_s + 1
    ledger.expire()
    assert ledger.task(job).state == "READY", "it has not come back: lost, as after any silence"


def test_what_is_advised_fits_how_the_agent_is_attached(ledger: Ledger) -> None:
    ledger.run(resources.create(ledger.services, ADMIN, "lab", None))
    text = ledger.run(resources.new_token(ledger.services, ADMIN, "lab", label="vm", lifetime_s=None))[1]
    ledger.run(resources.revoke(ledger.services, ADMIN, "lab"))
    with pytest.raises(Problem) as told:
        ledger.run(ledger.desk.resource(text))
    assert told.value.hint == "Make a new token on the server: sirdar resource token create NAME."
    with pytest.raises(Problem, match="no resource nope") as told:
        ledger.run(resources.show(ledger.services, ADMIN, "nope"))
    assert told.value.hint is not None and told.value.hint.startswith("sirdar resource list")
