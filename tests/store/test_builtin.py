"""Applications that come with Sirdar: published where they changed, by many servers at once, owned by a user who is nobody."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.ledger import Ledger

from sirdar.blobs.local import LocalBlobs
from sirdar.domain.people import SYSTEM_USER, Caller
from sirdar.domain.problems import Problem
from sirdar.services import apps, people
from sirdar.services.apps import Filter
from sirdar.services.builtin import PLACE, draft_of, publish_builtin, read_folders
from sirdar.services.context import Services
from sirdar.store import app_rights, people_lists
from sirdar.store import apps as rows
from sirdar.store import people as people_rows
from sirdar.store import tables as t
from sirdar.store.engine import Tx

YAML = "sirdar: 1\nalias: probe\nname: Probe\ncommand: ./probe.sh\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A release with one built-in application."""
    folder = tmp_path / "release" / "probe"
    folder.mkdir(parents=True)
    (folder / "sirdar.yaml").write_text(YAML)
    (folder / "probe.sh").write_text("#!/bin/sh\necho probe\n")
    return folder.parent


@pytest.fixture
def services(ledger: Ledger, tmp_path: Path) -> Iterator[Services]:
    blobs = LocalBlobs(tmp_path / "blobs")
    yield replace(ledger.services, blobs=blobs)
    blobs.close()


def publish(services: Services, place: Path) -> list[str]:
    return asyncio.run(publish_builtin(services, place))


def find(services: Services, alias: str = "probe") -> rows.AppVersion | None:
    app = services.store.read_now(lambda conn: rows.find_app(conn, "sirdar", alias))
    return services.store.read_now(lambda conn: rows.get_version(conn, app.id)) if app else None


def test_what_ships_is_published_as_it_is_and_everybody_may_run_it(services: Services) -> None:
    assert "solve" in publish(services, PLACE)
    for folder in read_folders(PLACE):
        made = find(services, folder.alias)
        assert made is not None and made.digest == draft_of(folder).digest and made.code_version == folder.mark
        shares = services.store.read_now(lambda conn, app=made.app_id: app_rights.list_shares(conn, app))
        assert shares == {"everyone": "run"}
    assert publish(services, PLACE) == []


