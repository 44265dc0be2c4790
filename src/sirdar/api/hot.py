"""The hot routes as plain ASGI: submissions and agents' syncs skip the framework, which costs more than they do.

The same routes are declared with FastAPI too, for the OpenAPI document and for every case that is not plain.
"""

import re
from collections.abc import Awaitable
from urllib.parse import parse_qs

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sirdar.api.agent import read_body
from sirdar.api.deps import bearer
from sirdar.api.errors import headers_of, problem_of
from sirdar.api.submit import MAX_WAIT_S, submit_reply
from sirdar.dispatch.desk import Desk
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.wire.agent import SyncRequest

_SUBMIT = re.compile(r"/api/apps/((?!publish/)[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(?:@\d{1,9})?)")
_VERBS = frozenset({"import", "publish", "search", "archive", "secrets", "share", "export", "versions", "source"})
SYNC = "/agent/v1/sync"


class HotRoutes:
    """Answers the hot routes itself and passes everything else on."""

    def __init__(self, app: ASGIApp, services: Services, desk: Desk) -> None:
        self._app = app
        self._services = services
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            if path == SYNC:
                await self._answer(self._sync(Request(scope, receive)), scope, receive, send)
                return
            match = _SUBMIT.fullmatch(path)
            if match and match[1].rsplit("/", 1)[-1] not in _VERBS and _is_plain(scope):
                await self._answer(self._submit(Request(scope, receive), match[1]), scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _sync(self, request: Request) -> Response:
        token = bearer(request)
        if not token:
            raise Problem("unauthenticated", "An agent's call needs the agent's token.")
        row = await self._desk.resource(token)
        reply = await self._desk.sync(row.id, await read_body(request, SyncRequest))
        return Response(to_json(reply), media_type="application/json")

    async def _submit(self, request: Request, app: str) -> Response:
        services = self._services
        token = bearer(request)
        if not token:
            raise Problem("unauthenticated", "This address needs a token.", hint="Send 'Authorization: Bearer TOKEN'.")
        caller = await services.auth.caller(token)
        query = parse_qs(request.scope["query_string"].decode("ascii", "replace"))
        wait_s = _wait(query.get("wait", [""])[-1])
        key = request.headers.get("idempotency-key")
        return await submit_reply(services, caller, app, await request.body(), key=key, wait_s=wait_s)

    async def _answer(self, reply: Awaitable[Response], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await reply
        except ClientDisconnect:
            return
        except Exception as error:
            problem = problem_of(error, where=scope["path"])
            body = to_json(problem.to_json())
            response = Response(body, problem.status, headers_of(problem), "application/problem+json")
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)


def _is_plain(scope: Scope) -> bool:
    """A JSON body whose size is announced and small, and a token in the header: what programs send."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    return b"authorization" in headers and length.isdigit() and int(length) <= 1 << 20


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
