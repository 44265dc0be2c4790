"""Pages of one's own account: tokens, where notices go, what one uses; over real HTTP, with receivers on loopback."""

import hashlib
import hmac
import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from tests.system import test_notify
from tests.ui.test_pages import Outline, words

from sirdar.services.notify import trial
from sirdar.services.people import make_login_link

smtp_server = test_notify.smtp_server  # a fixture: a mail server on loopback
PAGES = ("/account", "/account/tokens", "/account/notifications")


@pytest.fixture
def anna(site: Any) -> Iterator[httpx.Client]:
    with site.browser("anna") as browser:
        yield browser


@pytest.fixture(autouse=True)
def _nobody_has_tried(site: Any) -> None:
    trial._sent.clear()


def shown_once(page: httpx.Response) -> str:
    found = re.search(r'<pre id="token"[^>]*>([^<]+)</pre>', page.text)
    assert found, page.text
    return html.unescape(found[1])


def test_pages_are_well_formed(anna: httpx.Client) -> None:
    for path in PAGES:
        page = anna.get(path)
        outline = Outline(page.text)
        assert page.status_code == 200 and not outline.faults, path
        ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        labelled = {label.get("for") for label in outline.all("label")}
        for field in outline.all("input"):
            assert field.get("type") in {"hidden", "checkbox"} or "hidden" in field or field["id"] in labelled, field


def test_a_token_is_made_shown_once_and_works(site: Any, anna: httpx.Client, secret_of: Callable[[str], str]) -> None:
    secret = secret_of(anna.get("/account/tokens").text)
    form = {"csrf": secret, "label": "sweep <on> lab1", "lifetime": "30", "scope_run": "yes", "apps": "anna/svf"}
    made = anna.post("/account/tokens", data=form)
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    token = shown_once(made)
    assert f"export SIRDAR_TOKEN={token}" in html.unescape(made.text) and "sweep <on> lab1" in words(made)
    with httpx.Client(base_url=site.url, headers={"authorization": f"Bearer {token}"}) as program:
        known = program.get("/api/auth/access_token").json()
        assert (known["label"], known["scopes"], len(known["apps"])) == ("sweep <on> lab1", ["run"], 1)
        listed = anna.get("/account/tokens")
        assert token not in listed.text and "run of 1 application" in words(listed)
        ask = anna.get(f"/account/tokens/{known['id']}/revoke")
        assert "Revoke the token sweep <on> lab1?" in words(ask)
        assert program.get("/api/apps").status_code == 200  # asking changes nothing
        done = anna.post(f"/account/tokens/{known['id']}/revoke", data={"csrf": secret})
        assert done.headers["location"] == "/account/tokens?said=revoked"
        assert program.get("/api/apps").status_code == 401
    assert "it has stopped working" in words(anna.get(done.headers["location"]))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"label": " "}, "The label is empty"),
        ({"lifetime": "4000"}, "Choose how long it lives."),
        ({"scope_run": ""}, "Choose what it may do."),
        ({"apps": "anna/none"}, "There is no application anna/none."),
        ({"apps": "/".join("x" * 9)}, "names no application"),
    ],
)
def test_what_cannot_be_a_token_is_told_at_its_field(
    anna: httpx.Client, secret_of: Callable[[str], str], change: dict[str, str], expected: str
) -> None:
    form = {"csrf": secret_of(anna.get("/account/tokens").text), "label": "kept", "lifetime": "7", "scope_run": "yes"}
    before = len(anna.get("/api/tokens").json())
    refused = anna.post("/account/tokens", data=form | change)
    assert refused.status_code == 422
    errors = [attributes["id"] for attributes in Outline(refused.text).all("p") if attributes.get("class") == "error"]
    field = next(iter(change)).replace("scope_run", "scopes")
    assert errors == [f"{field}-error"] and expected in words(refused)
    assert ('value="kept"' in refused.text) is ("label" not in change)
    assert len(anna.get("/api/tokens").json()) == before


def test_tokens_are_a_page_at_a_time_the_newest_first(empty_site: Any) -> None:
    with empty_site.browser("admin") as browser:
        for number in range(45):
            assert browser.post("/api/tokens", json={"label": f"number {number:02}"}).status_code == 201
        first = browser.get("/account/tokens")
        assert "number 44" in words(first) and "number 04" not in words(first)
        following = re.search(r'href="(/account/tokens\?after=[^"]+)"', first.text)
        assert following
        second = words(browser.get(following[1]))
        assert "number 04" in second and "number 00" in second and "number 05" not in second


