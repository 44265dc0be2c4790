"""Servers of one database: what they tell one another, what a stale memory may not do, and work that one of them does."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.conftest import PostgresCluster
from tests.store.ledger import Agent, Ledger, check

from sirdar.dispatch import hear
from sirdar.domain.problems import Problem
from sirdar.store import hints as hints_module
from sirdar.store import listening, resources, variables
from sirdar.store import tables as t
from sirdar.store.engine import Store
from sirdar.store.hints import Change, Hints, decode, encode, encode_all, encode_here

WITHIN_S = 20.0


# ---------------------------------------------------------------- what is told


def same(told: Hints) -> dict[str, Any]:
    names = ("jobs", "ended", "resources", "changed", "rights", "queue", "pending", "notices", "everything")
    return {name: getattr(told, name) for name in names} | {"variables": told.variables}


def test_what_is_told_is_what_is_heard() -> None:
    change = Change("job1", "größe", "9:☃", 3, frozenset({"res1", "res2"}))
    hints = Hints(
        jobs={"job1", "job2"}, ended={"job3"}, resources={"res1"}, changed={"res2"}, rights={"app:a", "users"},
        queue=True, pending=True, notices=True, variables=[change],
    )  # fmt: skip
    (text,) = encode(hints, "me")
    heard = decode(text)
    assert (heard.sender, heard.here, heard.to) == ("me", False, "")
    assert same(heard.hints) == same(hints)


def test_nothing_is_told_of_what_nobody_else_needs() -> None:
    assert encode(Hints(), "me") == []
    assert encode(Hints(queue=True, placed=True), "me") == []
    assert encode(Hints(variables=[Change("j", "n", "1", 1, frozenset())]), "me") == []
    (text,) = encode(Hints(queue=True, placed=True, jobs={"job1"}), "me")
    assert not decode(text).hints.queue


def test_a_job_that_ended_is_told_once() -> None:
    (text,) = encode(Hints(jobs={"job1"}, ended={"job1"}), "me")
    assert text.count("job1") == 1


@pytest.mark.parametrize("n", [1, 10, 300, 700, 1100, 2000, 100_000])
def test_much_is_told_in_several_or_as_anything(n: int) -> None:
    jobs = {f"{number:016d}" for number in range(n)}
    texts = encode(Hints(jobs=jobs, ended=set(list(jobs)[::2]), queue=True), "0123abcd")
    assert all(len(text.encode()) < 8000 for text in texts)
    assert len(texts) <= hints_module.MOST_MESSAGES
    heard = [decode(text).hints for text in texts]
    if not any(hints.everything for hints in heard):
        assert set().union(*(hints.jobs | hints.ended for hints in heard)) == jobs
        assert sum(hints.queue for hints in heard) == 1
    assert any(hints.everything for hints in heard) == (n >= 2000)


def test_a_long_value_is_not_told_but_that_there_is_one() -> None:
    changes = [Change("job1", f"n{no}", "x" * 60_000, no, frozenset({"res1"})) for no in range(5)]
    (text,) = encode(Hints(variables=changes), "me")
    assert len(text) < 8000
    assert [(change.name, change.text) for change in decode(text).hints.variables] == [
        (f"n{no}", None) for no in range(5)
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"v":[[1]],"s":"x"}', '{"q":1}', '{"j":5,"s":"x"}'])
def test_what_cannot_be_read_may_be_anything(text: str) -> None:
    assert decode(text).hints.everything


def test_random_hints_survive_the_way() -> None:
    chance = random.Random(7)
    for _ in range(300):
        hints = Hints(
            jobs={f"j{chance.randrange(999)}" for _ in range(chance.randrange(400))},
            resources={f"r{chance.randrange(999)}" for _ in range(chance.randrange(100))},
            variables=[
                Change("j", chr(chance.randrange(32, 0xD7FF)) * chance.randrange(1, 200), "1", no, frozenset({"r"}))
                for no in range(chance.randrange(20))
            ],
        )
        texts = encode(hints, "me")
        assert all(len(text.encode()) < 8000 for text in texts)
        heard = [decode(text).hints for text in texts]
        if not any(one.everything for one in heard):
            assert set().union(*(one.jobs for one in heard)) == hints.jobs
            assert [change for one in heard for change in one.variables] == hints.variables


# ---------------------------------------------------------------- two servers on PostgreSQL


@pytest.fixture
def pair(postgres_cluster: PostgresCluster, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    name = postgres_cluster.create_database()
    first = Ledger(postgres_cluster.url(name), tmp_path)
    second = first.beside()
    yield first, second
    check(first)
    second.close()
    first.close()
    postgres_cluster.drop_database(name)


def there(agent: Agent, ledger: Ledger) -> Agent:
    """The same agent, whose calls come to another server."""
    return Agent(ledger, agent.resource_id, agent.session, agent.offers, agent.owned, agent.outbox, agent.cancels)


def test_an_agents_calls_may_come_to_any_server(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    here = first.attach()
    away = there(here, second)
    job = first.submit(3)
    (one, *_) = away.claim(3)
    assert here.accept([one]) == [one]
    away.phase(one)
    here.heartbeat()
    away.heartbeat()
    here.final(one)
    assert first.task(job).state == "DONE"
    here.offers.clear()  # the answer was lost on the way
    assert len(away.claim(3)) == 2, "what was offered and not accepted is offered again, by whichever server is asked"


def test_a_stale_memory_never_takes_the_word_of_an_earlier_session(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    here = first.attach()
    away = there(here, second)
    first.submit(2)
    (one, two) = away.take(2)
    assert second.desk._known[here.resource_id].row.session == "s0"
    here.hello(new=True, keep=[])  # on the first server; nobody tells the second
    request = away.make_final(one)
    for call in (
        lambda: second.desk.sync(here.resource_id, _sync("s0", finals=[request])),
        lambda: second.desk.heartbeat(here.resource_id, _beat("s0", [two])),
    ):
        with pytest.raises(Problem) as refused:
            second.run(call())
        assert refused.value.code == "unknown_session"
    assert [row.state for row in first.rows(t.attempts)] == ["ENDED", "ENDED"]  # given back by the hello
    first.clock.now += 10
    assert len(here.claim(4)) == 2


def test_a_drain_elsewhere_counts_for_a_claim_here(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    here = first.attach()
    away = there(here, second)
    away.claim(0)
    first.submit(2)
    first.write(lambda tx: resources.set_mode(tx, here.resource_id, "drain"))
    reply = away.sync(claim={"max_n": 2})
    assert (reply["mode"], "offers" in reply) == ("drain", False)


def test_a_revocation_elsewhere_counts_here(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    here = first.attach()
    away = there(here, second)
    away.claim(0)
    first.write(lambda tx: resources.revoke(tx, here.resource_id))
    for call in (away._call, lambda parts: second.run(second.desk.heartbeat(here.resource_id, _beat("s0", [])))):
        with pytest.raises(Problem) as refused:
            call({})
        assert refused.value.code in {"unknown_session", "detached"}


def test_a_key_that_was_replaced_elsewhere_says_no_hello_here(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    here = first.attach()
    there(here, second).claim(0)
    first.write(lambda tx: resources.set_public_key(tx, here.resource_id, "another"))
    with pytest.raises(Problem) as refused:
        there(here, second).hello()
    assert refused.value.code == "token_expired"


def test_a_job_that_another_server_holds_is_passed_over_and_looked_at_again(pair: tuple[Ledger, Ledger]) -> None:
    """Whoever holds locks does not wait for more; the loop does."""
    first, second = pair
    agent = there(first.attach(), second)
    busy, free = first.submit(), first.submit()
    held = first.store.write_engine.connect()
    with held.begin():
        held.execute(sa.select(t.jobs.c.id).where(t.jobs.c.id == busy).with_for_update())
        assert agent.claim(4) == [f"{free}-0-0"]
        assert second.assigner._again._event.is_set(), "nobody looks at the job that was passed over"
    held.close()
    assert f"{busy}-0-0" in agent.claim(4)


def test_the_loop_waits_for_a_job_that_another_server_holds(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    agent = there(first.attach(), second)
    agent.claim(0)
    busy = first.submit()

    async def run() -> list[str]:
        held = await asyncio.to_thread(first.store.write_engine.connect)
        locked = held.begin()
        await asyncio.to_thread(held.execute, sa.select(t.jobs.c.id).where(t.jobs.c.id == busy).with_for_update())
        request = _sync("s0", claim={"max_n": 2, "wait_s": WITHIN_S})
        call = asyncio.create_task(second.desk.sync(agent.resource_id, request))
        loop = asyncio.create_task(second.assigner.run(second.store))
        await _until(lambda: second.assigner.parked == 1)
        await _until(lambda: _waits_for_a_lock(first))
        locked.rollback()
        held.close()
        reply = await asyncio.wait_for(call, WITHIN_S)
        loop.cancel()
        return [offer["key"] for offer in reply["offers"]]

    assert second.run(run()) == [f"{busy}-0-0"]


def _waits_for_a_lock(ledger: Ledger) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(ledger.read(lambda conn: conn.exec_driver_sql(query).scalar()))


def _sync(session: str, **parts: Any) -> Any:
    from sirdar.wire.agent import SyncRequest

    return SyncRequest(session=session, **parts)


def _beat(session: str, owned: list[str]) -> Any:
    from sirdar.wire.agent import HeartbeatRequest, OwnedAttempt

    return HeartbeatRequest(session=session, owned=[OwnedAttempt(key=key, state="RUNNING") for key in owned])


async def _until(holds: Callable[[], Any]) -> None:
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not await asyncio.to_thread(holds):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------- listening


@pytest.fixture(autouse=True)
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is heard here was told, and not found by a look at the connection."""
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 600.0)


