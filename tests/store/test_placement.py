"""Who may use resources, what they are given, and what is asked back: in the ledger."""

import pytest
from tests.store.ledger import Agent, Ledger, caller

from sirdar.dispatch import move
from sirdar.domain.people import Caller
from sirdar.domain.placement import Load
from sirdar.domain.problems import Problem
from sirdar.services import resource_shares as shares
from sirdar.services import resources
from sirdar.services.explain import explain_now
from sirdar.services.places import informed, place_of
from sirdar.services.tokens import token_hash
from sirdar.store import job_shares, resource_use
from sirdar.store import resources as resource_store
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.wire.agent import Capabilities, HelloRequest

ADMIN = caller("anna", admin=True)
GIB = 2**30


def hello(agent: Agent, **has: object) -> None:
    """Says what the machine has."""
    capabilities = Capabilities(**({"cpus": 4, "memory_bytes": 8 * GIB, "slots": 4, "gives_back": True} | has))
    request = HelloRequest(protocols=[1], agent_version="1", session=agent.session, capabilities=capabilities)
    agent.ledger.run(agent.ledger.desk.hello(agent.resource_id, request))


# ---------------------------------------------------------------- shares


def test_users_of_a_resource_are_its_owner_and_those_it_is_shared_with(ledger: Ledger) -> None:
    one = ledger.attach("one", shared="").resource_id

    def users() -> frozenset[str] | None:
        return ledger.read(lambda conn: resource_use.users_of(conn, [one]))[one]

    def welcome(one: str, other: str) -> bool:
        return ledger.read(lambda conn: resource_use.is_welcome(conn, f"id-{one}", f"id-{other}", starting=False))

    assert users() == {"id-anna"}
    assert (welcome("anna", "anna"), welcome("boris", "boris")) == (True, False)
    ledger.run(shares.put_share(ledger.services, ADMIN, "one", "user:boris"))
    assert users() == {"id-anna", "id-boris"}
    assert (welcome("boris", "boris"), welcome("boris", "anna"), welcome("boris", "vera")) == (True, True, False)
    ledger.run(shares.remove_share(ledger.services, ADMIN, "one", "user:boris"))

    def group(tx: Tx) -> None:
        tx.conn.execute(t.groups.insert().values(name="lab", created_at=1.0))
        tx.conn.execute(t.group_members.insert().values(group_name="lab", user_id="id-boris"))

    ledger.write(group)
    ledger.run(shares.put_share(ledger.services, ADMIN, "one", "group:lab"))
    assert users() == {"id-anna", "id-boris"}
    assert (welcome("boris", "anna"), welcome("vera", "anna")) == (True, False)
    ledger.run(shares.put_share(ledger.services, ADMIN, "one", "everyone"))
    assert users() is None and welcome("vera", "boris")
    assert ledger.run(shares.list_shares(ledger.services, ADMIN, "one")) == ["everyone", "group:lab"]
    told = {row.action for row in ledger.rows(t.audit) if row.action.startswith("resource.")}
    assert told == {"resource.share", "resource.unshare"}


def test_only_its_owner_shares_it_and_others_do_not_learn_of_it(ledger: Ledger) -> None:
    ledger.attach("one", shared="")
    boris = caller("boris")
    for call in (shares.list_shares, lambda *args: shares.put_share(*args, "user:boris")):
        with pytest.raises(Problem, match="There is no resource one"):
            ledger.run(call(ledger.services, boris, "one"))
    assert ledger.run(resources.list_resources(ledger.services, boris)) == []
    ledger.run(shares.put_share(ledger.services, caller("anna"), "one", "user:boris"))
    (seen,) = ledger.run(resources.list_resources(ledger.services, boris))
    assert seen.row.name == "one"
    with pytest.raises(Problem, match="Only its owner and administrators change"):
        ledger.run(shares.put_share(ledger.services, boris, "one", "user:anna"))
    with pytest.raises(Problem, match="for administrators"):
        ledger.run(shares.put_share(ledger.services, caller("anna"), "one", "everyone"))
    with pytest.raises(Problem, match="may not attach machines"):
        ledger.run(resources.create(ledger.services, boris, "mine", None))
    publisher = Caller(boris.user_id, "boris", can_publish=True)
    assert ledger.run(resources.create(ledger.services, publisher, "mine", None)).row.owner_id == "id-boris"


