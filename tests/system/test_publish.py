"""Publishing, versions, sharing, export and import over real HTTP, on SQLite and on PostgreSQL."""

import asyncio
import contextlib
import hashlib
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
import yaml
from fastapi import FastAPI

from sirdar.api import apps, errors
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.domain.people import Caller
from sirdar.services.app_cache import HEAD_S, cache_of
from sirdar.services.apps import resolve_app
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator, token_hash
from sirdar.store import blobs as blob_rows
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.tables import metadata

PROGRAM = b"import sys\nprint(sum(map(float, open(sys.argv[1]))))\n"
DESCRIPTION = """\
sirdar: 1
alias: sumsq
name: Sum of powers
annotation: Adds up a column of numbers
keywords: [numbers]
inputs:
  data: {type: file, title: Numbers, suffixes: [.csv], required: true}
  power: {type: integer, default: 2, minimum: 1, maximum: 9}
command: python sumsq.py ${data} --power ${power}
outputs:
  total: {type: number, from: result.json, key: total}
resources: {cpus: 1, memory: 512 MiB, time: 10 min}
"""
SECRET = "glpat-3f9a-do-not-show"


@dataclass
class Site:
    """A server in a thread; ``as_user`` gives clients of it."""

    services: Services
    url: str
    clients: dict[str, httpx.Client]

    def __getitem__(self, name: str) -> httpx.Client:
        return self.clients[name]

    def write(self, run: Callable[[Tx], Any]) -> Any:
        return self.services.store.write_now(run)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def cluster(request: pytest.FixtureRequest) -> Any:
    """The session's PostgreSQL, or None for SQLite. It is started here, before a test's own surroundings are."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture(scope="module")
def site(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = cluster.create_database() if cluster else ""
    with serve(tmp_path_factory.mktemp("site"), database=cluster.url(name) if cluster else "") as site:
        yield site
    if cluster:
        cluster.drop_database(name)


@pytest.fixture
def anna(site: Site) -> httpx.Client:
    """Anna, who may publish; her applications of the tests before are gone."""
    gone = site.write(lambda tx: tx.conn.execute(sa.delete(t.apps).returning(t.apps.c.id)).scalars().all())
    for app_id in gone:
        cache_of(site.services.store).forget(app_id)
    return site["anna"]


@contextlib.contextmanager
def serve(home: Path, **settings: Any) -> Iterator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    config = Settings(home=home, port=port, **settings)
    store = Store(config.database_url)
    metadata.create_all(store.write_engine)
    keys, blobs = Keys.load(home / "key"), LocalBlobs(home / "blobs")
    auth = Authenticator(store, keys, config)
    services = Services(config, store, keys, Hub(), blobs, auth, LogStore(home / "logs"))
    tokens = store.write_now(add_people)
    app = FastAPI(lifespan=lambda _app: started(store))
    app.state.services = services
    app.include_router(apps.router)
    errors.install(app, config)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    clients = {
        name: httpx.Client(base_url=config.url, headers={"authorization": f"Bearer {token}"}, timeout=30)
        for name, token in tokens.items()
    }
    try:
        await_condition(lambda: server.started)
        yield Site(services, config.url, clients)
    finally:
        for client in clients.values():
            client.close()
        server.should_exit = True
        thread.join()
        store.close()
        blobs.close()


@contextlib.asynccontextmanager
async def started(store: Store) -> Any:
    store.start()
    yield


def await_condition(holds: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def add_people(tx: Tx) -> dict[str, str]:
    """Anna and Olga publish, Boris (in the group lab) and Clara do not, root administers; a narrow token of Anna's."""
    people = {"anna": (0, 1), "olga": (0, 1), "boris": (0, 0), "clara": (0, 0), "root": (1, 1)}
    tokens = {name: f"token-of-{name}" for name in people}
    for name, (admin, publishes) in people.items():
        row = {"id": f"id-{name}", "name": name, "is_admin": admin, "can_publish": publishes, "created_at": tx.now}
        tx.conn.execute(sa.insert(t.users).values(**row))
    tx.conn.execute(sa.insert(t.groups).values(name="lab", created_at=tx.now))
    tx.conn.execute(sa.insert(t.group_members).values(group_name="lab", user_id="id-boris"))
    tokens["anna-reads"] = "token-of-anna-that-reads"
    for name, token in tokens.items():
        user, scopes = name.split("-")[0], "read" if name.endswith("-reads") else "all"
        row = {"id": f"token-{name}", "user_id": f"id-{user}", "label": "test", "token_hash": token_hash(token)}
        tx.conn.execute(sa.insert(t.tokens).values(**row, scopes=scopes, created_at=tx.now))
    return tokens


