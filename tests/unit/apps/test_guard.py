"""What stands before every request, as plain ASGI."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from sirdar.api.errors import Guard, problem_of
from sirdar.domain.problems import CODES, Problem

Messages = list[dict[str, Any]]


def run(
    app: Any, *, path: str = "/api/jobs", method: str = "POST", chunks: tuple[bytes, ...] = (), **headers: str
) -> Messages:
    """What an application under the guard sends for one request."""
    sent: Messages = []
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Guard(app, body_bytes=10)(scope, receive, send))  # type: ignore[arg-type]
    return sent


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_a_body_within_the_limit_passes() -> None:
    start, reply = run(echo, chunks=(b"12345", b"67890"))
    assert (start["status"], reply["body"]) == (200, b"1234567890")
    assert (b"x-content-type-options", b"nosniff") in start["headers"]


@pytest.mark.parametrize("request_of", [{"content_length": "11"}, {"chunks": (b"123456", b"789012")}])
def test_a_body_beyond_it_is_refused_once(request_of: dict[str, Any]) -> None:
    start, reply = run(echo, **request_of)
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(reply["body"])["code"] == "too_large"


def test_files_pass_by_their_own_limits() -> None:
    start, _ = run(echo, path="/api/files/temp/a.bin", method="PUT", content_length="1000", chunks=(b"x" * 1000,))
    assert start["status"] == 200
    start, _ = run(echo, path="/api/files/uploads", method="POST", content_length="1000")
    assert start["status"] == 413


def test_an_error_after_the_reply_began_cuts_the_connection() -> None:
    async def breaks(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        run(breaks)


def test_a_client_that_went_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def gone(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ClientDisconnect

    assert run(gone) == []
    assert not caplog.records


def test_a_problem_that_nobody_caught_is_sent_as_it_is() -> None:
    async def refuses(_scope: Any, _receive: Any, _send: Any) -> None:
        raise Problem("too_many_requests", "Slowly.", retry_after_s=2.4)

    start, reply = run(refuses)
    assert start["status"] == 429
    assert (b"retry-after", b"2") in start["headers"]
    assert json.loads(reply["body"])["detail"] == "Slowly."


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_becomes_itself(code: str) -> None:
    assert problem_of(Problem(code, "x")).code == code
