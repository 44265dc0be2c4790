"""Applications in the store: versions under a lock, lists at a hundred thousand rows, bytes that somebody brought."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sirdar.domain.app import FileEntry
from sirdar.domain.ids import UserId
from sirdar.domain.problems import Problem
from sirdar.store import app_rights, blobs, publishing
from sirdar.store import apps as rows
from sirdar.store import tables as t
from sirdar.store.app_lists import Cursor, Filter, Viewer, list_apps
from sirdar.store.apps import Draft, Inserted
from sirdar.store.engine import Store, Tx
from sirdar.store.jobs import NewJob, insert_job
from sirdar.store.tables import metadata

NOW = 1_800_000_000.0
ANY = Filter()
ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def cluster(request: pytest.FixtureRequest) -> Any:
    """The session's PostgreSQL, or None for SQLite. It is started here, before a test's own surroundings are."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture
def store(cluster: Any, tmp_path: Path) -> Iterator[Store]:
    name = cluster.create_database() if cluster else ""
    ticks = itertools.count()
    url = cluster.url(name) if cluster else f"sqlite:///{tmp_path / 'db'}"
    store = Store(url, clock=lambda: NOW + next(ticks))
    metadata.create_all(store.write_engine)
    store.write_now(lambda tx: [add_user(tx, name) for name in ("anna", "boris")])
    yield store
    store.close()
    if cluster:
        cluster.drop_database(name)


def add_user(tx: Tx, name: str) -> None:
    tx.conn.execute(sa.insert(t.users).values(id=f"id-{name}", name=name, created_at=NOW))


def draft(
    digest: str = "d1",
    *,
    alias: str = "sumsq",
    owner: str = "anna",
    files: tuple[FileEntry, ...] = (),
    keywords: tuple[str, ...] = ("numbers", "Суммы"),
) -> Draft:
    return Draft(
        owner_id=UserId(f"id-{owner}"),
        owner_name=owner,
        alias=alias,
        name=f"Sum {alias}",
        annotation="adds up",
        keywords=keywords,
        digest=digest,
        document_json='{"sirdar":1,"alias":"sumsq"}',
        files=files,
        created_by=owner,
    )


def publish(store: Store, wanted: Draft) -> Inserted:
    return store.write_now(lambda tx: rows.insert_version(tx, wanted))


# ---------------------------------------------------------------- versions


def test_versions_are_numbered_and_the_same_bytes_make_none(store: Store) -> None:
    first = publish(store, draft("a"))
    again = publish(store, draft("a"))
    second = publish(store, draft("b"))
    assert (first.number, first.created, first.first) == (1, True, True)
    assert (again.number, again.created, again.returned, again.version_id) == (1, False, False, first.version_id)
    assert (second.number, second.created, second.first) == (2, True, False)


def test_earlier_bytes_become_current_again_and_the_next_number_is_free(store: Store) -> None:
    publish(store, draft("a"))
    publish(store, draft("b"))
    back = publish(store, draft("a"))
    assert (back.number, back.created, back.returned) == (1, False, True)
    found = store.read_now(lambda conn: rows.get_version(conn, back.app.id))
    assert found is not None
    assert found.number == 1
    assert publish(store, draft("c")).number == 3


def test_a_version_is_read_as_it_was_written(store: Store) -> None:
    store.write_now(lambda tx: blobs.register(tx, ONE, 5))
    entry = FileEntry("src/fit.py", ONE, 5, 0o755)
    made = publish(store, draft("a", files=(entry,)))
    found = store.read_now(lambda conn: rows.get_version(conn, made.app.id, 1))
    assert found is not None
    assert found.files == (entry,)
    assert found.reference == "anna/sumsq"
    assert found.document == {"sirdar": 1, "alias": "sumsq"}
    assert store.read_now(lambda conn: rows.get_version_by_id(conn, made.version_id)) == found
    assert store.read_now(lambda conn: rows.get_version(conn, made.app.id, 2)) is None
    assert store.read_now(lambda conn: blobs.named_by(conn, f"version:{made.version_id}")) == [ONE]


def test_a_version_whose_bytes_are_missing_leaves_nothing(store: Store) -> None:
    with pytest.raises(Problem) as caught:
        publish(store, draft("a", files=(FileEntry("fit.py", ONE, 5),)))
    assert caught.value.code == "gone"
    assert store.read_now(lambda conn: rows.find_app(conn, "anna", "sumsq")) is None


