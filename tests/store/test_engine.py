"""The store's engine: group commit, one command's failure, full disks, hooks, closing, servers that write at the same time."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tests.store.ledger import CPUS, MEMORY, Ledger, check

from sirdar.dispatch.assign import Assigner
from sirdar.domain.placement import Place
from sirdar.domain.problems import Problem
from sirdar.store import engine, schema
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.hints import Hints


@pytest.fixture
def commits(ledger: Ledger) -> Counter[str]:
    """How many transactions the writer has committed and rolled back."""
    counts: Counter[str] = Counter()
    sa.event.listen(ledger.store.write_engine, "commit", lambda conn: counts.update(["commit"]))
    sa.event.listen(ledger.store.write_engine, "rollback", lambda conn: counts.update(["rollback"]))
    return counts


def add_group(name: str) -> Callable[[Tx], str]:
    def write(tx: Tx) -> str:
        tx.conn.execute(sa.insert(t.groups).values(name=name, created_at=tx.now))
        tx.hints.jobs.add(name)
        return name

    return write


def groups(ledger: Ledger) -> set[str]:
    return {row.name for row in ledger.rows(t.groups)}


def gather(ledger: Ledger, *commands: Callable[[Tx], Any]) -> list[Any]:
    """Results (or errors) of commands that are queued while the writers are busy, so that they go into one batch."""

    async def run() -> list[Any]:
        go = threading.Event()
        busy = [asyncio.create_task(ledger.store.write(lambda tx: go.wait(10))) for _ in range(writers(ledger))]
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(ledger.store.write(command)) for command in commands]
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*busy)
        return await asyncio.gather(*waiting, return_exceptions=True)

    return list(ledger.run(run()))


def writers(ledger: Ledger) -> int:
    return len([thread for thread in threading.enumerate() if thread.name.startswith("store-write-")])


# ---------------------------------------------------------------- group commit


def test_writes_at_the_same_time_share_few_commits(ledger: Ledger, commits: Counter[str]) -> None:
    names = [f"g{n}" for n in range(300)]
    assert gather(ledger, *map(add_group, names)) == names
    assert groups(ledger) == set(names)
    assert commits["commit"] <= 2 * writers(ledger) + 4, "300 writes, 256 to a batch"


def test_a_command_that_fails_does_not_hurt_the_others(ledger: Ledger, commits: Counter[str]) -> None:
    def refuse(tx: Tx) -> None:
        add_group("never")(tx)
        raise Problem("conflict", "Not today.")

    results = gather(ledger, add_group("a"), refuse, add_group("a"), add_group("b"))
    assert [type(result) for result in results] == [str, Problem, sa.exc.IntegrityError, str]
    assert groups(ledger) == {"a", "b"}
    assert commits["rollback"] == 0


def test_a_command_alone_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def refuse(tx: Tx) -> None:
        add_group("never")(tx)
        raise Problem("conflict", "Not today.")

    with pytest.raises(Problem, match="Not today"):
        ledger.write(refuse)
    assert groups(ledger) == set()
    assert ledger.write(add_group("a")) == "a"


def test_a_caller_that_went_away_does_not_disturb_the_batch(ledger: Ledger) -> None:
    async def run() -> str:
        gone = asyncio.create_task(ledger.store.write(add_group("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        return await ledger.store.write(add_group("here"))

    assert ledger.run(run()) == "here"
    assert groups(ledger) >= {"here"}


# ---------------------------------------------------------------- hints


def test_hints_are_given_after_the_commit_and_only_then(ledger: Ledger) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    thread: list[str] = []

    def listen(hints: Hints) -> None:
        thread.append(threading.current_thread().name)
        seen.append((set(hints.jobs), groups(ledger)))

    def refuse(tx: Tx) -> None:
        tx.hints.jobs.add("never")
        tx.hints.after.append(lambda: seen.append(({"never"}, set())))
        raise Problem("conflict", "Not today.")

    ledger.store.after_commit.append(listen)
    with pytest.raises(Problem):
        ledger.write(refuse)
    gather(ledger, add_group("a"), refuse, add_group("b"))
    assert seen
    assert all(jobs <= found and "never" not in jobs for jobs, found in seen)
    assert set(thread) == {threading.current_thread().name}, "on the event loop's thread"


def test_what_a_failed_command_noted_is_taken_back(ledger: Ledger) -> None:
    undone: list[str] = []

    def fails(tx: Tx) -> None:
        tx.hints.undo.append(lambda: undone.append("x"))
        raise ValueError("after it was noted")

    with pytest.raises(ValueError, match="noted"):
        ledger.write(fails)
    assert undone == ["x"]
    gather(ledger, fails, add_group("a"), fails)
    assert undone == ["x"] * 3 and groups(ledger) == {"a"}


def test_of_a_transaction_that_was_rolled_back_nobody_is_told(ledger: Ledger) -> None:
    told: list[Any] = []
    ledger.store.after_commit.append(lambda hints: told.append(set(hints.jobs)))

    def fail_at_commit(conn: Any) -> None:
        raise RuntimeError("no")

    def write(tx: Tx) -> None:
        add_group("a")(tx)
        tx.hints.after.append(lambda: told.append("after"))
        tx.hints.undo.append(lambda: told.append("undo"))

    sa.event.listen(ledger.store.write_engine, "commit", fail_at_commit)
    with pytest.raises(RuntimeError):
        ledger.write(write)
    sa.event.remove(ledger.store.write_engine, "commit", fail_at_commit)
    assert told == ["undo"]
    assert ledger.write(add_group("a")) == "a"


# ---------------------------------------------------------------- the hook before the commit


def test_a_hook_that_fails_does_not_fail_the_writes(ledger: Ledger) -> None:
    calls: list[str] = []

    def broken(tx: Tx) -> None:
        add_group("of the hook")(tx)
        tx.hints.undo.append(lambda: calls.append("undo"))
        raise RuntimeError("the scheduler has a bug")

    ledger.store.before_commit.append(broken)
    assert ledger.write(add_group("a")) == "a"
    assert gather(ledger, add_group("b"), add_group("c")) == ["b", "c"]
    assert groups(ledger) == {"a", "b", "c"}
    assert calls


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Store]:
    """A store whose database cannot grow, as if its disk were full."""
    store = Store(f"sqlite:///{tmp_path / 'tiny.db'}")
    t.metadata.create_all(store.write_engine)
    yield store
    store.close()


def limit(store: Store, spare: int) -> None:
    """Let the database grow by so many pages and no more."""
    with store.write_engine.connect() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + spare}")


def fill(n: int) -> Callable[[Tx], None]:
    return lambda tx: (
        tx.conn.execute(sa.insert(t.audit).values(at=tx.now, actor="x", action="y" * n, object="z")) and None
    )


def test_a_full_disk_is_told_and_overcome(tiny: Store) -> None:
    async def run() -> None:
        tiny.start()
        limit(tiny, 2)
        writes = [tiny.write(fill(3000)) for _ in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        full = [result for result in results if isinstance(result, Problem)]
        assert full
        assert {problem.code for problem in full} == {"disk_full"}
        assert len(full) + results.count(None) == 20
        rows = tiny.read_now(lambda conn: conn.execute(sa.select(sa.func.count()).select_from(t.audit)).scalar_one())
        assert rows == results.count(None), "what was answered is there, what was refused is not"
        limit(tiny, 1000)
        await asyncio.gather(*(tiny.write(fill(3000)) for _ in range(20)))

    asyncio.run(run())


# ---------------------------------------------------------------- closing


def test_close_finishes_what_is_queued_and_refuses_what_comes_later(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    t.metadata.create_all(store.write_engine)

    async def run() -> list[Any]:
        store.start()
        writes = [asyncio.create_task(store.write(add_group(f"g{n}"))) for n in range(600)]
        await asyncio.sleep(0)
        store.close()
        with pytest.raises(Problem, match="stopping"):
            await store.write(add_group("late"))
        return await asyncio.wait_for(asyncio.gather(*writes), 10)

    assert len(asyncio.run(run())) == 600


# ---------------------------------------------------------------- several servers on one PostgreSQL


@pytest.mark.postgres
def test_servers_that_claim_at_the_same_time_never_lease_a_task_twice(database: Any, tmp_path: Path) -> None:
    if database is None:
        pytest.skip("SQLite has one server")
    name = database.create_database()
    first = Ledger(database.url(name), tmp_path)
    second = Store(first.url, clock=first.clock)
    try:
        for n in range(6):
            first.submit(30, owner="anna" if n % 2 else "boris")
        agents = [first.attach() for _ in range(4)]
        got: list[str] = []
        errors: list[BaseException] = []
        threads = [
            threading.Thread(target=_claim_much, args=(store, first, agent.resource_id, got, errors))
            for agent, store in zip(agents, (first.store, second, first.store, second), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        assert len(got) == len(set(got)) == 180
        check(first)
    finally:
        second.close()
        first.close()
        database.drop_database(name)


def _claim_much(store: Store, ledger: Ledger, resource: str, got: list[str], errors: list[BaseException]) -> None:
    """Claims in transactions of its own until nothing is left."""
    assigner = Assigner(ledger.settings, ledger.keys)
    place = Place(resource, "m", CPUS, MEMORY, room=3)  # type: ignore[arg-type]
    try:
        empty = 0
        while empty < 3:
            wait = empty > 0  # as the loop does where jobs were passed over that others had locked
            offers = store.write_now(lambda tx, wait=wait: assigner.assign(tx, [(place, "s0")], wait=wait))
            keys = [offer["key"] for given in offers.values() for offer in given.offers]
            got.extend(keys)
            empty = 0 if keys else empty + 1
    except BaseException as error:
        errors.append(error)


@pytest.mark.postgres
def test_deadlocks_are_not_told_to_callers(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that lock the same rows in opposite orders, each in a transaction of its own, on several writers."""
    monkeypatch.setattr(engine, "MAX_BATCH", 1)
    if database is None:
        pytest.skip("SQLite has one writer")
    name = database.create_database()
    ledger = Ledger(database.url(name), tmp_path)
    try:
        with ledger.store.write_engine.begin() as conn:  # PostgreSQL looks for deadlocks after that time
            conn.exec_driver_sql(f"ALTER DATABASE {name} SET deadlock_timeout = '10ms'")
        ledger.restart()
        for group in ("a", "b"):
            ledger.write(add_group(group))

        def touch(order: str) -> Callable[[Tx], None]:
            def write(tx: Tx) -> None:
                for group in order:
                    tx.conn.execute(sa.update(t.groups).where(t.groups.c.name == group).values(created_at=tx.now))
                    tx.conn.exec_driver_sql("SELECT pg_sleep(0.005)")

            return write

        async def run() -> None:
            writes = [ledger.store.write(touch("ab" if n % 2 else "ba")) for n in range(60)]
            await asyncio.wait_for(asyncio.gather(*writes), 50)

        ledger.run(run())
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ledger.store.write_engine.dispose()  # the count is written when a connection ends
        assert ledger.read(lambda conn: conn.exec_driver_sql(deadlocks).scalar_one()) > 0, "there were none to hide"
    finally:
        ledger.close()
        database.drop_database(name)


