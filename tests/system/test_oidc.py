"""Signing in at an OpenID Connect provider, in a browser and from the command line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey
from own_server import BIN
from tests.system.product import PASSWORD, Product
from tests.system.provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as made:
        yield made


@pytest.fixture(scope="module")
def sirdar(provider: Provider, module_sirdar: Callable[..., Product]) -> Product:
    """With a secret, groups by claim, an administrators' group, and a group that everybody needs."""
    return module_sirdar(
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_title="Base camp",
        oidc_groups="Physics Lab, room 7/b = physics; Ünïcode = unicode; *",
        oidc_admins="chiefs",
        oidc_allow="climbers; Physics Lab, room 7/b",
    )


@pytest.fixture(autouse=True)
def fresh(provider: Provider) -> None:
    provider.reset(sub="s-1", preferred_username="tenzing", groups=["climbers"])


@contextmanager
def sign_in(sirdar: Product) -> Iterator[tuple[httpx.Client, httpx.Response]]:
    """A browser that has gone the whole way, and the page that it led to."""
    with httpx.Client(base_url=sirdar.url, timeout=30, trust_env=False, follow_redirects=True) as browser:
        yield browser, browser.get("/login/oidc", params={"next": "/account"})


def as_user(sirdar: Product, provider: Provider, **claims: Any) -> dict[str, Any]:
    """Signs in with these claims; what ``/api/me`` says then."""
    provider.who = {"groups": ["climbers"], **claims}
    with sign_in(sirdar) as (browser, last):
        reply = browser.get("/api/me")
        assert reply.status_code == 200, last.text
        return dict(reply.json())


def refused(sirdar: Product, status: int, words: str) -> None:
    with sign_in(sirdar) as (browser, last):
        assert last.status_code == status, last.text
        assert words in last.text
        assert "access_token" not in browser.cookies


# ---------------------------------------------------------------- the way there and back


def test_the_sign_in_page_offers_each_way(sirdar: Product) -> None:
    page = httpx.get(f"{sirdar.url}/login?next=/jobs", trust_env=False).text
    assert "Base camp" in page and "/login/oidc?next=%2Fjobs" in page
    ways = httpx.get(f"{sirdar.url}/api/auth/ways", trust_env=False).json()
    assert ways == {"local": True, "ldap": None, "oidc": {"title": "Base camp"}}


def test_the_first_sign_in_makes_the_account(sirdar: Product, provider: Provider) -> None:
    provider.who |= {"email": "tenzing@example.org"}
    with sign_in(sirdar) as (browser, last):
        assert last.url.path == "/account" and last.status_code == 200
        me = browser.get("/api/me").json()
        assert (me["name"], me["email"], me["groups"]) == ("tenzing", "tenzing@example.org", ["climbers"])
        assert not me["isAdmin"] and not me["canPublish"]
        assert "sirdar_journey" not in browser.cookies
    assert as_user(sirdar, provider, sub="s-1", preferred_username="renamed since")["name"] == "tenzing"
    shown = sirdar.admin.get("/api/users/tenzing").json()
    assert shown["provider"] == provider.url and not shown["hasPassword"]


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "Zoë.Müller@example.org"}, "zoe.muller"),
        ({"preferred_username": "  ..Anna Берг!! "}, "anna"),
        ({"email": "pemba@example.org"}, "pemba"),
        ({"preferred_username": "me"}, "me-2"),
        ({"preferred_username": "x" * 500}, "x" * 60),
        ({}, "user-[0-9a-f]{8}"),
        ({"preferred_username": ["a", "list"]}, "user-[0-9a-f]{8}"),
        ({"preferred_username": "\u5c71\u0000"}, "user-[0-9a-f]{8}"),
    ],
)
def test_names(sirdar: Product, provider: Provider, claims: dict[str, Any], name: str) -> None:
    assert re.fullmatch(name, as_user(sirdar, provider, sub=json.dumps(claims), **claims)["name"])


