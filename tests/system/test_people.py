"""Users, tokens and rights over real HTTP."""

import asyncio
import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from sirdar.api import auth, errors, people
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.people import ensure_admin, make_login_link
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator
from sirdar.store import tables as t
from sirdar.store.engine import Store
from sirdar.store.tables import metadata
from sirdar.web import routes

ADMIN_PASSWORD = "summit-8848"
PASSWORD = "base camp tent"


@dataclass
class Site:
    """A server in a thread, and clients of it."""

    services: Services
    url: str
    admin: httpx.Client

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        self._clients.append(client)
        return client

    def user(self, name: str, **settings: Any) -> httpx.Client:
        """A new user, signed in."""
        made = self.admin.post("/api/users", json={"name": name, "password": PASSWORD, **settings})
        assert made.status_code == 201, made.text
        return self.client(self.token(name))

    def token(self, name: str, password: str = PASSWORD, **more: Any) -> str:
        body = {"username": name, "password": password, "label": "test", **more}
        reply = httpx.post(f"{self.url}/api/auth/access_token", json=body)
        assert reply.status_code == 200, reply.text
        token: str = reply.json()["access_token"]
        return token

    def __post_init__(self) -> None:
        self._clients: list[httpx.Client] = [self.admin]

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextlib.contextmanager
def serve(home: Path, **settings: Any) -> Iterator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    config = Settings(smtp_host="127.0.0.1", home=home, port=port, **settings)
    store = Store(config.database_url)
    metadata.create_all(store.write_engine)
    assert store.write_now(lambda tx: ensure_admin(tx, ADMIN_PASSWORD))
    keys = Keys.load(home / "key")
    blobs = LocalBlobs(home / "blobs")
    services = Services(config, store, keys, Hub(), blobs, Authenticator(store, keys, config), LogStore(home / "logs"))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> Any:
        store.start()
        yield

    app = FastAPI(lifespan=lifespan)
    app.state.services = services
    app.include_router(auth.router)
    app.include_router(people.router)
    app.include_router(routes.router)
    errors.install(app, config)
    routes.install(app)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    site = Site(services, config.url, httpx.Client(base_url=config.url, timeout=20))
    try:
        await_condition(lambda: server.started)
        site.admin.headers["authorization"] = f"Bearer {site.token('admin', ADMIN_PASSWORD)}"
        yield site
    finally:
        site.close()
        server.should_exit = True
        thread.join()
        store.close()
        blobs.close()


