"""SIGTERM as ctrl-C: a script that is told to end takes its job along."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TOLD_TO_END = 128 + signal.SIGTERM  # what a shell says of a process that SIGTERM ended


@contextmanager
def left_by_sigterm() -> Iterator[None]:
    """SIGTERM leaves the block by SystemExit. The signal is as it was afterwards.

    Nothing changes outside the main thread, where no handler can be set, and where the caller handles SIGTERM already.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TOLD_TO_END)