def test_nobody_takes_an_account_over(sirdar: Product, provider: Provider) -> None:
    sirdar.user("pasang")
    assert as_user(sirdar, provider, sub="other", preferred_username="pasang")["name"] == "pasang-2"
    assert as_user(sirdar, provider, sub="a third", preferred_username="pasang")["name"] == "pasang-3"
    assert as_user(sirdar, provider, sub="not the chief", preferred_username="admin")["name"] == "admin-2"
    assert not as_user(sirdar, provider, sub="not the chief", preferred_username="admin")["isAdmin"]
    assert sirdar.token("pasang", PASSWORD)


def test_groups_are_kept_in_step(sirdar: Product, provider: Provider) -> None:
    odd = ["Physics Lab, room 7/b", "Ünïcode", "climbers", "Not A Name", "everyone", "x\u0000y", "a" * 300, 7, None]
    me = as_user(sirdar, provider, sub="g", preferred_username="gyalzen", groups=odd)
    assert me["groups"] == ["climbers", "physics", "unicode"]
    assert sirdar.admin.post("/api/groups", json={"name": "cooks"}).status_code == 201
    assert sirdar.admin.put("/api/groups/cooks/members/gyalzen").status_code == 200
    assert sirdar.admin.put("/api/groups/unicode/members/gyalzen").status_code == 200  # now it stays
    me = as_user(sirdar, provider, sub="g", groups=["climbers"])
    assert me["groups"] == ["climbers", "cooks", "unicode"]
    assert as_user(sirdar, provider, sub="g", groups="climbers")["groups"] == ["climbers", "cooks", "unicode"]


def test_administrators_are_a_group(sirdar: Product, provider: Provider) -> None:
    assert as_user(sirdar, provider, sub="chief", preferred_username="hunt", groups=["climbers", "chiefs"])["isAdmin"]
    assert not as_user(sirdar, provider, sub="chief", groups=["climbers", "Chiefs"])["isAdmin"]


def test_who_is_in_no_group_that_may_come_in_is_shut_out(sirdar: Product, provider: Provider) -> None:
    provider.who |= {"sub": "out", "preferred_username": "mallory", "groups": []}
    refused(sirdar, 403, "in none of the groups")
    assert sirdar.admin.get("/api/users/mallory").status_code == 404
    provider.who |= {"groups": ["climbers"]}
    with sign_in(sirdar) as (browser, _):
        token = browser.cookies["access_token"]
        with sirdar.client(token) as program:
            assert program.get("/api/me").status_code == 200
            provider.who |= {"groups": ["others"]}
            refused(sirdar, 403, "in none of the groups")
            assert program.get("/api/me").json()["code"] == "token_expired"  # what they still held stops too
            as_user(sirdar, provider, sub="out")
            assert program.get("/api/me").status_code == 200


def test_claims_may_stand_at_the_userinfo_endpoint(sirdar: Product, provider: Provider) -> None:
    provider.only_userinfo = ("groups", "preferred_username")
    me = as_user(sirdar, provider, sub="u", preferred_username="urkien", groups=["climbers"])
    assert (me["name"], me["groups"]) == ("urkien", ["climbers"])


def test_a_disabled_user_stays_out(sirdar: Product, provider: Provider) -> None:
    as_user(sirdar, provider, sub="d", preferred_username="dorje")
    assert sirdar.admin.patch("/api/users/dorje", json={"disabled": True}).status_code == 200
    provider.who = {"sub": "d", "groups": ["climbers"]}
    refused(sirdar, 403, "User dorje is disabled")


def test_there_is_no_other_way_in(sirdar: Product, provider: Provider) -> None:
    as_user(sirdar, provider, sub="o", preferred_username="ongdi")
    with sign_in(sirdar) as (browser, _):
        token = browser.cookies["access_token"]
        assert "New password" not in browser.get("/account").text
    admin = sirdar.admin
    assert admin.post("/api/users/ongdi/login-link").json()["code"] == "conflict"
    assert admin.patch("/api/users/ongdi", json={"password": "long enough"}).json()["code"] == "conflict"
    with sirdar.client(token) as own:
        change = {"password": {"new": "long enough"}}
        assert own.patch("/api/me", json=change).json()["code"] == "conflict"


# ---------------------------------------------------------------- what does not hold


def wrong_signature(provider: Provider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "one"}, private=True)


def unknown_key(provider: Provider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "two"}, private=True)


def signed_by_the_clients_secret(provider: Provider) -> None:
    provider.algorithm, provider.signs_with = "HS256", OctKey.import_key(CLIENT_SECRET * 3, {"kid": "one"})  # type: ignore[assignment]


