"""``store.blobs`` and ``store.files`` on both databases: references, collection and its races, expiry."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sirdar.domain.problems import Problem
from sirdar.store import blobs, files
from sirdar.store.engine import Store, Tx
from sirdar.store.tables import metadata, users


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def cluster(request: pytest.FixtureRequest) -> Any:
    """PostgreSQL, or None for SQLite. Of the module, so that the server is not one test's own."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_cluster")


@pytest.fixture
def store(cluster: Any, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    database = cluster.create_database() if cluster else None
    made = Store(cluster.url(database) if cluster else f"sqlite:///{tmp_path / 'a.db'}", clock=clock)
    metadata.create_all(made.write_engine)
    made.write_now(_add_user)
    yield made
    made.close()
    if cluster:
        cluster.drop_database(database)


def _add_user(tx: Tx) -> None:
    tx.conn.execute(users.insert().values(id="u1", name="alice", created_at=tx.now))


def _sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


A, B, C = _sha("a"), _sha("b"), _sha("c")


def _register(store: Store, *digests: str) -> None:
    def register(tx: Tx) -> None:
        for sha256 in digests:
            blobs.register(tx, sha256, 10)

    store.write_now(register)


def _collect(store: Store, older_than: float, **options: Any) -> list[str]:
    return sorted(store.write_now(lambda tx: blobs.collect(tx, older_than=older_than, **options)))


def _refer(store: Store, holder: str, *digests: str) -> None:
    store.write_now(lambda tx: blobs.refer(tx, holder, digests))


def test_a_blob_is_registered_once_and_renewed(store: Store, clock: Clock) -> None:
    _register(store, A)
    clock.now += 100
    _register(store, A, B)
    rows = [store.read_now(partial(blobs.find, sha256=sha256)) for sha256 in (A, B)]
    assert [row.young_at for row in rows if row] == [clock.now, clock.now]
    assert store.read_now(lambda conn: blobs.known(conn, [A, C])) == {A: 10}
    assert store.read_now(lambda conn: blobs.find(conn, C)) is None


def test_what_is_named_stays_and_what_is_not_goes_after_the_grace(store: Store, clock: Clock) -> None:
    _register(store, A, B, C)
    _refer(store, "job:1", A, B)
    _refer(store, "job:1", A)  # twice is harmless
    _refer(store, "file:2", B)
    assert _collect(store, clock.now) == []  # all are young
    clock.now += 1000
    assert _collect(store, clock.now) == [C]
    store.write_now(lambda tx: blobs.release(tx, "job:1"))
    assert store.read_now(lambda conn: (blobs.holders_of(conn, A), blobs.holders_of(conn, B))) == ([], ["file:2"])
    assert _collect(store, clock.now) == [A]
    assert store.read_now(lambda conn: blobs.named_by(conn, "file:2")) == [B]


def test_naming_or_touching_makes_young(store: Store, clock: Clock) -> None:
    _register(store, A, B, C)
    clock.now += 1000
    older_than = clock.now - 1
    _refer(store, "job:1", A)
    store.write_now(lambda tx: blobs.release(tx, "job:1"))
    assert store.write_now(lambda tx: blobs.touch(tx, [B, _sha("none")])) == {B}
    assert _collect(store, older_than) == [C]


def test_naming_what_is_gone_is_an_error_and_changes_nothing(store: Store) -> None:
    _register(store, A)
    with pytest.raises(Problem) as found:
        _refer(store, "job:1", A, B)
    assert found.value.code == "gone" and B in found.value.detail
    assert store.read_now(lambda conn: blobs.named_by(conn, "job:1")) == []


def test_a_quarantined_blob_is_given_to_nobody_until_it_is_put_again(store: Store) -> None:
    _register(store, A)
    store.write_now(lambda tx: blobs.quarantine(tx, A))
    assert store.read_now(lambda conn: blobs.known(conn, [A])) == {}
    assert store.read_now(lambda conn: blobs.registered(conn, [A])) == {A}
    with pytest.raises(Problem):
        _refer(store, "job:1", A)
    _register(store, A)
    _refer(store, "job:1", A)


def test_thousands_of_names_at_once(store: Store, clock: Clock) -> None:
    digests = [_sha(number) for number in range(1500)]
    _register(store, *digests)
    _refer(store, "version:1", *digests)
    assert len(store.read_now(lambda conn: blobs.named_by(conn, "version:1"))) == 1500
    clock.now += 10
    assert _collect(store, clock.now) == []
    store.write_now(lambda tx: blobs.release(tx, "version:1"))
    assert len(_collect(store, clock.now, limit=400)) == 400
    assert len(_collect(store, clock.now, limit=4000)) == 1100


def test_naming_and_collecting_at_the_same_time(store: Store, clock: Clock) -> None:
    """Of two transactions that meet at a blob, either the name keeps it, or whoever names learns that it is gone."""
    for number in range(30):
        sha256 = _sha(f"race {number}")
        _register(store, sha256)
        clock.now += 100
        start = threading.Barrier(2)
        told: list[str] = []

        def name(sha256: str = sha256, start: threading.Barrier = start, told: list[str] = told) -> None:
            start.wait()
            try:
                _refer(store, "job:1", sha256)
            except Problem as problem:
                told.append(problem.code)

        naming = threading.Thread(target=name)
        naming.start()
        start.wait()
        collected = _collect(store, clock.now - 1)
        naming.join()
        kept = store.read_now(partial(blobs.find, sha256=sha256)) is not None
        assert (collected, told, kept) in [([], [], True), ([sha256], ["gone"], False)]


def test_two_that_name_the_same_blobs_do_not_wait_in_a_circle(store: Store) -> None:
    digests = [_sha(number) for number in range(200)]
    _register(store, *digests)
    failed: list[BaseException] = []

    def name(holder: str, order: list[str]) -> None:
        try:
            for _ in range(10):
                _refer(store, holder, *order)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=name, args=(f"job:{n}", digests[:: 1 if n % 2 else -1])) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# ---------------------------------------------------------------- files and uploads


