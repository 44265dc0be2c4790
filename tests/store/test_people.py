"""Users, groups, tokens, links, attempts' rights, quotas and the audit log in the store, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sirdar.domain.ids import AttemptKey, JobId, UserId
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import access, audit, quotas
from sirdar.services.outside.accounts import admit
from sirdar.services.outside.identity import GroupRules, Identity
from sirdar.services.people import ensure_admin, make_login_link
from sirdar.services.settings import Settings
from sirdar.services.signin import token_hash
from sirdar.services.tokens import TokenRequest, issue
from sirdar.store import access as facts
from sirdar.store import audit as audit_rows
from sirdar.store import grants, people, tokens, usage
from sirdar.store import tables as t
from sirdar.store.audit import AuditFilter, Entry
from sirdar.store.engine import Store, Tx
from sirdar.store.grants import Grant
from sirdar.store.people import User
from sirdar.store.tables import metadata

NOW = 1_790_000_000.0


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def cluster(request: pytest.FixtureRequest) -> Any:
    """The session's PostgreSQL, or None for SQLite. It is started here, before a test's own surroundings are."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture
def store(cluster: Any, tmp_path: Path) -> Iterator[Store]:
    name = cluster.create_database() if cluster else ""
    made = Store(cluster.url(name) if cluster else f"sqlite:///{tmp_path / 'db'}", clock=lambda: NOW)
    metadata.create_all(made.write_engine)
    yield made
    made.close()
    if cluster:
        cluster.drop_database(name)


def user(name: str, **changes: Any) -> User:
    values: dict[str, Any] = {
        "id": UserId(f"id-{name}"),
        "name": name,
        "password_hash": None,
        "email": None,
        "is_admin": False,
        "can_publish": False,
        "quota_jobs": None,
        "quota_bytes": None,
        "cpu_s": 0.0,
        "jobs_ended": 0,
        "retention_s": None,
        "notify_json": None,
        "created_at": NOW,
        "disabled_at": None,
    }
    return User(**values | changes)


def add(store: Store, *users: User) -> None:
    store.write_now(lambda tx: [people.insert_user(tx, one) for one in users])


def test_users_come_back_as_they_were(store: Store) -> None:
    anna = user("anna", password_hash="x", email="a@b.org", is_admin=True, quota_bytes=2**40, cpu_s=1.5)
    add(store, anna, user("boris"))
    assert store.read_now(lambda conn: people.user_by_name(conn, "anna")) == anna
    assert store.read_now(lambda conn: people.user_by_id(conn, "id-boris")) == user("boris")
    assert store.read_now(lambda conn: people.user_by_name(conn, "nobody")) is None
    store.write_now(lambda tx: people.update_user(tx, "id-anna", is_admin=False, disabled_at=NOW, email=None))
    changed = store.read_now(lambda conn: people.user_by_name(conn, "anna"))
    assert changed is not None and (changed.is_admin, changed.disabled_at, changed.email) == (False, NOW, None)


def test_names_are_unique(store: Store) -> None:
    add(store, user("anna"))
    with pytest.raises(IntegrityError):
        add(store, user("anna", id=UserId("other")))


def test_users_are_listed_by_name(store: Store) -> None:
    add(store, *(user(name) for name in ("dawa", "anna", "boris", "clara")))
    page = store.read_now(lambda conn: people.list_users(conn, limit=2))
    assert [one.name for one in page] == ["anna", "boris"]
    rest = store.read_now(lambda conn: people.list_users(conn, limit=9, after="boris"))
    assert [one.name for one in rest] == ["clara", "dawa"]


def test_the_first_administrator_is_made_once(store: Store) -> None:
    assert store.write_now(ensure_admin)
    assert not store.write_now(ensure_admin)
    assert store.read_now(people.count_admins) == 1
    with pytest.raises(Problem):
        Store("sqlite://").write_now(lambda tx: [metadata.create_all(tx.conn), ensure_admin(tx, "short")])