def unsigned(provider: Provider) -> None:
    provider.algorithm = "none"


def expired_code(provider: Provider) -> None:
    provider.expired = True


def claims(**wrong: Any) -> Callable[[Provider], None]:
    return lambda provider: provider.wrong.update(wrong)


@pytest.mark.parametrize(
    "make_false",
    [
        wrong_signature,
        unknown_key,
        signed_by_the_clients_secret,
        unsigned,
        expired_code,
        claims(iss="http://127.0.0.1:1"),
        claims(aud="somebody else"),
        claims(aud=[CLIENT_ID, "somebody else"], azp="somebody else"),
        claims(exp=1),
        claims(exp=None),
        claims(iat=4_000_000_000),
        claims(nonce="another"),
        claims(nonce=None),
        claims(sub=None),
        claims(sub=""),
        claims(sub=17),
        claims(sub="a\u0000b"),
    ],
)
def test_what_is_not_vouched_for_is_refused(
    sirdar: Product, provider: Provider, make_false: Callable[[Provider], None]
) -> None:
    before = sirdar.rows("SELECT count(*) FROM users")
    as_user(sirdar, provider, sub="s-1")  # forgets the failures of the case before
    make_false(provider)
    refused(sirdar, 401, "Base camp did not sign you in")
    assert sirdar.rows("SELECT count(*) FROM users") in (before, [(before[0][0] + 1,)])


@contextmanager
def journey(sirdar: Product) -> Iterator[tuple[httpx.Client, str]]:
    """A browser that stands before its way back, and the address of that."""
    with httpx.Client(base_url=sirdar.url, timeout=30, trust_env=False) as browser:
        there = browser.get("/login/oidc").headers["location"]
        yield browser, httpx.get(there, trust_env=False).headers["location"]


def test_a_way_back_is_gone_once(sirdar: Product) -> None:
    with journey(sirdar) as (browser, back):
        kept = dict(browser.cookies)
        assert browser.get(back).status_code == 303
    with httpx.Client(base_url=sirdar.url, cookies=kept, trust_env=False) as again:
        reply = again.get(back)
        assert reply.status_code == 401 and "has come back already" in reply.text


def test_a_way_back_is_for_the_browser_that_went(sirdar: Product) -> None:
    with journey(sirdar) as (browser, back), journey(sirdar) as (other, others_back):
        reply = httpx.get(back, trust_env=False)
        assert reply.status_code == 401 and "not begun in this browser" in reply.text
        assert "another sign-in" in other.get(back).text  # somebody else's link, with a journey of one's own
        changed = back.replace("state=", "state=x")
        assert "another sign-in" in browser.get(changed).text
        assert "access_token" not in {**browser.cookies, **other.cookies}
    assert others_back != back


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("error=access_denied&error_description=%3Cscript%3E", "it says &#39;access_denied&#39;"),
        ("", "no code"),
        ("code=x&iss=http%3A%2F%2Fother", "another provider"),
        ("code=never-made", "does not take the code"),
    ],
)
def test_odd_answers(sirdar: Product, provider: Provider, query: str, words: str) -> None:
    as_user(sirdar, provider, sub="s-1")
    with journey(sirdar) as (browser, back):
        state = parse_qs(urlsplit(back).query)["state"][0]
        reply = browser.get(f"/login/oidc/callback?state={state}&{query}")
        assert reply.status_code == 401 and words in reply.text
        assert "<script>" not in reply.text


def test_a_provider_that_is_down(provider: Provider, own_sirdar: Callable[..., Product]) -> None:
    provider.down = True
    own = own_sirdar(oidc_issuer=provider.url, oidc_client_id=CLIENT_ID, oidc_title="Base camp")
    with httpx.Client(base_url=own.url, trust_env=False) as browser:
        reply = browser.get("/login/oidc")
        assert reply.status_code == 503 and "Base camp does not answer" in reply.text
        assert own.token()  # local accounts work
        provider.down = False
        assert browser.get("/login/oidc").headers["location"].startswith(f"{provider.url}/authorize?")
    assert "oidc_unavailable" in own.log()