# ---------------------------------------------------------------- what the tests do


def entry(path: str, content: bytes, mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "mode": mode}


def body(description: str = DESCRIPTION, files: Mapping[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
    contents = {"sumsq.py": PROGRAM} if files is None else files
    return {"description": description, "files": [entry(path, content) for path, content in contents.items()], **more}


def bring(client: httpx.Client, *contents: bytes) -> None:
    for content in contents:
        sha256 = hashlib.sha256(content).hexdigest()
        reply = client.put(f"/api/apps/publish/blobs/{sha256}", content=content)
        assert reply.status_code == 204, reply.text


def publish(
    client: httpx.Client, description: str = DESCRIPTION, content: bytes = PROGRAM, **more: Any
) -> dict[str, Any]:
    bring(client, content)
    reply = client.post("/api/apps/publish", json=body(description, {"sumsq.py": content}, **more))
    assert reply.status_code in {200, 201}, reply.text
    return dict(reply.json())


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    found: dict[str, Any] = reply.json()
    assert found["code"] == code
    return found


def zipped(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def import_zip(client: httpx.Client, content: bytes) -> httpx.Response:
    return client.post("/api/apps/import", files={"file": ("app.zip", content, "application/zip")})


def count(site: Site, table: sa.Table) -> int:
    return site.write(lambda tx: tx.conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


# ---------------------------------------------------------------- publish


def test_publish_in_three_steps(anna: httpx.Client) -> None:
    wanted = body(note="first light")
    sha256 = wanted["files"][0]["sha256"]
    planned = anna.post("/api/apps/publish/plan", json=wanted).json()
    assert planned == {
        "app": "anna/sumsq",
        "digest": planned["digest"],
        "missing": [sha256],
        "unchanged": False,
        "version": None,
    }
    bring(anna, PROGRAM)
    assert anna.post("/api/apps/publish/plan", json=wanted).json()["missing"] == []
    reply = anna.post("/api/apps/publish", json=wanted)
    made = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == "/api/apps/anna/sumsq@1"
    assert (made["owner"], made["alias"], made["version"], made["created"]) == ("anna", "sumsq", 1, True)
    assert made["digest"] == planned["digest"]
    shown = anna.get(made["url"]).json()
    assert shown["files"] == [entry("sumsq.py", PROGRAM)]
    assert shown["note"] == "first light"


def test_the_same_bytes_make_no_version_and_earlier_ones_become_current_again(anna: httpx.Client) -> None:
    first = publish(anna)
    again = anna.post("/api/apps/publish", json=body())
    assert (again.status_code, again.json()["created"], again.json()["version"]) == (200, False, 1)
    plan = anna.post("/api/apps/publish/plan", json=body()).json()
    assert (plan["unchanged"], plan["version"], plan["digest"]) == (True, 1, first["digest"])
    assert publish(anna, content=PROGRAM + b"# better\n")["version"] == 2
    back = anna.post("/api/apps/publish", json=body())
    assert (back.status_code, back.json()["version"]) == (200, 1)
    assert back.json()["notes"] == ["These are the bytes of version 1; it is the current version again."]
    assert anna.get("/api/apps/anna/sumsq").json()["version"] == 1
    rows = anna.get("/api/apps/anna/sumsq/versions").json()
    assert [row["version"] for row in rows if row["current"]] == [1], rows


def test_the_digest_depends_on_bytes_alone(anna: httpx.Client) -> None:
    """Not on comments and spaces of the text, the order of files, or the umask of whoever publishes."""
    bring(anna, b"one", b"two")
    files = [entry("a.py", b"one", 0o664), entry("b.sh", b"two", 0o775)]
    plain = "alias: order\ncommand: python a.py\n"
    first = {"description": plain, "files": files}
    second = {
        "description": "# again\nalias:   order\ncommand: [python, a.py]\n",
        "files": [{**files[1], "mode": 0o100755}, {**files[0], "mode": 0o600}],
    }
    digests = [anna.post("/api/apps/publish/plan", json=wanted).json()["digest"] for wanted in (first, second)]
    assert digests[0] == digests[1]


def test_a_description_may_be_json(anna: httpx.Client) -> None:
    description = json.dumps({"alias": "asjson", "command": ["true"]})
    assert anna.post("/api/apps/publish", json={"description": description}).status_code == 201


def test_all_errors_come_at_once_with_their_lines(site: Site, anna: httpx.Client) -> None:
    wrong = "alias: Sum Sq\ninputs:\n  n: {type: intger}\ncommand: python fit.py ${m}\nresources: {cpus: many}\n"
    for address in ("/api/apps/publish/plan", "/api/apps/publish"):
        found = problem(anna.post(address, json=body(wrong, {})), 422, "invalid_description")
        texts = [f"{error['field']}: {error['detail']}" for error in found["errors"]]
        assert len(texts) >= 3
        assert any("line 1" in text for text in texts)
        assert any("line 3" in text and "inputs.n" in text for text in texts)
    assert count(site, t.apps) == 0


def test_files_that_the_description_names_must_be_there(anna: httpx.Client) -> None:
    wanted = body("alias: sums\ncommand: python sumsq.py\n", {"sumsk.py": b"x"})
    found = problem(anna.post("/api/apps/publish/plan", json=wanted), 422, "invalid_description")
    assert found["errors"][0]["detail"] == "the application has no file sumsq.py; did you mean sumsk.py?"


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ([entry("../up.py", b"x")], "files.0"),
        ([entry("/etc/passwd", b"x")], "files.0"),
        ([entry("a//b", b"x")], "files.0"),
        ([entry("a/./b", b"x")], "files.0"),
        ([entry("a\\b", b"x")], "files.0"),
        ([entry("a\nb", b"x")], "files.0"),
        ([entry("C:/x", b"x")], "files.0"),
        ([entry("x" * 300, b"x")], "files.0"),
        ([entry("a", b"x"), entry("a", b"x")], "files.1"),
        ([entry("a", b"x"), entry("a/b", b"x")], "files.1"),
        ([{**entry("a", b"x"), "sha256": "../../key"}], "files.0"),
        ([{**entry("a", b"x"), "size": -1}], "files.0.size"),
        ([{**entry("a", b"x"), "size": "1"}], "files.0.size"),
    ],
)
def test_files_that_cannot_be(anna: httpx.Client, files: list[dict[str, Any]], field: str) -> None:
    found = problem(
        anna.post("/api/apps/publish/plan", json={"description": DESCRIPTION, "files": files}), 422, "invalid_field"
    )
    assert found["errors"][0]["field"] == field


def test_without_its_bytes_nothing_is_made(site: Site, anna: httpx.Client) -> None:
    other = b"nobody has brought this"
    found = problem(anna.post("/api/apps/publish", json=body(files={"sumsq.py": other})), 409, "conflict")
    assert found["errors"][0]["field"] == "sumsq.py"
    assert count(site, t.apps) == 0


def test_bytes_of_others_are_not_taken_by_naming_them(site: Site, anna: httpx.Client) -> None:
    content = b"olga's own program"
    publish(site["olga"], DESCRIPTION, content)
    wanted = body(files={"sumsq.py": content})
    assert len(anna.post("/api/apps/publish/plan", json=wanted).json()["missing"]) == 1
    problem(anna.post("/api/apps/publish", json=wanted), 409, "conflict")


def test_wrong_bytes_are_refused(anna: httpx.Client) -> None:
    sha256 = hashlib.sha256(b"right").hexdigest()
    problem(anna.put(f"/api/apps/publish/blobs/{sha256}", content=b"wrong"), 422, "invalid_field")
    problem(anna.put("/api/apps/publish/blobs/..%2Fkey", content=b"x"), 405, "method_not_allowed")
    problem(anna.put("/api/apps/publish/blobs/abc", content=b"x"), 422, "invalid_field")


def test_a_wrong_size_is_refused(anna: httpx.Client) -> None:
    bring(anna, PROGRAM)
    wanted = body()
    wanted["files"][0]["size"] += 1
    problem(anna.post("/api/apps/publish/plan", json=wanted), 422, "invalid_field")
    problem(anna.post("/api/apps/publish", json=wanted), 422, "invalid_field")


def test_what_is_published_at_once_by_many_is_numbered_without_gaps(anna: httpx.Client) -> None:
    contents = [PROGRAM + b"#%d\n" % number for number in range(12)]
    bring(anna, *contents)

    def one(content: bytes) -> int:
        reply = anna.post("/api/apps/publish", json=body(files={"sumsq.py": content}))
        assert reply.status_code == 201, reply.text
        return int(reply.json()["version"])

    with ThreadPoolExecutor(12) as pool:
        numbers = list(pool.map(one, contents))
    assert sorted(numbers) == list(range(1, 13))
    assert anna.get("/api/apps/anna/sumsq").json()["versions"] == 12


def test_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with serve(tmp_path, body_bytes=20_000, publish_bytes=50_000, publish_files=10) as small:
        anna = small["anna"]
        problem(anna.post("/api/apps/publish/plan", json=body("#" * 30_000)), 413, "too_large")
        problem(anna.post("/api/apps/publish/plan", content=(b"#" * 1000 for _ in range(30))), 413, "too_large")
        many = {f"f{number}": b"" for number in range(11)}
        problem(anna.post("/api/apps/publish/plan", json=body(files=many)), 413, "too_large")
        large = [{**entry("a", b"x"), "size": 50_001}]
        wanted = {"description": DESCRIPTION, "files": large}
        problem(anna.post("/api/apps/publish/plan", json=wanted), 413, "too_large")
        sha256 = hashlib.sha256(b"x" * 60_000).hexdigest()
        problem(anna.put(f"/api/apps/publish/blobs/{sha256}", content=b"x" * 60_000), 413, "too_large")
        chunks = (b"x" * 6000 for _ in range(10))
        problem(anna.put(f"/api/apps/publish/blobs/{sha256}", content=chunks), 413, "too_large")
        problem(import_zip(anna, b"x" * 60_000), 413, "too_large")
        bomb = zipped({"sirdar.yaml": DESCRIPTION.encode(), "zeros": b"\0" * 2_000_000})
        problem(import_zip(anna, bomb), 422, "invalid_archive")
        assert count(small, t.apps) == 0
        assert list((tmp_path / "tmp").iterdir()) == []


# ---------------------------------------------------------------- rights


def test_publishing_is_a_permission(site: Site, anna: httpx.Client) -> None:
    for who in ("boris", "anna-reads"):
        client = site[who]
        problem(client.post("/api/apps/publish/plan", json=body()), 403, "forbidden")
        problem(client.post("/api/apps/publish", json=body()), 403, "forbidden")
        sha256 = hashlib.sha256(b"x").hexdigest()
        problem(client.put(f"/api/apps/publish/blobs/{sha256}", content=b"x"), 403, "forbidden")
        problem(import_zip(client, b"x"), 403, "forbidden")
    problem(httpx.post(f"{site.url}/api/apps/publish", json=body()), 401, "unauthenticated")


def test_others_applications_do_not_exist(site: Site, anna: httpx.Client) -> None:
    made = publish(anna)
    boris = site["boris"]
    for name in ("anna/sumsq", "anna/sumsq@1", made["id"], f"{made['id']}@1"):
        assert anna.get(f"/api/apps/{name}").json()["id"] == made["id"]
        for part in ("", "/versions", "/source", "/openapi.json", "/export", "/share"):
            problem(boris.get(f"/api/apps/{name}{part}"), 404, "not_found")
        problem(boris.put(f"/api/apps/{name}/share/user:boris", json={"permission": "run"}), 404, "not_found")
        problem(boris.post(f"/api/apps/{name}/archive", json={"archived": True}), 404, "not_found")
        problem(boris.put(f"/api/apps/{name}/secrets/KEY", json={"value": "x"}), 404, "not_found")
    assert boris.get("/api/apps").json() == []
    assert anna.get("/api/apps/me/sumsq").json()["id"] == made["id"]
    assert site["root"].get("/api/apps/anna/sumsq").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["anna/nothing", "anna/sumsq@2", "anna/sumsq@0", "anna/sumsq@-1", "anna/sumsq@x", "anna/sumsq@99999999999999999999",
     "anna/SUMSQ", "anna", "anna/a/b", "0123456789abcdef", "'; DROP TABLE apps; --", "anna/%00", "%F0%9F%92%A5/x", "@", "/"],
)  # fmt: skip
def test_what_is_not_there(anna: httpx.Client, name: str) -> None:
    publish(anna)
    problem(anna.get(f"/api/apps/{name}"), 404, "not_found")


@pytest.mark.parametrize("subject", ["user:boris", "group:lab", "everyone"])
def test_share(site: Site, anna: httpx.Client, subject: str) -> None:
    publish(anna)
    boris = site["boris"]
    given = anna.put(f"/api/apps/anna/sumsq/share/{subject}", json={"permission": "view"})
    assert given.json() == {subject: "view"}
    assert boris.get("/api/apps/anna/sumsq").json()["permissions"] == ["view"]
    assert [app["alias"] for app in boris.get("/api/apps").json()] == ["sumsq"]
    problem(boris.get("/api/apps/anna/sumsq/share"), 403, "forbidden")
    problem(boris.put("/api/apps/anna/sumsq/share/user:clara", json={"permission": "run"}), 403, "forbidden")
    anna.put(f"/api/apps/anna/sumsq/share/{subject}", json={"permission": "run"})
    assert boris.get("/api/apps/anna/sumsq").json()["permissions"] == ["view", "run"]
    assert anna.delete(f"/api/apps/anna/sumsq/share/{subject}").status_code == 204
    problem(boris.get("/api/apps/anna/sumsq"), 404, "not_found")


def test_share_with_nobody(anna: httpx.Client) -> None:
    publish(anna)
    share = "/api/apps/anna/sumsq/share"
    problem(anna.put(f"{share}/user:nobody", json={"permission": "run"}), 404, "not_found")
    problem(anna.put(f"{share}/robot:r2", json={"permission": "run"}), 422, "invalid_field")
    problem(anna.put(f"{share}/user:boris", json={"permission": "own"}), 422, "invalid_field")
    assert anna.get(share).json() == {}


def test_an_archived_application(site: Site, anna: httpx.Client) -> None:
    publish(anna)
    shown = anna.post("/api/apps/anna/sumsq/archive", json={"archived": True}).json()
    assert shown["archived"] is True
    assert anna.get("/api/apps").json() == []
    assert [app["alias"] for app in anna.get("/api/apps?archived=true").json()] == ["sumsq"]
    assert anna.get("/api/apps/anna/sumsq").status_code == 200
    problem(anna.post("/api/apps/publish", json=body()), 409, "conflict")
    problem(anna.post("/api/apps/publish/plan", json=body()), 409, "conflict")
    anna.post("/api/apps/anna/sumsq/archive", json={"archived": False})
    assert anna.post("/api/apps/publish", json=body()).status_code == 200


# ---------------------------------------------------------------- lists


def test_lists_are_searched_and_paged(site: Site, anna: httpx.Client) -> None:
    for number in range(5):
        publish(anna, f"alias: fit-{number}\nname: Подгонка {number}\ncommand: 'true'\n")
    publish(site["olga"], "alias: heat\nname: Heat\ncommand: 'true'\n")
    first = anna.get("/api/apps", params={"text": "ПОДГОНКА", "limit": 2})
    seen = first.json()
    following = first
    while "next" in following.links:
        following = anna.get(following.links["next"]["url"])
        seen += following.json()
    assert [app["alias"] for app in seen] == [f"fit-{number}" for number in (4, 3, 2, 1, 0)]
    assert [app["alias"] for app in anna.get("/api/apps/search?name=fit-3").json()] == ["fit-3"]
    assert anna.get("/api/apps?owner=olga").json() == []
    root = site["root"]
    assert [app["alias"] for app in root.get("/api/apps?owner=olga").json()] == ["heat"]
    assert len(anna.get("/api/apps?owner=me").json()) == 5
    for query in ("limit=0", "limit=x", "after=x", "after=nan_a", "text=" + "x" * 300, "text=%00"):
        problem(anna.get(f"/api/apps?{query}"), 422, "invalid_field")


def test_versions_are_paged(anna: httpx.Client) -> None:
    for number in range(3):
        publish(anna, content=PROGRAM + b"#%d\n" % number, note=f"note {number}")
    first = anna.get("/api/apps/anna/sumsq/versions?limit=2")
    assert [(row["version"], row["note"]) for row in first.json()] == [(3, "note 2"), (2, "note 1")]
    assert [row["version"] for row in anna.get(first.links["next"]["url"]).json()] == [1]


# ---------------------------------------------------------------- descriptions


def test_a_description_is_everests_and_more(anna: httpx.Client) -> None:
    made = publish(anna)
    shown = anna.get("/api/apps/anna/sumsq").json()
    assert shown["inputs"]["data"] | {"required": True, "format": "uri", "title": "Numbers"} == shown["inputs"]["data"]
    assert shown["inputs"]["power"]["default"] == 2
    assert shown["outputs"]["total"]["type"] == "number"
    assert shown["config"]["command"].startswith("python sumsq.py")
    assert shown["resources"] | {"cpus": 1, "memoryBytes": 512 * 2**20, "timeS": 600.0} == shown["resources"]
    assert shown["permissions"] == ["view", "run", "change"]
    assert (shown["digest"], shown["codeVersion"], shown["version"]) == (made["digest"], "", 1)
    document = anna.get("/api/apps/anna/sumsq@1/openapi.json").json()
    assert document["openapi"].startswith("3.")


def test_the_source_publishes_to_the_same_version(anna: httpx.Client) -> None:
    made = publish(anna)
    reply = anna.get("/api/apps/anna/sumsq/source")
    assert reply.headers["content-type"].startswith("application/yaml")
    assert yaml.safe_load(reply.text)["alias"] == "sumsq"
    assert publish(anna, reply.text)["digest"] == made["digest"]


# ---------------------------------------------------------------- secrets


def test_secrets_never_come_back(site: Site, anna: httpx.Client) -> None:
    description = DESCRIPTION + "secrets: [API_KEY]\n"
    made = publish(anna, description)
    assert made["notes"] == ["Secret without a value yet: API_KEY."]
    assert anna.put("/api/apps/anna/sumsq/secrets/API_KEY", json={"value": SECRET}).status_code == 204
    assert publish(anna, description)["notes"] == []
    anna.put("/api/apps/anna/sumsq/share/user:boris", json={"permission": "view"})
    assert anna.get("/api/apps/anna/sumsq").json()["secrets"] == {"named": ["API_KEY"], "set": ["API_KEY"]}
    assert site["boris"].get("/api/apps/anna/sumsq").json()["secrets"]["set"] == []
    for part in ("", "/versions", "/source", "/openapi.json", "/share"):
        assert SECRET not in anna.get(f"/api/apps/anna/sumsq{part}").text
    assert SECRET.encode() not in anna.get("/api/apps/anna/sumsq/export").content
    assert not clear_in_database(site, SECRET)
    assert anna.delete("/api/apps/anna/sumsq/secrets/API_KEY").status_code == 204
    problem(anna.delete("/api/apps/anna/sumsq/secrets/API_KEY"), 404, "not_found")


def test_secrets_may_come_with_the_publication(site: Site, anna: httpx.Client) -> None:
    made = publish(anna, DESCRIPTION + "secrets: [API_KEY]\n", secrets={"API_KEY": SECRET})
    assert made["notes"] == []
    assert not clear_in_database(site, SECRET)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("a b", SECRET, "invalid_field"),
        ("SIRDAR_TOKEN", SECRET, "invalid_field"),
        ("KEY", SECRET + "\0", "invalid_field"),
        ("KEY", [SECRET], "invalid_field"),
        ("KEY", {"x": SECRET}, "invalid_field"),
        ("KEY", SECRET * 4000, "too_large"),
    ],
)
def test_no_error_shows_a_secret(anna: httpx.Client, name: str, value: Any, code: str) -> None:
    publish(anna)
    reply = anna.put(f"/api/apps/anna/sumsq/secrets/{name}", json={"value": value})
    problem(reply, 413 if code == "too_large" else 422, code)
    assert SECRET not in reply.text
    reply = anna.post("/api/apps/publish", json=body(secrets={name: value}))
    assert reply.status_code in {413, 422}
    assert SECRET not in reply.text