def test_a_job_is_offered_only_where_its_owner_may_run(ledger: Ledger) -> None:
    agent = ledger.attach("annas", shared="")
    ledger.submit(owner="boris")
    secret = ledger.submit(secrets_of="id-boris")
    assert agent.claim(4) == []
    ledger.run(shares.put_share(ledger.services, ADMIN, "annas", "user:boris"))
    assert len(agent.claim(4)) == 2
    assert ledger.task(secret).leased


def test_explain_tells_no_names_of_what_one_may_not_see(ledger: Ledger) -> None:
    agent = ledger.attach("annas", shared="")
    job = ledger.submit(owner="boris")

    def said(who: Caller | None) -> str:
        told = ledger.read(lambda conn: explain_now(conn, who, job, now=ledger.clock(), link="link"))
        return " ".join([told.summary, *(one.text for one in told.why)])

    ledger.write(lambda tx: job_shares.set_link(tx, job, token_hash("link")))
    for who in (caller("boris"), None, ADMIN):
        assert "No resource is shared with boris." in said(who) and "annas" not in said(who)
    ledger.run(shares.put_share(ledger.services, ADMIN, "annas", "user:boris"))
    assert "wait for a free slot on annas" in said(caller("boris"))
    ledger.attach("secret", shared="")
    assert "shared with" not in said(caller("boris")), "nor that there are others"
    assert "wait for a free slot on a resource that is not shared with you" in said(None)
    agent.claim(1)
    assert "offered to annas" in said(caller("boris")) and "annas" not in said(None)


# ---------------------------------------------------------------- what a place has


def test_memory_and_gpus_that_are_given_out_count_in_every_later_claim(ledger: Ledger) -> None:
    agent = ledger.attach("one")
    hello(agent, gpus=2)
    ledger.submit(3, gpus=1)
    heavy = ledger.submit(3, memory_bytes=5 * GIB)
    assert len(agent.claim(8)) == 2 + 1, "two gpus; 5 GiB once"
    row = ledger.read(lambda conn: resource_store.find_resource(conn, agent.resource_id))
    assert row is not None
    (place,) = ledger.read(lambda conn: informed(conn, [place_of(row, 1)]))
    assert set(place.loads) == {Load(1, 0, 1, 2), Load(1, 5 * GIB, 0, 1)} and place.free == 1
    keys = agent.accept(sorted(agent.offers))
    assert agent.claim(8) == []
    why = [one.text for one in ledger.explain(heavy).why]
    assert "tasks on one hold 5.0 of its 8.0 GiB of memory; the task needs 5.0 GiB." in why
    done = next(key for key in keys if key.startswith(heavy))
    agent.phase(done)
    agent.final(done)
    assert [key.rsplit("-", 2)[0] for key in agent.claim(8)] == [heavy]


def test_labels_decide_where_a_job_goes(ledger: Ledger) -> None:
    plain, labelled = ledger.attach("plain"), ledger.attach("labelled")
    hello(labelled, labels={"site": "lab"})
    ledger.submit(labels_json='{"site": "lab"}')
    assert plain.claim(4) == []
    assert len(labelled.claim(4)) == 1


# ---------------------------------------------------------------- moving


def ask(ledger: Ledger, idle: Agent) -> int:
    """One round of the loop, with one agent that asks in vain."""
    row = ledger.read(lambda conn: resource_store.find_resource(conn, idle.resource_id))
    assert row is not None
    return ledger.write(lambda tx: move.ask_back(tx, ledger.settings, [place_of(row, 4)]))


