"""When problems are sent while others are still written, and how."""

import sys
import threading
from typing import Any, cast

import pytest

from sirdar.client.client import Client
from sirdar.client.errors import Forbidden, ServerUnreachable, SirdarError
from sirdar.client.exchange import Emit, Reply
from sirdar.client.flows.uploads import UploadLimits
from sirdar.client.requests.jobs import Options
from sirdar.optim.sending import Pace, Sender, quick_switches
from sirdar.optim.solving import Portion, Submission


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls(count: int, each_s: float, call_s: float, *, known: bool = True, each_bytes: int = 0) -> list[int]:
    """Sizes of the portions, the last one too, where a problem takes ``each_s`` to write."""
    clock = Clock()
    pace = Pace(count if known else None, clock)
    sizes, fresh = [], 0
    for written in range(1, count + 1):
        clock.now += each_s
        fresh += 1
        if pace.is_time(written, fresh, fresh * each_bytes):
            with pace.call():
                clock.now += call_s
            sizes.append(fresh)
            fresh = 0
    return [*sizes, fresh]


def test_what_is_there_quickly_is_one_call() -> None:
    assert calls(1, 0.5, 0.01) == [1]
    assert calls(2, 0.007, 0.01) == [2]
    assert calls(100, 0.0001, 0.01) == [100]


def test_the_first_go_at_once_and_portions_grow() -> None:
    eight = calls(8, 0.007, 0.008)
    assert eight[0] == 2 and sum(eight) == 8 and 2 <= len(eight) <= 3
    many = calls(200, 0.007, 0.008)
    assert many[0] == 2 and len(many) < 25 and many[-2] > 2 * many[0]


def test_slow_ones_go_one_by_one_while_calls_are_cheap() -> None:
    assert calls(5, 0.4, 0.01, known=False) == [1, 1, 1, 1, 1, 0]
    assert len(calls(20, 0.1, 0.5)) <= 4, "a call that takes long is not made for each"


def test_much_to_send_goes_in_portions_however_quickly_it_is_there() -> None:
    assert calls(200, 0.00004, 0.02, each_bytes=38_000) == [7, *[56] * 3, 25]
    assert calls(6, 0.00004, 0.02, each_bytes=38_000) == [6]
    assert calls(7, 0.00004, 0.02, each_bytes=38_000) == [7], "the last go with the word that they are the last"


# ---------------------------------------------------------------- calls beside the writing


class Driver:
    """A client's: each step of a flow waits until it may, and then fails or is answered."""

    def __init__(self, failure: SirdarError | None = None) -> None:
        self.known_files: dict[Any, Any] = {}
        self.limits = UploadLimits()
        self.url = "http://127.0.0.1:1"
        self.driver = self
        self.gate = threading.Event()
        self.failure = failure
        self.asked: list[Any] = []

    def iterate(self, flow: Any) -> Any:
        answer, failure = None, None
        while True:
            try:
                effect = flow.throw(failure) if failure is not None else flow.send(answer)
            except StopIteration:
                return
            if isinstance(effect, Emit):
                answer = yield effect.value
                continue
            self.asked.append(effect)
            assert self.gate.wait(20)
            failure = self.failure
            answer = Reply(201, {}, b'{"id": "j1", "warnings": ["nobody there"]}')


def sender(driver: Driver) -> tuple[Sender, Submission, Portion]:
    submission = Submission({"solver": "ipopt"}, Options(), "key")
    made = Sender(cast("Client", driver), submission, Pace(10))
    return made, submission, Portion([("a.nl", b"g3"), ("b.nl", b"g4")], [{}, {}])


def test_a_portion_goes_beside_the_writing() -> None:
    driver = Driver()
    made, submission, portion = sender(driver)
    assert not made.busy and made.settle() == []
    made.begin(portion)
    assert made.busy and submission.sent == 0
    driver.gate.set()
    made.settle()
    assert not made.busy
    assert (submission.job_id, submission.sent) == ("j1", 2)
    (request,) = driver.asked
    carried = [row["problem"] for row in request.json["foreach"]]
    assert [(one["filename"], one["text"]) for one in carried] == [("a.nl", "g3"), ("b.nl", "g4")]
    made.begin(portion)
    made.settle()
    known = [row["problem"].keys() for row in driver.asked[1].json["foreach"]]
    assert known == [{"filename", "sha256"}] * 2 and submission.sent == 4


def test_what_a_portion_raises_comes_out_where_it_is_waited_for() -> None:
    driver = Driver(Forbidden(403, {"detail": "not yours"}))
    made, submission, portion = sender(driver)
    driver.gate.set()
    made.begin(portion)
    with pytest.raises(Forbidden, match="not yours"):
        made.settle()
    assert submission.sent == 0


def test_what_was_left_is_not_called_again() -> None:
    """A server that does not answer would be asked for ten minutes."""
    driver = Driver(ServerUnreachable("gone"))
    made, _, portion = sender(driver)
    made.begin(portion)
    made.leave()
    driver.gate.set()
    made.settle()
    assert len(driver.asked) == 1


def test_turns_are_short_only_while_somebody_needs_it() -> None:
    before = sys.getswitchinterval()
    with quick_switches():
        with quick_switches():
            assert sys.getswitchinterval() < before
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