def test_revoking_this_session_signs_out(empty_site: Any, secret_of: Callable[[str], str]) -> None:
    with empty_site.browser("admin") as browser:
        own = browser.get("/api/auth/access_token").json()["id"]
        page = browser.get(f"/account/tokens/{own}/revoke")
        assert "you will be signed out" in words(page)
        gone = browser.post(f"/account/tokens/{own}/revoke", data={"csrf": secret_of(page.text)})
        assert gone.headers["location"] == "/login" and 'access_token=""' in gone.headers["set-cookie"]


def test_others_tokens_are_not_there(site: Any, anna: httpx.Client, secret_of: Callable[[str], str]) -> None:
    with site.browser("boris") as boris:
        his = boris.get("/api/auth/access_token").json()["id"]
        assert anna.get(f"/account/tokens/{his}/revoke").status_code == 404
        secret = secret_of(anna.get("/account").text)
        assert anna.post(f"/account/tokens/{his}/revoke", data={"csrf": secret}).status_code == 404
        assert boris.get("/account").status_code == 200


def test_a_narrow_token_sees_the_page_and_changes_nothing(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        narrow = browser.post("/api/tokens", json={"label": "narrow", "scopes": ["run"]}).json()["access_token"]
    with httpx.Client(base_url=site.url, cookies={"access_token": narrow}, headers={"accept": "text/html"}) as browser:
        for path in PAGES:
            page = browser.get(path)
            assert page.status_code == 200 and "This session is restricted" in words(page)
        secret = secret_of(page.text)
        form = {"csrf": secret, "label": "more", "lifetime": "7", "scope_all": "yes", "address": "https://a.example"}
        for path in ("/account/tokens", "/account/notifications", "/account/email"):
            assert browser.post(path, data=form).status_code == 403


# ---------------------------------------------------------------- where notices go


class Receiver:
    """A webhook on loopback; ``answer`` is its status."""

    def __init__(self) -> None:
        self.answer = 204
        self.seen: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append(({name.lower(): text for name, text in self.headers.items()}, body))
                self.send_response(receiver.answer)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?a=1&b=2"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, empty_site: Any) -> Iterator[Receiver]:
    made = Receiver()
    object.__setattr__(empty_site.services.settings, "fetch_allow", ("127.0.0.1/32",))
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_a_webhook_is_added_tried_out_and_removed(
    empty_site: Any, receiver: Receiver, secret_of: Callable[[str], str]
) -> None:
    with empty_site.browser("admin") as browser:
        empty = browser.get("/account/notifications")
        assert "Nobody is told." in words(empty) and "This server sends no e-mail." in words(empty)
        csrf = {"csrf": secret_of(empty.text)}
        added = browser.post("/account/notifications", data=csrf | {"address": receiver.url, "secret": "tenzing"})
        assert added.headers["location"] == "/account/notifications?said=added"
        page = browser.get("/account/notifications")
        assert receiver.url in words(page) and "tenzing" not in page.text
        tried = browser.post("/account/notifications/try", data=csrf | {"address": receiver.url})
        assert "took a notice on trial. Its answer: 204" in words(tried)
        headers, body = receiver.seen[0]
        assert headers["sirdar-event"] == "test" and json.loads(body)["owner"] == "admin"
        fields = dict(part.split("=") for part in headers["sirdar-signature"].split(","))
        signed = hmac.new(b"tenzing", fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert fields["v1"] == signed
        again = browser.post("/account/notifications/try", data=csrf | {"address": receiver.url})
        assert again.status_code == 429 and len(receiver.seen) == 1
        trial._sent.clear()
        receiver.answer = 410
        refused = browser.post("/account/notifications/try", data=csrf | {"address": receiver.url})
        assert "did not take a notice on trial." in words(refused) and "410" in words(refused)
        removed = browser.post("/account/notifications/remove", data=csrf | {"address": receiver.url})
        assert removed.headers["location"] == "/account/notifications?said=removed"
        assert browser.get("/api/me").json()["notify"] == []
        trial._sent.clear()
        assert browser.post("/account/notifications/try", data=csrf | {"address": receiver.url}).status_code == 404


def test_the_same_address_is_kept_once_and_others_keep_their_secrets(
    empty_site: Any, receiver: Receiver, secret_of: Callable[[str], str]
) -> None:
    with empty_site.browser("admin") as browser:
        csrf = {"csrf": secret_of(browser.get("/account").text)}
        for address, secret in ((receiver.url, "first"), ("http://127.0.0.1:1/x", ""), (receiver.url, "second")):
            browser.post("/account/notifications", data=csrf | {"address": address, "secret": secret})
        browser.post("/account/notifications/remove", data=csrf | {"address": "http://127.0.0.1:1/x"})
        assert browser.get("/api/me").json()["notify"] == [{"webhook": receiver.url}]
        browser.post("/account/notifications/try", data=csrf | {"address": receiver.url})
        headers, body = receiver.seen[0]
        fields = dict(part.split("=") for part in headers["sirdar-signature"].split(","))
        assert fields["v1"] == hmac.new(b"second", fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()


def test_an_e_mail_address_is_tried_out(
    empty_site: Any, smtp_server: test_notify.Smtp, secret_of: Callable[[str], str]
) -> None:
    for name, value in (("smtp_host", "127.0.0.1"), ("smtp_port", smtp_server.port), ("smtp_tls", "none")):
        object.__setattr__(empty_site.services.settings, name, value)
    with empty_site.browser("admin") as browser:
        browser.patch("/api/me", json={"email": "admin@example.org"})
        page = browser.get("/account/notifications")
        assert 'value="admin@example.org"' in page.text  # one's own address is at hand
        form = {"csrf": secret_of(page.text), "address": "admin@example.org"}
        assert browser.post("/account/notifications", data=form).status_code == 303
        tried = browser.post("/account/notifications/try", data=form)
        assert "admin@example.org took a notice on trial." in words(tried)
    (_, recipients, letter), *more = smtp_server.letters
    assert recipients == ["admin@example.org"] and b"a notice on trial" in letter and not more


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "That is no address."),
        ("nonsense", "is not an e-mail address"),
        ("anna@example.org", "This server sends no e-mail."),
        ("http://127.0.0.1:9/x", "127.0.0.1"),
        ("file:///etc/passwd", "http"),
    ],
)
def test_what_cannot_be_told_is_refused_at_its_field(
    anna: httpx.Client, secret_of: Callable[[str], str], address: str, expected: str
) -> None:
    csrf = {"csrf": secret_of(anna.get("/account").text)}
    refused = anna.post("/account/notifications", data=csrf | {"address": address})
    assert refused.status_code == 422 and expected in words(refused) and 'id="address-error"' in refused.text
    assert anna.get("/api/me").json()["notify"] == []


