"""Backups, their restoring, and moving to PostgreSQL: row by row, on both databases, and whatever is wrong with an archive."""

import asyncio
import json
import os
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem
from sirdar.server import keep
from sirdar.server.home import HomeHeld, HomeLock
from sirdar.services.keep import backup as backups
from sirdar.services.keep import restore as restores
from sirdar.services.settings import DATABASE_FILE, Settings
from sirdar.store import blobs as blobs_store
from sirdar.store import rows as row_store
from sirdar.store import schema
from sirdar.store import tables as t
from sirdar.store.engine import Store
from sirdar.store.opening import driver_url, shown, snapshot

HEAD, NEXT = schema.HEAD, f"{int(schema.HEAD) + 1:04d}"
STRANGE = 'Öl\t"\\u0000"\n\U0001f9f2 \u2028 {"a": [1.5, null]}'
AT = 1_800_000_000.123456789


@pytest.fixture
def url(database: Any, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    yield from _database(database, tmp_path / "home")


@pytest.fixture
def other(postgres_cluster: Any, tmp_path: Path) -> Iterator[str]:
    """An empty PostgreSQL database."""
    yield from _database(postgres_cluster, tmp_path)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def goal(request: pytest.FixtureRequest) -> Any:
    """What is restored into, as ``database``."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture
def into(goal: Any, tmp_path: Path) -> Iterator[str | None]:
    """An empty PostgreSQL database, or None for SQLite in the home."""
    if goal is None:
        yield None
    else:
        yield from _database(goal, tmp_path)


def _database(cluster: Any, home: Path) -> Iterator[str]:
    if cluster is None:
        home.mkdir(exist_ok=True)
        yield f"sqlite:///{home / 'sirdar.db'}"
        return
    name = cluster.create_database()
    yield cluster.url(name)
    cluster.drop_database(name)


class Home:
    """A home with something of everything in it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        path.mkdir(exist_ok=True)
        self.database = "" if url.startswith("sqlite") else url
        schema.migrate(url)
        self.blobs = LocalBlobs(path / "blobs")
        (path / "server.key").write_bytes(bytes(range(32)))
        (path / "logs/ab").mkdir(parents=True)
        (path / "logs/ab/abcdef-0-1.stdout").write_bytes(b"\0\xff so far")
        self.digests = [self.put(content) for content in (b"", b"one", os.urandom(3_000_000))]
        self.write(self._fill)

    def put(self, content: bytes) -> str:
        return asyncio.run(self.blobs.put_bytes(content)).sha256

    def write(self, call: Callable[..., Any]) -> None:
        store = Store(self.url)
        try:
            store.write_now(call)
        finally:
            store.close()

    def _fill(self, tx: Any) -> None:
        run = tx.conn.execute
        run(
            t.users.insert().values(
                id="u1", name="anna", email=STRANGE, cpu_s=0.1 + 0.2, created_at=AT, quota_bytes=2**53
            )
        )
        run(
            t.apps.insert().values(
                id="a1", owner_id="u1", alias="x", name=STRANGE, latest=1, created_at=AT, updated_at=AT
            )
        )
        run(
            t.versions.insert().values(
                id="v1",
                app_id="a1",
                number=1,
                digest="d",
                document_json=STRANGE,
                files_json="[]",
                created_at=AT,
                created_by="anna",
            )
        )
        jobs = [
            {"id": f"j{n}", "owner_id": "u1", "app_id": "a1", "version_id": "v1", "name": f"job {n}", "state": "READY",
             "inputs_json": json.dumps({"x": n, "s": STRANGE}), "retries": 5, "total": 1, "waiting": 1, "created_at": AT + n / 7}
            for n in range(20)
        ]  # fmt: skip
        run(t.jobs.insert(), jobs)
        run(t.jobs.delete().where(t.jobs.c.id == "j3"))
        run(t.audit.insert().values(at=AT, actor="anna", action="login", object="-", detail_json=None))
        for sha256, size in zip(self.digests, (0, 3, 3_000_000), strict=True):
            blobs_store.register(tx, sha256, size)
            blobs_store.refer(tx, "job:j1", [sha256])

    def close(self) -> None:
        self.blobs.close()


@pytest.fixture
def home(url: str, tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home", url)
    yield made
    made.close()


def everything(url: str) -> dict[str, list[Any]]:
    """All rows of all tables, with the types of their values."""
    with snapshot(url) as conn:
        return {
            table.name: sorted([repr(tuple(row)) for row in row_store.read_rows(conn, table)])
            for table in row_store.tables_of(conn)
        }


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and p.name not in {".marker"} and not p.name.startswith("sirdar.db")
    }


def refused(code: str, words: str, call: Callable[..., Any], *args: Any, **more: Any) -> Problem:
    with pytest.raises(Problem) as raised:
        call(*args, **more)
    assert raised.value.code == code and words in raised.value.detail, (raised.value.code, raised.value.detail)
    return raised.value


@pytest.mark.parametrize("kind", ["copy.tar", "copy"])
def test_every_row_and_byte_comes_back(home: Home, tmp_path: Path, kind: str, into: str | None) -> None:
    saved = keep.backup(home.path, tmp_path / kind, home.database or None)
    assert (saved.blobs, saved.blob_bytes, saved.missing_blobs) == (3, 3_000_003, 0)
    assert os.stat(tmp_path / kind).st_mode & 0o077 == 0, "it holds the key"
    found = keep.restore(tmp_path / kind, tmp_path / "new", into)
    assert (found.rows, found.taken_at) == (saved.rows, saved.taken_at)
    before, after = everything(home.url), everything(into or f"sqlite:///{tmp_path / 'new/sirdar.db'}")
    assert before == after and len(before["jobs"]) == 19
    ours = tree(tmp_path / "new")
    assert ours.pop(DATABASE_FILE, None) == (f"{into}\n".encode() if into else None)
    assert ours == {k: v for k, v in tree(home.path).items() if k != "up.lock"}
    assert set(os.listdir(tmp_path)) <= {"home", "new", kind}, "a draft was left"


@pytest.mark.postgres
def test_numbers_go_on_after_the_largest(home: Home, tmp_path: Path, other: str) -> None:
    keep.backup(home.path, tmp_path / "copy.tar", home.database or None)
    keep.restore(tmp_path / "copy.tar", tmp_path / "new", other)
    store = Store(driver_url(other))
    try:
        last = store.read_now(lambda conn: conn.execute(sa.select(sa.func.max(t.jobs.c.seq))).scalar_one())
        row = {"owner_id": "u1", "app_id": "a1", "version_id": "v1", "name": "n", "state": "READY", "inputs_json": "{}",
               "retries": 0, "total": 1, "waiting": 1, "created_at": AT}  # fmt: skip
        store.write_now(lambda tx: tx.conn.execute(t.jobs.insert().values(id="next", **row)))
        assert (
            store.read_now(lambda conn: conn.execute(sa.select(t.jobs.c.seq).where(t.jobs.c.id == "next")).scalar_one())
            == last + 1
        )
    finally:
        store.close()


def test_a_backup_is_of_one_moment(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written after it began is not in it, not even in tables that are read last."""
    read, seen = row_store.read_rows, []

    def spying(conn: Any, table: Any) -> Any:
        if not seen:
            home.write(lambda tx: tx.conn.execute(t.audit.insert().values(at=AT, actor="late", action="x", object="-")))
            home.write(lambda tx: tx.conn.execute(t.jobs.update().values(name="late")))
        seen.append(table.name)
        return read(conn, table)

    before = everything(home.url)
    monkeypatch.setattr(row_store, "read_rows", spying)
    keep.backup(home.path, tmp_path / "copy.tar", home.database or None)
    monkeypatch.undo()
    keep.restore(tmp_path / "copy.tar", tmp_path / "new")
    assert everything(f"sqlite:///{tmp_path / 'new/sirdar.db'}") == before != everything(home.url)


def test_nothing_is_collected_while_a_backup_lasts(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is deleted meanwhile does not take its blobs out of the backup, whose rows still name them."""
    copy, gone = backups._copy_blobs, []

    async def late(*args: Any) -> None:
        home.write(lambda tx: blobs_store.release(tx, "job:j1"))
        home.write(lambda tx: gone.extend(blobs_store.collect(tx, older_than=tx.now + 1)))
        await copy(*args)

    monkeypatch.setattr(backups, "_copy_blobs", late)
    assert keep.backup(home.path, tmp_path / "copy.tar", home.database or None).blobs == 3
    assert gone == []
    home.write(lambda tx: gone.extend(blobs_store.collect(tx, older_than=tx.now + 1)))
    assert len(gone) == 3, "the hold ends with the backup"
    keep.restore(tmp_path / "copy.tar", tmp_path / "new")


def test_a_hold_ends_by_itself(home: Home) -> None:
    """A backup that was killed keeps nothing for long."""
    home.write(lambda tx: blobs_store.release(tx, "job:j1"))
    home.write(lambda tx: blobs_store.hold(tx, "dead", -1.0))
    gone: list[str] = []
    home.write(lambda tx: gone.extend(blobs_store.collect(tx, older_than=tx.now + 1)))
    assert len(gone) == 3


def test_blobs_that_are_not_there(home: Home, tmp_path: Path) -> None:
    """One that is named and gone, one that has other bytes, one that nobody names: the backup says so, and claims none of them."""
    missing, damaged = home.digests[1:]
    (home.path / "blobs" / missing[:2] / missing).unlink()
    path = home.path / "blobs" / damaged[:2] / damaged
    path.chmod(0o600)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    home.write(lambda tx: blobs_store.register(tx, "a" * 64, 7))
    saved = keep.backup(home.path, tmp_path / "copy.tar", home.database or None)
    assert (saved.blobs, saved.missing_blobs) == (1, 2)
    keep.restore(tmp_path / "copy.tar", tmp_path / "new")
    with snapshot(f"sqlite:///{tmp_path / 'new/sirdar.db'}") as conn:
        assert [sha256 for sha256, _, _ in row_store.blobs_with_rows(conn)] == home.digests[:1]
        assert conn.execute(sa.select(sa.func.count()).select_from(t.blob_refs)).scalar_one() == 3


def test_without_blobs(home: Home, tmp_path: Path) -> None:
    saved = keep.backup(home.path, tmp_path / "copy.tar", home.database or None, with_blobs=False)
    assert (saved.blobs, saved.blobs_included) == (0, False)
    assert not keep.restore(tmp_path / "copy.tar", tmp_path / "new").blobs_included
    assert everything(f"sqlite:///{tmp_path / 'new/sirdar.db'}") == everything(home.url)


def test_many_rows_pass_in_bounded_memory(home: Home, tmp_path: Path) -> None:
    """20,000 rows of two kilobytes: neither the backup nor the restore ever holds a third of them."""
    many, text = 20_000, "x" * 2000

    def fill(tx: Any) -> None:
        for at in range(0, many, 5000):
            rows = [
                {"job_id": "j1", "seq": n, "at": AT, "kind": "k", "data_json": f"{n}{text}"}
                for n in range(at, at + 5000)
            ]
            tx.conn.execute(t.events.insert(), rows)

    home.write(fill)
    tracemalloc.start()
    try:
        keep.backup(home.path, tmp_path / "copy.tar", home.database or None)
        _, taken = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        keep.restore(tmp_path / "copy.tar", tmp_path / "new", None)
        _, given = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < many * 2000 / 3 and given < many * 2000 / 3, (taken, given)
    with snapshot(f"sqlite:///{tmp_path / 'new/sirdar.db'}") as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(t.events)).scalar_one() == many


# ---------------------------------------------------------------- what is wrong with an archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole backup of an SQLite home, as a folder."""
    root = tmp_path_factory.mktemp("kept")
    made = Home(root / "home", f"sqlite:///{root / 'home/sirdar.db'}")
    keep.backup(made.path, root / "copy")
    keep.backup(made.path, root / "copy.tar")
    made.close()
    yield root


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_cut_file(archive: Path, tmp_path: Path, share: float) -> None:
    whole = (archive / "copy.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: int(len(whole) * share)])
    refused("invalid_archive", "not whole", keep.restore, tmp_path / "cut.tar", tmp_path / "new")
    assert os.listdir(tmp_path) == ["cut.tar"], "something was half restored"


def _edit_rows(root: Path) -> None:
    path = next(root.glob("rows/*-jobs/*"))
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")


def _lose_rows(root: Path) -> None:
    next(root.glob("rows/*-jobs/*")).unlink()


def _change_blob(root: Path) -> None:
    path = max(root.glob("blobs/*/*"), key=lambda p: p.stat().st_size)
    path.write_bytes(b"other")


def _lose_blob(root: Path) -> None:
    next(root.glob("blobs/*/*")).unlink()


def _change_key(root: Path) -> None:
    (root / "keys/server.key").write_bytes(bytes(32))


def _strange_member(root: Path) -> None:
    (root / "logs/ab/run.sh").write_text("x")


def _other_manifest(root: Path) -> None:
    (root / "manifest.json").write_text('{"rows": 5, "more": 1}')


def _no_manifest(root: Path) -> None:
    (root / "manifest.json").unlink()


def _broken_header(root: Path) -> None:
    (root / "backup.json").write_text("{}")


def _future(root: Path) -> None:
    header = json.loads((root / "backup.json").read_text())
    (root / "backup.json").write_text(json.dumps(header | {"format": 9}))


DAMAGE = [_edit_rows, _lose_rows, _change_blob, _lose_blob, _change_key, _strange_member, _other_manifest, _no_manifest,
          _broken_header, _future]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda call: call.__name__.strip("_"))
def test_a_damaged_backup_restores_nothing(archive: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    shutil.copytree(archive / "copy", tmp_path / "copy")
    damage(tmp_path / "copy")
    refused("invalid_archive", "not whole", keep.restore, tmp_path / "copy", tmp_path / "new")
    assert os.listdir(tmp_path) == ["copy"]


@pytest.mark.postgres
def test_a_damaged_backup_leaves_the_database_empty(archive: Path, tmp_path: Path, other: str) -> None:
    shutil.copytree(archive / "copy", tmp_path / "copy")
    _lose_blob(tmp_path / "copy")
    refused("invalid_archive", "blobs", keep.restore, tmp_path / "copy", tmp_path / "new", other)
    assert schema.standing(other) is None and os.listdir(tmp_path) == ["copy"]
    keep.restore(archive / "copy", tmp_path / "new", other)


def test_a_member_that_leads_elsewhere(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
    refused("invalid_archive", "escaped", keep.restore, tmp_path / "evil.tar", tmp_path / "new")
    (tmp_path / "text.tar").write_text("no tar at all\n" * 999)
    refused("invalid_archive", "no tar file", keep.restore, tmp_path / "text.tar", tmp_path / "new")
    refused("not_found", "not there", keep.restore, tmp_path / "none.tar", tmp_path / "new")
    refused("not_found", "has no backup.json", keep.restore, tmp_path, tmp_path / "new")


def test_nothing_that_is_there_is_touched(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    refused("already_exists", "not empty", keep.restore, archive / "copy", tmp_path / "full")
    for to in ("full", "full/mine", "full/mine.tar"):
        (tmp_path / "full/mine.tar").write_text("mine")
        refused("already_exists", "there already", keep.backup, archive / "home", tmp_path / to)
    assert tree(tmp_path) == {"full/mine": b"mine", "full/mine.tar": b"mine"}
    refused("not_found", "no home", keep.backup, tmp_path / "none", tmp_path / "copy")
    refused("not_found", "no SQLite database", keep.backup, tmp_path / "full", tmp_path / "copy")
    refused("invalid_field", "PostgreSQL", keep.restore, archive / "copy", tmp_path / "new", "sqlite:////tmp/x.db")
    (tmp_path / "empty").mkdir()
    keep.restore(archive / "copy", tmp_path / "empty")


def test_no_server_starts_in_a_home_that_is_being_restored(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, take_parts = tmp_path / "new", restores._take_parts
    held: list[str] = []

    async def meanwhile(*args: Any) -> None:
        with pytest.raises(HomeHeld) as told:
            HomeLock.take(new)
        held.append(str(told.value))
        await take_parts(*args)

    monkeypatch.setattr(restores, "_take_parts", meanwhile)
    keep.restore(archive / "copy", new)
    assert len(held) == 1
    HomeLock.take(new).release()  # it is free again
    monkeypatch.undo()
    with HomeLock.take(tmp_path / "other"):
        refused("conflict", "is held by", keep.restore, archive / "copy", tmp_path / "other")


@pytest.mark.postgres
def test_a_database_that_is_not_empty(archive: Path, tmp_path: Path, other: str) -> None:
    schema.migrate(other)
    for call in (
        lambda: keep.restore(archive / "copy", tmp_path / "new", other),
        lambda: keep.promote(_copied(archive, tmp_path), other),
    ):
        refused("already_exists", "not empty", call)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "home" / DATABASE_FILE).exists() and (tmp_path / "home/sirdar.db").exists()


def test_a_full_disk(archive: Path, tmp_path: Path) -> None:
    def call() -> None:
        with keep._in_words(tmp_path):
            raise OSError(28, "No space left on device", "x")

    refused("disk_full", "nothing was kept", call)


# ---------------------------------------------------------------- promote, migrate


def _copied(archive: Path, tmp_path: Path) -> Path:
    """A home of the test's own."""
    if not (tmp_path / "home").exists():
        keep.restore(archive / "copy", tmp_path / "home")
    return tmp_path / "home"


@pytest.mark.postgres
def test_promote(archive: Path, tmp_path: Path, other: str) -> None:
    home = _copied(archive, tmp_path)
    before = everything(f"sqlite:///{home / 'sirdar.db'}")
    given = other.replace("postgresql+psycopg://", "postgresql://")
    done = keep.promote(home, given)
    assert done.rows == sum(map(len, before.values())) and everything(other) == before
    assert keep._settings(home, None).database_url == other, "a server of this home would use the old one"
    assert not (home / "sirdar.db").exists() and Path(done.kept).exists()
    assert os.stat(home / DATABASE_FILE).st_mode & 0o077 == 0, "it holds a password"
    refused("conflict", "moved", keep.promote, home, given)


@pytest.mark.postgres
def test_a_row_that_postgresql_refuses_leaves_everything_as_it_was(archive: Path, tmp_path: Path, other: str) -> None:
    home = _copied(archive, tmp_path)
    url = f"sqlite:///{home / 'sirdar.db'}"
    store = Store(url)
    store.write_now(lambda tx: tx.conn.execute(t.users.update().values(email="a\0b")))
    store.close()
    before = everything(url)
    problem = refused("conflict", "users", keep.promote, home, other)
    assert "zero character" in str(problem.hint)
    assert everything(url) == before and schema.standing(other) is None and not (home / DATABASE_FILE).exists()


def test_promote_says_what_is_wrong(tmp_path: Path, archive: Path) -> None:
    home = _copied(archive, tmp_path)
    nowhere = "postgresql://sirdar:secret@127.0.0.1:1/none"
    assert "secret" not in refused("unavailable", "127.0.0.1", keep.promote, home, nowhere).detail
    refused("invalid_field", "no PostgreSQL", keep.promote, home, "sqlite:////tmp/x")
    refused("not_found", "no SQLite", keep.promote, tmp_path, nowhere)
    refused("not_found", "no home", keep.promote, tmp_path / "none", nowhere)
    with keep.HomeLock.take(home):
        refused("conflict", "is held by", keep.promote, home, nowhere)
    assert shown(nowhere) == "postgresql://sirdar:***@127.0.0.1:1/none"


SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "NEXT", "HEAD", None, None

def upgrade():
    how = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("users", recreate=how) as users:
        users.add_column(sa.Column("nick", sa.Text, nullable=False, server_default="none"))
    op.execute("UPDATE users SET nick = name")

def downgrade():
    pass
"""


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make this the release after: one with a second revision, which makes a table anew that others refer to."""
    folder = tmp_path / "migrations"

    def begin(script: str = SECOND) -> None:
        shutil.copytree(schema._HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / f"versions/{NEXT}_nick.py").write_text(
            script.replace('"NEXT"', f'"{NEXT}"').replace('"HEAD"', f'"{HEAD}"')
        )
        monkeypatch.setattr(schema, "_HERE", folder)
        monkeypatch.setattr(schema, "HEAD", NEXT)

    return begin


def test_migrate_with_rows(home: Home, newer: Callable[..., None]) -> None:
    database = home.database or None
    found = keep.migrate(home.path, database)
    assert (found.schema_was, found.schema, found.behind) == (HEAD, HEAD, False)
    before = everything(home.url)
    newer()
    assert keep.migrate(home.path, database, check=True).behind
    assert everything(home.url) == before, "a check changes nothing"
    done = keep.migrate(home.path, database)
    assert (done.schema_was, done.schema, done.behind) == (HEAD, NEXT, False)
    after = everything(home.url)
    assert after["users"] == [row[:-1] + ", 'anna')" for row in before["users"]]
    assert {**after, "users": ()} == {**before, "users": ()}, "rows that refer to a table that was made anew are gone"
    if done.copy:
        assert everything(f"sqlite:///{done.copy}") == before
    assert bool(done.copy) == (not database)


def test_a_migration_that_fails_changes_nothing(home: Home, newer: Callable[..., None]) -> None:
    before = everything(home.url)
    newer(SECOND.replace("nick = name", "nick = no_such_column"))
    refused("unavailable", "no_such_column", keep.migrate, home.path, home.database or None)
    assert schema.standing(home.url) == HEAD and everything(home.url) == before


def test_a_newer_schema_is_refused(home: Home, tmp_path: Path) -> None:
    home.write(lambda tx: tx.conn.exec_driver_sql("UPDATE alembic_version SET version_num = '0042'"))
    for call in (keep.migrate, keep.backup):
        extra = () if call is keep.migrate else (tmp_path / "copy.tar",)
        refused("conflict", "newer release", call, home.path, *extra, home.database or None)
    assert schema.standing(home.url) == "0042"


def test_an_older_backup_into_this_release(home: Home, tmp_path: Path, newer: Callable[..., None]) -> None:
    keep.backup(home.path, tmp_path / "copy.tar", home.database or None)
    newer()
    keep.restore(tmp_path / "copy.tar", tmp_path / "new")
    url = f"sqlite:///{tmp_path / 'new/sirdar.db'}"
    assert schema.standing(url) == NEXT and "'anna')" in everything(url)["users"][0]


def test_a_database_that_is_not_there_yet(tmp_path: Path) -> None:
    assert keep.migrate(tmp_path / "new", check=True).behind and not (tmp_path / "new").exists()
    assert keep.migrate(tmp_path / "new").schema == schema.HEAD
    refused("invalid_field", "no database", keep.migrate, tmp_path, "mysql://x/y")
    with keep.HomeLock.take(tmp_path / "held"):
        refused("conflict", "is held by", keep.migrate, tmp_path / "held")


def test_where_a_database_is_said_to_be(tmp_path: Path) -> None:
    assert Settings(home=tmp_path, database="postgres://a@b/c").database_url == "postgresql+psycopg://a@b/c"
    (tmp_path / DATABASE_FILE).write_text("postgresql://a@b/moved\n")
    from sirdar.services.settings import from_environment

    assert from_environment(tmp_path, {}).database_url.endswith("b/moved")
    assert from_environment(tmp_path, {"SIRDAR_DATABASE": "postgresql://a@b/said"}).database_url.endswith("b/said")
