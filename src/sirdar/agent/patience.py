"""A time limit for work that cannot be broken off otherwise: an author's regular expression on a program's output."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class TookTooLong(ValueError):
    """The work was broken off."""


@contextlib.contextmanager
def at_most(limit_s: float) -> Iterator[None]:
    """Raises TookTooLong in the work when its time is over. Only in the main thread of a Unix system; elsewhere without effect.

    Python's ``re`` holds the interpreter's lock while it searches, so that no thread could stop it; but it looks at signals.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"it takes longer than {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