def clear_in_database(site: Site, text: str) -> bool:
    """Whether any row of any table holds the text."""

    def look(tx: Tx) -> bool:
        return any(
            text in repr(tuple(row)) for table in metadata.sorted_tables for row in tx.conn.execute(table.select())
        )

    return bool(site.write(look))


# ---------------------------------------------------------------- import and export


def test_an_export_is_deterministic_and_imports_to_the_same_version(site: Site, anna: httpx.Client) -> None:
    made = publish(anna)
    reply = anna.get("/api/apps/anna/sumsq/export")
    assert reply.headers["content-disposition"] == 'attachment; filename="sumsq-1.zip"'
    assert reply.content == anna.get("/api/apps/anna/sumsq@1/export").content
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.namelist() == ["ApplicationFiles/sumsq.py", "application.json", "sirdar.yaml"]
        assert archive.read("ApplicationFiles/sumsq.py") == PROGRAM
        assert json.loads(archive.read("application.json"))["alias"] == "sumsq"
    taken = import_zip(site["olga"], reply.content)
    assert taken.status_code == 201, taken.text
    assert (taken.json()["owner"], taken.json()["digest"]) == ("olga", made["digest"])
    again = import_zip(anna, reply.content)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert list((site.services.settings.home / "tmp").iterdir()) == []


