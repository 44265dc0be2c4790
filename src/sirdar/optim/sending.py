"""Problems are sent while others are still written, so that solvers begin with the first; and a sign of life meanwhile."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sirdar.client.client import Client
from sirdar.client.errors import SirdarError
from sirdar.client.exchange import Flow
from sirdar.client.requests import jobs as requests
from sirdar.optim.solving import Portion, Submission, beginning

FIRST = 2  # problems
FIRST_S = 0.015
FIRST_BYTES, LATER_BYTES = 256 << 10, 2 << 20  # that are worth a call, however quickly they were there
CALL_S = 0.01  # of a call that was never made
LONGEST_S = 0.25
CALLS_SHARE = 4  # of the time between two calls, at most one part goes into a call
SWITCH_S = 0.0005  # for which one thread keeps the interpreter from another
SIGN_EVERY_S = 15.0  # servers close a job of which they hear nothing for a minute


class Pace:
    """Says when what is written is worth a call. ``expected``: problems in all, None where nobody knows.

    The first two, or what took longer than a call, go at once; then pauses grow, so that many small problems are few calls. What
    is much to send goes in portions, too.
    """

    def __init__(self, expected: int | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._expected = expected
        self._clock = clock
        self._began = self._since = clock()
        self._call_s = CALL_S
        self._pause_s = FIRST_S
        self._calls = 0

    def is_time(self, written: int, fresh: int, fresh_bytes: int = 0) -> bool:
        """``written``: problems so far; ``fresh``: of these not sent yet; ``fresh_bytes``: how much that is."""
        now = self._clock()
        if written != self._expected and fresh_bytes >= (LATER_BYTES if self._calls else FIRST_BYTES):
            return True
        if not fresh or self._left_s(written, now) < self._call_s:
            return False
        if self._calls == 0 and fresh >= FIRST and now - self._since > FIRST_S / 3:
            return True
        return now - self._since >= self._pause_s

    def _left_s(self, written: int, now: float) -> float:
        """About how long it takes to write the others."""
        if self._expected is None:
            return LONGEST_S
        return (now - self._began) / written * (self._expected - written)

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is made here."""
        began = self._clock()
        yield
        self._since = self._clock()
        self._call_s = self._since - began
        self._pause_s = max(CALLS_SHARE * self._call_s, min(LONGEST_S, (1 + self._calls) * FIRST_S))
        self._calls += 1


# ---------------------------------------------------------------- calls beside the writing


class Sender:
    """Makes one call at a time in a thread of its own. What it tells, or raises, comes out of ``settle``."""

    def __init__(self, client: Client, submission: Submission, pace: Pace) -> None:
        self._client = client
        self._submission = submission
        self._pace = pace
        self._thread: threading.Thread | None = None
        self._told: list[object] = []
        self._failure: BaseException | None = None
        self._left = threading.Event()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self, portion: Portion) -> None:
        """Sends these problems, which are not the last."""
        self._thread = threading.Thread(target=self._send, args=(portion,), name="sirdar-send", daemon=True)
        self._thread.start()

    def settle(self) -> list[object]:
        """Waits for the call; what it told. Raises what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            raise self._failure
        told, self._told = self._told, []
        return told

    def leave(self) -> None:
        """The call is not made again, should it fail; nobody waits for it."""
        self._left.set()

    def _send(self, portion: Portion) -> None:
        try:
            with quick_switches(), self._pace.call():
                flow = _until(self._left, beginning(self._submission, portion, self._client))
                self._told += self._client.driver.iterate(flow)
        except BaseException as error:
            self._failure = error


def _until(left: threading.Event, flow: Flow[None]) -> Flow[None]:
    """The flow, of which nothing more is carried out once it has been left."""
    answer, failure = None, None
    try:
        while not left.is_set():
            try:
                effect = flow.throw(failure) if failure is not None else flow.send(answer)
            except StopIteration:
                return
            answer, failure = None, None
            if left.is_set():  # so whoever leaves it, and looks then, sees what has been asked
                return
            try:
                answer = yield effect
            except SirdarError as error:
                failure = error
    finally:
        flow.close()


class _Switching:
    """How many want a shorter interval now, and the one that the first of them found."""

    lock = threading.Lock()
    wanted = 0
    found_s = 0.0


@contextmanager
def quick_switches() -> Iterator[None]:
    """Threads take turns more often: one that waits for a server's answer while another computes would lose 5 ms at each word."""
    with _Switching.lock:
        if _Switching.wanted == 0:
            _Switching.found_s = sys.getswitchinterval()
            sys.setswitchinterval(min(SWITCH_S, _Switching.found_s))
        _Switching.wanted += 1
    try:
        yield
    finally:
        with _Switching.lock:
            _Switching.wanted -= 1
            if _Switching.wanted == 0:
                sys.setswitchinterval(_Switching.found_s)


@contextmanager
def kept_open(client: Client, submission: Submission) -> Iterator[None]:
    """While a problem takes long to write, the server hears that more will come."""
    over = threading.Event()
    thread = threading.Thread(target=_say, args=(client, submission, over), name="sirdar-open", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _say(client: Client, submission: Submission, over: threading.Event) -> None:
    """What goes wrong here is told by the next call with problems."""
    while not over.wait(SIGN_EVERY_S):
        if submission.job_id and not submission.refused:
            first = submission.sent
            key = f"{submission.key} {time.monotonic()}"
            with suppress(SirdarError):
                client.send(requests.add(submission.job_id, [], first=first, last=False, key=key))
