"""The real product for the benches: ``sirdar up`` in a temporary home with a tiny application, ended with nothing left.

Calls go over one kept connection of the standard library's client, whose own cost is small and the same for every server.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from own_server import BIN, MARKER, leave_nothing, processes, surroundings  # noqa: E402

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
PASSWORD = "summit-8848"
ENDED = ("DONE", "FAILED", "CANCELLED")


class Http:
    """One kept connection to a server; ``token`` goes with every call."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        split = urlsplit(url)
        self._connection = http.client.HTTPConnection(split.hostname or "127.0.0.1", split.port, timeout=300)
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The status and the body of the reply."""
        self._connection.request(method, path, body, {**self.headers, **headers})
        reply = self._connection.getresponse()
        return reply.status, reply.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded reply. Raises RuntimeError where it is an error."""
        content = None if body is None else json.dumps(body).encode()
        status, text = self.call(method, path, content, **{"content-type": "application/json"})
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text[:2000].decode(errors='replace')}")
        return json.loads(text) if text else None

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """All entries of a list, page after page as the ``Link`` header says."""
        while path:
            self._connection.request("GET", path, headers=self.headers)
            reply = self._connection.getresponse()
            content = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"GET {path}: {reply.status} {content[:2000].decode(errors='replace')}")
            yield from json.loads(content)
            link = reply.headers.get("link", "")
            path = link[1 : link.index(">")] if 'rel="next"' in link else ""

    def stream(self, path: str) -> http.client.HTTPResponse:
        """A reply whose lines are read as they come (server-sent events); close it."""
        self._connection.request("GET", path, headers=self.headers)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()


@dataclass(slots=True)
class Product:
    """``sirdar up`` on the home ``root/server``. ``start`` and ``stop`` may be called again and again."""

    root: Path
    slots: int = os.cpu_count() or 1
    settings: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    token: str = ""
    _environment: dict[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def home(self) -> Path:
        return self.root / "server"

    def start(self) -> float:
        """Seconds from the start of the process to its line ``ready URL``."""
        if not self._environment:
            self._environment = {**surroundings(self.root), "SIRDAR_ADMIN_PASSWORD": PASSWORD, **self.settings}
        port = self.url.rpartition(":")[2] if self.url else "0"  # it is found again where it was
        words = [str(BIN / "sirdar"), "up", "--home", str(self.home), "--port", port, "--slots", str(self.slots)]
        began = time.perf_counter()
        with (self.root / "up.err").open("wb") as errors:
            self._process = subprocess.Popen(
                words,
                env=self._environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self.url = self._await_ready(self._process)
        took_s = time.perf_counter() - began
        profile = json.loads((Path(self._environment["SIRDAR_CONFIG_DIR"]) / "profile.json").read_text())
        self.token = profile["servers"][self.url]["token"]
        return took_s

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> str:
        assert process.stdout is not None
        said = b""
        for line in process.stdout:
            if line.startswith(b"ready "):
                return line.split()[1].decode()
            said += line
        raise RuntimeError(f"sirdar up did not get ready:\n{said.decode()}{(self.root / 'up.err').read_text()[-2000:]}")

    def stop(self) -> None:
        """As Ctrl-C twice does; the porter, which would wait for another agent, is ended too."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM):  # two of one number, at once, would arrive as one
            process.send_signal(number)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
            self._end_porter()

    def _end_porter(self) -> None:
        for pid, command in self.processes().items():
            if "sirdar.agent.porter" in command:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_WITHIN_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)

    def close(self) -> None:
        """Stop it, remove the home. Raises RuntimeError where a process was left."""
        self.stop()
        if left := leave_nothing(self._environment[MARKER], self.root):
            raise RuntimeError("; ".join(left))

    def processes(self) -> dict[int, str]:
        """Commands of all its living processes, by id: server, agent, porter, programs."""
        found: dict[int, str] = processes(self._environment[MARKER], self.root)
        return found

    @property
    def server_pid(self) -> int:
        """The server's own process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def http(self) -> Http:
        """A new connection with the administrator's token; whoever asks for it closes it."""
        return Http(self.url, self.token)


@contextmanager
def running(work: Path, *, slots: int | None = None, **settings: str) -> Iterator[tuple[Product, Http]]:
    """A started product and a connection to it. The agent has joined when this begins."""
    root = work / "product"
    root.mkdir()
    product = Product(root, slots=slots or os.cpu_count() or 1, settings=settings)
    http_client: Http | None = None
    try:
        product.start()
        http_client = product.http()
        publish(http_client, "true", command="/bin/true")
        warm = http_client.json("POST", "/api/apps/me/true?wait=60", {})
        assert warm["state"] == "DONE", warm
        yield product, http_client
    finally:
        if http_client is not None:
            http_client.close()
        product.close()


# ---------------------------------------------------------------- applications and jobs


def publish(connection: Http, alias: str, **description: Any) -> None:
    """Publish an application without files as ``me/ALIAS``."""
    text = json.dumps({"sirdar": 1, "alias": alias, **description})
    connection.json("POST", "/api/apps/publish", {"description": text, "files": []})
