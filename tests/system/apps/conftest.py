"""A server of applications in a thread, on SQLite and on PostgreSQL, and the people who use it."""

import contextlib
import hashlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from sirdar.api import apps, errors, publish
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.services.app_cache import cache_of
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator, token_hash
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


class User(httpx.Client):
    """Somebody's client, with what these tests do again and again."""

    PROGRAM = PROGRAM
    DESCRIPTION = DESCRIPTION

    def publish(self, description: str = DESCRIPTION, content: bytes = PROGRAM, **more: Any) -> dict[str, Any]:
        self.bring(content)
        reply = self.post("/api/apps/publish", json=self.body(description, {"sumsq.py": content}, **more))
        assert reply.status_code in {200, 201}, reply.text
        return dict(reply.json())

    def bring(self, *contents: bytes) -> None:
        for content in contents:
            sha256 = hashlib.sha256(content).hexdigest()
            reply = self.put(f"/api/apps/publish/blobs/{sha256}", content=content)
            assert reply.status_code == 204, reply.text

    def import_zip(self, files: Mapping[str, bytes] | bytes) -> httpx.Response:
        content = files if isinstance(files, bytes) else zipped(files)
        return self.post("/api/apps/import", files={"file": ("app.zip", content, "application/zip")})

    def refused(self, status: int, code: str, method: str, url: str, **more: Any) -> dict[str, Any]:
        """The problem that a request meets."""
        return self.problem(self.request(method, url, **more), status, code)

    def refused_zip(self, status: int, code: str, files: Mapping[str, bytes] | bytes) -> dict[str, Any]:
        return self.problem(self.import_zip(files), status, code)

    @staticmethod
    def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
        found = (reply.status_code, reply.headers["content-type"])
        assert found == (status, "application/problem+json"), reply.text
        body: dict[str, Any] = reply.json()
        assert body["code"] == code
        return body

    @staticmethod
    def body(description: str = DESCRIPTION, files: Mapping[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
        contents = {"sumsq.py": PROGRAM} if files is None else files
        found = [User.entry(path, content) for path, content in contents.items()]
        return {"description": description, "files": found, **more}

    @staticmethod
    def entry(path: str, content: bytes, mode: int = 0o644) -> dict[str, Any]:
        return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "mode": mode}


def zipped(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


@dataclass
class Site:
    """A running server; ``site["anna"]`` is Anna's client of it."""

    services: Services
    url: str
    clients: dict[str, User]

    def __getitem__(self, name: str) -> User:
        return self.clients[name]

    def narrow(self, name: str, scopes: str) -> User:
        """Another client of somebody's, with a token of these scopes. It is closed with the site."""
        token = f"narrow-token-{len(self.clients)}"
        self.write(lambda tx: add_token(tx, f"narrow{len(self.clients)}", name, token, scopes))
        client = User(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=30)
        self.clients[token] = client
        return client

    def write(self, run: Callable[[Tx], Any]) -> Any:
        return self.services.store.write_now(run)

    def count(self, table: sa.Table) -> int:
        count = sa.select(sa.func.count()).select_from(table)
        return int(self.write(lambda tx: tx.conn.execute(count).scalar_one()))

    def holds(self, text: str) -> bool:
        """Whether any row of any table holds the text."""

        def look(tx: Tx) -> bool:
            tables = metadata.sorted_tables
            return any(text in repr(tuple(row)) for table in tables for row in tx.conn.execute(table.select()))

        return bool(self.write(look))

    @property
    def leftovers(self) -> list[str]:
        """What imports and exports have left on the disk."""
        root = self.services.settings.home / "tmp"
        return [path.name for path in root.iterdir()] if root.exists() else []


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def cluster(request: pytest.FixtureRequest) -> Any:
    """The session's PostgreSQL, or None for SQLite. It is started here, before a test's own surroundings are."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture(scope="session")
def site(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = cluster.create_database() if cluster else ""
    with serve(tmp_path_factory.mktemp("site"), database=cluster.url(name) if cluster else "") as site:
        yield site
    if cluster:
        cluster.drop_database(name)


@pytest.fixture
def anna(site: Site) -> User:
    """Anna, who may publish; her applications of the tests before are gone."""
    gone = site.write(lambda tx: tx.conn.execute(sa.delete(t.apps).returning(t.apps.c.id)).scalars().all())
    for app_id in gone:
        cache_of(site.services.store).forget(app_id)
    return site["anna"]


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Site]]:
    """Starts a server with settings of one's own, on SQLite."""
    return lambda **settings: serve(tmp_path, **settings)


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
    app.include_router(publish.router)
    app.include_router(apps.router)
    errors.install(app, config)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    clients = {
        name: User(base_url=config.url, headers={"authorization": f"Bearer {token}"}, timeout=30)
        for name, token in tokens.items()
    }
    try:
        await_condition(lambda: server.started)
        yield Site(services, config.url, clients)
    finally:
        for client in list(clients.values()):
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
    deadline = time.monotonic() + 3 * within_s
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
        add_token(tx, name, user, token, scopes)
    return tokens


def add_token(tx: Tx, token_id: str, user: str, token: str, scopes: str) -> None:
    row = {"id": token_id, "user_id": f"id-{user}", "label": "test", "token_hash": token_hash(token)}
    tx.conn.execute(sa.insert(t.tokens).values(**row, scopes=scopes, created_at=tx.now))
