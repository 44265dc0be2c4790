"""A server with pages in a thread, people, an application, and jobs in every state."""

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from sirdar.api import apps, auth, errors, files, job_shares, job_tasks, jobs, people, publish, submit
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.people import ensure_admin
from sirdar.services.readiness import Readiness
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator
from sirdar.store import schema
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.web import routes

ADMIN_PASSWORD = "summit-8848"
PASSWORD = "base camp tent"
DESCRIPTION = """\
sirdar: 1
alias: svf
name: Simplicity versus fitting
annotation: Fits a model by cross-validation
description: |
  # What it does
  Reads a **task** and data, and finds the `beta` with the least error.

  - one fold at a time
  - see [the paper](https://example.org/svf)

  <script>alert(1)</script>
inputs:
  data: {type: file, title: Data, suffixes: [.csv], required: true}
  folds: {type: integer, default: 7, minimum: 2, maximum: 20, title: Folds}
  beta: {type: number, default: 0.03, unit: 1/K}
  key: {type: secret}
shell: sort $data
outputs:
  cv_error: {type: number, from: result.json, key: cv, unit: mm}
  fit: {type: file, from: fit.png}
"""


@dataclass
class Site:
    services: Services
    url: str
    loop: asyncio.AbstractEventLoop  # the server's
    tokens: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)  # by what is special about them

    def browser(self, name: str | None = None) -> httpx.Client:
        """A client with cookies, as a browser has them; signed in as that user."""
        cookies = {"access_token": self.tokens[name]} if name else {}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=20, headers={"accept": "text/html"})

    def write(self, run: Callable[[Tx], Any]) -> Any:
        return self.services.store.write_now(run)


def secret_of(page: str) -> str:
    """The secret that the forms of a page carry."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


@pytest.fixture(scope="session", name="secret_of")
def secret_of_fixture() -> Callable[[str], str]:
    return secret_of


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("site")) as running:
        fill(running)
        yield running


@pytest.fixture
def empty_site(tmp_path: Path) -> Iterator[Site]:
    with serve(tmp_path) as running:
        yield running


@contextlib.contextmanager
def serve(home: Path) -> Iterator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    config = Settings(home=home, port=port)
    schema.migrate(config.database_url)
    store = Store(config.database_url)
    store.write_now(lambda tx: ensure_admin(tx, ADMIN_PASSWORD))
    keys, blobs = Keys.load(home / "key"), LocalBlobs(home / "blobs")
    auth_ = Authenticator(store, keys, config)
    services = Services(config, store, keys, Hub(), blobs, auth_, LogStore(home / "logs"))
    loops: list[asyncio.AbstractEventLoop] = []
    app = FastAPI(lifespan=lambda _app: started(store, loops))
    app.state.services = services
    app.state.readiness = Readiness(services)
    for module in (auth, people, publish, submit, apps, files, jobs, job_tasks, job_shares, routes):
        app.include_router(module.router)
    errors.install(app, config)
    routes.install(app)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        site = Site(services, config.url, loops[0])
        sign_in(site, "admin", ADMIN_PASSWORD)
        yield site
    finally:
        server.should_exit = True
        thread.join()
        store.close()
        blobs.close()


@contextlib.asynccontextmanager
async def started(store: Store, loops: list[asyncio.AbstractEventLoop]) -> Any:
    loops.append(asyncio.get_running_loop())
    store.start()
    yield


def sign_in(site: Site, name: str, password: str) -> None:
    reply = httpx.post(f"{site.url}/api/auth/access_token", json={"username": name, "password": password})
    assert reply.status_code == 200, reply.text
    site.tokens[name] = reply.json()["access_token"]


@pytest.fixture
def busy(empty_site: Site) -> Site:
    """A site of its own with Anna's jobs in every state: tests here end and remove them."""
    admin = {"authorization": f"Bearer {empty_site.tokens['admin']}"}
    for name in ("anna", "boris"):
        body = {"name": name, "password": PASSWORD, "canPublish": True}
        assert httpx.post(f"{empty_site.url}/api/users", json=body, headers=admin).status_code == 201
        sign_in(empty_site, name, PASSWORD)
    anna = {"authorization": f"Bearer {empty_site.tokens['anna']}"}
    body = {"description": DESCRIPTION, "files": []}
    assert httpx.post(f"{empty_site.url}/api/apps/publish", json=body, headers=anna).status_code == 201
    empty_site.write(lambda tx: insert_jobs(tx, empty_site, "0" * 64, 10))
    return empty_site