class Ears:
    """A store that listens, and all that it has heard."""

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self.heard: list[Hints] = []
        self.store.after_others.append(self.heard.append)

    def jobs(self) -> set[str]:
        return set().union(*(hints.jobs for hints in self.heard))


@contextlib.asynccontextmanager
async def listening_stores(url: str, n: int = 1) -> AsyncIterator[list[Ears]]:
    ears = [Ears(url) for _ in range(n)]
    loops = []
    for one in ears:
        one.store.start()
        loops.append(asyncio.create_task(hear.run(one.store)))
        await _until(lambda one=one: one.heard)  # type: ignore[misc]
    try:
        yield ears
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for one in ears:
            await asyncio.to_thread(one.store.close)


def _backend(conn: sa.Connection, name: str) -> int:
    query = sa.text("SELECT pid FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()")
    return int(conn.execute(query, {"name": listening.NAME + name}).scalar() or 0)


def test_a_listener_hears_what_others_commit_and_not_what_it_commits_itself(pair: tuple[Ledger, Ledger]) -> None:
    first, _ = pair

    async def run() -> None:
        async with listening_stores(first.url, 2) as (one, two):
            assert one.heard[0].everything, "what was committed before it listened is unknown to it"
            await _until(lambda: not one.store.alone and not two.store.alone)
            await one.store.write(lambda tx: tx.hints.jobs.add("of one"))
            await two.store.write(lambda tx: tx.hints.jobs.add("of two"))
            await _until(lambda: one.jobs() and two.jobs())
            assert (one.jobs(), two.jobs()) == ({"of two"}, {"of one"})

    first.run(run())


