"""How errors leave the server, and what is refused before a router sees it.

Every error is ``application/problem+json`` with a stable code. What nobody foresaw becomes ``internal`` with an id that
stands in the log beside the traceback; the traceback itself never leaves. ``Guard`` is plain ASGI, because it stands
before every request, the hot ones too.
"""

import errno
import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sirdar.api.faults import NOWHERE, echo, field_errors, parameter_error
from sirdar.api.streamed import is_streamed
from sirdar.domain.problems import CODES, FieldError, Problem
from sirdar.services import calls
from sirdar.services.settings import Settings

log = logging.getLogger("sirdar.api")

MEDIA_TYPE = "application/problem+json"
AS_JSON = "Send it as JSON with the header 'Content-Type: application/json'."

# What a client may have meant by a status that the framework raised by itself.
_CODE_OF_STATUS = {status: code for code, (status, _) in reversed(CODES.items())}
_CODE_OF_STATUS |= {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    409: "conflict",
    422: "invalid_field",
}


class ProblemResponse(JSONResponse):
    """A Problem as a reply."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        super().__init__(body_of(problem), problem.status, headers=headers_of(problem))

    def render(self, content: Any) -> bytes:
        """Half a surrogate pair in what a client sent, and an error quotes, must not make an error of its own."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def install(app: FastAPI, settings: Settings) -> None:
    """Make every error of ``app`` a problem, cap JSON bodies, and add the headers that every reply carries."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Guard, body_bytes=settings.body_bytes)


def body_of(problem: Problem) -> dict[str, Any]:
    """The problem's document, with the id of the call, which the log names too."""
    call = calls.current()
    return problem.to_json() if call is None else {**problem.to_json(), "requestId": call.request_id}


def headers_of(problem: Problem) -> dict[str, str]:
    """Headers that HTTP asks for beside some statuses."""
    headers: dict[str, str] = {}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(problem.retry_after_s)))
    return headers


def problem_of(error: BaseException, *, where: str = "") -> Problem:
    """The Problem that an error is shown as. One that nobody foresaw is logged with the id that its Problem names."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return from_validation(error)
    if isinstance(error, HTTPException):
        return _from_http(error, "")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Ask the administrator for room, then send it again."
        return Problem("disk_full", "The server's disk is full, and the request could not be carried out.", hint=hint)
    number = secrets.token_hex(6)
    log.error("internal error %s at %s", number, where, exc_info=error, extra={"error_id": number})
    return Problem(
        "internal",
        f"Something broke on the server; it is noted there as error {number}.",
        hint=f"Try again; if it stays, give the administrator the number {number}.",
    )


def from_validation(error: RequestValidationError) -> Problem:
    """What is wrong with a request: a body that is no JSON, or parameters and fields that are not as expected."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return not_json(found)
    of_body = [{**item, "loc": item["loc"][1:]} for item in found if item["loc"][0] == "body"]
    errors = [parameter_error(item) for item in found if item["loc"][0] != "body"] + field_errors(of_body, error.body)
    if of_body and (error.body is None or isinstance(error.body, bytes)):
        detail = "There is no body." if not error.body else "The body was not sent as JSON."
        return Problem("invalid_request", detail, field="body", expected="a JSON object", hint=AS_JSON)
    return invalid_field(errors)


def from_body(error: ValidationError, body: bytes) -> Problem:
    """What is wrong with a body of JSON that was read without the framework."""
    found = error.errors(include_url=False)
    if any(item["type"] == "json_invalid" for item in found):
        return not_json(found)
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = NOWHERE
    return invalid_field(field_errors(found, given))


def not_json(found: Sequence[Mapping[str, Any]]) -> Problem:
    """Pydantic says where in words, FastAPI by a number; their other words say less than the place."""
    broken = next(item for item in found if item["type"] == "json_invalid")
    reason = str(broken.get("ctx", {}).get("error", ""))
    at = re.search(r"line \d+ column \d+", reason)
    place = at[0] if at else f"character {broken['loc'][-1]}" if len(broken["loc"]) > 1 else "its beginning"
    ends = "it ends too early" if reason.startswith("EOF") else "it cannot be read further"
    return Problem("invalid_request", f"The body is not JSON: {ends} at {place}.", field="body", expected="JSON")


def invalid_field(errors: Sequence[FieldError]) -> Problem:
    """One Problem of all errors; it is named by the first."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first.field == "body":
        detail = f"The body {first.detail}."
        return Problem("invalid_request", detail, field="body", expected=first.expected, errors=errors)
    detail = f"{first.field}: {first.detail}{more}"
    return Problem("invalid_field", detail, field=first.field, expected=first.expected, errors=errors)


async def _on_problem(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, Problem)
    return ProblemResponse(error)


async def _on_validation(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    return ProblemResponse(from_validation(error))


async def _on_http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    response = ProblemResponse(_from_http(error, f"{request.method} {request.url.path}"))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _from_http(error: HTTPException, what: str) -> Problem:
    if error.status_code == 404:
        return Problem(
            "not_found", f"There is nothing at {echo(what)[1:-1]}.", hint="See /api/openapi.json for the addresses."
        )
    if error.status_code == 405:
        return Problem("method_not_allowed", f"{echo(what)[1:-1]} is not offered.", hint="See /api/openapi.json.")
    code = _CODE_OF_STATUS.get(error.status_code)
    if code is None:
        code = "invalid_request" if error.status_code < 500 else "internal"
    if code == "invalid_request":
        return Problem(code, "The request cannot be read: its body or its headers are broken.", hint=AS_JSON)
    return Problem(code, str(error.detail))


# ---------------------------------------------------------------- before the routers


class Guard:
    """Plain ASGI around the whole application: caps bodies, adds headers, and turns what nobody caught into a problem."""

    def __init__(self, app: ASGIApp, *, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        if not is_streamed(scope["method"], scope["path"]):
            exchange.limit = self._body_bytes
            if _announced(scope) > self._body_bytes:
                await exchange.refuse_size()
                return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:
            problem = problem_of(error, where=f"{scope['method']} {scope['path']}")
            if exchange.started:
                raise  # half a reply is out: cutting the connection is the only way left to say so
            await exchange.reply(problem)


class _Exchange:
    """One request and its reply, watched."""

    __slots__ = ("_receive", "_send", "limit", "received", "refused", "started")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.limit: int | None = None
        self.received = 0
        self.started = False
        self.refused = False

    async def receive(self) -> Message:
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if self.limit is not None and message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self.limit:
                await self.refuse_size()
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self.started = True
            _add_headers(message)
        await self._send(message)

    async def refuse_size(self) -> None:
        """The rest of the body is not read, so the connection cannot be used again."""
        if not self.started:
            hint = "Send large data as a file (POST /api/files/temp) and give its uri."
            problem = Problem("too_large", f"The body is larger than {self.limit} bytes.", hint=hint)
            await self.reply(problem, [(b"connection", b"close")])
        self.refused = True

    async def reply(self, problem: Problem, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        response = ProblemResponse(problem)
        headers = [*response.raw_headers, *more]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": bytes(response.body)})


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _add_headers(message: MutableMapping[str, Any]) -> None:
    """The type that we name is the type that it is (nosniff); addresses with ids stay with us (referrer)."""
    headers = [*message.get("headers", ())]
    headers += [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
    message["headers"] = headers