def test_groups(store: Store) -> None:
    add(store, user("anna"), user("boris"))

    def fill(tx: Tx) -> None:
        people.insert_group(tx, "lab")
        people.insert_group(tx, "office")
        assert people.add_member(tx, "lab", "id-boris") and people.add_member(tx, "lab", "id-anna")
        assert not people.add_member(tx, "lab", "id-anna")

    store.write_now(fill)
    found = store.read_now(lambda conn: people.list_groups(conn, limit=10))
    assert [(group.name, group.members) for group in found] == [("lab", ("anna", "boris")), ("office", ())]
    assert [g.name for g in store.read_now(lambda conn: people.list_groups(conn, limit=10, only={"office"}))] == [
        "office"
    ]
    assert store.read_now(lambda conn: people.list_groups(conn, limit=10, only=set())) == []
    assert store.read_now(lambda conn: people.groups_of(conn, "id-anna")) == {"lab"}
    assert store.write_now(lambda tx: people.remove_member(tx, "lab", "id-anna"))
    assert not store.write_now(lambda tx: people.remove_member(tx, "lab", "id-anna"))


def test_who_takes_a_name_anew_inherits_no_shares(store: Store) -> None:
    add(store, user("anna"), user("boris"))
    store.write_now(lambda tx: insert_job(tx, "id-anna", key=AttemptKey(JobId("j1"), 0, 1)))

    def share(tx: Tx) -> None:
        people.insert_group(tx, "lab")
        for subject in ("user:boris", "group:lab"):
            tx.conn.execute(sa.insert(t.app_shares).values(app_id="app1", subject=subject, permission="run"))
            tx.conn.execute(sa.insert(t.job_shares).values(job_id="j1", subject=subject))

    def remove(tx: Tx) -> None:
        people.delete_user(tx, user("boris"))
        people.delete_group(tx, "lab")

    store.write_now(share)
    store.write_now(remove)
    job = store.read_now(lambda conn: facts.job_facts(conn, "j1"))
    app = store.read_now(lambda conn: facts.app_facts(conn, "app1"))
    assert job is not None and app is not None
    assert (job.shares, app.shares) == (frozenset(), {})


def test_what_a_user_owns(store: Store) -> None:
    add(store, user("anna"))
    assert store.read_now(lambda conn: people.owns(conn, "id-anna")) == {}
    store.write_now(lambda tx: insert_job(tx, "id-anna", key=AttemptKey(JobId("j1"), 0, 1)))
    assert store.read_now(lambda conn: people.owns(conn, "id-anna")) == {"jobs": 1, "applications": 1}


# ---------------------------------------------------------------- tokens and links


def test_tokens(store: Store) -> None:
    add(store, user("anna"))
    made = [
        store.write_now(lambda tx, n=n: issue(tx, "id-anna", TokenRequest(f"t{n}", 10.0 * n), default_s=1))  # type: ignore[misc]
        for n in (1, 2, 3)
    ]
    found = store.read_now(lambda conn: tokens.token_by_hash(conn, token_hash(made[0].text)))
    assert found is not None
    assert found[0] == made[0].token and found[1].user.name == "anna"
    assert store.read_now(lambda conn: tokens.token_by_hash(conn, token_hash("other"))) is None
    listed = store.read_now(lambda conn: tokens.list_tokens(conn, "id-anna", now=NOW + 15, limit=9))
    assert {token.label for token in listed} == {"t2", "t3"}
    store.write_now(lambda tx: tokens.note_use(tx, {made[1].token.id: NOW + 1}))
    kept = store.read_now(lambda conn: tokens.token_by_id(conn, made[1].token.id))
    assert kept is not None and kept.last_used_at == NOW + 1
    store.write_now(lambda tx: tokens.revoke_all(tx, "id-anna", but=made[2].token.id))
    listed = store.read_now(lambda conn: tokens.list_tokens(conn, "id-anna", now=NOW, limit=9))
    assert [token.label for token in listed] == ["t3"]
    assert store.write_now(lambda tx: tokens.remove_dead(tx, before=NOW + 12)) == 2


