"""Plain ASGI around the whole application: gives each call its id, and counts how it was answered and how long it took."""

import logging
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sirdar.api.streamed import is_streamed
from sirdar.services import calls, meters
from sirdar.services.calls import Call

log = structlog.get_logger()
_root = logging.getLogger()


class Observed:
    """The outermost layer. ``api/hot.py`` does the same for its own routes, which do not pass here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == calls.HEADER), None)
        counted = is_streamed(scope["method"], scope["path"])
        exchange = _Exchange(scope, receive, send, calls.begin(given), counted=counted)
        await self._app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its reply, timed up to the reply's first byte."""

    __slots__ = ("_began", "_call", "_counted", "_receive", "_scope", "_send", "_started")

    def __init__(self, scope: Scope, receive: Receive, send: Send, call: Call, *, counted: bool) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._call = call
        self._counted = counted
        self._started = False
        self._began = time.perf_counter()

    async def receive(self) -> Message:
        if self._started:
            return await self._receive()
        asked = time.perf_counter()
        message = await self._receive()
        self._call.held_s += time.perf_counter() - asked
        if self._counted and message["type"] == "http.request":
            meters.transferred(self._scope["path"], len(message.get("body", b"")), inward=True)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._started:
            self._started = True
            message["headers"] = [*message.get("headers", ()), (calls.HEADER, self._call.request_id.encode())]
            self._answered(message["status"])
        await self._send(message)

    def _answered(self, status: int) -> None:
        scope = self._scope
        path = getattr(scope.get("route"), "path", meters.UNROUTED)
        latency_s = time.perf_counter() - self._began - self._call.held_s
        meters.route(scope["method"], path).answered(status, latency_s)
        log_answer(scope["method"], scope["path"], status, latency_s)


def log_answer(method: str, path: str, status: int, latency_s: float) -> None:
    """A line in the log: of what the server failed at, and at the level ``debug`` of every call."""
    failed = status >= 500 and status not in (503, 507)
    if not failed and not _root.isEnabledFor(logging.DEBUG):
        return
    tell = log.warning if failed else log.debug
    tell("request", method=method, path=path, status=status, latency_ms=round(latency_s * 1000, 2))