def test_two_who_publish_at_once_get_one_application_and_two_numbers(store: Store) -> None:
    """Real transactions side by side: on PostgreSQL they meet at the unique key, then at the row's lock."""
    for turn in range(5):
        both = threading.Barrier(2)
        made: list[Inserted] = []

        def work(digest: str, turn: int = turn, both: threading.Barrier = both, made: list[Inserted] = made) -> None:
            both.wait()
            made.append(publish(store, draft(digest, alias=f"app{turn}")))

        threads = [threading.Thread(target=work, args=(digest,)) for digest in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one.number for one in made) == [1, 2]
        assert len({one.app.id for one in made}) == 1
        assert sorted(one.first for one in made) == [False, True]


def test_two_who_publish_the_same_at_once_get_one_version(store: Store) -> None:
    both = threading.Barrier(2)
    made: list[Inserted] = []

    def work() -> None:
        both.wait()
        made.append(publish(store, draft("a")))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.created for one in made) == [False, True]
    assert len({one.version_id for one in made}) == 1


def test_hidden_versions_are_shared_stand_in_no_list_and_go_when_no_job_has_them(store: Store) -> None:
    app_id = publish(store, draft()).app.id
    hidden = [
        store.write_now(lambda tx, digest=digest: rows.ensure_derived(tx, app_id, 1, digest, "{}"))
        for digest in ("h1", "h2", "h1")
    ]
    assert hidden[0] == hidden[2] != hidden[1]
    assert publish(store, draft("d2")).number == 2
    with store.read_engine.connect() as conn:
        assert [version.number for version in rows.list_versions(conn, app_id, limit=10)] == [2, 1]
        assert rows.count_versions(conn, app_id) == 2
        loaded = rows.get_version_by_id(conn, hidden[0])
        assert loaded is not None
        assert (loaded.number, loaded.shown, loaded.is_hidden) == (-1, 1, True)
    job = NewJob("j1", "id-anna", app_id, hidden[0], "", "{}", 1, 0)
    store.write_now(lambda tx: insert_job(tx, job))
    assert store.write_now(lambda tx: rows.drop_derived(tx, tx.now - 60)) == 0, "they are young"
    assert store.write_now(lambda tx: rows.drop_derived(tx, tx.now + 60)) == 1
    with store.read_engine.connect() as conn:
        assert rows.get_version_by_id(conn, hidden[0]) is not None
        assert rows.get_version_by_id(conn, hidden[1]) is None
    old = sa.update(t.versions).where(t.versions.c.id == hidden[0]).values(created_at=NOW - 10 * 86400)
    store.write_now(lambda tx: tx.conn.execute(old).rowcount)
    store.write_now(lambda tx: rows.ensure_derived(tx, app_id, 1, "h1", "{}"))
    with store.read_engine.connect() as conn:
        again = rows.get_version_by_id(conn, hidden[0])
    assert again is not None
    assert again.created_at >= NOW, "whoever asks for it is about to use it"


def test_versions_are_listed_from_the_newest(store: Store) -> None:
    for digest in "abc":
        made = publish(store, draft(digest))
    listed = store.read_now(lambda conn: rows.list_versions(conn, made.app.id, limit=2))
    assert [row.number for row in listed] == [3, 2]
    rest = store.read_now(lambda conn: rows.list_versions(conn, made.app.id, limit=2, before=2))
    assert [row.number for row in rest] == [1]
    assert store.read_now(lambda conn: rows.count_versions(conn, made.app.id)) == 3


# ---------------------------------------------------------------- shares, secrets


def test_shares_and_secrets_are_replaced_and_removed(store: Store) -> None:
    app_id = publish(store, draft()).app.id
    for permission in ("view", "run"):
        store.write_now(lambda tx, p=permission: app_rights.put_share(tx, app_id, "user:boris", p))
    assert store.read_now(lambda conn: app_rights.list_shares(conn, app_id)) == {"user:boris": "run"}
    assert store.write_now(lambda tx: app_rights.remove_share(tx, app_id, "user:boris"))
    assert not store.write_now(lambda tx: app_rights.remove_share(tx, app_id, "user:boris"))
    for cipher in ("x", "y"):
        store.write_now(lambda tx, c=cipher: app_rights.put_secret(tx, app_id, "KEY", c))
    assert store.read_now(lambda conn: app_rights.get_secrets(conn, app_id)) == {"KEY": "y"}
    assert store.read_now(lambda conn: app_rights.secret_names(conn, app_id)) == ("KEY",)
    assert store.write_now(lambda tx: app_rights.remove_secret(tx, app_id, "KEY"))