def test_a_start_that_finds_all_writes_nothing(
    services: Services, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish(services, place) == ["probe"]
    before = find(services)
    monkeypatch.setattr(services.store, "write_now", lambda run: pytest.fail("it writes"))
    assert publish(services, place) == []
    assert find(services) == before


def test_a_release_that_changed_makes_a_version_and_one_before_it_returns(services: Services, place: Path) -> None:
    publish(services, place)
    (place / "probe" / "probe.sh").write_text("#!/bin/sh\necho other\n")
    assert publish(services, place) == ["probe"]
    made = find(services)
    assert made is not None and made.number == 2 and made.files[0].mode == 0o755
    (place / "probe" / "probe.sh").write_text("#!/bin/sh\necho probe\n")
    assert publish(services, place) == ["probe"] and find(services).number == 1  # type: ignore[union-attr]
    assert publish(services, place) == []


def test_what_an_administrator_changed_stays(services: Services, place: Path) -> None:
    publish(services, place)
    made = find(services)
    assert made is not None
    services.store.write_now(lambda tx: app_rights.remove_share(tx, made.app_id, "everyone"))
    services.store.write_now(lambda tx: rows.set_archived(tx, made.app_id, True))
    (place / "probe" / "probe.sh").write_text("#!/bin/sh\necho other\n")
    publish(services, place)
    app = services.store.read_now(lambda conn: rows.find_app(conn, "sirdar", "probe"))
    assert app is not None and app.archived_at is not None and app.latest == 2
    assert services.store.read_now(lambda conn: app_rights.list_shares(conn, app.id)) == {}


def test_another_spelling_of_the_same_is_no_version_and_is_looked_at_once(services: Services, place: Path) -> None:
    publish(services, place)
    (place / "probe" / "sirdar.yaml").write_text("# a comment\n" + YAML)
    assert publish(services, place) == ["probe"]
    assert publish(services, place) == [] and find(services).number == 1  # type: ignore[union-attr]


def test_servers_that_start_at_once_make_one_version(services: Services, place: Path) -> None:
    together = threading.Barrier(3)
    faults: list[BaseException] = []

    def start() -> None:
        together.wait()
        try:
            publish(services, place)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = find(services)
    assert not faults and made is not None and made.number == 1
    count = sa.select(sa.func.count()).select_from(t.users).where(t.users.c.name == "sirdar")
    assert services.store.read_now(lambda conn: conn.execute(count).scalar_one()) == 1


def test_a_broken_application_of_a_release_is_a_problem_at_start(services: Services, place: Path) -> None:
    (place / "probe" / "sirdar.yaml").write_text(YAML + "inputs: 7\n")
    with pytest.raises(Problem):
        publish(services, place)
    assert find(services) is None


# ---------------------------------------------------------------- its owner


def test_the_owner_is_nobody_whom_one_could_be_or_change(ledger: Ledger, services: Services, place: Path) -> None:
    publish(services, place)
    store = services.store
    user = store.read_now(lambda conn: people_rows.user_by_name(conn, "sirdar"))
    assert user is not None and user.id == SYSTEM_USER
    assert user.disabled_at is not None and user.password_hash is None and not user.is_admin
    names = [one.name for one in store.read_now(lambda conn: people_rows.list_users(conn, limit=10))]
    assert names == ["anna", "boris"]
    assert store.read_now(lambda conn: people_lists.search_users(conn, text="sird", limit=10)) == []
    assert store.read_now(people_lists.count_users).users == 2
    admin = Caller(user_id="id", name="admin", is_admin=True)  # type: ignore[arg-type]
    for change in (
        people.show_user(services, admin, "sirdar"),
        people.change_user(services, admin, "sirdar", {"disabled": False}),
        people.remove_user(services, admin, "sirdar"),
        people.request_login_link(services, admin, "sirdar"),
    ):
        with pytest.raises(Problem) as caught:
            ledger.run(change)
        assert caught.value.code == "not_found"
    with pytest.raises(Problem, match="reserved"):
        ledger.run(people.create_user(services, admin, people.NewUser("sirdar")))


def test_the_first_administrator_is_made_beside_it(ledger: Ledger) -> None:
    def only_it(tx: Tx) -> None:
        tx.conn.execute(sa.delete(t.apps))
        tx.conn.execute(sa.delete(t.users))
        people_rows.ensure_system_user(tx)

    ledger.store.write_now(only_it)
    assert ledger.store.write_now(people.ensure_admin)


def test_lists_of_applications_have_them_last(ledger: Ledger, services: Services, place: Path) -> None:
    publish(services, place)
    (place / "late").mkdir()
    (place / "late" / "sirdar.yaml").write_text("sirdar: 1\nalias: late\ncommand: 'true'\n")
    ledger.clock.now += 1
    publish(services, place)
    anna = services.store.read_now(lambda conn: people_rows.user_by_name(conn, "anna"))
    assert anna is not None
    caller = Caller(user_id=anna.id, name="anna")
    own = [_own(services, anna.id, f"own{number}") for number in range(3)]
    whole = ledger.run(apps.list_apps(services, caller, Filter(), limit=10))
    aliases = [app.alias for app in whole]
    assert aliases[-2:] == ["late", "probe"] and set(own) <= set(aliases[:-2])
    paged: list[str] = []
    after = None
    while page := ledger.run(apps.list_apps(services, caller, Filter(), limit=2, after=after)):
        paged += [app.alias for app in page]
        after = apps.Cursor(page[-1].updated_at, page[-1].id)
    assert paged == aliases
    only = ledger.run(apps.list_apps(services, caller, Filter(owner="sirdar"), limit=10))
    assert [app.alias for app in only] == ["late", "probe"]
    found = ledger.run(apps.list_apps(services, caller, Filter(text="probe"), limit=10))
    assert [app.reference for app in found] == ["sirdar/probe"]
    assert ledger.run(apps.list_apps(services, caller, Filter(shared=True), limit=10)) == []


def _own(services: Services, owner_id: str, alias: str) -> str:
    draft = rows.Draft(owner_id, "anna", alias, alias, "", (), f"d-{alias}", "{}", ())  # type: ignore[arg-type]
    services.store.write_now(lambda tx: rows.insert_version(tx, draft))
    return alias
