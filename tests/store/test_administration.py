"""What administrators look for, on SQLite and on PostgreSQL: users and groups by words, what is kept and by whom, servers."""

import asyncio
from typing import Any

import sqlalchemy as sa
from tests.store.ledger import Ledger

from sirdar.services import audit
from sirdar.services.storage import StorageCount
from sirdar.services.tokens import TokenRequest, issue
from sirdar.store import audit as audit_rows
from sirdar.store import blobs, files, people, people_lists, storage, tokens
from sirdar.store import tables as t
from sirdar.store.audit import AuditFilter
from sirdar.store.engine import Tx
from sirdar.store.people_lists import GroupSize, Member, Standing, UserCounts
from sirdar.store.storage import Amount, OwnerAmount


def add_user(tx: Tx, name: str, **more: Any) -> None:
    tx.conn.execute(sa.insert(t.users).values(id=f"id-{name}", name=name, created_at=tx.now, **more))


def names(ledger: Ledger, **wanted: Any) -> list[str]:
    found = ledger.store.read_now(lambda conn: people_lists.search_users(conn, limit=9, **wanted))
    return [user.name for user in found]


def test_users_are_found_by_words_and_standing(ledger: Ledger) -> None:
    def fill(tx: Tx) -> None:
        add_user(tx, "clara_b", email="Clara.Berg@Example.ORG", can_publish=1)
        add_user(tx, "clarab", is_admin=1)
        add_user(tx, "dawa", disabled_at=tx.now)
        add_user(tx, "emil", provider="https://sso", subject="7", confirmed_at=tx.now)

    ledger.store.write_now(fill)
    assert names(ledger, text="CLARA") == ["clara_b", "clarab"]
    assert names(ledger, text="_") == ["clara_b"]  # and not any letter
    assert names(ledger, text="berg@example.org") == ["clara_b"]
    assert names(ledger, text="%") == []
    assert names(ledger, text="a", after="clara_b")[0] == "clarab"
    assert names(ledger, standing=Standing.PUBLISH)[-2:] == ["clara_b", "clarab"]
    assert names(ledger, standing=Standing.ADMIN)[-1] == "clarab"
    assert names(ledger, standing=Standing.DISABLED) == ["dawa"]
    assert names(ledger, standing=Standing.OUTSIDE) == ["emil"]
    assert "emil" not in names(ledger, standing=Standing.LOCAL)
    counts = ledger.store.read_now(people_lists.count_users)
    everybody = ledger.store.read_now(lambda conn: people.list_users(conn, limit=99))
    assert counts == UserCounts(len(everybody), sum(user.is_admin for user in everybody), 1)


def test_jobs_in_flight_by_owner(ledger: Ledger) -> None:
    ledger.submit(3)
    ledger.submit(1)
    anna = ledger.store.read_now(lambda conn: people.user_by_name(conn, "anna"))
    assert anna is not None
    found = ledger.store.read_now(lambda conn: people_lists.jobs_in_flight_of(conn, [anna.id, "nobody"]))
    assert found == {anna.id: 2}


def test_groups_by_size_and_their_members(ledger: Ledger) -> None:
    def fill(tx: Tx) -> None:
        add_user(tx, "dawa", disabled_at=tx.now)
        add_user(tx, "emil")
        people.insert_group(tx, "lab")
        people.insert_group(tx, "office")
        people.add_member(tx, "lab", "id-emil")
        people.set_outside_groups(tx, "id-dawa", ["lab"])
        tx.conn.execute(sa.insert(t.resource_shares).values(resource_id="r1", subject="group:lab"))

    ledger.store.write_now(lambda tx: tx.conn.execute(sa.insert(t.resources).values(resource("r1", tx))))
    ledger.store.write_now(fill)
    now = ledger.clock.now

    def read(conn: people_lists.Conn) -> Any:
        return (
            people_lists.group_sizes(conn, limit=9),
            people_lists.group_sizes(conn, text="OFF", limit=9),
            people_lists.group_size(conn, "none"),
            people_lists.members_of(conn, "lab", limit=1),
            people_lists.members_of(conn, "lab", limit=9, after="dawa"),
            people_lists.shares_naming(conn, "group:lab"),
        )

    lab, office = GroupSize("lab", now, 2), GroupSize("office", now, 0)
    dawa, emil = Member("dawa", True, True), Member("emil", False, False)
    assert ledger.store.read_now(read) == ([lab, office], [office], None, [dawa], [emil], {"resources": 1})


def resource(id: str, tx: Tx) -> dict[str, Any]:
    owner = tx.conn.execute(sa.select(t.users.c.id).limit(1)).scalar_one()
    return {"id": id, "name": id, "owner_id": owner, "lost_after_s": 9.0, "created_at": tx.now}


def test_tokens_the_newest_first(ledger: Ledger) -> None:
    def make(tx: Tx) -> None:
        add_user(tx, "dawa")
        for number in range(5):
            issue(tx, "id-dawa", TokenRequest(f"t{number}", 9.0 if number == 4 else 900.0), default_s=1)

    ledger.store.write_now(make)  # at one moment, so that only ids tell them apart
    ledger.clock.now += 10
    ledger.store.write_now(lambda tx: issue(tx, "id-dawa", TokenRequest("newest"), default_s=99))
    now = ledger.clock.now
    seen: list[str] = []
    last = None
    while True:
        found = ledger.store.read_now(
            lambda conn, last=last: tokens.newest_tokens(conn, "id-dawa", now=now, limit=2, before=last)  # type: ignore[misc]
        )
        if not found:
            break
        seen += [token.label for token in found]
        last = found[-1]
    assert seen[0] == "newest" and sorted(seen[1:]) == ["t0", "t1", "t2", "t3"]


