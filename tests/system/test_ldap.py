"""Signing in with the name and password of an LDAP directory: a real slapd."""

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_server import BIN
from tests.system.directory import BASE, PASSWORD, READER, READER_PASSWORD, Slapd, group, person, running_slapd
from tests.system.product import PASSWORD as LOCAL_PASSWORD
from tests.system.product import Product, await_that, problem

from sirdar.domain.problems import Problem
from sirdar.services.settings import Settings

pytestmark = pytest.mark.needs("slapd")

ENTRIES = "\n".join(
    [
        person("sherpa", mail="sherpa@example.org"),
        person("pasang"),
        person("lopsang", password=None),
        person("twin", cn="twin one"),
        person("twin", cn="twin two"),
        person("comma", cn="O, Neil (senior) *"),
        person("ngima"),
        group("climbers", "uid=sherpa", "uid=pasang", r"cn=O\, Neil (senior) *", "uid=ngima"),
        group("Physics Lab; room = 7, b", "uid=sherpa"),
        group("Бергсекция", "uid=sherpa"),
        group("chiefs", "uid=sherpa"),
    ]
)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with running_slapd(tmp_path_factory.mktemp("slapd"), ENTRIES) as running:
        yield running


@pytest.fixture
def own_slapd(tmp_path: Path) -> Iterator[Slapd]:
    """One that a test may stop, and whose entries it may change."""
    with running_slapd(tmp_path / "slapd", ENTRIES) as running:
        yield running


def settings_for(slapd: Slapd, **more: Any) -> dict[str, Any]:
    return {
        "ldap_url": f"ldaps://127.0.0.1:{slapd.tls_port}",
        "ldap_ca_file": slapd.ca,
        "ldap_title": "Expedition",
        "ldap_bind_dn": READER,
        "ldap_bind_password": READER_PASSWORD,
        "ldap_base": f"ou=people,{BASE}",
        "ldap_group_base": f"ou=groups,{BASE}",
        "ldap_groups": "Climbers = climbers; Бергсекция = berg; Physics Lab = never; *",
        "ldap_admins": f"cn=chiefs,ou=groups,{BASE}",
        "ldap_allow": "climbers",
        "outside_call_s": 3,
        **more,
    }


@pytest.fixture(scope="module")
def sirdar(slapd: Slapd, module_sirdar: Callable[..., Product]) -> Product:
    return module_sirdar(**settings_for(slapd))