def test_accepted_work_is_asked_back_and_goes_elsewhere_without_a_retry(ledger: Ledger) -> None:
    busy, idle = ledger.attach("busy"), ledger.attach("idle")
    ledger.store.after_commit.append(ledger.desk.on_commit)
    for agent in (busy, idle):
        hello(agent)
    job = ledger.submit(7)
    keys = busy.take(7)
    for key in keys[:4]:
        busy.phase(key)
    assert ask(ledger, idle) == 0, "accepted a moment ago"
    ledger.clock.now += 5
    assert ask(ledger, idle) == 3
    assert ask(ledger, idle) == 0, "they are asked for already"
    desired = busy.heartbeat()
    wanted = sorted(key for key, wish in desired.items() if wish == "give_back")
    assert wanted == sorted(keys[4:])
    assert set(busy.sync().get("desired", {})) == set(wanted) and "desired" not in busy.sync(), "told once by a call"
    late, *given = wanted
    busy.phase(late)  # it had just started
    reply = busy.sync(given_back=given, claim={"max_n": 8})
    assert sorted(reply["acked"]) == given and "offers" not in reply, "they are for others"
    assert busy.claim(8) == [], "a moment later, too"
    again = idle.take(8)
    assert len(again) == 2 and all(key.endswith("-2") is False for key in again)
    for agent in (busy, idle):
        for key in list(agent.owned):
            agent.final(key)
    assert (ledger.job(job).state, ledger.job(job).done) == ("DONE", 7)
    assert {row.faults for row in ledger.rows(t.tasks, job_id=job)} == {0}
    assert [row.reason for row in ledger.rows(t.attempts, job_id=job)].count("moved") == 2
    # A doubled word changes nothing.
    assert busy.sync(given_back=given)["acked"] == given
    assert (ledger.job(job).state, ledger.job(job).done) == ("DONE", 7)


def test_agents_that_cannot_give_back_or_are_silent_are_not_asked(ledger: Ledger) -> None:
    busy, idle = ledger.attach("busy"), ledger.attach("idle")
    hello(busy, gives_back=False)
    ledger.submit(8)
    busy.take(8)
    ledger.clock.now += 5
    assert ask(ledger, idle) == 0
    hello(busy)
    ledger.clock.now += 70
    ledger.expire()
    idle.heartbeat()
    assert ask(ledger, idle) == 0, "unreachable"
    busy.heartbeat()
    assert ask(ledger, idle) == 4


def test_a_job_that_was_cancelled_meanwhile_ends_so(ledger: Ledger) -> None:
    busy = ledger.attach("busy")
    job = ledger.submit()
    (key,) = busy.take()
    ledger.cancel(job)
    busy.sync(given_back=[key])
    assert (ledger.job(job).state, ledger.task(job).message) == ("CANCELLED", "Cancelled before it started")


def test_an_agent_that_gives_back_what_runs_is_not_believed(ledger: Ledger) -> None:
    busy = ledger.attach("busy")
    job = ledger.submit(retries=0)
    (key,) = busy.take()
    busy.phase(key)
    busy.sync(given_back=[key])
    assert (ledger.job(job).state, ledger.task(job).reason) == ("FAILED", "agent_lost")


def test_the_servers_own_agent_counts_while_it_starts(ledger: Ledger) -> None:
    """Nobody is told that there is no resource in the second before its first word; a server without an agent has none."""

    def write(tx: Tx) -> None:
        resource_store.insert_resource(tx, id="own", name="own", owner_id="id-anna", lost_after_s=600.0, embedded=True)
        resource_store.insert_resource(tx, id="away", name="away", owner_id="id-boris", lost_after_s=600.0)

    ledger.write(write)

    def welcome(user: str, *, starting: bool) -> bool:
        return ledger.store.read_now(lambda conn: resource_use.is_welcome(conn, user, user, starting=starting))

    assert welcome("id-anna", starting=True)
    assert not welcome("id-anna", starting=False)
    assert not welcome("id-boris", starting=True)