def test_everests_export_is_taken_over(anna: httpx.Client) -> None:
    document = {
        "alias": "svf-remote", "name": "SvF", "annotation": "Simplicity versus fitting", "keywords": ["svf"],
        "description": "Text", "type": "application", "files": [], "version": "0.1.0", "retryFailedTasks": False,
        "inputs": {"mng": {"title": "Task", "type": "string", "format": "uri", "required": True}},
        "outputs": {"results": {"title": "Results", "type": "string", "format": "uri", "required": False}},
        "config": {
            "command": "run.sh ${mng}", "inputMappings": [],
            "outputMappings": [{"param": "results", "file": "results.zip", "pattern": ""},
                               {"param": "stdout", "file": "stdout", "pattern": ""}],
            "resourceRequirements": {"nodes": {"defaultValue": 1, "allowOverride": False}, "coresPerNode": {},
                                     "memoryPerCore": {}, "timeLimit": {}},
        },
    }  # fmt: skip
    content = zipped({"application.json": json.dumps(document).encode(), "ApplicationFiles/run.sh": b"#!/bin/sh\n"})
    reply = import_zip(anna, content)
    assert reply.status_code == 201, reply.text
    assert isinstance(reply.json()["notes"], list)
    shown = anna.get("/api/apps/anna/svf-remote").json()
    assert [file["path"] for file in shown["files"]] == ["run.sh"]
    assert shown["inputs"]["mng"]["required"] is True


