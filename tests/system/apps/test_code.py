"""Code from git, fetched by the server at publishing: a real repository over smart HTTP on loopback."""

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "git-token-do-not-show"
pytestmark = pytest.mark.needs("git")


class Repository:
    """A bare repository, and its server, which asks for the token if there is one."""

    def __init__(self, path: Path, token: str | None = None) -> None:
        self.path, self.token = path, token
        self.port = 0
        self.requests = 0
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(path))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.path.name}"

    def git(self, *words: str, body: bytes = b"") -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *words], input=body, env=env, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, **files: bytes) -> str:
        """A commit on main whose only files these are (``a__b`` is a/b); gives its sha."""
        script = b"commit refs/heads/main\ncommitter A <a@example.org> 1790000000 +0000\ndata 1\nx\ndeleteall\n"
        for name, content in files.items():
            path = name.replace("__", "/").replace("_py", ".py").encode()
            script += b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)
        self.git("fast-import", "--quiet", "--force", body=script)
        return self.git("rev-parse", "refs/heads/main")


class Handler(BaseHTTPRequestHandler):
    repository: Repository

    def do_GET(self) -> None:
        served = self.repository
        served.requests += 1
        given = base64.b64encode(f"oauth2:{served.token}".encode()).decode()
        if served.token and self.headers.get("Authorization") != f"Basic {given}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "HOME": str(served.path), "GIT_PROJECT_ROOT": str(served.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", "0"),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=False, timeout=30
        )
        head, _, reply = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in {**fields, "Content-Length": str(len(reply))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serve_git(path: Path, token: str | None = None) -> Iterator[Repository]:
    repository = Repository(path, token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"repository": repository}))
    server.daemon_threads = False
    repository.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def allowing(serving: Callable[..., Any]) -> Iterator[Any]:
    with serving(fetch_allow=("127.0.0.1",), git_schemes=("http",)) as site:
        yield site


def description(repository: Repository, more: str = "") -> str:
    return f"alias: model\ncommand: python fit.py\ncode:\n  git: {repository.url}\n  ref: main\n{more}"


def test_code_is_fetched_at_publishing(allowing: Any, tmp_path: Path) -> None:
    anna = allowing["anna"]
    with serve_git(tmp_path / "served" / "model.git") as repository:
        sha = repository.commit(fit_py=b"print(1)", lib__a_py=b"x = 1")
        wanted = {"description": description(repository)}
        planned = anna.post("/api/apps/publish/plan", json=wanted).json()
        assert (planned["digest"], planned["missing"], repository.requests) == (None, [], 0)
        made = anna.post("/api/apps/publish", json=wanted)
        assert made.status_code == 201, made.text
        assert made.json()["codeVersion"] == f"main {sha[:7]}, 2026-09-21"
        assert anna.post("/api/apps/publish", json=wanted).json()["created"] is False
        repository.commit(fit_py=b"print(2)")
        again = anna.post("/api/apps/publish", json=wanted).json()
        assert (again["version"], again["created"]) == (2, True)
    shown = anna.get("/api/apps/anna/model@1").json()
    assert [file["path"] for file in shown["files"]] == ["fit.py", "lib/a.py"]
    assert shown["code"] == {"kind": "git", "url": repository.url, "ref": "main"}
    rows = anna.get("/api/apps/anna/model/versions").json()
    assert [row["codeVersion"][:5] for row in rows] == ["main ", "main "]
    export = anna.get("/api/apps/anna/model@1/export").content  # carries the files: the git server is gone by now
    taken = allowing["olga"].import_zip(export).json()
    assert (taken["created"], taken["codeVersion"]) == (True, f"main {sha[:7]}, 2026-09-21")


def test_a_token_comes_from_the_secrets(allowing: Any, tmp_path: Path) -> None:
    anna = allowing["anna"]
    with serve_git(tmp_path / "served" / "model.git", TOKEN) as repository:
        repository.commit(fit_py=b"print(1)")
        wanted = {"description": description(repository, "  token: GIT_TOKEN\n")}
        found = anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json=wanted)
        assert "GIT_TOKEN" in found["detail"]
        wrong = {**wanted, "secrets": {"GIT_TOKEN": "wrong"}}
        anna.refused(502, "fetch_failed", "POST", "/api/apps/publish", json=wrong)
        assert allowing.holds("model") is False  # nothing half-created
        reply = anna.post("/api/apps/publish", json={**wanted, "secrets": {"GIT_TOKEN": TOKEN}})
        assert reply.status_code == 201, reply.text
        assert TOKEN not in reply.text
        repository.commit(fit_py=b"print(2)")
        assert anna.post("/api/apps/publish", json=wanted).json()["version"] == 2  # with the token that was kept
    assert not allowing.holds(TOKEN)


def test_a_token_of_the_servers_environment(allowing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = allowing["anna"]
    with serve_git(tmp_path / "served" / "model.git", TOKEN) as repository:
        repository.commit(fit_py=b"print(1)")
        wanted = {"description": description(repository, "  token: lab_git\n")}
        monkeypatch.setenv("SIRDAR_CODE_TOKEN_LAB_GIT", TOKEN)
        for hosts in ("", "127.0.0.1", "example.org", f"127.0.0.1:{repository.port + 1}"):
            monkeypatch.setenv("SIRDAR_CODE_HOSTS_LAB_GIT", hosts)
            found = anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json=wanted)
            assert "lab_git" in found["detail"]
        assert repository.requests == 0, "a token that may not be sent there is not tried"
        monkeypatch.setenv("SIRDAR_CODE_HOSTS_LAB_GIT", f"example.org, 127.0.0.1:{repository.port}")
        reply = anna.post("/api/apps/publish", json=wanted)
        assert reply.status_code == 201, reply.text
        assert "without a value" not in reply.text
        own = anna.post("/api/apps/publish", json={**wanted, "secrets": {"lab_git": "wrong"}})
        assert own.status_code == 502, "the application's own secret comes first"
        assert TOKEN not in reply.text + own.text
    assert not allowing.holds(TOKEN)


def test_code_at_submission_is_not_fetched_yet(allowing: Any, tmp_path: Path) -> None:
    anna = allowing["anna"]
    with serve_git(tmp_path / "served" / "model.git") as repository:
        made = anna.post(
            "/api/apps/publish", json={"description": description(repository, "  at: submission\n")}
        ).json()
        assert repository.requests == 0
    assert anna.get(made["url"]).json()["files"] == []
    assert anna.get(made["url"]).json()["code"]["atSubmission"] is True


def test_files_beside_fetched_code_are_refused(allowing: Any) -> None:
    wanted = "alias: model\ncommand: ls\ncode: {git: 'http://127.0.0.1:9/x.git'}\n"
    anna = allowing["anna"]
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish/plan", json=anna.body(wanted))


def test_an_address_that_is_not_allowed(site: Any, anna: Any) -> None:
    wanted = "alias: model\ncommand: ls\ncode: {git: 'http://127.0.0.1:9/x.git'}\n"
    anna.refused(422, "address_not_allowed", "POST", "/api/apps/publish", json={"description": wanted})
