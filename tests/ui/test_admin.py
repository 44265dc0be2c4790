"""Pages of administration over real HTTP: what they do, and that they are not there for anybody else."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.ui.test_pages import Outline, words

from sirdar.services import audit
from sirdar.store import blobs, schema
from sirdar.store import tables as t

PASSWORD = "base camp tent"
PAGES = (
    "/admin/server",
    "/admin/users",
    "/admin/users?text=ann&standing=publish",
    "/admin/new-user",
    "/admin/users/anna",
    "/admin/users/admin",
    "/admin/users/anna/disable",
    "/admin/users/anna/enable",
    "/admin/users/anna/promote",
    "/admin/users/anna/demote",
    "/admin/users/boris/delete",
    "/admin/groups",
    "/admin/groups/climbers",
    "/admin/groups/climbers/delete",
    "/admin/storage",
    "/admin/audit",
    "/admin/audit?actor=admin&action=user.&since=2026-01-01",
)
POSTS = (
    "/admin/users",
    "/admin/users/boris",
    "/admin/users/boris/link",
    "/admin/users/boris/disable",
    "/admin/users/boris/promote",
    "/admin/users/boris/delete",
    "/admin/groups",
    "/admin/groups/climbers/members",
    "/admin/groups/climbers/members/anna/remove",
    "/admin/groups/climbers/delete",
)


@pytest.fixture(scope="module", autouse=True)
def _climbers(site: Any) -> None:
    with site.browser("admin") as browser:
        assert browser.post("/api/groups", json={"name": "climbers"}).status_code == 201
        assert browser.put("/api/groups/climbers/members/anna").status_code == 200


@pytest.fixture
def admin(empty_site: Any) -> Iterator[httpx.Client]:
    with empty_site.browser("admin") as browser:
        yield browser


@pytest.fixture
def csrf(admin: httpx.Client, secret_of: Callable[[str], str]) -> dict[str, str]:
    return {"csrf": secret_of(admin.get("/account").text)}


def cells(page: httpx.Response) -> str:
    """The words of a page, those of two cells apart."""
    return " ".join(Outline(re.sub(r"<(t[dh]|li|br)\b", r" <\1", page.text)).text.split())


# ---------------------------------------------------------------- who sees them, and what protects them


def test_they_are_not_there_for_anybody_else(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        secret = secret_of(browser.get("/account").text)
        for path in (*PAGES, "/admin", "/audit"):
            page = browser.get(path)
            assert page.status_code == 404 and "There is no page /a" in words(page), path
        for path in POSTS:
            assert browser.post(path, data={"csrf": secret, "name": "x", "user": "boris"}).status_code == 404, path
        assert "Administration" not in browser.get("/jobs").text
    with site.browser("admin") as browser:
        assert set(browser.get("/api/groups/climbers").json()["members"]) == {"anna"}
        narrow = browser.post("/api/tokens", json={"label": "narrow", "scopes": ["run"]}).json()["access_token"]
    with httpx.Client(base_url=site.url, cookies={"access_token": narrow}) as browser:
        assert browser.get("/admin/users").status_code == 404  # an administrator's, and not for that
    with site.browser() as nobody:
        assert nobody.get("/admin/users").headers["location"] == "/login?next=%2Fadmin%2Fusers"


def test_forms_need_the_sessions_secret_and_no_other_site(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("admin") as browser, site.browser("anna") as other:
        mine, theirs = secret_of(browser.get("/admin/users").text), secret_of(other.get("/account").text)
        for path in POSTS:
            for form in ({}, {"csrf": theirs}):
                assert browser.post(path, data=form).status_code == 403, path
            foreign = browser.post(path, data={"csrf": mine}, headers={"origin": "https://evil.example"})
            assert foreign.status_code == 403, path
        assert browser.get("/api/users/boris").json()["disabled"] is False


def test_pages_are_well_formed_and_each_field_has_a_name(site: Any) -> None:
    with site.browser("admin") as browser:
        for path in PAGES:
            page = browser.get(path)
            assert page.status_code == 200, path
            outline = Outline(page.text)
            assert not outline.faults, (path, outline.faults)
            assert len(outline.all("h1")) == 1, path
            ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
            assert len(ids) == len(set(ids)), path
            for _, attributes in outline.tags:
                assert not [name for name in attributes if name == "style" or name.startswith("on")], path
            for head in outline.all("th"):
                assert head.get("scope") in {"col", "row"}, path
            for form in outline.all("form"):
                assert form["method"] in {"get", "post", "dialog"}, path
        assert browser.get("/admin").headers["location"] == "/admin/server"
        assert 'href="/admin" aria-current="page"' in browser.get("/admin/users").text


def test_addresses_of_forms_lead_to_their_pages(site: Any) -> None:
    """Who chooses another language where a form was refused asks for its address."""
    with site.browser("admin") as browser:
        for path, place in (
            ("/account/password", "/account"),
            ("/account/email", "/account"),
            ("/account/notifications/try", "/account/notifications"),
            ("/admin/users/anna/link", "/admin/users/anna"),
            ("/admin/groups/climbers/members", "/admin/groups/climbers"),
        ):
            assert browser.get(path).headers["location"] == place
        assert browser.get("/admin/users/anna/nonsense").status_code == 404
        assert browser.get("/admin/users/anna%2f..%2fx/link").status_code in {303, 404}


# ---------------------------------------------------------------- users


def test_a_user_is_made_and_comes_in_by_the_link(
    empty_site: Any, admin: httpx.Client, csrf: dict[str, str], secret_of: Callable[[str], str]
) -> None:
    assert "So far you are alone." in words(admin.get("/admin/users"))
    form = csrf | {"name": "dawa", "email": "dawa@example.org", "can_publish": "yes", "quota_bytes": "50 GB"}
    made = admin.post("/admin/users", data=form | {"retention_s": "90 d", "quota_jobs": "1 200"})
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    user = admin.get("/api/users/dawa").json()
    assert user["quotas"] == {"jobsInFlight": 1200, "bytes": 50 * 10**9} and user["canPublish"]
    assert user["retentionS"] == 90 * 86400
    link = re.search(r'<pre id="link"[^>]*>([^<]+)</pre>', made.text)
    assert link
    with empty_site.browser() as browser:
        page = browser.get(html.unescape(link[1]))
        assert browser.post(html.unescape(link[1]), data={"csrf": secret_of(page.text)}).status_code == 303
        assert browser.get("/api/me").json()["name"] == "dawa"
    shown = admin.get("/admin/users/dawa")
    assert link[1] not in shown.text
    for part in ('value="50 GB"', 'value="90 d"', 'value="1200"', "checked", 'value="dawa@example.org"'):
        assert part in shown.text


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", "Dawa Sherpa", "The name cannot be that."),
        ("name", "system", "reserved"),
        ("name", "admin", "There is a user admin already."),
        ("email", "nowhere", "That is no e-mail address."),
        ("quota_jobs", "-1", "a whole number, 0 or more"),
        ("quota_bytes", "50 XB", "a size such as 512 MiB"),
        ("retention_s", "soon", "a duration such as 30 s"),
        ("retention_s", "0", "a duration such as 30 s"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(
    admin: httpx.Client, csrf: dict[str, str], field: str, value: str, expected: str
) -> None:
    refused = admin.post("/admin/users", data=csrf | {"name": "dawa", "email": "d@example.org"} | {field: value})
    assert refused.status_code in {409, 422} and expected in words(refused)
    assert f'id="{field}-error"' in refused.text and f'value="{value}"' in refused.text
    assert [user["name"] for user in admin.get("/api/users").json()] == ["admin"]


def test_rights_and_limits_are_changed_and_taken_back(admin: httpx.Client, csrf: dict[str, str]) -> None:
    admin.post("/api/users", json={"name": "dawa"})
    form = csrf | {
        "email": "d@example.org",
        "can_publish": "yes",
        "quota_jobs": "7",
        "quota_bytes": "",
        "retention_s": "36 h",
    }
    saved = admin.post("/admin/users/dawa", data=form)
    assert saved.headers["location"] == "/admin/users/dawa?said=saved"
    assert "Saved." in words(admin.get(saved.headers["location"]))
    user = admin.get("/api/users/dawa").json()
    assert (user["canPublish"], user["quotas"]["jobsInFlight"], user["retentionS"]) == (True, 7, 36 * 3600)
    admin.post("/admin/users/dawa", data=csrf | {"email": "", "quota_jobs": "", "quota_bytes": "", "retention_s": ""})
    user = admin.get("/api/users/dawa").json()
    assert (user["email"], user["canPublish"], user["quotas"]["jobsInFlight"]) == (None, False, 10_000)
    wrong = admin.post("/admin/users/dawa", data=csrf | {"email": "x", "quota_jobs": "9"})
    assert wrong.status_code == 422 and 'value="9"' in wrong.text
    assert admin.get("/api/users/dawa").json()["quotas"]["jobsInFlight"] == 10_000


def test_disabling_asks_first_and_ends_access(empty_site: Any, admin: httpx.Client, csrf: dict[str, str]) -> None:
    admin.post("/api/users", json={"name": "dawa", "password": PASSWORD})
    sign_in = {"username": "dawa", "password": PASSWORD}
    token = httpx.post(f"{empty_site.url}/api/auth/access_token", json=sign_in).json()["access_token"]
    with httpx.Client(base_url=empty_site.url, headers={"authorization": f"Bearer {token}"}) as dawa:
        asked = admin.get("/admin/users/dawa/disable")
        assert "Disable dawa?" in words(asked) and dawa.get("/api/me").status_code == 200
        done = admin.post("/admin/users/dawa/disable", data=csrf)
        assert done.headers["location"] == "/admin/users/dawa?said=disable"
        assert dawa.get("/api/me").status_code == 401
        page = admin.get("/admin/users/dawa")
        assert "Disabled since" in words(page) and "/admin/users/dawa/link" not in page.text
        assert admin.post("/admin/users/dawa/link", data=csrf).status_code == 409
        admin.post("/admin/users/dawa/enable", data=csrf)
        assert dawa.get("/api/me").status_code == 200


def test_an_administrator_is_made_and_unmade_and_the_last_one_stays(admin: httpx.Client, csrf: dict[str, str]) -> None:
    for act in ("demote", "disable", "delete"):
        kept = admin.post(f"/admin/users/admin/{act}", data=csrf)
        assert kept.status_code == 409 and "This is the last administrator." in words(kept)
    admin.post("/api/users", json={"name": "dawa"})
    assert "everybody's jobs" in words(admin.get("/admin/users/dawa/promote"))
    assert admin.post("/admin/users/dawa/promote", data=csrf).headers["location"].endswith("said=promote")
    assert admin.get("/api/users/dawa").json()["isAdmin"]
    assert "This is you" in words(admin.get("/admin/users/admin/demote"))
    assert admin.post("/admin/users/admin/demote", data=csrf).headers["location"] == "/"
    assert admin.get("/admin/users").status_code == 404


def test_who_owns_something_is_not_deleted(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("admin") as browser:
        csrf = {"csrf": secret_of(browser.get("/account").text)}
        assert "/admin/users/anna/delete" not in browser.get("/admin/users/anna").text
        refused = browser.post("/admin/users/anna/delete", data=csrf)
        assert refused.status_code == 409 and "User anna owns" in words(refused)
        browser.post("/api/users", json={"name": "brief"})
        gone = browser.post("/admin/users/brief/delete", data=csrf)
        assert gone.headers["location"] == "/admin/users?said=deleted"
        assert browser.get("/admin/users/brief").status_code == 404


def test_users_are_searched_and_paged(empty_site: Any, admin: httpx.Client) -> None:
    def fill(tx: Any) -> None:
        for number in range(60):
            row = {"id": f"u{number}", "name": f"user{number:02}", "created_at": tx.now}
            more = {"email": f"U{number}@Example.org", "can_publish": int(number == 9)}
            tx.conn.execute(sa.insert(t.users).values(**row, **more, disabled_at=tx.now if number == 7 else None))

    empty_site.write(fill)
    first = admin.get("/admin/users")
    assert "61 users · 1 administrator · 1 disabled" in words(first)
    assert "user38" in words(first) and "user39" not in words(first)
    following = re.search(r'href="(/admin/users\?[^"]*after=[^"]+)"', first.text)
    assert following
    second = words(admin.get(html.unescape(following[1])))
    assert "user39" in second and "user59" in second and "user38" not in second
    found = words(admin.get("/admin/users?text=u12@EXAMPLE"))
    assert "user12" in found and "user13" not in found
    assert "Nobody fits." in words(admin.get("/admin/users?text=%25"))
    assert "Nobody fits." in words(admin.get("/admin/users?text=%00%ff"))
    only = words(admin.get("/admin/users?standing=disabled"))
    assert "user07" in only and "user08" not in only
    publish = words(admin.get("/admin/users?standing=publish"))
    assert "user09" in publish and "admin" in publish and "user08" not in publish


# ---------------------------------------------------------------- groups


def test_a_group_lives_and_ends(admin: httpx.Client, csrf: dict[str, str]) -> None:
    admin.post("/api/users", json={"name": "dawa"})
    assert "No groups yet." in words(admin.get("/admin/groups"))
    assert "The name cannot be that." in words(admin.post("/admin/groups", data=csrf | {"name": "No Such"}))
    made = admin.post("/admin/groups", data=csrf | {"name": "lab"})
    assert made.headers["location"] == "/admin/groups/lab?said=created"
    assert "Nobody is in it yet." in words(admin.get(made.headers["location"]))
    nobody = admin.post("/admin/groups/lab/members", data=csrf | {"user": "ghost"})
    assert nobody.status_code == 404 and "There is no user ghost." in words(nobody) and "user-error" in nobody.text
    admin.post("/admin/groups/lab/members", data=csrf | {"user": "dawa"})
    page = words(admin.get("/admin/groups/lab"))
    assert "1 member" in page and "dawa by hand" in page
    assert admin.get("/api/groups/lab").json()["members"] == ["dawa"]
    admin.post("/admin/groups/lab/members/dawa/remove", data=csrf)
    assert admin.get("/api/groups/lab").json()["members"] == []
    assert "Nothing is shared with it." in words(admin.get("/admin/groups/lab/delete"))
    gone = admin.post("/admin/groups/lab/delete", data=csrf)
    assert gone.headers["location"] == "/admin/groups?said=deleted"
    assert admin.get("/admin/groups/lab").status_code == 404


def test_deleting_a_group_says_what_it_takes_along(site: Any) -> None:
    with site.browser("anna") as anna:
        shared = anna.put("/api/apps/anna/svf/share/group:climbers", json={"permission": "run"})
        assert shared.status_code < 300, shared.text
    with site.browser("admin") as browser:
        assert "1 application" in words(browser.get("/admin/groups/climbers/delete"))


# ---------------------------------------------------------------- storage, server


def test_storage_says_what_is_kept_and_by_whom(empty_site: Any, admin: httpx.Client) -> None:
    uploaded = admin.post("/api/files/temp", files={"file": ("a.bin", b"x" * 20_000)})
    assert uploaded.status_code in {200, 201}, uploaded.text
    empty_site.write(lambda tx: [blobs.register(tx, "ab" * 32, 1_500), blobs.quarantine(tx, "ab" * 32)])
    page = cells(admin.get("/admin/storage"))
    assert "22 KB in 2 blobs" in page and "admin 20 KB 1" in page
    assert "uploads that no job has taken yet 20 KB 1 blob" in page
    assert "Quarantined" in page and "abababababababab" in page and "nothing names it" in page
    assert "SIRDAR_RETENTION_S" in page and "for good" in page and "free of" in page


def test_what_is_quarantined_is_never_old(empty_site: Any, admin: httpx.Client) -> None:
    assert "Nobody keeps anything yet" in words(admin.get("/admin/storage"))
    empty_site.write(lambda tx: [blobs.register(tx, "ab" * 32, 1_500), blobs.quarantine(tx, "ab" * 32)])
    page = words(admin.get("/admin/storage"))
    assert "Quarantined" in page and "0 B in 0 blobs" in page  # the count is of before, and says when it was


def test_how_the_server_stands(site: Any) -> None:
    with site.browser("admin") as browser:
        page = cells(browser.get("/admin/server"))
    for part in (
        "The database answers.",
        "The blob store can be written.",
        "sqlite:///",
        f"schema {schema.HEAD}",
    ):
        assert part in page, part
    # Tests share the site, and some of them attach machines and submit jobs.
    assert re.search(r"Jobs running [1-9]", page) and re.search(r"[1-9]\d* (unreachable|offline|online)", page), page
    assert "none is sent: SIRDAR_SMTP_HOST is not set" in page


def test_a_server_at_fault_says_so(empty_site: Any, admin: httpx.Client) -> None:
    empty_site.write(lambda tx: tx.conn.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'"))
    page = words(admin.get("/admin/server"))
    assert "Not ready" in page and "at fault" in page and f"this server needs {schema.HEAD}" in page


# ---------------------------------------------------------------- the audit log


def test_the_audit_log_is_searched(empty_site: Any, admin: httpx.Client, csrf: dict[str, str]) -> None:
    def fill(tx: Any) -> None:
        for number in range(60):
            audit.record(tx, "anna", "app.share", f"app:anna/Model{number:02}", subject="group:lab")
        audit.record(tx, None, "user.create", "user:tenzing", is_admin=False)

    empty_site.write(fill)
    first = admin.get("/admin/audit")
    assert "tenzing" in words(first) and "the server" in words(first) and "subject: group:lab" in words(first)
    assert 'href="/admin/users/tenzing"' in first.text and 'href="/apps/anna/Model59"' in first.text
    following = re.search(r'href="(/admin/audit\?after=\d+)"', first.text)
    assert following and "Model05" in words(admin.get(following[1]))
    assert "tenzing" not in words(admin.get("/admin/audit?actor=anna"))
    assert "Model" not in words(admin.get("/admin/audit?action=user."))
    assert "tenzing" in words(admin.get("/admin/audit?action=user"))
    one = words(admin.get("/admin/audit?object=model07&action=app.share"))
    assert "Model07" in one and "Model08" not in one
    today = datetime.now(UTC).date().isoformat()
    assert "Model59" in words(admin.get(f"/admin/audit?since={today}&until={today}"))
    assert "Nothing of that kind" in words(admin.get("/admin/audit?since=2999-01-01"))
    assert "Nothing of that kind" in words(admin.get("/admin/audit?until=2020-01-01"))
    for wrong in ("since=yesterday", "until=9999-12-31", "action=%00x y"):
        refused = admin.get(f"/admin/audit?{wrong}")
        assert refused.status_code in {200, 422}
        assert ("is no day" in words(refused)) or ("Nothing is done" in words(refused)), wrong