def test_trust_runs_out(provider: Provider, own_sirdar: Callable[..., Product]) -> None:
    own = own_sirdar(
        oidc_issuer=provider.url, oidc_client_id=CLIENT_ID, oidc_client_secret=CLIENT_SECRET, outside_s=0.01
    )
    with journey(own) as (browser, back):
        token = browser.get(back).cookies["access_token"]
    with own.client(token) as program:
        reply = program.get("/api/me")
        assert reply.status_code == 401 and "too long ago" in reply.json()["detail"]


def test_secrets_lie_nowhere(sirdar: Product, provider: Provider) -> None:
    as_user(sirdar, provider, sub="s-1")
    assert sirdar.files_with(CLIENT_SECRET) == []
    assert sirdar.files_with(provider.asked[-1]["state"]) == []


def test_a_server_does_not_start_with_wrong_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "sirdar", "up", "--home", tmp_path / "home", "--port", "0"],
        env={**os.environ, "SIRDAR_OIDC_ISSUER": "http://provider.example.org", "SIRDAR_OIDC_CLIENT_ID": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "SIRDAR_OIDC_ISSUER='http://provider.example.org' is no address of https" in done.stderr


# ---------------------------------------------------------------- sirdar login


# What somebody does in a browser: signs in at the provider, and allows the command line.
BROWSER = r"""
import html, re, sys, httpx
with httpx.Client(trust_env=False, timeout=30, follow_redirects=True) as browser:
    page = browser.get(sys.argv[1])
    assert page.url.path == "/login", page.url
    way = html.unescape(re.search(r'href="(/login/oidc[^"]*)"', page.text)[1])
    page = browser.get(page.url.join(way))
    assert page.url.path == "/login/cli", page.text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    if fields["port"]:
        assert f"form-action 'self' http://127.0.0.1:{fields['port']};" in page.headers["content-security-policy"]
    page = browser.post(page.url.copy_with(query=None), data=fields)
    if code := re.search(r"<code>([\w-]{20,})</code>", page.text):
        print(code[1])
"""


def test_login_through_a_browser_here(sirdar: Product, tmp_path: Path) -> None:
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    environment = {
        **os.environ,
        "SIRDAR_CONFIG_DIR": str(tmp_path / "config"),
        "BROWSER": f"{sys.executable} {script} %s &",
    }
    done = subprocess.run(
        [BIN / "sirdar", "--json", "login", sirdar.url, "--label", "a laptop", "--lifetime", "2h"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["user"] == "tenzing"
    token = json.loads((tmp_path / "config/profile.json").read_text())["servers"][sirdar.url]["token"]
    with sirdar.client(token) as client:
        assert client.get("/api/auth/access_token").json()["label"] == "a laptop"


def test_login_through_a_browser_elsewhere(sirdar: Product, tmp_path: Path) -> None:
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    process = subprocess.Popen(
        [BIN / "sirdar", "login", sirdar.url, "--no-browser"],
        env={**os.environ, "SIRDAR_CONFIG_DIR": str(tmp_path / "config")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr and process.stdin
    url = process.stderr.readline().split()[-1]
    there = subprocess.run([sys.executable, script, url], capture_output=True, text=True, timeout=60, check=False)
    assert there.returncode == 0, there.stderr
    code = there.stdout.strip()
    other = httpx.post(f"{sirdar.url}/api/auth/grant", json={"code": code, "secret": "not it"}, trust_env=False)
    assert other.json()["code"] == "gone"  # a code that went astray is worth nothing
    out, errors = process.communicate(code + "\n", timeout=30)
    assert process.returncode == 0, errors
    assert "signed in" in out and "as tenzing" in out


def test_a_command_line_that_asks_for_nonsense(sirdar: Product) -> None:
    with sign_in(sirdar) as (browser, _):
        good = {"challenge": "a" * 64, "label": "x"}
        for change in ({"challenge": "short"}, {"label": ""}, {"label": "a\nb"}, {"lifetime": "-1"}, {"port": "80"}):
            assert browser.get("/login/cli", params=good | change).status_code == 422, change
        page = browser.get("/login/cli", params=good | {"port": "9999", "label": "<b>"}).text
        assert "&lt;b&gt;" in page
        assert browser.post("/login/cli", data=good).status_code == 403  # without the form's secret
