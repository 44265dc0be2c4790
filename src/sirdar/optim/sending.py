"""When problems are sent while others are still written, so that solvers begin with the first; and a sign of life meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sirdar.client.client import Client
from sirdar.client.errors import SirdarError
from sirdar.client.requests import jobs as requests
from sirdar.optim.solving import Submission

FIRST = 2  # problems
FIRST_S = 0.015
FIRST_BYTES, LATER_BYTES = 256 << 10, 2 << 20  # that are worth a call, however quickly they were there
CALL_S = 0.01  # of a call that was never made
LONGEST_S = 0.25
CALLS_SHARE = 4  # of the time between two calls, at most one part goes into a call
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
        self._calls_s = 0.0

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
        return (now - self._began - self._calls_s) / written * (self._expected - written)

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is made here."""
        began = self._clock()
        yield
        self._since = self._clock()
        self._call_s = self._since - began
        self._calls_s += self._call_s
        self._pause_s = max(CALLS_SHARE * self._call_s, min(LONGEST_S, (1 + self._calls) * FIRST_S))
        self._calls += 1


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
