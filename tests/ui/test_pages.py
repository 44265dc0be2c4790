"""Pages over real HTTP: what they say, who may see them, what protects them."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from sirdar.domain.outcome import Reason
from sirdar.domain.problems import CODES
from sirdar.services.people import make_login_link

ADMIN_PASSWORD = "summit-8848"
PASSWORD = "base camp tent"
VOID = {"meta", "link", "input", "img", "br", "hr"}


class Outline(HTMLParser):
    """What a page is made of; notes elements that are not closed as they were opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and tag not in {"path", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in {"p"}:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(page: httpx.Response) -> str:
    return " ".join(Outline(page.text).text.split())


# ---------------------------------------------------------------- signing in


def test_sign_in_and_out(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser() as browser:
        turned = browser.get("/jobs?state=failed")
        assert turned.status_code == 303
        assert turned.headers["location"] == "/login?next=%2Fjobs%3Fstate%3Dfailed"
        form = browser.get(turned.headers["location"])
        assert form.status_code == 200
        fields = {"csrf": secret_of(form.text), "username": "anna", "password": PASSWORD, "next": "/jobs?state=failed"}
        wrong = browser.post("/login", data={**fields, "password": "wrong one"})
        assert wrong.status_code == 401
        assert "The user name or the password is wrong." in words(wrong)
        assert 'value="anna"' in wrong.text and "wrong one" not in wrong.text
        signed = browser.post("/login", data=fields)
        assert signed.status_code == 303
        assert signed.headers["location"] == "/jobs?state=failed"
        cookie = next(c for c in signed.headers.get_list("set-cookie") if c.startswith("access_token="))
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
        page = browser.get("/jobs?state=failed")
        assert page.status_code == 200
        assert browser.get("/api/me").json()["name"] == "anna"
        out = browser.post("/logout", data={"csrf": secret_of(page.text)})
        assert out.headers["location"] == "/login"
        assert browser.get("/jobs").status_code == 303
        token = re.match("access_token=([^;]+)", cookie)
        assert token
        assert httpx.get(f"{site.url}/api/me", headers={"authorization": f"Bearer {token[1]}"}).status_code == 401


def test_nobody_is_led_away(site: Any, secret_of: Callable[[str], str]) -> None:
    for outside in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "jobs",
        "/a\tb",
    ):
        with site.browser() as browser:
            form = browser.get("/login", params={"next": outside})
            fields = {"csrf": secret_of(form.text), "username": "anna", "password": PASSWORD, "next": outside}
            assert browser.post("/login", data=fields).headers["location"] == "/"
    with site.browser("anna") as browser:
        assert browser.get("/login", params={"next": "//evil.example"}).headers["location"] == "/"


def test_a_one_time_link_signs_in_once(site: Any, secret_of: Callable[[str], str]) -> None:
    url = site.write(lambda tx: make_login_link(tx, "boris", site.services.settings))
    path = url.removeprefix(site.url)
    with site.browser() as browser:
        for _ in range(3):  # looking at it, as mail programs do, uses nothing up
            page = browser.get(path)
            assert page.status_code == 200
        assert browser.get("/jobs").status_code == 303
        signed = browser.post(path, data={"csrf": secret_of(page.text)})
        assert signed.status_code == 303
        assert browser.get("/api/me").json()["name"] == "boris"
    with site.browser() as other:
        assert other.get(path).status_code == 410
        form = other.get("/login")
        again = other.post(path, data={"csrf": secret_of(form.text)})
        assert again.status_code == 410
        assert "used, or has expired" in words(again)
        assert other.get("/login/" + "x" * 43).status_code == 410


def test_a_session_that_has_ended_leads_to_sign_in(site: Any) -> None:
    with httpx.Client(base_url=site.url, cookies={"access_token": "sirdar_gone"}) as browser:
        page = browser.get("/jobs")
        assert page.status_code == 303
        assert 'access_token=""' in page.headers["set-cookie"]


# ---------------------------------------------------------------- what protects


PAGES = (
    "/jobs",
    "/apps",
    "/apps/anna/svf",
    "/apps/anna/svf/run",
    "/account",
    "/login/xyz",
    "/docs/errors",
    "/docs/errors/csrf",
    "/jobs/none",
    "/nowhere",
)


def test_headers_on_all_pages(site: Any) -> None:
    with site.browser("anna") as browser:
        for path in PAGES:
            page = browser.get(path)
            assert page.headers["content-type"] == "text/html; charset=utf-8", path
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["x-content-type-options"].split(",")[0] == "nosniff"
            assert "private" in page.headers["cache-control"]


def test_pages_are_well_formed_and_hold_nothing_active(site: Any) -> None:
    with site.browser("anna") as browser:
        for path in (
            *PAGES,
            *(f"/jobs/{site.jobs[kind]}" for kind in ("running", "done", "failed", "many", "waiting")),
        ):
            outline = Outline(browser.get(path).text)
            assert not outline.faults, (path, outline.faults)
            for script in outline.all(
                "script"
            ):  # our own by address, or words as data; nothing that runs where it stands
                assert script.get("src", "").startswith("/assets/") or script["type"] == "application/json", path
            assert not outline.all("style"), path
            for tag, attributes in outline.tags:
                assert not [name for name in attributes if name == "style" or name.startswith("on")], (path, tag)
            for form in outline.all("form"):
                assert form.get("method") in {"get", "post", "dialog"}


def test_forms_need_the_sessions_secret(site: Any, secret_of: Callable[[str], str]) -> None:
    job = site.jobs["running"]
    with site.browser("anna") as browser, site.browser("boris") as other:
        mine, theirs = secret_of(browser.get("/account").text), secret_of(other.get("/account").text)
        assert mine != theirs
        for given in ({}, {"csrf": ""}, {"csrf": theirs}, {"csrf": "ü"}, {"csrf": mine + "x"}):
            for path in ("/logout", f"/jobs/{job}/cancel", "/account/password", f"/jobs/{job}/resubmit"):
                refused = browser.post(path, data=given)
                assert refused.status_code == 403, path
                assert "csrf" in refused.text
        assert browser.get("/api/me").status_code == 200
    with site.browser() as browser:
        assert browser.post("/login", data={"username": "anna", "password": PASSWORD}).status_code == 403


def test_other_sites_cannot_use_the_cookie(site: Any) -> None:
    cookie = {"cookie": f"access_token={site.tokens['boris']}"}
    body = {"email": "boris@example.org"}

    def patch(headers: dict[str, str]) -> httpx.Response:
        return httpx.patch(f"{site.url}/api/me", json=body, headers=headers)

    assert patch(cookie).status_code == 200  # a program
    assert patch({**cookie, "origin": site.url, "sec-fetch-site": "same-origin"}).status_code == 200
    assert patch({**cookie, "origin": site.url}).status_code == 200
    for foreign in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": site.url},
        {"origin": site.url + ".evil.example"},
    ):
        refused = patch({**cookie, **foreign})
        assert refused.status_code == 403
        assert refused.json()["code"] == "csrf"
    token = {"authorization": f"Bearer {site.tokens['boris']}", "origin": "https://notebook.example"}
    assert patch(token).status_code == 200


