"""The real product for system tests: ``sirdar up`` in a temporary home, and what tests do with it again and again."""

import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from own_server import BIN, await_ready, surroundings

ADMIN_PASSWORD = "summit-8848"
PASSWORD = "base camp tent"
ENDED = ("DONE", "FAILED", "CANCELLED")

# Periods are scaled down and sizes made small, so that what takes hours elsewhere happens while a test looks.
SETTINGS: Mapping[str, Any] = {
    "heartbeat_s": 1,
    "expire_every_s": 0.2,
    "move_every_s": 0.2,
    "move_after_s": 0.5,
    "retry_base_s": 0.1,
    "attempt_token_grace_s": 0.5,
    "sweep_every_s": 1,
    "body_bytes": 4_000_000,
    "file_bytes": 64_000_000,
    "publish_bytes": 8_000_000,
    "foreach_items": 20_000,
}

COUNTED = ("jobs", "tasks", "apps", "app_versions", "files", "uploads", "blobs", "idempotency", "job_waits")


@dataclass
class Product:
    """A running ``sirdar up``; ``admin`` is the first administrator's client."""

    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    slots: int = 4
    environment: dict[str, str] = field(default_factory=dict)  # over that of the tests
    inside: tuple[str, ...] = ()  # a command that starts the server's: in a network of its own, say
    words: tuple[str, ...] = ()  # more of the command line
    policy: str = ""  # of its agent's owner
    url: str = ""
    said: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    # ------------------------------------------------------------ its life

    @property
    def home(self) -> Path:
        return self.root / "server"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def command(self) -> list[str]:
        return ["up", "--slots", str(self.slots)]

    def start(self, port: int = 0) -> None:
        if self.policy:
            place = self.home / "agent/policy.yaml"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(self.policy)
        environment = surroundings(self.root) | {"SIRDAR_ADMIN_PASSWORD": ADMIN_PASSWORD} | self.environment
        for name, value in {**SETTINGS, **self.settings}.items():
            environment[f"SIRDAR_{name.upper()}"] = str(value)
        words = [*self.inside, BIN / "sirdar", *self.command(), "--home", self.home, "--port", str(port), *self.words]
        with (self.root / "up.err").open("wb") as errors:
            self.process = subprocess.Popen(
                words,
                env=environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                start_new_session=True,
            )
        server = await_ready(self.process, self.root / "up.err")
        self.url, self.said = server.url, server.said

    def stop(self, within_s: float = 30.0) -> None:
        """As Ctrl-C twice does: the programs end too, and so does their porter."""
        process = self.process
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM):  # two of one number, at once, would arrive as one
            process.send_signal(number)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
            self.process = None

    def close(self) -> None:
        """Stop it, and check that nothing is left: no process, no half file, no directory of a task."""
        self.close_clients()
        self.stop()
        left = processes_below(self.root)
        drafts = [
            path
            for place in ("blobs/tmp", "agent/cache/tmp", "tmp")
            for path in (self.home / place).rglob("*")
            if path.is_file()
        ]
        work = list((self.home / "agent/work").glob("*/dir/*"))
        log = self.log()
        shutil.rmtree(self.root)
        assert not left, f"processes were left behind: {left}"
        assert not drafts, f"half files were left behind: {drafts}"
        assert not work, f"files of tasks were left behind: {work}"
        broken = [line for line in log.splitlines() if "Traceback" in line]
        assert not broken, json.loads(broken[0]).get("exception", broken[0])

    def close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def log(self) -> str:
        """The server's own log."""
        path = self.home / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # ------------------------------------------------------------ people

    @property
    def admin(self) -> httpx.Client:
        return self.signed_in("admin", ADMIN_PASSWORD)

    def signed_in(self, name: str, password: str = PASSWORD) -> httpx.Client:
        """The client of somebody who exists."""
        if name not in self._clients:
            self._clients[name] = self.client(self.token(name, password))
        return self._clients[name]

    def user(self, name: str, **rights: Any) -> httpx.Client:
        """The client of somebody, who is made if need be (``canPublish=True``)."""
        if name not in self._clients:
            made = self.admin.post("/api/users", json={"name": name, "password": PASSWORD, **rights})
            assert made.status_code in {201, 409}, made.text
        return self.signed_in(name)

    def token(self, name: str = "admin", password: str = ADMIN_PASSWORD, **more: Any) -> str:
        body = {"username": name, "password": password, "label": "test", **more}
        reply = httpx.post(f"{self.url}/api/auth/access_token", json=body, timeout=60, trust_env=False)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """A new client, with a token or without; whoever asks for it closes it."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **more)

    # ------------------------------------------------------------ applications, jobs, files

    def publish(
        self,
        alias: str,
        command: str | list[str],
        *,
        files: Mapping[str, bytes | str] | None = None,
        who: httpx.Client | None = None,
        shell: bool = False,
        app_secrets: Mapping[str, str] | None = None,
        **description: Any,
    ) -> str:
        """Publish an application; its reference ``me/ALIAS``. ``shell``: the command is a shell script."""
        who = who or self.admin
        document = {"sirdar": 1, "alias": alias, "shell" if shell else "command": command, **description}
        contents = {path: text.encode() if isinstance(text, str) else text for path, text in (files or {}).items()}
        entries = []
        for path, content in contents.items():
            sha256 = hashlib.sha256(content).hexdigest()
            brought = who.put(f"/api/apps/publish/blobs/{sha256}", content=content)
            assert brought.status_code == 204, brought.text
            entries.append({"path": path, "sha256": sha256, "size": len(content), "mode": 0o755})
        body = {"description": json.dumps(document), "files": entries, "secrets": dict(app_secrets or {})}
        reply = who.post("/api/apps/publish", json=body)
        assert reply.status_code in {200, 201}, reply.text
        return f"me/{alias}"

    def submit(
        self, app: str, inputs: Mapping[str, Any] | None = None, *, who: httpx.Client | None = None, **more: Any
    ) -> dict[str, Any]:
        """Submit a job and return at once."""
        reply = (who or self.admin).post(f"/api/apps/{app}", json={"inputs": inputs or {}, **more})
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    def run(
        self,
        app: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        who: httpx.Client | None = None,
        wait: float = 60,
        state: str | None = "DONE",
        **more: Any,
    ) -> dict[str, Any]:
        """Submit a job and wait for its end, which is checked."""
        reply = (who or self.admin).post(
            f"/api/apps/{app}?wait={wait}", json={"inputs": inputs or {}, **more}, timeout=wait + 30
        )
        assert reply.status_code == 201, reply.text
        job = dict(reply.json())
        if state is not None:
            assert job["state"] == state, json.dumps(job, indent=1)
        return job

    def job(self, job_id: str, who: httpx.Client | None = None) -> dict[str, Any]:
        reply = (who or self.admin).get(f"/api/jobs/{job_id}")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def ended(self, job_id: str, who: httpx.Client | None = None, wait: float = 60) -> dict[str, Any]:
        """The job at its end."""
        reply = (who or self.admin).get(f"/api/jobs/{job_id}?wait={wait}", timeout=wait + 30)
        assert reply.status_code == 200, reply.text
        job = dict(reply.json())
        assert job["state"] in ENDED, job
        return job

    def upload(self, name: str, content: bytes, who: httpx.Client | None = None) -> str:
        """Upload a file; its uri."""
        reply = (who or self.admin).post("/api/files/temp", files={"file": (name, content)})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["uri"])

    # ------------------------------------------------------------ what is on its disk

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database, read beside the server."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home / 'sirdar.db'}?mode=ro", uri=True, timeout=10)) as db:
            return list(db.execute(statement, values))

    def counts(self) -> dict[str, int]:
        """How many of each thing there are: rows, blobs on disk and unfinished files."""
        have = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counted = {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED if table in have}
        blobs = self.home / "blobs"
        counted["blob files"] = sum(
            path.is_file()
            for path in blobs.rglob("*")
            if path.relative_to(blobs).parts[0] not in {"tmp", "trash", "uploads", ".marker"}
        )
        counted["drafts"] = sum(path.is_file() for path in (blobs / "tmp").rglob("*"))
        return counted

    def files_with(self, text: str) -> list[str]:
        """Files below the whole root (database, logs, journals, blobs) that hold these characters in clear."""
        needle = text.encode()
        found = []
        for path in self.root.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and needle in path.read_bytes():
                    found.append(str(path.relative_to(self.root)))
        return found


def processes_below(root: Path, grace_s: float = 5.0) -> dict[int, str]:
    """Processes that work below a directory or name it, after some time to end; they are ended then."""
    deadline = time.monotonic() + grace_s
    while (found := _processes_below(root)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _processes_below(root: Path) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if (
                command
                and int(entry.name) != os.getpid()
                and ((entry / "cwd").readlink().is_relative_to(root) or os.fsencode(root) in command)
            ):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


PATIENCE = 3  # a busy machine is no fault; what comes in time costs nothing


def await_that(holds: Callable[[], Any], within_s: float = 15.0, what: str = "it") -> Any:
    """What ``holds`` gives as soon as it is true. ``within_s``: what it takes at most on a machine that has nothing else to do."""
    deadline = time.monotonic() + PATIENCE * within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.02)
    return found


PYDANTIC = re.compile(
    r"Input should|Field required|Extra inputs|Value error|should have at|should match|(dict|list)\[str"
)


def problem(reply: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem that a reply is, after a check of its shape: a stable code, its status, a sentence, a page."""
    assert reply.headers.get("content-type") == "application/problem+json", (reply.status_code, reply.text[:500])
    body = dict(reply.json())
    assert (reply.status_code, body["code"]) == (status, code), body
    assert body["status"] == status
    assert body["type"] == f"/docs/errors/{code}"
    assert body["title"]
    assert len(body["detail"]) > 10
    assert not PYDANTIC.search(reply.text), "it speaks in words of a library"
    assert len(reply.content) < 50_000, "an error repeats what it was given at length"
    if field is not None:
        fields = [body.get("field"), *(entry["field"] for entry in body.get("errors", ()))]
        assert any(_names(found, field) for found in fields), (field, body)
    return body


def _names(found: str | None, wanted: str) -> bool:
    return found is not None and re.search(rf"(^|[.\[\]]){re.escape(wanted)}($|[.\[\]])", found) is not None


def readable(descriptor: Any, within_s: float) -> bool:
    """Whether something can be read from a socket or pipe by then."""
    return bool(select.select([descriptor], [], [], within_s)[0])