def _add(store: Store, name: str = "a.txt", lifetime_s: float | None = 60.0, **more: Any) -> files.File:
    return store.write_now(
        lambda tx: files.add_file(tx, owner_id="u1", name=name, sha256=A, size_bytes=10, lifetime_s=lifetime_s, **more)
    )


def test_a_file_names_its_blob_until_it_is_removed(store: Store, clock: Clock) -> None:
    file = _add(store, name="\u0434\u0430\u043d\u043d\u044b\u0435 \U0001f600 %41.csv")
    kept = _add(store, lifetime_s=None)
    assert store.read_now(lambda conn: files.find_file(conn, file.id, now=clock.now)) == file
    assert store.read_now(lambda conn: blobs.holders_of(conn, A)) == sorted([f"file:{file.id}", f"file:{kept.id}"])
    clock.now += 60
    assert store.read_now(lambda conn: files.find_file(conn, file.id, now=clock.now)) is None
    assert store.read_now(lambda conn: files.expired_files(conn, now=clock.now)) == [file.id]
    assert store.write_now(lambda tx: files.delete_files(tx, file.id, "none")) == 1
    assert store.write_now(files.delete_files) == 0
    assert store.read_now(lambda conn: blobs.holders_of(conn, A)) == [f"file:{kept.id}"]
    assert store.read_now(lambda conn: files.find_file(conn, kept.id, now=clock.now * 2)) == kept


def test_an_upload_lives_until_it_expires(store: Store, clock: Clock) -> None:
    upload = store.write_now(
        lambda tx: files.add_upload(tx, owner_id="u1", name="b", length=2**40, sha256=None, lifetime_s=60)
    )
    assert store.read_now(lambda conn: files.find_upload(conn, upload.id, now=clock.now)) == upload
    assert store.read_now(lambda conn: files.uploads_known(conn, [upload.id, "none"])) == {upload.id}
    clock.now += 60
    assert store.read_now(lambda conn: files.find_upload(conn, upload.id, now=clock.now)) is None
    assert store.read_now(lambda conn: files.expired_uploads(conn, now=clock.now)) == [upload.id]
    assert store.write_now(lambda tx: files.delete_upload(tx, upload.id))
    assert not store.write_now(lambda tx: files.delete_upload(tx, upload.id))


def test_many_files_are_added_as_each_alone(store: Store) -> None:
    """New bytes, known ones, those in quarantine, and two names of the same."""
    store.write_now(partial(blobs.register, sha256=A, size_bytes=1))
    store.write_now(lambda tx: tx.conn.execute(blobs.blobs.insert().values(**_quarantined(tx))))
    named = [("a", A, 1), ("b", B, 2), ("c", C, 3), ("c again", C, 3)]
    made = store.write_now(lambda tx: files.add_files(tx, owner_id="u1", named=named, lifetime_s=60.0))
    assert [(one.name, one.sha256, one.size_bytes) for one in made] == named
    with store.read_engine.connect() as conn:
        assert blobs.known(conn, [A, B, C]) == {A: 1, B: 2, C: 3}, "all are whole"
        assert [files.find_file(conn, one.id, now=store.clock()) for one in made] == made
        assert len(blobs.holders_of(conn, C)) == 2
    assert store.write_now(lambda tx: files.add_files(tx, owner_id="u1", named=[], lifetime_s=None)) == []


def _quarantined(tx: Tx) -> dict[str, Any]:
    return {"sha256": B, "size_bytes": 2, "created_at": tx.now, "quarantined_at": tx.now}