def test_what_is_rolled_back_is_not_told(pair: tuple[Ledger, Ledger]) -> None:
    first, _ = pair

    async def run() -> None:
        async with listening_stores(first.url, 2) as (one, two):
            await _until(lambda: not one.store.alone)

            def fail(tx: Any) -> None:
                tx.hints.jobs.add("never")
                raise Problem("conflict", "Not today.")

            with pytest.raises(Problem):
                await one.store.write(fail)
            await one.store.write(lambda tx: tx.hints.jobs.add("then"))
            await _until(two.jobs)
            assert two.jobs() == {"then"}

    first.run(run())


def test_a_listener_whose_connection_breaks_comes_back_and_takes_everything_as_changed(
    pair: tuple[Ledger, Ledger],
) -> None:
    first, _ = pair

    async def run() -> None:
        async with listening_stores(first.url, 2) as (one, two):
            await _until(lambda: not one.store.alone and sum(hints.everything for hints in two.heard) == 2)
            two.heard.clear()
            before = first.read(lambda conn: _backend(conn, two.store.name))
            first.read(lambda conn: conn.exec_driver_sql(f"SELECT pg_terminate_backend({before})").all())
            await one.store.write(lambda tx: tx.hints.jobs.add("while it was deaf"))
            await _until(lambda: any(hints.everything for hints in two.heard))
            assert first.read(lambda conn: _backend(conn, two.store.name)) not in (0, before)
            await one.store.write(lambda tx: tx.hints.jobs.add("later"))
            await _until(lambda: "later" in two.jobs())

    first.run(run())