def test_a_zipped_folder_is_taken_over(anna: httpx.Client) -> None:
    content = zipped({"sums/sirdar.yaml": DESCRIPTION.encode(), "sums/sumsq.py": PROGRAM, "sums/lib/a.py": b"x = 1\n"})
    assert import_zip(anna, content).status_code == 201
    assert [file["path"] for file in anna.get("/api/apps/me/sumsq").json()["files"]] == ["lib/a.py", "sumsq.py"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive at all",
        zipped({"readme.txt": b"x"}),
        zipped({"sirdar.yaml": DESCRIPTION.encode(), "../up.py": b"x"}),
        zipped({"sirdar.yaml": DESCRIPTION.encode(), "/etc/cron.d/x": b"x"}),
        zipped({"application.json": b"{"}),
        zipped({"application.json": b"[" * 100_000}),
        zipped({"sirdar.yaml": DESCRIPTION.encode(), "zeros": b"\0" * 200_000_000}),
    ],
    ids=["empty", "text", "neither", "up", "absolute", "broken json", "deep json", "bomb"],
)
def test_archives_that_are_refused(site: Site, anna: httpx.Client, content: bytes) -> None:
    problem(import_zip(anna, content), 422, "invalid_archive")
    assert count(site, t.apps) == 0
    assert list((site.services.settings.home / "tmp").iterdir()) == []