def test_a_users_page_is_sandboxed(site: Any) -> None:
    token = {"authorization": f"Bearer {site.tokens['anna']}"}
    for name in ("page.html", "drawing.svg"):
        sent = {"file": (name, b"<script>alert(1)</script>")}
        uri = httpx.post(f"{site.url}/api/files/temp", files=sent, headers=token).json()["uri"]
        got = httpx.get(site.url + uri, headers=token)
        assert got.status_code == 200
        if got.headers["content-type"].startswith(("text/html", "image/svg")):
            assert "sandbox" in got.headers["content-security-policy"]
        assert got.headers["x-content-type-options"].startswith("nosniff")


def test_assets_are_kept_by_browsers(site: Any) -> None:
    with site.browser() as browser:
        outline = Outline(browser.get("/login").text)
        for link in outline.all("link"):
            asset = browser.get(str(link["href"]))
            assert asset.status_code == 200
            assert "immutable" in asset.headers["cache-control"]
        assert browser.get("/assets/sirdar.000000000000.css").status_code == 404
        assert browser.get("/assets/..%2fpages.py").status_code == 404


# ---------------------------------------------------------------- jobs


def test_the_list_of_jobs(site: Any) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/jobs")
        shapes = {attributes.get("class") for attributes in Outline(page.text).all("span")}
        for shape in ("running", "done", "failed", "waiting", "cancelled", "unreachable"):
            assert f"state {shape}" in shapes
        text = words(page)
        assert "fold 3 of 7, CV error 0.186" in text and "Exit code 2: <no such file>" in text and "lab1" in text
        only = words(browser.get("/jobs?state=failed"))
        assert "oscillator, failed" in only and "oscillator, done" not in only
        assert "No job fits." in words(browser.get("/jobs?text=nothing-like-it"))
        assert "oscillator, done" in words(browser.get("/jobs?app=anna/svf&text=done"))
        assert browser.get("/jobs?after=x").status_code == 422
    with site.browser("boris") as other:
        assert "oscillator" not in words(other.get("/jobs"))