# ---------------------------------------------------------------- people, an application, jobs


def fill(site: Site) -> None:
    admin = {"authorization": f"Bearer {site.tokens['admin']}"}
    for name, more in (("anna", {"canPublish": True}), ("boris", {})):
        body = {"name": name, "password": PASSWORD, **more}
        assert httpx.post(f"{site.url}/api/users", json=body, headers=admin).status_code == 201
        sign_in(site, name, PASSWORD)
    anna = {"authorization": f"Bearer {site.tokens['anna']}"}
    reply = httpx.post(f"{site.url}/api/apps/publish", json={"description": DESCRIPTION, "files": []}, headers=anna)
    assert reply.status_code == 201, reply.text
    picture = asyncio.run(site.services.blobs.put_bytes(png()))
    site.write(lambda tx: insert_jobs(tx, site, picture.sha256, picture.size_bytes))
    live = AttemptKey(JobId(site.jobs["running"]), 0, 1)
    log = b"reading data.csv, 1600 rows\n\x1b[31mfold 1 of 7\x1b[0m\nfold 2\rfold 3 of 7\n<b>not bold</b>\n"
    site.services.logs.append(live, "stdout", 0, log, 10**6)


def insert_jobs(tx: Tx, site: Site, sha256: str, size_bytes: int) -> None:
    user = tx.conn.execute(sa.select(t.users.c.id).where(t.users.c.name == "anna")).scalar_one()
    app_id, version_id = tx.conn.execute(sa.select(t.versions.c.app_id, t.versions.c.id)).one()
    tx.conn.execute(
        sa.insert(t.resources).values(id="r1", name="lab1", owner_id=user, lost_after_s=600, created_at=tx.now)
    )
    tx.conn.execute(
        sa.insert(t.resources).values(
            id="r2", name="laptop", owner_id=user, lost_after_s=600, created_at=tx.now, unreachable_since=tx.now - 90
        )
    )
    now = tx.now
    fit = {"$file": {"name": "fit.png", "sha256": sha256, "size": size_bytes}}
    data = {"$file": {"name": "data & more.csv", "sha256": sha256, "size": 48_123}}
    inputs = json.dumps(
        {"data": data, "folds": 7, "beta": 0.03, "key": {"$secret": "sealed"}, "many": list(range(500))}
    )

    def job(kind: str, number: int, state: str, **more: Any) -> str:
        job_id = f"{number:016d}"
        site.jobs[kind] = job_id
        ended = state in {"DONE", "FAILED", "CANCELLED"}
        column = {"DONE": "done", "FAILED": "failed", "CANCELLED": "cancelled", "RUNNING": "leased"}.get(
            state, "waiting"
        )
        row = {
            "id": job_id, "owner_id": user, "app_id": app_id, "version_id": version_id, "name": f"oscillator, {kind}",
            "state": state, "inputs_json": inputs, "retries": 5, "total": 1, "expanded": 1, "waiting": 0,
            "created_at": now - 300, "ready_at": now - 299, "ended_at": now - 10 if ended else None,
            "started_at": now - 252 if state != "READY" else None, column: 1, "code_version": "main 3c1f9e2, 2026-11-20",
        } | more  # fmt: skip
        tx.conn.execute(sa.insert(t.jobs).values(**row))
        return job_id

    def task(job_id: str, state: str, no: int = 0, resource: str | None = "r1", **more: Any) -> None:
        row = {"job_id": job_id, "no": no, "state": state, "attempt": 1, "last_attempt": 1, "resource_id": resource}
        row |= {"ready_at": now - 299, "started_at": now - 252} | more
        tx.conn.execute(sa.insert(t.tasks).values(**row))
        attempt = {"job_id": job_id, "task_no": no, "no": 1, "resource_id": resource or "r1", "session": "s"}
        attempt |= {"state": "RUNNING", "offered_at": now - 260}
        if state != "RUNNING":
            attempt |= {"state": "ENDED", "reason": "ok"}
        tx.conn.execute(sa.insert(t.attempts).values(**attempt))

    stats = json.dumps(
        {
            "cpu_user_s": 6.1,
            "cpu_system_s": 0.4,
            "max_rss_bytes": 181_000_000,
            "staged_in_bytes": 48_123,
            "staged_out_bytes": 512,
        }
    )
    ended: dict[str, Any] = {"ended_at": now - 11, "reported_at": now - 10, "stats_json": stats}
    done = job("done", 1, "DONE", reason="ok", message="The program ended with exit code 0.", exit_code=0)
    result = json.dumps({"cv_error": 0.18612345, "fit": fit, "name": "<script>alert(2)</script>"})
    out = json.dumps({"size": 11, "text": "all is well"})
    task(done, "DONE", reason="ok", result_json=result, stdout_json=out, exit_code=0, **ended)
    text = "Exit code 2: <no such file>"
    failed = job("failed", 2, "FAILED", reason="exit_code", message=text, exit_code=2)
    err = json.dumps({"size": 25, "text": "Traceback: no such file\n"})
    task(failed, "FAILED", reason="exit_code", message=text, stderr_json=err, exit_code=2, **ended)
    running = job("running", 3, "RUNNING", status_message="fold 3 of 7, CV error 0.186", progress=0.43)
    task(running, "RUNNING", status_message="fold 3 of 7, CV error 0.186", progress=0.43)
    task(job("unreachable", 4, "RUNNING"), "RUNNING", resource="r2")
    job("waiting", 5, "READY", expanded=0)
    cancelled = {"reason": "cancelled", "message": "Cancelled by anna.", "cancel_requested_by": "anna"}
    cancelled_id = job("cancelled", 6, "CANCELLED", cancel_requested_at=now - 20, **cancelled)
    task(cancelled_id, "CANCELLED", reason="cancelled", message="Cancelled by anna.", **ended)
    counts = {"total": 120, "expanded": 50, "waiting": 90, "done": 20, "failed": 2, "leased": 8, "many": 1}
    many = job("many", 7, "RUNNING", **counts)
    why = {"kind": "exit_code 1", "reason": "exit_code", "message": "Exit code 1.", "exit_code": 1}
    tx.conn.execute(sa.insert(t.job_failures).values(job_id=many, count=2, example=20, differ=0, **why))
    for no in range(50):
        if no < 20:
            task(many, "DONE", no, reason="ok", result_json=result, **ended)
        elif no < 22:
            task(many, "FAILED", no, reason="exit_code", message="Exit code 1.", exit_code=1, **ended)
        elif no < 30:
            task(many, "RUNNING", no)
        else:
            tx.conn.execute(
                sa.insert(t.tasks).values(
                    job_id=many, no=no, state="READY", attempt=0, last_attempt=0, ready_at=now - 299
                )
            )
    job("child", 8, "DONE", parent_job=running, parent_task=0, reason="ok", message="", exit_code=0)
    site.jobs["name"] = "oscillator"


def png() -> bytes:
    """A picture of 64 by 40 points: a slope."""
    rows = b"".join(
        b"\0" + b"".join(b"\x1f\x5f\x8b" if x > 64 - y * 1.6 else b"\xfb\xfb\xf9" for x in range(64)) for y in range(40)
    )

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 64, 40, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