# ---------------------------------------------------------------- what is kept


def digest(number: int) -> str:
    return f"{number:064x}"


def keep(tx: Tx) -> None:
    """Dawa has two files of one content and one of another; Emil one of the first; a version and a job name one each."""
    add_user(tx, "dawa")
    add_user(tx, "emil")
    for owner, number, size in (("dawa", 1, 1000), ("dawa", 1, 1000), ("dawa", 2, 500), ("emil", 1, 1000)):
        given = {"name": "a", "sha256": digest(number), "size_bytes": size, "lifetime_s": None}
        files.add_file(tx, owner_id=f"id-{owner}", **given)
    blobs.register(tx, digest(3), 70)
    version = tx.conn.execute(sa.select(t.versions.c.id).limit(1)).scalar_one()
    job = tx.conn.execute(sa.select(t.jobs.c.id).limit(1)).scalar_one()
    blobs.refer(tx, f"version:{version}", [digest(3), digest(2)])
    blobs.refer(tx, f"job:{job}", [digest(3)])
    blobs.register(tx, digest(4), 9)
    blobs.quarantine(tx, digest(4))
    files.add_upload(tx, owner_id="id-dawa", name="big", length=10**12, sha256=None, lifetime_s=9)


def test_what_is_kept_and_by_whom(ledger: Ledger) -> None:
    ledger.submit(1)
    ledger.store.write_now(keep)

    def read(conn: people_lists.Conn) -> Any:
        return (
            storage.all_blobs(conn),
            storage.unnamed_blobs(conn),
            storage.quarantined_blobs(conn),
            storage.by_kind(conn),
            storage.unfinished_uploads(conn),
            storage.top_owners(conn, limit=2),
        )

    total, unnamed, quarantined, kinds, uploads, top = ledger.store.read_now(read)
    assert (total, unnamed, quarantined) == (Amount(4, 1579), Amount(1, 9), Amount(1, 9))
    assert kinds == {"job": Amount(1, 70), "version": Amount(2, 570), "file": Amount(2, 1500)}
    assert uploads == Amount(1, 10**12)
    assert top == [OwnerAmount("dawa", 2, 1500), OwnerAmount("emil", 1, 1000)]
    assert ledger.store.read_now(storage.database_bytes) > 10_000


def test_quarantined_blobs_with_some_of_those_who_name_them(ledger: Ledger) -> None:
    def spoil(tx: Tx) -> None:
        for number in (1, 2):
            blobs.register(tx, digest(number), 10)
        blobs.refer(tx, "job:j2", [digest(1)])
        blobs.refer(tx, "job:j1", [digest(1)])
        blobs.refer(tx, "file:f1", [digest(1)])
        blobs.quarantine(tx, digest(1))

    ledger.store.write_now(spoil)
    ledger.clock.now += 5
    ledger.store.write_now(lambda tx: blobs.quarantine(tx, digest(2)))
    found = ledger.store.read_now(lambda conn: storage.quarantine(conn, limit=9, holders=2))
    assert [(one.sha256, one.holders) for one in found] == [(digest(2), ()), (digest(1), ("file:f1", "job:j1"))]
    assert len(ledger.store.read_now(lambda conn: storage.quarantine(conn, limit=1, holders=2))) == 1


def test_nothing_is_kept(ledger: Ledger) -> None:
    assert ledger.store.read_now(storage.all_blobs) == Amount()
    assert ledger.store.read_now(lambda conn: storage.top_owners(conn, limit=9)) == []
    assert set(ledger.store.read_now(storage.by_kind).values()) == {Amount()}


def test_it_is_counted_seldom_and_says_when(ledger: Ledger) -> None:
    count = StorageCount()

    async def look() -> Any:
        return await asyncio.gather(*(count.figures(ledger.services) for _ in range(3)))

    first, *rest = ledger.run(look())
    assert all(one is first for one in rest) and first.at == ledger.clock.now
    ledger.store.write_now(lambda tx: blobs.register(tx, digest(1), 10))
    assert ledger.run(look())[0] is first
    count._until = float("-inf")
    ledger.clock.now += 60
    later = ledger.run(look())[0]
    assert later.blobs == Amount(1, 10) and later.at == first.at + 60


# ---------------------------------------------------------------- the audit log


def test_the_audit_log_by_kind_object_and_time(ledger: Ledger) -> None:
    def write(action: str, object: str, after_s: float) -> None:
        ledger.clock.now += after_s
        ledger.store.write_now(lambda tx: audit.record(tx, "anna", action, object))

    begun = ledger.clock.now
    write("app.share", "app:anna/SvF", 1)
    write("apple.eat", "apple:1%", 1)
    write("user.create", "user:dawa", 1)

    def found(**wanted: Any) -> list[str]:
        entries = ledger.store.read_now(lambda conn: audit_rows.newest(conn, AuditFilter(**wanted), limit=9))
        return [entry.action for entry in entries]

    assert found() == ["user.create", "apple.eat", "app.share"]
    assert found(action="app.") == ["app.share"]
    assert found(action="app") == []
    assert found(object="svf") == ["app.share"] and found(object="%") == ["apple.eat"]
    assert found(since=begun + 2) == ["user.create", "apple.eat"]
    assert found(until=begun + 2) == ["app.share"]
    assert found(since=begun + 2, until=begun + 3) == ["apple.eat"]