def test_what_to_do_next_when_empty(empty_site: Any) -> None:
    with empty_site.browser("admin") as browser:
        for path in ("/jobs", "/apps"):
            assert "sirdar publish" in words(browser.get(path))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("running", ["Running", "fold 3 of 7, CV error 0.186", "43", "about", "left", "fold 3 of 7 <b>not bold</b>"]),
        ("done", ["Done", "0.186", "fit.png", "all is well"]),
        ("failed", ["Failed", "Exit code 2: <no such file>", "the program's own", "Traceback: no such file"]),
        ("unreachable", ["Unreachable", "laptop"]),
        ("waiting", ["Waiting"]),
        ("cancelled", ["Cancelled", "by you"]),
        ("many", ["22 of 120 ended", "20 done", "2 failed", "8 running", "90 waiting", "task 39", "More tasks"]),
    ],
)
def test_a_jobs_page(site: Any, kind: str, expected: list[str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{site.jobs[kind]}")
        assert page.status_code == 200
        text = words(page)
        for part in expected:
            assert part in text, (part, text)
        assert "anna/svf@1" in text and "main 3c1f9e2" in text
        assert "(secret)" in text and "sealed" not in page.text
        has_ended = kind in {"done", "failed", "cancelled"}
        assert ('http-equiv="refresh"' in page.text) is not has_ended
        assert (f'action="/jobs/{site.jobs[kind]}/cancel"' in page.text) is not has_ended


def test_outputs_are_links_that_work(site: Any) -> None:
    with site.browser("anna") as browser:
        outline = Outline(browser.get(f"/jobs/{site.jobs['done']}").text)
        picture = outline.all("img")[0]["src"]
        got = browser.get(str(picture))
        assert got.status_code == 200
        assert got.headers["content-type"] == "image/png"


def test_tasks_of_a_job_of_many(site: Any) -> None:
    many = site.jobs["many"]
    with site.browser("anna") as browser:
        first = browser.get(f"/jobs/{many}")
        assert "task 0" in words(first) and "task 40" not in words(first)
        second = words(browser.get(f"/jobs/{many}?after=39"))
        assert "task 40" in second and "task 79" in second and "task 39" not in second
        assert "task 119" in words(browser.get(f"/jobs/{many}?after=79"))
        one = words(browser.get(f"/jobs/{many}?task=3"))
        assert "of task 3" in one and "fit.png" in one
        assert browser.get(f"/jobs/{many}?task=500").status_code == 200


def test_children(site: Any) -> None:
    with site.browser("anna") as browser:
        assert f'href="/jobs/{site.jobs["child"]}"' in browser.get(f"/jobs/{site.jobs['running']}?tab=children").text
        assert f'href="/jobs/{site.jobs["running"]}"' in browser.get(f"/jobs/{site.jobs['child']}").text


def test_a_shared_job_does_not_share_its_children(site: Any) -> None:
    job, child = site.jobs["running"], site.jobs["child"]
    with site.browser("anna") as anna, site.browser("boris") as boris:
        assert anna.put(f"/api/jobs/{job}/share/user:boris").status_code == 200
        try:
            page = boris.get(f"/jobs/{job}?tab=children")
            assert page.status_code == 200 and child not in page.text
            assert boris.get(f"/api/jobs/{job}/children").json() == []
            assert [one["id"] for one in anna.get(f"/api/jobs/{job}/children").json()] == [child]
        finally:
            anna.delete(f"/api/jobs/{job}/share/user:boris")
    with site.browser("admin") as admin:
        assert [one["id"] for one in admin.get(f"/api/jobs/{job}/children").json()] == [child]


def test_other_peoples_things_are_not_there(site: Any, secret_of: Callable[[str], str]) -> None:
    job = site.jobs["running"]
    with site.browser("boris") as browser:
        for path in (
            f"/jobs/{job}",
            "/apps/anna/svf",
            "/jobs/" + "z" * 16,
            "/apps/anna/none",
            "/jobs/%00",
            "/apps/%00/x",
        ):
            page = browser.get(path)
            assert page.status_code == 404, path
            assert "There is no" in words(page) or "names no" in words(page)
        secret = secret_of(browser.get("/account").text)
        for path in (f"/jobs/{job}/cancel", f"/jobs/{job}/delete", f"/jobs/{job}/resubmit"):
            assert browser.post(path, data={"csrf": secret}).status_code == 404
        assert browser.get("/audit").status_code == 404
    with site.browser("admin") as browser:
        assert browser.get(f"/jobs/{job}").status_code == 200
        assert browser.get("/audit?actor=admin").headers["location"] == "/admin/audit?actor=admin"


def test_a_link_shows_a_job_to_anybody(site: Any) -> None:
    with site.browser("anna") as browser:
        url = browser.post(f"/api/jobs/{site.jobs['done']}/share/link").json()["url"]
    with site.browser() as browser:
        page = browser.get(url)
        assert page.status_code == 200
        assert "0.186" in words(page)
        outline = Outline(page.text)
        assert [form["action"] for form in outline.all("form") if form["method"] == "post"] == ["/language"]
        assert browser.get(str(outline.all("img")[0]["src"])).status_code == 200
        assert browser.get(f"/jobs/{site.jobs['done']}?share=wrong").status_code == 404
        assert browser.get(f"/jobs/{site.jobs['done']}").status_code == 303


# ---------------------------------------------------------------- applications, account, errors


def test_the_account(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as browser:
        page = browser.get("/account")
        fields = {
            "csrf": secret_of(page.text),
            "old": ADMIN_PASSWORD,
            "new": "another summit",
            "again": "different one",
        }
        differs = browser.post("/account/password", data=fields)
        assert differs.status_code == 422
        assert "differ" in words(differs)
        wrong = browser.post("/account/password", data={**fields, "old": "no", "again": "another summit"})
        assert wrong.status_code == 401
        changed = browser.post("/account/password", data={**fields, "again": "another summit"})
        assert changed.headers["location"] == "/account?changed=password"
        assert "The password was changed" in words(browser.get("/account?changed=password"))


def test_every_error_has_its_page(site: Any) -> None:
    with site.browser() as browser:
        for code, (status, title) in CODES.items():
            text = words(browser.get(f"/docs/errors/{code}"))
            assert title in text and str(status) in text
            assert "What to do" in text, code
        assert browser.get("/docs/errors/none").status_code == 404


def test_missing_pages_are_pages_for_browsers_alone(site: Any) -> None:
    with site.browser("anna") as browser:
        assert "There is no page /nowhere" in words(browser.get("/nowhere"))
        assert browser.get("/api/nowhere").headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{site.url}/nowhere").headers["content-type"] == "application/problem+json"


# ---------------------------------------------------------------- resources


def test_a_machine_is_attached_from_its_page(site: Any, secret_of: Callable[[str], str]) -> None:
    """Anna may publish, so she may attach machines; what she attaches is hers, and the command is shown once."""
    with site.browser("anna") as browser:
        page = browser.get("/resources")
        assert page.status_code == 200
        origin = {"csrf": secret_of(page.text)}
        wrong = browser.post("/resources", data={**origin, "name": "bad name"})
        assert wrong.status_code == 422
        assert "cannot be a resource's name" in words(wrong) and 'value="bad name"' in wrong.text
        made = browser.post("/resources", data={**origin, "name": "desk"})
        assert made.status_code == 200, made.text
        assert "no-store" in made.headers["cache-control"]
        assert f"sirdar agent join {site.url} --token j1." in words(made)
        taken = browser.post("/resources", data={**origin, "name": "desk"})
        assert taken.status_code == 409
        assert "There is a resource desk already." in words(taken)
        address = re.search(r'href="(/resources/[a-z0-9]+)">desk', browser.get("/resources").text)
        assert address is not None
        shown = browser.get(address[1])
        assert "Offline" in words(shown) and "--token" not in shown.text
        assert "Lost after" in words(shown)
        again = browser.post(f"{address[1]}/join", data=origin)
        assert "sirdar agent join" in words(again)
    with site.browser("boris") as browser:
        listed = browser.get("/resources")
        assert "desk" not in words(listed) and "Make the command" not in words(listed)
        assert browser.get(address[1]).status_code == 404
        secret = {"csrf": secret_of(browser.get("/account").text)}
        assert browser.post("/resources", data={**secret, "name": "mine"}).status_code == 403
        assert browser.post(f"{address[1]}/join", data=secret).status_code == 404


def test_every_reason_has_a_page(site: Any) -> None:
    with site.browser() as browser:  # nobody need be signed in
        listed = browser.get("/docs/reasons").text
        for reason in Reason:
            assert f'href="/docs/reasons/{reason.value}"' in listed
            page = browser.get(f"/docs/reasons/{reason.value}")
            assert page.status_code == 200 and "What to do" in page.text, reason
        assert browser.get("/docs/reasons/none_such").status_code == 404
