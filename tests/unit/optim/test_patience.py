"""Calls of a set of problems while its server does not answer: pure flows, answered by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sirdar.client.errors import ApiError, ServerUnreachable, SirdarError, api_error
from sirdar.client.exchange import Emit, Flow, Pause, Reply, Request
from sirdar.client.flows.basic import document
from sirdar.optim.patience import Waits, bearing, not_cancelled, patient

GET, POST = Request("GET", "/x"), Request("POST", "/x")
DOWN = ServerUnreachable("no server answers", "is it running?", sent=False)
FINE = Reply(200, {}, b"{}")


class Somebody:
    """A client."""


@dataclass(slots=True)
class Job:
    job_id: str = ""
    request: Request | None = None


def flow(*asked: Request) -> Flow[str]:
    for one in asked:
        yield from document(one)
    return "done"


def drive(made: Flow[str], answers: Iterator[Reply | SirdarError]) -> tuple[str, list[object]]:
    """What comes of it, and its effects but the requests."""
    told: list[object] = []
    try:
        effect = next(made)
        while True:
            if not isinstance(effect, Request):
                told.append(effect)
                effect = made.send(None)
                continue
            answer = next(answers)
            effect = made.throw(answer) if isinstance(answer, SirdarError) else made.send(answer)
    except StopIteration as stop:
        return stop.value, told


def test_calls_are_made_again_and_it_is_said_once() -> None:
    unavailable = api_error(503, {}, b"")
    answers = iter([FINE, DOWN, DOWN, unavailable, FINE])
    result, told = drive(bearing(flow(GET, GET), Job(), Somebody()), answers)
    assert result == "done" and not list(answers)
    waits = [one.value for one in told if isinstance(one, Emit)]
    assert waits == [Waits("no server answers; tried again for 10 min")]
    assert sum(isinstance(one, Pause) for one in told) == 3


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    with pytest.raises(ServerUnreachable, match="no server answers"):
        drive(bearing(flow(GET), Job(), Somebody()), iter([DOWN]))


def test_the_first_answer_counts_for_all_calls_of_a_client() -> None:
    client, make = Somebody(), patient(lambda job, client: flow(GET))
    assert drive(make(Job(), client), iter([FINE]))[0] == "done"
    assert drive(make(Job(), client), iter([DOWN, FINE]))[0] == "done"


def test_what_may_have_been_done_is_not_done_twice_and_other_answers_are_passed_on() -> None:
    broken = ServerUnreachable("the connection broke")
    with pytest.raises(ServerUnreachable, match="the connection broke"):
        drive(bearing(flow(GET, POST), Job(), Somebody()), iter([FINE, broken]))
    assert drive(bearing(flow(GET, POST), Job(), Somebody()), iter([FINE, DOWN, FINE]))[0] == "done"
    with pytest.raises(ApiError):
        drive(bearing(flow(GET, GET), Job(), Somebody()), iter([FINE, api_error(404, {}, b"")]))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job("j1"), "no server answers; job j1 runs on"),
        (Job(request=POST), "no server answers; whether the job was submitted is not known, and if so, it runs on"),
        (Job(), "no server answers"),
    ],
)
def test_whoever_gives_up_says_what_becomes_of_the_job(job: Job, words: str) -> None:
    clock = iter(range(0, 10_000, 300))
    made = bearing(flow(GET, GET), job, Somebody(), clock=lambda: float(next(clock)))
    with pytest.raises(ServerUnreachable) as raised:
        drive(made, iter([FINE, *[DOWN] * 9]))
    assert raised.value.message == words
    assert not job.job_id or "sirdar job cancel j1" in str(raised.value)


def test_a_job_that_could_not_be_cancelled_is_named() -> None:
    assert not_cancelled(Job("j1"), DOWN) == "job j1 could not be cancelled, and runs on: no server answers"