# ---------------------------------------------------------------- the schema


def test_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    """Index by index, since a comparison of metadata does not see their order and conditions."""
    schema.migrate(f"sqlite:///{tmp_path / 'migrated.db'}")
    made = Store(f"sqlite:///{tmp_path / 'made.db'}")
    t.metadata.create_all(made.write_engine)
    made.close()
    assert _indexes(tmp_path / "migrated.db") == _indexes(tmp_path / "made.db")


def _indexes(path: Path) -> dict[str, str]:
    store = Store(f"sqlite:///{path}")
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found = store.read_now(lambda conn: {row.name: " ".join(row.sql.split()) for row in conn.exec_driver_sql(query)})
    store.close()
    return found


def test_commands_of_one_kind_are_run_together_and_fail_apart(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'merged.db'}")
    store.write_now(lambda tx: tx.conn.exec_driver_sql("CREATE TABLE word (text TEXT UNIQUE)"))
    crowds: list[int] = []

    def insert(tx: Tx, items: list[str]) -> list[str | ValueError]:
        crowds.append(len(items))
        for item in items:
            if item != "bad":
                tx.conn.exec_driver_sql("INSERT INTO word VALUES (?)", (item,))
        return [ValueError(item) if item == "bad" else item.upper() for item in items]

    async def run() -> list[object]:
        store.start()
        gate = threading.Event()
        blocked = asyncio.ensure_future(store.write(lambda tx: gate.wait(5)))
        words = ["a", "bad", "b", "c"]
        crowd = [asyncio.ensure_future(store.write_merged(insert, word)) for word in words]
        await asyncio.sleep(0)
        gate.set()
        first = await asyncio.gather(blocked, *crowd, return_exceptions=True)
        again = [asyncio.ensure_future(store.write_merged(insert, word)) for word in ("a", "d")]
        return [*first[1:], *(await asyncio.gather(*again, return_exceptions=True))]

    try:
        results = asyncio.run(run())
    finally:
        store.close()
    assert results[0] == "A" and results[2:4] == ["B", "C"]
    assert isinstance(results[1], ValueError)
    assert isinstance(results[4], IntegrityError) and results[5] == "D", "one that breaks a constraint is alone in it"
    assert crowds[0] == 4, "they waited for the same transaction"


def test_an_error_of_the_database_names_no_values(ledger: Ledger) -> None:
    """It goes to the log with its text: hashes of passwords, addresses and inputs of jobs must not."""

    def again(tx: Tx) -> None:
        tx.conn.execute(sa.update(t.users).values(name="boris", email="boris@example.org"))

    with pytest.raises(IntegrityError) as told:
        ledger.run(ledger.store.write(again))
    assert "boris@example.org" not in str(told.value) and "parameters hidden" in str(told.value)