def test_an_archive_with_a_wrong_description(anna: httpx.Client) -> None:
    found = problem(import_zip(anna, zipped({"sirdar.yaml": b"alias: x\n"})), 422, "invalid_description")
    assert found["errors"]


# ---------------------------------------------------------------- what a submission resolves


def caller(name: str) -> Caller:
    return Caller(f"id-{name}", name)  # type: ignore[arg-type]


def test_a_resolved_application_is_cheap_and_true(site: Site, anna: httpx.Client) -> None:
    """Within this process a change counts at once; through another one within two seconds."""
    publish(anna)
    store = Store(site.services.settings.database_url)
    services = Services(**{**{name: getattr(site.services, name) for name in Services.__slots__}, "store": store})
    me = caller("anna")

    async def look() -> None:
        store.start()
        assert (await resolve_app(services, me, "anna/sumsq")).version.number == 1
        rounds = 2000
        best = 1.0
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(rounds):
                await resolve_app(services, me, "me/sumsq")
            best = min(best, (time.perf_counter() - begun) / rounds)
        assert best < 30e-6, f"{best * 1e6:.1f} microseconds"
        await asyncio.to_thread(
            publish, anna, DESCRIPTION, PROGRAM + b"# two\n"
        )  # by the server, another process to us
        begun = time.monotonic()
        while (await resolve_app(services, me, "anna/sumsq")).version.number != 2:
            assert time.monotonic() - begun < HEAD_S + 0.5
            await asyncio.sleep(0.02)

    asyncio.run(look())
    store.close()