# ---------------------------------------------------------------- the rest of the account


def test_use_and_limits_stand_on_the_page(anna: httpx.Client) -> None:
    text = words(anna.get("/account"))
    in_flight = anna.get("/api/me").json()["usage"]["jobsInFlight"]
    assert in_flight and f"{in_flight} of 10 000" in text and "of 537 GB" in text


def test_the_e_mail_address(anna: httpx.Client, secret_of: Callable[[str], str]) -> None:
    csrf = {"csrf": secret_of(anna.get("/account").text)}
    assert "That is no e-mail address." in words(anna.post("/account/email", data=csrf | {"email": "no"}))
    done = anna.post("/account/email", data=csrf | {"email": "anna@example.org"})
    assert done.headers["location"] == "/account?changed=email"
    assert anna.get("/api/me").json()["email"] == "anna@example.org"
    anna.post("/account/email", data=csrf | {"email": ""})
    assert anna.get("/api/me").json()["email"] is None


def test_who_comes_by_a_link_without_a_password_is_led_to_set_one(
    empty_site: Any, secret_of: Callable[[str], str]
) -> None:
    with empty_site.browser("admin") as admin:
        assert admin.post("/api/users", json={"name": "dawa"}).status_code == 201
    url = empty_site.write(lambda tx: make_login_link(tx, "dawa", empty_site.services.settings))
    with empty_site.browser() as browser:
        page = browser.get(url)
        signed = browser.post(url, data={"csrf": secret_of(page.text)})
        assert signed.headers["location"] == "/account?changed=welcome"
        shown = browser.get(signed.headers["location"])
        assert "Set a password now" in words(shown) and "Present password" not in words(shown)
        fields = {"csrf": secret_of(shown.text), "new": "over the pass", "again": "over the pass"}
        assert browser.post("/account/password", data=fields).headers["location"] == "/account?changed=password"
        assert "Present password" in words(browser.get("/account"))
