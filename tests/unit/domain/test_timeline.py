"""The spans of a task's time: every phase, every honest gap, clocks that differ."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.states import AttemptState
from sirdar.domain.timeline import Kind, Span, Try, timeline


def attempt(no: int = 1, state: str = "ENDED", offered_at: float = 20, **values: Any) -> Try:
    if state == "ENDED":
        values = {"reason": "ok", "message": ""} | values
    return Try(no, AttemptState(state), "alpha", offered_at, **values)


WHOLE = {"accepted_at": 21, "staging_at": 22, "staged_at": 25, "started_at": 26, "ended_at": 90, "reported_at": 95}


def drawn(
    *tries: Try, submitted_at: float = 0, ready_at: float | None = 10, ended_at: float | None = None
) -> list[Any]:
    return [(str(s.kind), s.begin_at, s.end_at) for s in timeline(submitted_at, ready_at, ended_at, tries)]


def test_a_whole_task() -> None:
    assert drawn(attempt(**WHOLE), ended_at=95) == [
        ("preparing", 0, 10),
        ("waiting", 10, 20),
        ("queued", 20, 22),
        ("staging_in", 22, 25),
        ("queued", 25, 26),
        ("running", 26, 90),
        ("staging_out", 90, 95),
    ]


def test_each_phase_goes_on_until_the_next() -> None:
    assert drawn(ready_at=None) == [("preparing", 0, None)]
    assert drawn(ready_at=0) == [("waiting", 0, None)]
    assert drawn(attempt(state="OFFERED"))[-1] == ("queued", 20, None)
    assert drawn(attempt(state="ACCEPTED", accepted_at=21))[-1] == ("queued", 20, None)
    assert drawn(attempt(state="STAGING_IN", staging_at=22))[-1] == ("staging_in", 22, None)
    assert drawn(attempt(state="RUNNING", staging_at=22, started_at=26))[-2:] == [
        ("staging_in", 22, 26),
        ("running", 26, None),
    ]
    assert drawn(attempt(state="RUNNING", started_at=26))[-2:] == [("queued", 20, 26), ("running", 26, None)]
    assert drawn(attempt(state="STAGING_OUT", started_at=26, ended_at=90))[-2:] == [
        ("running", 26, 90),
        ("staging_out", 90, None),
    ]


def test_a_task_that_was_cancelled_before_it_was_given_out() -> None:
    assert drawn(ready_at=None, ended_at=7) == [("preparing", 0, 7)]
    assert drawn(ended_at=17) == [("preparing", 0, 10), ("waiting", 10, 17)]


def test_a_second_attempt_after_a_pause() -> None:
    lost = attempt(started_at=26, ended_at=40, reason="agent_lost", message="silent")
    again = attempt(2, "RUNNING", 45, started_at=46)
    spans = timeline(0, 0, None, [lost, again])
    assert [(str(s.kind), s.begin_at, s.end_at, s.attempt, s.reason) for s in spans] == [
        ("waiting", 0, 20, None, None),
        ("queued", 20, 26, 1, None),
        ("running", 26, 40, 1, "agent_lost"),
        ("waiting", 40, 45, None, None),
        ("queued", 45, 46, 2, None),
        ("running", 46, None, 2, None),
    ]
    assert drawn(lost)[-1] == ("waiting", 40, None), "it waits for its next try"
    failed = attempt(started_at=26, ended_at=40, reported_at=41, reason="exit_code")
    assert drawn(failed, ended_at=40)[-1] == ("staging_out", 40, 41), "it was the last one"


def test_an_attempt_that_was_silent_while_another_was_given_out() -> None:
    silent = attempt(started_at=26, ended_at=60, reason="superseded")
    assert drawn(silent, attempt(2, "RUNNING", 50, started_at=58))[2:] == [
        ("queued", 20, 26),
        ("running", 26, 60),
        ("queued", 50, 58),
        ("running", 58, None),
    ]


def test_an_offer_that_nobody_took() -> None:
    spans = timeline(0, 0, None, [attempt(ended_at=50, reason="offer_expired", message="no answer")])
    assert [(str(s.kind), s.end_at, s.message) for s in spans[1:]] == [
        ("queued", 50, "no answer"),
        ("waiting", None, None),
    ]


def test_the_agents_clock_is_late() -> None:
    times = {name: at - 100 for name, at in WHOLE.items()}
    assert [span for span in drawn(attempt(**times), ended_at=-5) if span[0] != "waiting"] == [
        ("preparing", 0, 10),
        ("running", 20, 20),
    ]


def test_words() -> None:
    assert Span(Kind.RUNNING, 1, None, 1, "alpha").words == "Runs on alpha"
    assert Span(Kind.STAGING_IN, 1, 2, 1, None).words == "Its files were brought to a resource that is no more"
    assert all(Span(kind, 1, None).words != Span(kind, 1, 2).words for kind in Kind)


some = st.none() | st.floats(-50, 200)


@given(
    st.lists(st.tuples(st.sampled_from(AttemptState), st.floats(0, 100), some, some, some, some, some), max_size=4),
    some,
    st.floats(0, 30) | st.none(),
)
def test_no_span_is_backwards(tries: list[Any], ended_at: float | None, ready_at: float | None) -> None:
    given_tries = [
        Try(no, state, "a", at, None, *times, reason="ok" if state is AttemptState.ENDED else None)
        for no, (state, at, *times) in enumerate(tries, 1)
    ]
    for span in timeline(0, ready_at, ended_at, given_tries):
        assert span.end_at is None or span.end_at >= span.begin_at
        assert span.end_at is not None or span.kind is not Kind.WAITING or ended_at is None
