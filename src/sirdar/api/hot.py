"""The hot routes as plain ASGI: submissions, agents' syncs and their word of new blobs skip the framework, which costs more
than they do.

The same routes are declared with FastAPI too, for the OpenAPI document and for every case that is not plain.
"""

import re
import time
from collections.abc import Awaitable, Mapping
from urllib.parse import parse_qs

from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from sirdar.api.agent import parse_message
from sirdar.api.errors import body_of, headers_of, problem_of
from sirdar.api.observe import log_answer
from sirdar.api.submit import MAX_WAIT_S, Reply, submit_reply
from sirdar.dispatch.desk import Desk
from sirdar.domain.problems import Problem
from sirdar.services import agent_files, calls, meters
from sirdar.services.context import Services
from sirdar.wire.agent import RegisterRequest, SyncRequest

_SUBMIT = re.compile(r"/api/apps/((?!publish/)[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(?:@\d{1,9})?)")
_VERBS = frozenset({"import", "publish", "search", "archive", "secrets", "share", "export", "versions", "source"})
SYNC = "/agent/v1/sync"
REGISTER = "/agent/v1/blobs/local"
SUBMIT = "/api/apps/{app:path}"
PLAIN_BYTES = 1 << 20
Headers = Mapping[bytes, bytes]


class HotRoutes:
    """Answers the hot routes itself and passes everything else on."""

    def __init__(self, app: ASGIApp, services: Services, desk: Desk) -> None:
        self._app = app
        self._services = services
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            headers = dict(scope["headers"])
            if path == SYNC:
                await _answer(self._sync(headers, receive), SYNC, path, headers, send)
                return
            if path == REGISTER:
                await _answer(self._register(headers, receive), REGISTER, path, headers, send)
                return
            match = _SUBMIT.fullmatch(path)
            if match and match[1].rsplit("/", 1)[-1] not in _VERBS and _is_plain(headers):
                query = scope["query_string"].decode("ascii", "replace")
                await _answer(self._submit(match[1], headers, query, receive), SUBMIT, path, headers, send)
                return
        await self._app(scope, receive, send)

    async def _sync(self, headers: Headers, receive: Receive) -> Reply:
        row = await self._desk.resource(_token(headers, "An agent's call needs the agent's token."))
        request = parse_message(await _body(receive), SyncRequest)
        return Reply(200, to_json(await self._desk.sync(row.id, request)))

    async def _register(self, headers: Headers, receive: Receive) -> Reply:
        await self._desk.resource(_token(headers, "An agent's call needs the agent's token."))
        request = parse_message(await _body(receive), RegisterRequest)
        return Reply(200, to_json({"here": await agent_files.adopt_all(self._services, request.blobs)}))

    async def _submit(self, app: str, headers: Headers, query: str, receive: Receive) -> Reply:
        services = self._services
        caller = await services.auth.caller(_token(headers, "This address needs a token."))
        asked = parse_qs(query) if query else {}
        wait_s = _wait(asked.get("wait", [""])[-1])
        files = asked.get("files", [""])[-1]
        key = headers.get(b"idempotency-key", b"").decode("latin-1") or None
        return await submit_reply(services, caller, app, await _body(receive), key=key, wait_s=wait_s, files=files)


async def _answer(work: Awaitable[Reply], route: str, path: str, headers: Headers, send: Send) -> None:
    began = time.perf_counter()
    call = calls.begin(headers.get(calls.HEADER))
    try:
        reply = await work
    except ClientDisconnect:
        return
    except Exception as error:
        problem = problem_of(error, where=path)
        more = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers_of(problem).items()]
        reply = Reply(problem.status, to_json(body_of(problem)), more, b"application/problem+json")
    latency_s = time.perf_counter() - began - call.held_s
    meters.route("POST", route).answered(reply.status, latency_s)
    log_answer("POST", path, reply.status, latency_s)
    told = [
        (b"content-type", reply.media_type),
        (b"content-length", str(len(reply.content)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (calls.HEADER, call.request_id.encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": told})
    await send({"type": "http.response.body", "body": reply.content})


async def _body(receive: Receive) -> bytes:
    """The whole body; its size was looked at before, or it comes from an agent."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _token(headers: Headers, without: str) -> str:
    value = headers.get(b"authorization", b"")
    if value[:7].lower() != b"bearer ":
        raise Problem("unauthenticated", without, hint="Send 'Authorization: Bearer TOKEN'.")
    return value[7:].strip().decode("latin-1")


def _is_plain(headers: Headers) -> bool:
    """A JSON body whose size is announced and small, and a token in the header: what programs send."""
    length = headers.get(b"content-length", b"")
    return b"authorization" in headers and length.isdigit() and int(length) <= PLAIN_BYTES


def _wait(text: str) -> float | None:
    if not text:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise Problem(
            "invalid_field", f"wait={text[:40]!r} is no time.", field="wait", expected="seconds from 0 to 3600"
        )
    return wait_s