def test_a_change_counts_for_the_next_request(site: Site, anna: httpx.Client) -> None:
    boris = site["boris"]
    for number in range(20):
        publish(anna, content=PROGRAM + b"#%d\n" % number)
        assert anna.get("/api/apps/anna/sumsq").json()["version"] == number + 1
        anna.put("/api/apps/anna/sumsq/share/user:boris", json={"permission": "view"})
        assert boris.get("/api/apps/anna/sumsq").status_code == 200
        anna.delete("/api/apps/anna/sumsq/share/user:boris")
        assert boris.get("/api/apps/anna/sumsq").status_code == 404


def test_the_bytes_of_a_version_are_held(site: Site, anna: httpx.Client) -> None:
    publish(anna)
    sha256 = hashlib.sha256(PROGRAM).hexdigest()
    holders = site.write(lambda tx: blob_rows.holders_of(tx.conn, sha256))
    assert [holder.split(":")[0] for holder in holders if holder.startswith("publish")] == []
    assert any(holder.startswith("version:") for holder in holders)


# ---------------------------------------------------------------- errors in general


def test_every_error_is_a_problem(site: Site, anna: httpx.Client) -> None:
    problem(anna.get("/nowhere"), 404, "not_found")
    problem(anna.patch("/api/apps"), 405, "method_not_allowed")
    json_type = {"content-type": "application/json"}
    problem(anna.post("/api/apps/publish", content=b"{", headers=json_type), 400, "invalid_request")
    problem(anna.post("/api/apps/publish", content=b"[" * 200_000, headers=json_type), 400, "invalid_request")
    problem(anna.post("/api/apps/publish", content=b"\xff", headers=json_type), 400, "invalid_request")
    problem(anna.post("/api/apps/publish", content=b""), 400, "invalid_request")
    problem(anna.post("/api/apps/publish", json=[]), 400, "invalid_request")
    problem(anna.post("/api/apps/publish", json={"description": 7}), 422, "invalid_field")
    problem(anna.post("/api/apps/publish", json={"description": "x", "more": 1}), 422, "invalid_field")
    half = b'"\\ud800"'  # of a pair: no encoding can write it
    for content, status, code in (
        (b'{"description": %s}', 422, "invalid_description"),
        (b'{"description": "x", "note": %s}', 422, "invalid_description"),
        (b'{"description": "x", %s: 1}', 400, "invalid_request"),
        (b'{"description": "alias: x\\ncommand: ls", "note": %s}', 422, "invalid_field"),
        (b'{"description": "alias: x\\ncommand: ls", "secrets": {%s: "x"}}', 422, "invalid_field"),
        (b'{"description": "alias: x\\ncommand: ls", "secrets": {"KEY": %s}}', 422, "invalid_field"),
    ):
        problem(anna.post("/api/apps/publish", content=content % half, headers=json_type), status, code)
    problem(anna.post("/api/apps/publish", json=body(note="\0")), 422, "invalid_field")
    problem(anna.post("/api/apps/publish", json=body(note="x" * 2000)), 422, "invalid_field")
    reply = anna.get("/api/apps")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert anna.get("/nowhere").headers["x-content-type-options"] == "nosniff"