def token_for(sirdar: Product, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    body = {"username": name, "password": password, "label": "test", **more}
    return httpx.post(f"{sirdar.url}/api/auth/access_token", json=body, timeout=30, trust_env=False)


def me(sirdar: Product, name: str, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    reply = token_for(sirdar, name, password, **more)
    assert reply.status_code == 200, reply.text
    with sirdar.client(reply.json()["access_token"]) as client:
        return dict(client.get("/api/me").json())


# ---------------------------------------------------------------- who comes in


def test_the_first_sign_in_makes_the_account(sirdar: Product) -> None:
    found = me(sirdar, "sherpa")
    assert (found["name"], found["email"], found["isAdmin"]) == ("sherpa", "sherpa@example.org", True)
    assert found["groups"] == ["berg", "chiefs", "climbers"]
    assert me(sirdar, "SHERPA")["id"] == found["id"]  # a directory does not tell case apart
    shown = sirdar.admin.get("/api/users/sherpa").json()
    assert shown["provider"].startswith("ldaps://127.0.0.1:") and not shown["hasPassword"]


def test_in_the_browser(sirdar: Product) -> None:
    with httpx.Client(base_url=sirdar.url, trust_env=False, timeout=30) as browser:
        page = browser.get("/login").text
        assert '<option value="ldap">Expedition</option>' in page
        secret = re.search(r'name="csrf" value="([^"]+)"', page)
        assert secret
        fields = {"csrf": secret[1], "username": "sherpa", "password": "wrong", "way": "ldap", "next": "/account"}
        wrong = browser.post("/login", data=fields)
        assert wrong.status_code == 401 and "name or the password is wrong" in wrong.text
        right = browser.post("/login", data=fields | {"password": PASSWORD})
        assert right.status_code == 303 and right.headers["location"] == "/account"
        assert "You sign in at" in browser.get("/account").text


def test_on_the_command_line(sirdar: Product, tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "sirdar", "--json", "login", sirdar.url, "--user", "sherpa", "--way", "ldap"],
        env={**os.environ, "SIRDAR_CONFIG_DIR": str(tmp_path), "SIRDAR_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["user"] == "sherpa"


def test_local_accounts_stand_beside_it_and_are_not_taken_over(sirdar: Product) -> None:
    sirdar.user("pasang")  # the local one, with another password
    assert me(sirdar, "pasang", LOCAL_PASSWORD)["name"] == "pasang"
    problem(token_for(sirdar, "pasang", PASSWORD), 401, "wrong_credentials")  # the name is the local one's
    assert me(sirdar, "pasang", PASSWORD, way="ldap")["name"] == "pasang-2"
    problem(token_for(sirdar, "pasang", LOCAL_PASSWORD, way="ldap"), 401, "wrong_credentials")
    assert me(sirdar, "admin", "summit-8848")["isAdmin"]


def test_a_name_with_every_special_sign_in_its_dn(sirdar: Product) -> None:
    assert me(sirdar, "comma")["groups"] == ["climbers"]


def test_who_is_in_no_group_that_may_come_in(sirdar: Product) -> None:
    found = problem(token_for(sirdar, "twin-less"), 401, "wrong_credentials")
    assert "wrong" in found["detail"]


# ---------------------------------------------------------------- who does not


def directory_of(slapd: Slapd, home: Path, **more: Any) -> Any:
    """What the server asks, in this process."""
    from sirdar.services.outside.ldap import Directory

    return Directory(Settings(home=home, **settings_for(slapd, ldap_ca_file=str(slapd.ca), **more)))


IN_HERE = pytest.mark.filterwarnings("ignore:.*(tagMap|typeMap).*:DeprecationWarning")  # ldap3, of pyasn1
NOT_NAMES = (
    *(
        "*",
        "sherp*",
        "sherpa)(uid=*",
        "*)(objectClass=*))(|(uid=*",
        "sherpa\\2a",
        "(",
        "\u0000",
        "sherpa\u0000",
        "\ud800",
    ),
    *("ｓherpa", "sher\u00adpa", "sher\ufe00pa", "sherpa x", "x" * 300, "", " ", "uid=sherpa", "lopsang", "twin"),
)
NOT_PASSWORDS = ("", " ", PASSWORD + "\u0000", "\u0000", "*", "wrong", PASSWORD.upper(), "x" * 2000, "\ud800", "\u00ad")


@IN_HERE
def test_nothing_else_is_the_name_or_the_password(slapd: Slapd, tmp_path: Path) -> None:
    directory = directory_of(slapd, tmp_path)

    async def tries() -> None:
        found = await directory.identify("sherpa", PASSWORD)
        assert found and found.subject and "Physics Lab; room = 7, b" in found.groups
        for name in NOT_NAMES:
            assert await directory.identify(name, PASSWORD) is None, name
        for password in NOT_PASSWORDS:
            assert await directory.identify("sherpa", password) is None, password

    asyncio.run(tries())


@pytest.mark.parametrize("name", ["*", "sherpa)(uid=*", "\u0000", ""])
def test_over_http_too(sirdar: Product, name: str) -> None:
    problem(token_for(sirdar, name), 401, "wrong_credentials")


def test_guessing_is_slowed_down_whatever_the_case(sirdar: Product) -> None:
    """After five failures one waits 1 s from the begin of the last one, and twice as long after each further failure.

    Where a busy machine is slower than that, the longer waits are tried as well; the right password begins from zero.
    """
    names = ("ngima", "Ngima", "NGIMA", "nGima", "ngIma")
    for further in range(3):  # more of them would be held up by the wait of their address
        for name in names[:4]:
            assert token_for(sirdar, name, "guess").status_code == 401
        for _ in range(1 + further):
            began = await_that(lambda: guess_looked_at(sirdar, names[4]), 2.0**further, "the end of the wait")
        reply = token_for(sirdar, "ngima")
        if reply.status_code != 200:
            problem(reply, 429, "too_many_requests")
            return
        assert time.monotonic() - began >= 2**further, "it was not slowed down"
    pytest.fail("this machine is slower than every wait")


def guess_looked_at(sirdar: Product, name: str) -> float | None:
    """When a wrong guess began; None where it has to wait."""
    began = time.monotonic()
    code = token_for(sirdar, name, "guess").status_code
    assert code in (401, 429)
    return began if code == 401 else None


def test_passwords_lie_nowhere(sirdar: Product) -> None:
    assert token_for(sirdar, "sherpa", "not the yak 4711").status_code == 401
    for secret in (PASSWORD, READER_PASSWORD, "not the yak 4711"):
        assert sirdar.files_with(secret) == []


# ---------------------------------------------------------------- kept in step


def test_changes_there_count_here_and_it_may_be_down(own_slapd: Slapd, own_sirdar: Callable[..., Product]) -> None:
    slapd, sirdar = own_slapd, own_sirdar(**settings_for(own_slapd))
    assert me(sirdar, "ngima")["groups"] == ["climbers"]
    kept = token_for(sirdar, "ngima").json()["access_token"]
    member = f"uid=ngima,ou=people,{BASE}"
    slapd.change(
        f"dn: cn=chiefs,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {member}\n\n"
        f"dn: cn=climbers,ou=groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {member}\n"
    )
    found = problem(token_for(sirdar, "ngima"), 403, "forbidden")
    assert "none of the groups" in found["detail"]
    with sirdar.client(kept) as program:
        assert program.get("/api/me").json()["code"] == "token_expired"
        slapd.change(f"dn: cn=climbers,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {member}\n")
        found = me(sirdar, "ngima")
        assert (found["groups"], found["isAdmin"]) == (["chiefs", "climbers"], True)
        assert program.get("/api/me").json()["isAdmin"]
        # removed there: no new session, and what is left runs out with the trust
        slapd.change(f"dn: {member}\nchangetype: modify\nreplace: userPassword\nuserPassword: locked\n")
        problem(token_for(sirdar, "ngima"), 401, "wrong_credentials")
        assert program.get("/api/me").status_code == 200
    slapd.stop()
    for _ in range(7):  # nobody's failures
        found = problem(token_for(sirdar, "sherpa"), 503, "unavailable")
    assert "Expedition does not answer" in found["detail"]
    assert sirdar.token()
    slapd.start()
    assert me(sirdar, "sherpa")["name"] == "sherpa"
    assert "ldap_unavailable" in sirdar.log()


# ---------------------------------------------------------------- connections


@IN_HERE
def test_the_connection_is_secured(slapd: Slapd, tmp_path: Path) -> None:
    """StartTLS on ldap://, with the certificate's authority and name checked; this slapd takes no password in clear."""
    directory = directory_of(slapd, tmp_path, ldap_url=f"ldap://127.0.0.1:{slapd.port}")
    found = asyncio.run(directory.identify("sherpa", PASSWORD))
    assert found and found.name == "sherpa"


@IN_HERE
@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"ldap_ca_file": ""}, "certificate"),
        ({"ldap_url": "ldaps://localhost:{tls_port}"}, "certificate"),
        ({"ldap_url": "ldap://localhost:{port}"}, "certificate"),
        ({"ldap_url": "ldap://127.0.0.1:{port}", "ldap_plain": True}, "does not let"),
        ({"ldap_bind_password": "wrong"}, "does not let"),
        ({"ldap_id_attribute": "employeeNumber"}, "tells people apart"),
        ({"ldap_base": "ou=nowhere," + BASE}, "noSuchObject"),
        ({"ldap_url": "ldaps://127.0.0.1:{port}"}, "socket"),
    ],
    ids=str,
)
def test_what_is_set_up_wrongly_lets_nobody_in(
    slapd: Slapd, tmp_path: Path, wrong: dict[str, Any], cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from sirdar.services.outside.ldap import Directory

    given = settings_for(slapd, ldap_ca_file=str(slapd.ca)) | wrong
    given["ldap_url"] = given["ldap_url"].format(port=slapd.port, tls_port=slapd.tls_port)
    directory = Directory(Settings(home=tmp_path, **given))
    with pytest.raises(Problem) as caught:
        asyncio.run(directory.identify("sherpa", PASSWORD))
    assert caught.value.code == "unavailable"
    said = capfd.readouterr().out
    assert "ldap_unavailable" in said and cause.casefold() in said.casefold()
    assert PASSWORD not in said and READER_PASSWORD not in said


@IN_HERE
def test_a_connection_in_clear_only_where_it_is_allowed(tmp_path: Path) -> None:
    from sirdar.services.outside.ldap import Directory

    with running_slapd(tmp_path / "plain", ENTRIES, secured=False) as slapd:
        (slapd.root / "slapd.conf").write_text(re.sub(r"TLS.*\n", "", (slapd.root / "slapd.conf").read_text()))
        slapd.stop()
        slapd.tls_port = slapd.port  # it offers no TLS at all
        slapd.start()
        url = f"ldap://127.0.0.1:{slapd.port}"
        given = settings_for(slapd, ldap_ca_file="", ldap_url=url)
        with pytest.raises(Problem):
            asyncio.run(Directory(Settings(home=tmp_path, **given)).identify("sherpa", PASSWORD))
        plain = Directory(Settings(home=tmp_path, **given, ldap_plain=True))
        found = asyncio.run(plain.identify("sherpa", PASSWORD))
        assert found is not None and found.name == "sherpa"