def test_a_link_is_used_once_also_by_two_at_once(store: Store) -> None:
    add(store, user("anna"))
    settings = Settings(home=Path("/nowhere"))
    url = store.write_now(lambda tx: make_login_link(tx, "anna", settings))
    hashed = token_hash(url.rpartition("/")[2])
    assert store.read_now(lambda conn: tokens.link_works(conn, hashed, NOW))
    assert not store.read_now(lambda conn: tokens.link_works(conn, hashed, NOW + settings.login_link_s + 1))
    got: list[object] = []
    threads = [
        threading.Thread(target=lambda: got.append(store.write_now(lambda tx: tokens.take_link(tx, hashed))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in got) == 1
    assert not store.read_now(lambda conn: tokens.link_works(conn, hashed, NOW))


# ---------------------------------------------------------------- attempts


@pytest.mark.parametrize(
    ("current", "state", "ended_ago_s", "counts"),
    [
        (1, "OFFERED", None, True),
        (1, "RUNNING", None, True),
        (1, "STAGING_OUT", None, True),
        (0, "RUNNING", None, True),
        (2, "RUNNING", None, False),  # replaced
        (1, "ENDED", 29.0, True),
        (1, "ENDED", 31.0, False),
        (2, "ENDED", 1.0, False),
    ],
)
def test_which_attempts_tokens_count(
    store: Store, current: int, state: str, ended_ago_s: float | None, counts: bool
) -> None:
    add(store, user("anna"))
    key = AttemptKey(JobId("j1"), 0, 1)
    ended = {"reason": "ok", "ended_at": NOW - ended_ago_s} if ended_ago_s is not None else {}
    store.write_now(lambda tx: insert_job(tx, "id-anna", key=key, current=current, state=state, **ended))
    holder = store.read_now(lambda conn: tokens.attempt_holder(conn, key, now=NOW, grace_s=30))
    assert (holder is not None) is counts
    other = AttemptKey(JobId("j1"), 0, 7)
    assert store.read_now(lambda conn: tokens.attempt_holder(conn, other, now=NOW, grace_s=30)) is None


def insert_job(
    tx: Tx, user_id: str, *, key: AttemptKey, current: int = 1, state: str = "RUNNING", **attempt: Any
) -> None:
    app = {"id": "app1", "owner_id": user_id, "alias": "demo", "name": "Demo", "latest": 1}
    if tx.conn.execute(sa.select(t.apps.c.id)).first() is None:
        tx.conn.execute(sa.insert(t.apps).values(**app, created_at=NOW, updated_at=NOW))
        version = {"id": "v1", "app_id": "app1", "number": 1, "digest": "d", "document_json": "{}", "files_json": "[]"}
        tx.conn.execute(sa.insert(t.versions).values(**version, created_at=NOW, created_by=user_id))
    job = {"id": key.job, "owner_id": user_id, "app_id": "app1", "version_id": "v1", "name": "job", "state": "RUNNING"}
    counts = {"total": 1, "expanded": 1, "waiting": 0, "leased": 1}
    tx.conn.execute(sa.insert(t.jobs).values(**job, **counts, inputs_json="{}", retries=0, created_at=NOW))
    tx.conn.execute(sa.insert(t.tasks).values(job_id=key.job, no=0, state="RUNNING", attempt=current, last_attempt=2))
    row = {"job_id": key.job, "task_no": 0, "no": 1, "state": state, "resource_id": "r", "session": "s"}
    tx.conn.execute(sa.insert(t.attempts).values(**row, offered_at=NOW, **attempt))


# ---------------------------------------------------------------- rights asked of the store


def test_other_peoples_things_are_not_there(store: Store) -> None:
    add(store, user("anna"), user("boris"))
    store.write_now(lambda tx: insert_job(tx, "id-anna", key=AttemptKey(JobId("j1"), 0, 1)))
    anna, boris = Caller(UserId("id-anna"), "anna", can_publish=True), Caller(UserId("id-boris"), "boris")

    def code(ask: Any, caller: Caller, thing: str) -> str:
        try:
            store.read_now(lambda conn: ask(conn, caller, thing))
        except Problem as problem:
            return problem.code
        return "ok"

    asks = (access.seen_job, access.own_job, access.seen_app, access.runnable_app, access.changeable_app)
    things = ("j1", "j1", "app1", "app1", "app1")
    assert [code(ask, anna, thing) for ask, thing in zip(asks, things, strict=True)] == ["ok"] * 5
    assert [code(ask, boris, thing) for ask, thing in zip(asks, things, strict=True)] == ["not_found"] * 5
    for odd in ("", "none", "a\0b", "ü", "x" * 5000, "' OR 1=1"):
        assert code(access.seen_job, anna, odd) == "not_found"
        assert code(access.seen_app, anna, odd) == "not_found"

    def share(tx: Tx) -> None:
        tx.conn.execute(sa.insert(t.app_shares).values(app_id="app1", subject="everyone", permission="view"))
        tx.conn.execute(sa.insert(t.job_shares).values(job_id="j1", subject="user:boris"))

    store.write_now(share)
    wanted = ["ok", "forbidden", "ok", "forbidden", "forbidden"]
    assert [code(ask, boris, thing) for ask, thing in zip(asks, things, strict=True)] == wanted


# ---------------------------------------------------------------- quotas, usage, audit


def test_quotas_of_jobs(store: Store) -> None:
    add(store, user("anna", quota_jobs=2), user("boris"))
    settings = Settings(home=Path("/nowhere"), quota_jobs=1)
    store.write_now(lambda tx: insert_job(tx, "id-anna", key=AttemptKey(JobId("j1"), 0, 1)))
    store.read_now(lambda conn: quotas.check_submit(conn, "id-anna", 1, settings))
    with pytest.raises(Problem) as caught:
        store.read_now(lambda conn: quotas.check_submit(conn, "id-anna", 2, settings))
    assert caught.value.code == "quota_exceeded"
    assert "1 jobs in flight" in caught.value.detail and "quota of 2" in caught.value.detail
    with pytest.raises(Problem):
        store.read_now(lambda conn: quotas.check_submit(conn, "id-boris", 2, settings))


def test_quotas_of_bytes_count_each_blob_once(store: Store) -> None:
    anna = user("anna", quota_bytes=1000)
    add(store, anna)
    settings = Settings(home=Path("/nowhere"))
    key = AttemptKey(JobId("j1"), 0, 1)
    store.write_now(lambda tx: insert_job(tx, anna.id, key=key))

    def keep(tx: Tx) -> None:
        for sha, size in (("a", 300), ("b", 200), ("c", 5000)):
            tx.conn.execute(sa.insert(t.blobs).values(sha256=sha, size_bytes=size, created_at=NOW))
        row = {"id": "f1", "owner_id": anna.id, "name": "x", "sha256": "a", "size_bytes": 300, "created_at": NOW}
        tx.conn.execute(sa.insert(t.files).values(**row))
        for sha, holder in (("a", "file:f1"), ("a", "job:j1"), ("b", "version:v1"), ("c", "job:other")):
            tx.conn.execute(sa.insert(t.blob_refs).values(sha256=sha, holder=holder))

    store.write_now(keep)
    assert store.read_now(lambda conn: usage.bytes_kept(conn, anna.id)) == 500
    store.read_now(lambda conn: quotas.check_bytes(conn, anna.id, 400, settings, now=NOW))
    with pytest.raises(Problem) as caught:  # what was let in counts at once
        store.read_now(lambda conn: quotas.check_bytes(conn, anna.id, 200, settings, now=NOW))
    assert caught.value.code == "quota_exceeded" and "quota of 1000" in caught.value.detail
    used = store.read_now(lambda conn: quotas.usage_of(conn, anna, now=NOW))
    assert (used.jobs_in_flight, used.bytes) == (1, 900)
    store.write_now(lambda tx: tx.conn.execute(sa.delete(t.blob_refs).where(t.blob_refs.c.sha256 == "a")))
    store.read_now(lambda conn: quotas.check_bytes(conn, anna.id, 700, settings, now=NOW + 2))  # room was made


def test_the_audit_log(store: Store) -> None:
    anna = Caller(UserId("id-anna"), "anna", token_id="t1")
    task = Caller(UserId("id-anna"), "anna", attempt=AttemptKey(JobId("j1"), 0, 1))

    def write(tx: Tx) -> None:
        audit.record(tx, anna, "app.share", "app:anna/svf", subject="group:lab", password="hush", long="x" * 900)
        audit.record(tx, task, "job.submit", "job:j2", api_key="hush", inner={"secret": "hush", "n": 1}, none=None)
        audit.record(tx, None, "user.create", "user:a\0b", groups=frozenset({"b", "a"}), name="\ud800")

    store.write_now(write)
    newest, middle, oldest = store.read_now(lambda conn: audit_rows.newest(conn, AuditFilter(), limit=9))
    assert (newest.actor, newest.object, newest.detail["groups"]) == ("system", "user:a\ufffdb", ["a", "b"])
    assert middle.detail == {"api_key": "(hidden)", "inner": {"secret": "(hidden)", "n": 1}, "task": "j1-0-0"}
    assert (
        oldest.detail["password"] == "(hidden)" and oldest.detail["via"] == "t1" and len(oldest.detail["long"]) == 500
    )
    assert store.read_now(lambda conn: audit_rows.newest(conn, AuditFilter(), limit=1, before=newest.id)) == [middle]

    def found(**wanted: Any) -> list[Entry]:
        return store.read_now(lambda conn: audit_rows.newest(conn, AuditFilter(**wanted), limit=9))

    assert found(actor="anna", action="app.share") == [oldest]


# ---------------------------------------------------------------- from outside


def came(subject: str, name: str, *groups: str) -> Identity:
    return Identity("https://p.example.org", subject, name, f"{name}@example.org", frozenset(groups))


def test_an_account_from_outside_is_made_once_and_kept_in_step(store: Store) -> None:
    rules = GroupRules.parse("oidc", "*", "chiefs", "lab; chiefs")
    store.write_now(lambda tx: people.insert_user(tx, user("anna", password_hash="x", is_admin=True)))
    first = store.write_now(lambda tx: admit(tx, came("1", "anna", "lab", "chiefs"), rules))
    assert first is not None
    assert (first.name, first.is_admin, first.confirmed_at, first.provider) == (
        "anna-2",
        True,
        NOW,
        came("", "").provider,
    )
    again = store.write_now(lambda tx: admit(tx, came("1", "renamed", "lab"), rules))
    assert again is not None and (again.id, again.name, again.is_admin) == (first.id, "anna-2", False)
    assert store.read_now(lambda conn: people.groups_of(conn, first.id)) == {"lab"}
    assert store.write_now(lambda tx: admit(tx, came("1", "anna"), rules)) is None
    kept = store.read_now(lambda conn: people.user_by_id(conn, first.id))
    assert kept is not None and kept.confirmed_at == 0


def test_the_last_administrator_stays_one(store: Store) -> None:
    rules = GroupRules.parse("oidc", "", "chiefs", "")
    assert (made := store.write_now(lambda tx: admit(tx, came("1", "anna", "chiefs"), rules))) and made.is_admin
    assert (kept := store.write_now(lambda tx: admit(tx, came("1", "anna"), rules))) and kept.is_admin
    store.write_now(lambda tx: people.insert_user(tx, user("boris", is_admin=True)))
    assert (now := store.write_now(lambda tx: admit(tx, came("1", "anna"), rules))) and not now.is_admin


def test_an_account_from_outside_has_no_password(store: Store) -> None:
    made = store.write_now(lambda tx: admit(tx, came("1", "anna"), GroupRules.parse("oidc", "", "", "")))
    assert made is not None
    with pytest.raises(IntegrityError):
        store.write_now(lambda tx: people.update_user(tx, made.id, password_hash="x"))
    with pytest.raises(IntegrityError):
        store.write_now(lambda tx: people.insert_user(tx, user("half", provider="p")))


def test_grants_and_ways_back_work_once(store: Store) -> None:
    store.write_now(lambda tx: people.insert_user(tx, user("anna")))
    for code, expires_at in (("good", NOW + 1), ("old", NOW - 1)):
        grant = Grant(code, "id-anna", "challenge", "laptop", None, expires_at)
        store.write_now(lambda tx, grant=grant: grants.insert_grant(tx, grant))  # type: ignore[misc]
    assert store.write_now(lambda tx: grants.take_grant(tx, "good", "another")) is None
    assert store.write_now(lambda tx: grants.take_grant(tx, "old", "challenge")) is None
    taken = store.write_now(lambda tx: grants.take_grant(tx, "good", "challenge"))
    assert taken and taken[1].name == "anna"
    assert store.write_now(lambda tx: grants.take_grant(tx, "good", "challenge")) is None
    assert store.write_now(lambda tx: grants.spend_state(tx, "state", NOW - 1))
    assert not store.write_now(lambda tx: grants.spend_state(tx, "state", NOW - 1))
    store.write_now(grants.remove_expired)
    assert store.write_now(lambda tx: grants.spend_state(tx, "state", NOW))