def test_a_share_needs_somebody_who_exists(store: Store) -> None:
    exists = {
        subject: store.read_now(lambda conn, s=subject: app_rights.subject_exists(conn, s))
        for subject in ("user:boris", "user:nobody", "group:lab", "everyone", "everyone:x", "robot:r2")
    }
    assert [subject for subject, there in exists.items() if there] == ["user:boris", "everyone"]


# ---------------------------------------------------------------- bytes that a publisher brought


def test_bytes_count_only_for_those_who_brought_them(store: Store) -> None:
    """Naming the digest of somebody's file must neither tell that it is here nor give it away."""
    store.write_now(lambda tx: publishing.hold_for_publisher(tx, "id-anna", ONE, 5))
    store.write_now(lambda tx: blobs.register(tx, TWO, 7))
    store.write_now(lambda tx: blobs.refer(tx, "file:other", [TWO]))

    def seen(user: str) -> dict[str, int]:
        return store.read_now(lambda conn: publishing.brought_by(conn, f"id-{user}", [ONE, TWO]))

    assert seen("anna") == {ONE: 5}
    assert seen("boris") == {}
    publish(store, draft("a", files=(FileEntry("fit.py", ONE, 5),)))
    store.write_now(lambda tx: publishing.release_publisher(tx, "id-anna", [ONE]))
    assert seen("anna") == {ONE: 5}
    assert seen("boris") == {}


def test_bytes_of_a_publication_that_never_came_are_let_go(store: Store) -> None:
    store.write_now(lambda tx: publishing.hold_for_publisher(tx, "id-anna", ONE, 5))
    assert store.write_now(lambda tx: publishing.drop_stale_uploads(tx, NOW)) == 0
    assert store.write_now(lambda tx: publishing.drop_stale_uploads(tx, NOW + 1000)) == 1
    assert store.write_now(lambda tx: blobs.collect(tx, older_than=NOW + 1000)) == [ONE]


# ---------------------------------------------------------------- lists


def viewer(name: str, *, sees_all: bool = False) -> Viewer:
    return Viewer(f"id-{name}", {f"user:{name}", "everyone"}, sees_all)


def aliases(store: Store, who: Viewer, which: Filter = ANY) -> list[str]:
    found = store.read_now(lambda conn: list_apps(conn, who, which, limit=40))
    return [app.alias for app in found]


def test_a_list_holds_what_the_viewer_may_see_the_last_updated_first(store: Store) -> None:
    for alias in ("one", "two", "three"):
        made = publish(store, draft(alias=alias))
    publish(store, draft("b", alias="one"))
    store.write_now(lambda tx: app_rights.put_share(tx, made.app.id, "everyone", "view"))
    assert aliases(store, viewer("anna")) == ["one", "three", "two"]
    assert aliases(store, viewer("boris")) == ["three"]
    assert aliases(store, viewer("boris", sees_all=True)) == ["one", "three", "two"]
    assert aliases(store, Viewer("id-anna", (), only={made.app.id})) == ["three"]


def test_a_list_is_filtered_by_owner_words_and_archive(store: Store) -> None:
    publish(store, draft(alias="sums"))
    other = publish(store, draft(alias="fit", owner="boris"))
    everything = viewer("anna", sees_all=True)
    assert aliases(store, everything, Filter(owner="boris")) == ["fit"]
    assert aliases(store, everything, Filter(owner="nobody")) == []
    assert aliases(store, everything, Filter(text="NUMBERS fit")) == ["fit"]
    assert aliases(store, everything, Filter(text="СУММЫ anna/sums")) == ["sums"]
    assert aliases(store, everything, Filter(text="100%_")) == []
    store.write_now(lambda tx: rows.set_archived(tx, other.app.id, True))
    assert aliases(store, everything) == ["sums"]
    assert aliases(store, everything, Filter(archived=True)) == ["fit"]


