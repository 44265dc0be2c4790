"""A network between agent and server that can be told to fail: it loses, delays, repeats or reorders calls, or is cut."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 60.0
SLOW_S = 0.12  # how long each call takes on a slow line, besides its bytes
SLOW_BYTES_PER_S = 1_500_000


@dataclass
class Call:
    """One request of the agent, and the answer once it is there."""

    method: str
    path: str
    body: bytes
    status: int = 0
    answer: bytes = b""

    @property
    def said(self) -> dict[str, Any]:
        return _json(self.body)

    @property
    def heard(self) -> dict[str, Any]:
        return _json(self.answer)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass
class Rule:
    """What happens to the calls that ``fits``: ``hold`` (until ``release``), ``lose`` (no answer), ``twice``, ``slow``, ``pass``.

    ``late``: it is not answered, and the server gets it after the next call that passes: by then it is an old one.

    ``before``: already the request is held or lost; else the server gets it and the answer is held or lost.
    ``times``: how often; ``met`` is set at the first.
    """

    fits: Callable[[Call], bool]
    what: str
    before: bool = False
    times: int = 1_000_000
    met: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    calls: list[Call] = field(default_factory=list)

    def release(self) -> None:
        """Lets the held calls go on, and concerns no others any more."""
        self.times = 0
        self.released.set()

    def await_met(self, within_s: float = 20.0) -> None:
        assert self.met.wait(within_s), f"no call came that is to be met by {self.what}"


class Proxy:
    """Listens on a free port of loopback and passes on to ``port``."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.rules: list[Rule] = []
        self.calls: list[Call] = []
        self.is_cut = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._aside: list[tuple[Call, dict[str, str]]] = []  # calls that come late
        self._late: list[threading.Thread] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, what: str, fits: Callable[[Call], bool], **more: Any) -> Rule:
        rule = Rule(fits, what, **more)
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Everything passes again."""
        with self._lock:
            rules, self.rules = self.rules, []
            self.is_cut = False
        for rule in rules:
            rule.release()

    def cut(self) -> None:
        """Nothing passes any more, and open connections break."""
        self.is_cut = True
        self.break_connections()

    def mend(self) -> None:
        """What was cut is whole again; rules stay."""
        self.is_cut = False

    def break_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.clear()
        self.cut()
        self._server.shutdown()
        self._thread.join()
        for thread in self._late:
            thread.join(PATIENCE_S)
        self._server.server_close()

    # ------------------------------------------------------------ in the handlers' threads

    def pass_on(self, call: Call, headers: dict[str, str]) -> dict[str, str] | None:
        """Headers of the answer, whose rest is in the call; None where nothing is to be answered."""
        with self._lock:
            self.calls.append(call)
        if self.is_cut:
            return None
        if not self._apply(call, before=True):
            return None
        if any(rule.what == "slow" and self._takes(rule, call) for rule in self.rules):
            time.sleep(SLOW_S + len(call.body) / SLOW_BYTES_PER_S)
        if any(rule.what == "late" and self._takes(rule, call) for rule in self.rules):
            self._aside.append((call, headers))
            return None
        answered = self._send(call, headers)
        if answered is None or self.is_cut:
            return None
        self._deliver_late()
        if any(rule.what == "slow" and self._takes(rule, call) for rule in self.rules):
            time.sleep(len(call.answer) / SLOW_BYTES_PER_S)
        if any(rule.what == "twice" and self._takes(rule, call) for rule in self.rules):
            answered = self._send(call, headers)
        if not self._apply(call, before=False):
            return None
        return answered

    def _deliver_late(self) -> None:
        """What was put aside arrives now, and whoever sent it does not wait for its answer any more."""
        while self._aside:
            call, headers = self._aside.pop(0)
            copy = Call(call.method, call.path, call.body)
            thread = threading.Thread(target=self._send, args=(copy, headers), daemon=True)
            thread.start()
            self._late.append(thread)

    def _apply(self, call: Call, *, before: bool) -> bool:
        for rule in list(self.rules):
            if rule.what in ("twice", "slow", "late") or rule.before is not before or not self._takes(rule, call):
                continue
            if rule.what == "lose":
                return False
            if rule.what == "hold":
                rule.released.wait(PATIENCE_S)
        return not self.is_cut

    def _takes(self, rule: Rule, call: Call) -> bool:
        with self._lock:
            if rule.times <= 0 or not rule.fits(call):
                return False
            rule.times -= 1
            rule.calls.append(call)
        rule.met.set()
        return True

    def _send(self, call: Call, headers: dict[str, str]) -> dict[str, str] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=PATIENCE_S)
        try:
            connection.request(call.method, call.path, call.body or None, headers)
            reply = connection.getresponse()
            call.status, call.answer = reply.status, reply.read()
            return dict(reply.getheaders())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The agent went away: that is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.proxy._open.add(self.connection)

    def finish(self) -> None:
        self.server.proxy._open.discard(self.connection)
        super().finish()

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        call = Call(self.command, self.path, body)
        dropped = {"host", "connection", "content-length", "accept-encoding"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        answered = self.server.proxy.pass_on(call, headers)
        if answered is None:
            self.close_connection = True
            return
        self.send_response_only(call.status)
        for name, value in answered.items():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = answered.get("content-length", "0") if self.command == "HEAD" else str(len(call.answer))
        self.send_header("content-length", length)
        self.end_headers()
        self.wfile.write(call.answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = _any

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the proxy keeps its calls."""
