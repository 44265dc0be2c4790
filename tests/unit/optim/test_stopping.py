"""SIGTERM during a call of ``solve_all``; what stays of it."""

import signal
import threading
from collections.abc import Iterator

import pytest

from sirdar.optim.stopping import left_by_sigterm


@pytest.fixture(autouse=True)
def by_default() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_sigterm_leaves_the_block_and_no_handler_stays() -> None:
    with pytest.raises(SystemExit) as left, left_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with left_by_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("kind", ["own", "ignored", "set within"])
def test_a_handler_of_the_callers_stays(kind: str) -> None:
    heard: list[int] = []

    def own(number: int, frame: object) -> None:
        heard.append(number)

    handler = signal.SIG_IGN if kind == "ignored" else own
    if kind != "set within":
        signal.signal(signal.SIGTERM, handler)
    with left_by_sigterm():
        if kind == "set within":
            signal.signal(signal.SIGTERM, handler)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == handler
    assert len(heard) == (kind != "ignored")


def test_nothing_changes_in_another_thread() -> None:
    found: list[object] = []

    def call() -> None:
        with left_by_sigterm():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
