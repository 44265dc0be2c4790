"""What ``sirdar up`` and ``sirdar serve`` share: the socket, the event loop, uvicorn, and errors that are said in words."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from sirdar.client import profile
from sirdar.domain.problems import Problem
from sirdar.server.home import HomeHeld
from sirdar.server.http import Http
from sirdar.services.settings import InvalidSettings
from sirdar.store.errors import is_disk_full

# A writer that comes back from the disk waits this long for the interpreter's lock while requests are parsed. Python's own 5 ms
# are most of a group commit.
SWITCH_S = 0.002
COLLECT_AFTER = (20_000, 10, 10)
EXIT_HELD = 3


def refuses_plain_http(host: str, *, insecure: bool) -> bool:
    """Says so where tokens would travel unencrypted beyond this machine."""
    here = profile.is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}")
    if here or insecure or os.environ.get("SIRDAR_PUBLIC_URL", "").startswith("https"):
        return False
    print(
        f"error[plain_http]: {host} is not this machine alone, and tokens would travel unencrypted\n"
        "  try: put a proxy with https before it and set SIRDAR_PUBLIC_URL=https://..., or allow it: --insecure",
        file=sys.stderr,
    )
    return True


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def in_words(home: Path, log: str, run: Callable[[], int]) -> int:
    """Run it; the exit code. What stands in the way of a start is said in words. ``log``: where more is to be read."""
    try:
        return run()
    except HomeHeld as held:
        print(f"error[home_held]: {held}\n  try: use that one, or give another --home", file=sys.stderr)
        return EXIT_HELD
    except InvalidSettings as error:
        print(
            f"error[invalid_settings]: {error}\n  try: correct the variable; docs/reference/settings.md",
            file=sys.stderr,
        )
        return 2
    except Problem as problem:
        hint = f"\n  try: {problem.hint}" if problem.hint else ""
        print(f"error[{problem.code}]: {problem.detail}{hint}", file=sys.stderr)
        return 1
    except Exception as error:
        if is_disk_full(error):
            print(f"error[disk_full]: there is no room on the disk of {home}\n  try: make some", file=sys.stderr)
        elif isinstance(error, OSError):
            print(f"error[cannot_start]: {error}\n  try: another --port, or look at {log}", file=sys.stderr)
        elif isinstance(error, ValueError) and str(error).startswith("SIRDAR_"):
            print(f"error[bad_setting]: {error}\n  try: see docs/reference/settings.md", file=sys.stderr)
        else:
            raise
        return 1


def run_loop(main: Callable[[], Any]) -> int:
    """The exit code of a coroutine that is the whole program."""
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code: int = runner.run(main())
        return code


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Server(uvicorn.Server):
    """Signals are ours: the agent leaves before the server stops. ``up`` is set when it answers."""

    def __init__(self, app: Any) -> None:
        super().__init__(_config(app))
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()

    async def begin(self, listener: socket.socket) -> "asyncio.Task[None] | None":
        """Serve; the task that does, as soon as it answers. None where it ended before."""
        serving = asyncio.create_task(self.serve(sockets=[listener]))
        up = asyncio.create_task(self.up.wait())
        await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if serving.done():
            await serving
            return None
        _rest_the_collector()
        return serving


def obey_signals(act: Callable[[int], None], hang_up: Callable[[], None]) -> None:
    """Call ``act`` with SIGINT and SIGTERM.

    A terminal that closes ends it in good order (``hang_up``), unless whoever started it wants it to stay (nohup).
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act, number)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, hang_up)


def say(text: str) -> None:
    """Prints a line, where somebody still reads it: the terminal may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer must not break the end either


def _rest_the_collector() -> None:
    """What was imported stays for ever: the garbage collector need not look at it again, nor at every few hundred new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        loop="none",
        http=Http,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,
        server_header=False,
        date_header=False,
        backlog=1024,
    )
