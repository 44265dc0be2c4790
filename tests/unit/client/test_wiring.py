"""What a handler of a signal raises in the midst of a call, against what the network does."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from sirdar.client import wiring
from sirdar.client.errors import ServerUnreachable


@contextmanager
def silent() -> Iterator[tuple[str, threading.Event]]:
    """A server that takes a call and never answers; the event: it has one."""
    called = threading.Event()
    kept: list[socket.socket] = []

    def take() -> None:
        kept.append(listening.accept()[0])
        kept[0].recv(100)
        called.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", called
        thread.join()
    for one in kept:
        one.close()


def call(url: str, timeout_s: float) -> None:
    with httpx.Client(**wiring.settings(url, None)) as http, wiring.connection_errors(url):
        http.get("/", timeout=timeout_s)


@pytest.mark.parametrize("error", [TimeoutError("my own clock"), KeyError("mine")])
def test_what_a_signals_handler_raises_passes_through(error: Exception) -> None:
    def ring(*ignored: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with silent() as (url, called):
            main = threading.get_ident()

            def alarm() -> None:
                called.wait()
                signal.pthread_kill(main, signal.SIGUSR1)

            clock = threading.Thread(target=alarm)
            clock.start()
            with pytest.raises(type(error)) as raised:
                call(url, 60.0)
            clock.join()
            assert raised.value is error
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_networks_own_faults_are_the_servers() -> None:
    with silent() as (url, _), pytest.raises(ServerUnreachable, match="did not answer in time"):
        call(url, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with pytest.raises(ServerUnreachable, match="no server answers") as raised:
        call(url, 5.0)
    assert not raised.value.sent
    with pytest.raises(ServerUnreachable):
        call("http://no-such-host.invalid", 5.0)


class Cut:
    """A server that takes calls and hangs up without a word."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one = self.socket.accept()[0]
                one.recv(1000)
                one.close()


@pytest.mark.parametrize(
    "error", [FileNotFoundError("a cache"), TimeoutError("mine"), httpx.ReadError("of another call")]
)
def test_what_the_caller_was_dealing_with_is_not_raised_again(error: Exception) -> None:
    cut = Cut()
    try:
        with pytest.raises(ServerUnreachable, match="broke"):
            try:
                raise error
            except Exception:
                call(cut.url, 30.0)
    finally:
        cut.socket.close()