def test_a_server_alone_tells_nobody_and_begins_to_when_another_one_comes(pair: tuple[Ledger, Ledger]) -> None:
    first, _ = pair

    async def run() -> None:
        async with listening_stores(first.url) as (one,):
            await _until(lambda: one.store.alone)
            assert not first.read(lambda conn: listening.others_listen(conn, one.store.name))
            (seen,) = first.read(listening.servers)
            assert (seen.name, seen.address) == (one.store.name, "") and seen.since > 1e9
            async with listening_stores(first.url) as (two,):
                await _until(lambda: not one.store.alone)
                assert first.read(lambda conn: listening.others_listen(conn, one.store.name))
                assert len(first.read(listening.servers)) == 2
                await one.store.write(lambda tx: tx.hints.jobs.add("now"))
                await _until(lambda: "now" in two.jobs())
                # what was committed while nobody knew of the newcomer may be anything
                await _until(lambda: sum(hints.everything for hints in two.heard) >= 2)

    first.run(run())


def test_with_sqlite_nobody_listens(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'db'}")
    assert store.alone
    asyncio.run(asyncio.wait_for(hear.run(store), WITHIN_S))
    store.close()


def test_words_to_newcomers() -> None:
    assert decode(encode_here("me")).here
    greeting = decode(encode_all("me", to="you", key="k1"))
    assert (greeting.to, greeting.key, greeting.hints.everything) == ("you", "k1", True)


# ---------------------------------------------------------------- work that one server does


def test_one_server_at_a_time_holds_a_piece_of_work(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair

    async def run() -> None:
        async with first.store.hold("sweep") as mine:
            assert mine
            async with second.store.hold("sweep") as theirs, second.store.hold("prepare job1") as other:
                assert (theirs, other) == (False, True)
            async with first.store.hold("sweep") as again:
                assert not again, "the same work, twice at once in one process"
        async with second.store.hold("sweep") as theirs:
            assert theirs
            await asyncio.to_thread(_cut_off_holders, first)
        async with first.store.hold("sweep") as mine:
            assert mine, "what a dead server held is nobody's"

    first.run(run())


def _cut_off_holders(ledger: Ledger) -> None:
    query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    ledger.read(lambda conn: conn.exec_driver_sql(query).all())


# ---------------------------------------------------------------- shared variables


def test_variables_that_were_not_heard_of_are_told_with_the_next_call(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    setter, hearer = first.attach(), there(first.attach(), second)
    job = first.submit(2)
    setter.take(1)
    hearer.take(1)
    first.write(lambda tx: variables.apply(tx, setter.resource_id, job, [("set", "best", "7")]))
    second.run(_hear(second, Hints(everything=True)))
    told = hearer.sync()["vars"]
    assert [tuple(one) for one in told] == [(job, "best", "7", 1)]
    assert "vars" not in hearer.sync()
    change = Change(job, "best", None, 2, frozenset({hearer.resource_id}))
    first.write(lambda tx: variables.apply(tx, setter.resource_id, job, [("set", "best", "x" * 9000)]))
    second.run(_hear(second, Hints(variables=[change])))
    assert [tuple(one) for one in hearer.sync()["vars"]] == [(job, "best", "x" * 9000, 2)]
    second.run(_hear(second, Hints(variables=[change])))
    second.run(_hear(second, Hints(ended={job})))
    assert not second.desk._news._owed, "who never calls here is owed things for ever"


async def _hear(ledger: Ledger, hints: Hints) -> None:
    ledger.store.heard(hints)
    await asyncio.sleep(0)