def await_condition(holds: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + 3 * within_s
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[Site]:
    with serve(home) as running:
        yield running


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["code"] == code
    return body


# ---------------------------------------------------------------- signing in


def test_everests_sign_in(site: Site) -> None:
    body = {"username": "admin", "password": ADMIN_PASSWORD, "label": "everest.py", "lifetime": 3600}
    for path in ("/api/auth/access_token", "/auth/access_token"):
        reply = httpx.post(site.url + path, json=body)
        assert reply.status_code == 200
        token = reply.json()["access_token"]
        client = site.client(token)
        shown = client.get(path).json()
        assert shown["user"] == "admin"
        assert shown["label"] == "everest.py"
        assert shown["scopes"] == ["all"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["expiresAt"])
        # C++ clients send it as a cookie
        assert httpx.get(site.url + path, headers={"cookie": f"access_token={token}"}).status_code == 200
        assert client.delete(path).status_code == 200
        problem(client.get(path), 401, "token_expired")


def test_wrong_credentials_say_the_same_for_all(site: Site) -> None:
    site.user("norbu")
    replies = []
    for name, password in (("norbu", "wrong-one"), ("nobody-here", "wrong-one"), ("No Such\u0000", "wrong-one")):
        reply = httpx.post(f"{site.url}/api/auth/access_token", json={"username": name, "password": password})
        replies.append(problem(reply, 401, "wrong_credentials"))
    assert replies[0] == replies[1] == replies[2]


def test_unknown_users_take_as_long(site: Site) -> None:
    """Medians of a few; a factor of three would show a missing hash (which is a hundred times quicker)."""
    site.user("tashi")

    def seconds(name: str) -> float:
        times = []
        for number in range(3):
            # each from another name, so that the throttle stays out of it
            body = {"username": name.format(number), "password": "not the one"}
            started = time.perf_counter()
            assert httpx.post(f"{site.url}/api/auth/access_token", json=body).status_code == 401
            times.append(time.perf_counter() - started)
        site.services.auth.throttle._failures.clear()
        return sorted(times)[1]

    known, unknown = seconds("tashi"), seconds("nobody{}")
    assert 1 / 6 < known / unknown < 6


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    with serve(tmp_path) as site:
        site.user("lhakpa")
        body = {"username": "lhakpa", "password": "guess"}
        guess = lambda: httpx.post(f"{site.url}/api/auth/access_token", json=body)  # noqa: E731
        assert [guess().status_code for _ in range(5)] == [401] * 5
        # Pauses double; the first ones may be over before the next guess of a busy machine.
        await_condition(lambda: int(guess().headers.get("retry-after", 0)) >= 4)
        reply = httpx.post(f"{site.url}/api/auth/access_token", json={**body, "password": PASSWORD})
        problem(reply, 429, "too_many_requests")  # the right one is not looked at either
        assert int(reply.headers["retry-after"]) >= 1
        # others are not held up
        assert site.token("admin", ADMIN_PASSWORD)


def test_bodies_that_are_not_a_sign_in(site: Site) -> None:
    url = f"{site.url}/api/auth/access_token"
    good = {"username": "admin", "password": ADMIN_PASSWORD, "label": "x"}
    assert problem(httpx.post(url, content=b"{"), 400, "invalid_request")
    assert problem(httpx.post(url, json=[]), 400, "invalid_request")
    for change, field in (
        ({"password": None}, "password"),
        ({"password": 12345678}, "password"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": -1}, "lifetime"),
        ({"lifetime": 1e12}, "lifetime"),
        ({"lifetime": "for ever"}, "lifetime"),
        ({"scopes": ["root"]}, "scopes[0]"),
        ({"scopes": []}, "scopes"),
        ({"label": "x" * 300}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"label": "a\u0000b"}, "label"),
        ({"remember": True}, "remember"),
    ):
        found = problem(httpx.post(url, json={**good, **change}), 422, "invalid_field")
        assert found["field"] == field, found
    raw = b'{"username": "admin", "password": "\\ud800abcdefgh", "label": "x"}'
    assert httpx.post(url, content=raw, headers={"content-type": "application/json"}).status_code in {401, 422}


# ---------------------------------------------------------------- tokens


def test_a_token_is_shown_once_and_revoked(site: Site) -> None:
    client = site.user("dawa")
    made = client.post("/api/tokens", json={"label": "laptop", "lifetime": 600, "scopes": ["read", "run"]})
    assert made.status_code == 201
    token = made.json()["access_token"]
    listed = client.get("/api/tokens").json()
    assert {entry["label"] for entry in listed} == {"test", "laptop"}
    assert token not in json.dumps(listed)
    narrow = site.client(token)
    assert narrow.get("/api/me").json()["name"] == "dawa"
    assert client.delete(f"/api/tokens/{made.json()['id']}").status_code == 204
    problem(narrow.get("/api/me"), 401, "token_expired")
    problem(client.delete(f"/api/tokens/{made.json()['id']}"), 404, "not_found")
    rows = site.services.store.read_now(lambda conn: conn.execute(sa.select(t.tokens.c.token_hash)).scalars().all())
    assert token not in rows and all(len(row) == 64 for row in rows)


def test_a_token_expires(site: Site) -> None:
    client = site.user("pasang")
    token = client.post("/api/tokens", json={"label": "short", "lifetime": 0.3}).json()["access_token"]
    short = site.client(token)
    await_condition(lambda: short.get("/api/me").status_code == 401)
    problem(short.get("/api/me"), 401, "token_expired")


def test_unknown_tokens(site: Site) -> None:
    for token in ("x", "sirdar_" + "A" * 43, "t1.0123456789abcdef-0-0.xxxx", "t1.", "a" * 5000, "t1.\u00e9"):
        headers = [(b"authorization", b"Bearer " + token.encode())]
        problem(httpx.get(f"{site.url}/api/me", headers=headers), 401, "unauthenticated")
    reply = httpx.get(f"{site.url}/api/me", headers={"authorization": "Basic " + base64.b64encode(b"a:b").decode()})
    assert reply.headers["www-authenticate"] == "Bearer"


def test_when_it_was_used_is_written_later(site: Site) -> None:
    client = site.user("mingma")

    def used() -> Any:
        return client.get("/api/tokens").json()[0]["lastUsedAt"]

    await_condition(used)
    first = used()
    assert used() == first  # at most once a minute


def test_scopes(site: Site) -> None:
    """What each scope opens, of the addresses that anybody can ask."""
    client = site.user("kami", isAdmin=True)
    cases = {
        ("GET", "/api/me"): {"read", "run", "publish", "admin", "all"},
        ("GET", "/api/groups"): {"read", "run", "publish", "admin", "all"},
        ("GET", "/api/users"): {"admin", "all"},
        ("GET", "/api/audit"): {"admin", "all"},
        ("GET", "/api/tokens"): {"all"},
        ("POST", "/api/tokens"): {"all"},
        ("PATCH", "/api/me"): {"all"},
        ("GET", "/api/auth/access_token"): {"read", "run", "publish", "admin", "all"},
    }
    bodies = {("POST", "/api/tokens"): {"label": "more"}, ("PATCH", "/api/me"): {"email": "kami@example.org"}}
    for scope in ("read", "run", "publish", "admin", "all"):
        token = client.post("/api/tokens", json={"label": scope, "scopes": [scope]}).json()["access_token"]
        narrow = site.client(token)
        for (method, path), allowed in cases.items():
            reply = narrow.request(method, path, json=bodies.get((method, path)))
            if scope in allowed:
                assert reply.status_code in {200, 201}, (scope, method, path, reply.text)
            else:
                assert scope in problem(reply, 403, "forbidden")["detail"]


def test_a_token_for_one_application(site: Site) -> None:
    client = site.user("phurba")
    found = problem(client.post("/api/tokens", json={"label": "x", "apps": ["no-such"]}), 404, "not_found")
    assert "no-such" in found["detail"]


# ---------------------------------------------------------------- users and groups


def test_a_users_life(site: Site) -> None:
    admin = site.admin
    quotas = {"jobsInFlight": 3, "bytes": None}
    made = admin.post(
        "/api/users", json={"name": "ang.rita", "password": PASSWORD, "email": "ang@example.org", "quotas": quotas}
    )
    assert made.status_code == 201
    assert made.json()["quotas"] == {"jobsInFlight": 3, "bytes": site.services.settings.quota_bytes}
    problem(admin.post("/api/users", json={"name": "ang.rita"}), 409, "already_exists")
    token = site.token("ang.rita")
    client = site.client(token)
    me = client.get("/api/me").json()
    assert (me["name"], me["isAdmin"], me["canPublish"], me["email"]) == ("ang.rita", False, False, "ang@example.org")
    assert me["usage"] == {"jobsInFlight": 0, "bytes": 0, "jobsTotal": 0, "cpuSeconds": 0}
    assert admin.patch("/api/users/ang.rita", json={"canPublish": True}).json()["canPublish"]
    assert client.get("/api/me").json()["canPublish"]  # at once, although the caller was remembered
    assert admin.patch("/api/users/ang.rita", json={"disabled": True}).json()["disabled"]
    problem(client.get("/api/me"), 401, "token_expired")
    body = {"username": "ang.rita", "password": PASSWORD}
    problem(httpx.post(f"{site.url}/api/auth/access_token", json=body), 401, "wrong_credentials")
    problem(admin.post("/api/users/ang.rita/login-link"), 409, "conflict")
    admin.patch("/api/users/ang.rita", json={"disabled": False})
    assert client.get("/api/me").status_code == 200
    admin.patch("/api/users/ang.rita", json={"password": "another tent"})
    problem(client.get("/api/me"), 401, "token_expired")
    assert site.token("ang.rita", "another tent")
    assert admin.delete("/api/users/ang.rita").status_code == 204
    problem(admin.get("/api/users/ang.rita"), 404, "not_found")


def test_names_that_cannot_be(site: Site) -> None:
    names = [
        "",
        "me",
        "sirdar",
        "everyone",
        "system",
        "Anna",
        "-a",
        ".a",
        "a b",
        "a/b",
        "a" * 65,
        "имя",
        "a\n",
        "a\u0000",
        "a'--",
    ]
    for name in names:
        found = problem(site.admin.post("/api/users", json={"name": name}), 422, "invalid_field")
        assert found["field"] == "name"
        problem(site.admin.post("/api/groups", json={"name": name}), 422, "invalid_field")
    for path in ("/api/users/%00", "/api/users/a%27%20OR%201=1", "/api/groups/%00", "/api/users/%ff"):
        problem(site.admin.get(path), 404, "not_found")


def test_fields_that_cannot_be(site: Site) -> None:
    for change, field in (
        ({"password": "short"}, "password"),
        ({"password": "x" * 1500}, "password"),
        ({"email": "no address"}, "email"),
        ({"email": "a@b.org\r\nBcc: c@d.org"}, "email"),
        ({"quotas": {"jobsInFlight": -1}}, "quotas.jobsInFlight"),
        ({"quotas": {"jobsInFlight": 1.5}}, "quotas.jobsInFlight"),
        ({"quotas": {"bytes": 2**70}}, "quotas.bytes"),
        ({"isAdmin": "perhaps"}, "isAdmin"),
        ({"is_admin": True}, "is_admin"),
    ):
        found = problem(site.admin.post("/api/users", json={"name": "x", **change}), 422, "invalid_field")
        assert found["field"] == field, found
        problem(site.admin.patch("/api/users/admin", json=change), 422, "invalid_field")
    problem(site.admin.get("/api/users/x"), 404, "not_found")
    problem(site.admin.patch("/api/users/admin", json={"isAdmin": None}), 422, "invalid_field")


def test_the_last_administrator_stays(tmp_path: Path) -> None:
    with serve(tmp_path) as site:
        for change in ({"isAdmin": False}, {"disabled": True}):
            problem(site.admin.patch("/api/users/admin", json=change), 409, "conflict")
        problem(site.admin.delete("/api/users/admin"), 409, "conflict")
        site.user("second", isAdmin=True)
        assert site.admin.patch("/api/users/admin", json={"isAdmin": False}).status_code == 200
        problem(site.admin.get("/api/users"), 403, "forbidden")


def test_only_administrators(site: Site) -> None:
    client = site.user("chhiring")
    for method, path in (
        ("GET", "/api/users"),
        ("POST", "/api/users"),
        ("GET", "/api/users/admin"),
        ("PATCH", "/api/users/chhiring"),
        ("DELETE", "/api/users/admin"),
        ("POST", "/api/users/admin/login-link"),
        ("POST", "/api/groups"),
        ("DELETE", "/api/groups/lab"),
        ("PUT", "/api/groups/lab/members/chhiring"),
        ("GET", "/api/audit"),
    ):
        body = {"name": "x"} if method == "POST" and path in {"/api/users", "/api/groups"} else None
        body = {"isAdmin": True} if method == "PATCH" else body
        problem(client.request(method, path, json=body), 403, "forbidden")


def test_groups(site: Site) -> None:
    admin, client = site.admin, site.user("sonam")
    assert admin.post("/api/groups", json={"name": "optics"}).json()["members"] == []
    problem(admin.post("/api/groups", json={"name": "optics"}), 409, "already_exists")
    assert client.get("/api/groups").json() == []
    problem(client.get("/api/groups/optics"), 404, "not_found")
    for _ in range(2):
        assert admin.put("/api/groups/optics/members/sonam").json()["members"] == ["sonam"]
    assert client.get("/api/me").json()["groups"] == ["optics"]
    assert client.get("/api/groups/optics").json()["members"] == ["sonam"]
    problem(admin.put("/api/groups/optics/members/nobody"), 404, "not_found")
    problem(admin.put("/api/groups/none/members/sonam"), 404, "not_found")
    for _ in range(2):
        assert admin.delete("/api/groups/optics/members/sonam").status_code == 204
    assert client.get("/api/me").json()["groups"] == []
    assert admin.delete("/api/groups/optics").status_code == 204
    problem(admin.get("/api/groups/optics"), 404, "not_found")


def test_lists_are_paged(site: Site) -> None:
    for number in range(5):
        site.admin.post("/api/groups", json={"name": f"page-{number}"})
    names: list[str] = []
    address = "/api/groups?limit=2"
    while address:
        reply = site.admin.get(address)
        assert len(reply.json()) <= 2
        names += [group["name"] for group in reply.json()]
        address = reply.links.get("next", {}).get("url", "")
    assert names == sorted(names)
    assert [name for name in names if name.startswith("page-")] == [f"page-{number}" for number in range(5)]
    for query in ("limit=0", "limit=1001", "limit=x", "after=" + "a" * 300):
        problem(site.admin.get(f"/api/groups?{query}"), 422, "invalid_field")


def test_own_password(site: Site) -> None:
    client = site.user("gyalzen")
    other = site.client(site.token("gyalzen"))
    change = {"password": {"old": "wrong", "new": "a better tent"}}
    problem(client.patch("/api/me", json=change), 401, "wrong_credentials")
    change["password"]["old"] = PASSWORD
    assert client.patch("/api/me", json={**change, "email": "g@example.org"}).json()["email"] == "g@example.org"
    assert client.get("/api/me").status_code == 200
    problem(other.get("/api/me"), 401, "token_expired")
    assert site.token("gyalzen", "a better tent")
    assert client.patch("/api/me", json={"email": None}).json()["email"] is None
    notify = [{"webhook": "https://example.org/hook", "secret": "hush"}, {"email": "g@example.org"}]
    shown = client.patch("/api/me", json={"notify": notify}).json()["notify"]
    assert shown == [{"webhook": "https://example.org/hook"}, {"email": "g@example.org"}]


def test_the_audit_log(site: Site) -> None:
    client = site.user("jangbu")
    client.patch("/api/me", json={"password": {"old": PASSWORD, "new": "secret of the tent"}})
    entries = site.admin.get("/api/audit?limit=3").json()
    assert [entry["action"] for entry in entries] == ["user.change_password", "user.sign_in", "user.create"]
    assert [entry["actor"] for entry in entries] == ["jangbu", "jangbu", "admin"]
    assert entries[0]["object"] == "user:jangbu"
    everything = json.dumps(site.admin.get("/api/audit?limit=1000").json())
    for secret in (PASSWORD, "secret of the tent", ADMIN_PASSWORD, "sirdar_", "argon2"):
        assert secret not in everything
    older = site.admin.get(site.admin.get("/api/audit?limit=3").links["next"]["url"]).json()
    assert {entry["id"] for entry in older}.isdisjoint(entry["id"] for entry in entries)
    mine = site.admin.get("/api/audit?actor=jangbu&action=user.sign_in").json()
    assert {(entry["actor"], entry["action"]) for entry in mine} == {("jangbu", "user.sign_in")}


# ---------------------------------------------------------------- a task's token


def test_a_tasks_token(site: Site) -> None:
    client = site.user("rinzing", isAdmin=True, canPublish=True)
    user_id = client.get("/api/me").json()["id"]
    key = AttemptKey(JobId("a" * 16), 0, 1)
    site.services.store.write_now(lambda tx: insert_running_job(tx.conn, user_id, key))
    token = site.services.keys.attempt_token(key)
    task = site.client(token)
    assert task.get("/api/me").json()["name"] == "rinzing"
    shown = task.get("/api/auth/access_token").json()
    assert (shown["task"], shown["scopes"]) == (key.text, ["read", "run"])
    for method, path in (
        ("DELETE", "/api/auth/access_token"),
        ("GET", "/api/tokens"),
        ("POST", "/api/tokens"),
        ("PATCH", "/api/me"),
        ("GET", "/api/users"),
        ("POST", "/api/users/rinzing/login-link"),
    ):
        body = {"label": "more"} if path == "/api/tokens" and method == "POST" else None
        body = {"email": "x@example.org"} if method == "PATCH" else body
        problem(task.request(method, path, json=body), 403, "forbidden")
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    problem(site.client(forged).get("/api/me"), 401, "unauthenticated")
    for confirmed_at, status in ((0.0, 401), (1.0, 200)):  # shut out where they come from; not seen there for long
        from_outside = {"provider": "https://p", "subject": "s", "confirmed_at": confirmed_at, "password_hash": None}
        set_user = sa.update(t.users).where(t.users.c.id == user_id).values(**from_outside)
        site.services.store.write_now(lambda tx, set_user=set_user: tx.conn.execute(set_user))
        site.services.auth.forget()
        assert task.get("/api/me").status_code == status
    a = t.attempts.c
    ended = {"state": "ENDED", "reason": "ok", "ended_at": time.time() - 10}
    set_attempt = sa.update(t.attempts).where(a.job_id == key.job)
    site.services.store.write_now(lambda tx: tx.conn.execute(set_attempt.values(**ended)))
    site.services.auth.forget()
    assert task.get("/api/me").status_code == 200  # within the grace
    ended["ended_at"] = time.time() - 60
    site.services.store.write_now(lambda tx: tx.conn.execute(set_attempt.values(**ended)))
    site.services.auth.forget()
    problem(task.get("/api/me"), 401, "token_expired")


def insert_running_job(conn: sa.Connection, user_id: str, key: AttemptKey) -> None:
    """Rows of a job whose one task runs, as the server writes them."""
    now = time.time()
    conn.execute(
        sa.insert(t.apps).values(
            id="app1", owner_id=user_id, alias="demo", name="Demo", latest=1, created_at=now, updated_at=now
        )
    )
    conn.execute(
        sa.insert(t.versions).values(
            id="v1", app_id="app1", number=1, digest="d", document_json="{}", files_json="[]", created_at=now, created_by=user_id
        )
    )  # fmt: skip
    conn.execute(
        sa.insert(t.jobs).values(
            id=key.job, owner_id=user_id, app_id="app1", version_id="v1", name="job", state="RUNNING", inputs_json="{}",
            retries=0, total=1, expanded=1, waiting=0, leased=1, created_at=now, started_at=now,
        )
    )  # fmt: skip
    conn.execute(sa.insert(t.tasks).values(job_id=key.job, no=0, state="RUNNING", attempt=1, last_attempt=1))
    conn.execute(
        sa.insert(t.attempts).values(
            job_id=key.job, task_no=0, no=1, state="RUNNING", resource_id="r", session="s", offered_at=now
        )
    )


# ---------------------------------------------------------------- in memory


def test_a_known_token_costs_microseconds(tmp_path: Path) -> None:
    config = Settings(home=tmp_path)
    store = Store(config.database_url)
    metadata.create_all(store.write_engine)
    store.write_now(lambda tx: ensure_admin(tx, ADMIN_PASSWORD))
    keys = Keys(b"k" * 32)
    authenticator = Authenticator(store, keys, config)

    async def measure() -> float:
        from sirdar.services import tokens
        from sirdar.store import people as rows

        store.start()
        user = store.read_now(lambda conn: rows.user_by_name(conn, "admin"))
        assert user is not None
        wanted = tokens.TokenRequest("bench")
        issued = await store.write(lambda tx: tokens.issue(tx, user.id, wanted, default_s=60))
        await authenticator.caller(issued.text)
        best = 1.0
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(1000):
                await authenticator.caller(issued.text)
            best = min(best, (time.perf_counter() - started) / 1000)
        return best

    try:
        assert asyncio.run(measure()) < 100e-6  # 3 where nothing else runs; an argon2 at each call would be thousands
    finally:
        store.close()


def test_the_link_that_up_prints(site: Site) -> None:
    url = site.services.store.write_now(lambda tx: make_login_link(tx, "admin", site.services.settings))
    assert url.startswith(site.url + "/login/")