def test_a_list_is_narrowed_to_a_keyword_and_to_what_others_share(store: Store) -> None:
    mine = publish(store, draft(alias="mine", keywords=("numbers", "sums of squares")))
    other = publish(store, draft(alias="other", owner="boris", keywords=("number",)))
    publish(store, draft(alias="hidden", owner="boris", keywords=("numbers",)))
    for one in (mine, other):
        store.write_now(lambda tx, one=one: app_rights.put_share(tx, one.app.id, "everyone", "run"))
    for who in (viewer("anna"), viewer("anna", sees_all=True)):
        assert aliases(store, who, Filter(shared=True)) == ["other"]
    assert aliases(store, viewer("anna"), Filter(keyword="numbers")) == ["mine"]
    assert aliases(store, viewer("anna"), Filter(keyword="sums of squares")) == ["mine"]
    assert aliases(store, viewer("anna"), Filter(keyword="sums")) == []
    assert aliases(store, viewer("boris"), Filter(keyword="numbers")) == ["hidden", "mine"]
    assert aliases(store, viewer("boris"), Filter(shared=True, text="sums")) == ["mine"]


def test_pages_follow_one_another_also_where_times_are_equal(store: Store) -> None:
    for number in range(7):
        publish(store, draft(alias=f"app{number}"))
    store.write_now(lambda tx: tx.conn.execute(sa.update(t.apps).values(updated_at=NOW)))
    seen: list[str] = []
    after = None
    while found := store.read_now(
        lambda conn: list_apps(conn, viewer("anna"), Filter(), limit=3, after=after)  # noqa: B023
    ):
        seen += [app.alias for app in found]
        after = Cursor(found[-1].updated_at, found[-1].id)
    assert sorted(seen) == [f"app{number}" for number in range(7)]


def test_lists_are_quick_at_a_hundred_thousand_rows(store: Store) -> None:
    fill(store, 100_000)
    questions = {
        "own": (viewer("anna"), Filter()),
        "everything": (viewer("boris", sees_all=True), Filter()),
        "shared with everyone": (viewer("boris"), Filter()),
        "a word that is common": (viewer("boris"), Filter(text="number")),
        "a word that is rare": (viewer("boris"), Filter(text="app77777")),
        "an owner": (viewer("boris"), Filter(owner="anna")),
        "what others share": (viewer("boris"), Filter(shared=True)),
        "an administrator's shared ones": (viewer("boris", sees_all=True), Filter(shared=True)),
        "a keyword that nothing has": (viewer("boris"), Filter(keyword="rare")),
        "few": (Viewer("id-carol", {"user:carol"}), Filter()),
    }
    for name, (who, which) in questions.items():
        best = min(timed(store, who, which) for _ in range(5))
        assert best < 0.5, f"{name}: {best * 1000:.0f} ms"
    shared = aliases(store, viewer("boris", sees_all=True), Filter(shared=True))
    assert len(shared) == 40 and all(int(alias.removeprefix("app")) % 2 == 0 for alias in shared)


def timed(store: Store, who: Viewer, which: Filter) -> float:
    started = time.perf_counter()
    store.read_now(lambda conn: list_apps(conn, who, which, limit=41))
    return time.perf_counter() - started


def fill(store: Store, count: int) -> None:
    """Applications of Anna's, every second of them shared with everyone, five with Carol."""
    apps = [
        {
            "id": f"{number:016d}",
            "owner_id": "id-anna",
            "alias": f"app{number}",
            "name": f"Application {number}",
            "search_text": f"anna/app{number}\napplication {number}\nworks on numbers\nnumber",
            "latest": 1,
            "created_at": NOW,
            "updated_at": NOW + number * 7919 % count,
        }
        for number in range(count)
    ]
    shares = [{"app_id": app["id"], "subject": "everyone", "permission": "run"} for app in apps[::2]]
    shares += [{"app_id": app["id"], "subject": "user:carol", "permission": "run"} for app in apps[:5]]

    def write(tx: Tx) -> None:
        tx.conn.execute(sa.insert(t.apps), apps)
        tx.conn.execute(sa.insert(t.app_shares), shares)

    store.write_now(write)
    if not store.sqlite:
        store.write_now(lambda tx: tx.conn.execute(sa.text("ANALYZE")))
