"""Flows, stepped by hand: retries, server-sent events, results. No network."""

from typing import Any

import pytest

from sirdar.client.errors import ApiError, ServerUnreachable
from sirdar.client.exchange import Once, Pause, Reply, Request
from sirdar.client.requests.jobs import Options, show, submit
from sirdar.client.requests.people import create_token
from sirdar.client.retry import RetryPolicy, exchange
from sirdar.client.sse import SseParser
from sirdar.client.views import explanation_of, job_file_path

POLICY = RetryPolicy(retries=2, first_s=1.0, longest_s=1.5)


def play(request: Request, answers: list[Reply | Exception]) -> tuple[Any, list[float]]:
    """What an exchange ends with, and its pauses, when the network answers so."""
    flow = exchange(request, POLICY)
    pauses = []
    effect = next(flow)
    while True:
        try:
            if isinstance(effect, Pause):
                pauses.append(effect.seconds)
                effect = flow.send(None)
                continue
            assert isinstance(effect, Once)
            answer = answers.pop(0)
            effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as stop:
            return stop.value, pauses
        except (ApiError, ServerUnreachable) as error:
            return error, pauses


def problem(status: int, code: str | None = None, **headers: str) -> Reply:
    body = f'{{"code": "{code}", "detail": "d"}}'.encode() if code else b"<html>"
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


GOOD = Reply(200, {}, b"{}")
BROKEN = ServerUnreachable("broke", sent=True)
REFUSED = ServerUnreachable("refused", sent=False)


@pytest.mark.parametrize(
    ("request_", "first", "repeated"),
    [
        (show("j"), BROKEN, True),
        (show("j"), problem(502), True),
        (show("j"), problem(503, "unavailable"), True),
        (show("j"), problem(429, "too_many_requests"), True),
        (show("j"), problem(429, "quota_exceeded"), False),
        (show("j"), problem(502, "fetch_failed"), False),
        (show("j"), problem(500, "internal"), False),
        (show("j"), problem(404, "not_found"), False),
        (submit("me/a", {}, Options(), key="k"), BROKEN, True),
        (create_token("ci"), BROKEN, False),
        (create_token("ci"), REFUSED, True),
        (create_token("ci"), problem(503), False),
        (create_token("ci"), problem(429, "too_many_requests"), True),
    ],
)
def test_what_is_sent_again(request_: Request, first: Reply | Exception, repeated: bool) -> None:
    result, pauses = play(request_, [first, GOOD])
    assert (result is GOOD) is repeated
    assert len(pauses) == (1 if repeated else 0)


def test_pauses_grow_and_end() -> None:
    result, pauses = play(show("j"), [BROKEN, BROKEN, BROKEN])
    assert result is BROKEN
    assert 0.5 <= pauses[0] <= 1.0 and 0.75 <= pauses[1] <= 1.5


def test_the_server_says_how_long_to_wait() -> None:
    _, pauses = play(show("j"), [problem(429, retry_after="7"), problem(503, retry_after="9999"), GOOD])
    assert pauses == [7.0, 60.0]


def test_a_redirect_is_an_error_that_names_the_place() -> None:
    result, _ = play(show("j"), [Reply(301, {"location": "https://there/"}, b"")])
    assert "https://there/" in str(result)


def test_server_sent_events_in_any_portions() -> None:
    text = b': hello\r\n\r\nid: 4\r\nevent: message\r\ndata: {"text": "\xc3\xa4"}\r\n\r\ndata: a\ndata: b\n\nevent: end\n\n'
    for size in (1, 2, 7, len(text)):
        parser = SseParser()
        found = [e for place in range(0, len(text), size) for e in parser.feed(text[place : place + size])]
        assert [(e.id, e.kind, e.data) for e in found] == [
            ("4", "message", {"text": "ä"}),
            ("4", "message", "a\nb"),
            ("4", "end", None),
        ]
        assert parser.last_id == "4"


@pytest.mark.parametrize(
    "uri", ["/api/files/jobs/j/../x", "/api/files/jobs/j/%2e%2e/x", "/api/files/jobs/j/a%2Fb", "/api/files/jobs/j/a//b"]
)
def test_files_stay_in_the_folder_that_they_are_downloaded_to(uri: str) -> None:
    with pytest.raises(ValueError, match="no place for a file"):
        job_file_path(uri, "j")


def test_explanations_read_as_sentences() -> None:
    found = explanation_of({"state": "READY", "summary": "It waits.", "why": [{"code": "c", "text": "t"}]})
    assert str(found) == "It waits.\n  why: t"
