"""``sirdar up``: a server, and an agent with its porter as processes of their own, on one home directory."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import webbrowser
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from sirdar.client import profile
from sirdar.domain.people import Scope
from sirdar.domain.problems import Problem
from sirdar.server.agent_process import AgentProcess
from sirdar.server.app import build_asgi, build_services
from sirdar.server.home import HomeHeld, HomeLock
from sirdar.server.http import Http
from sirdar.server.logs import configure_logs
from sirdar.services import attach, people, tokens
from sirdar.services.context import Services
from sirdar.services.settings import InvalidSettings, Settings, from_environment
from sirdar.services.tokens import TokenRequest
from sirdar.store import people as people_store
from sirdar.store import resources as resource_store
from sirdar.store.engine import Tx, is_disk_full

# A writer that comes back from the disk waits this long for the interpreter's lock while requests are parsed. Python's own 5 ms
# are most of a group commit.
SWITCH_S = 0.002
COLLECT_AFTER = (20_000, 10, 10)
EXIT_HELD = 3
SECOND_THOUGHT_S = 3.0  # after Ctrl-C with programs running: time for the second one
LOCAL = "local"
IDENTITY = "identity.json"
PROFILE_TOKEN_S = 10 * 365 * 86400.0


def main(
    *,
    home: Path,
    host: str = "127.0.0.1",
    port: int = 8200,
    slots: int | None = None,
    insecure: bool = False,
    open_browser: bool = False,
) -> int:
    """Run until a signal. Returns the exit code: 0 after a clean end, 3 where another one holds the home."""
    home = home.expanduser().absolute()
    if not profile.is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}") and not (
        insecure or os.environ.get("SIRDAR_PUBLIC_URL", "").startswith("https")
    ):
        print(
            f"error[plain_http]: {host} is not this machine alone, and tokens would travel unencrypted\n"
            "  try: put a proxy with https before it and set SIRDAR_PUBLIC_URL=https://..., or allow it: --insecure",
            file=sys.stderr,
        )
        return 2
    try:
        with HomeLock.take(home) as lock:
            listener = _listen(host, port)
            settings = from_environment(home, host=host, port=listener.getsockname()[1], insecure=insecure)
            configure_logs(settings)
            lock.say({"pid": os.getpid(), "url": settings.url})
            sys.setswitchinterval(SWITCH_S)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(_Up(settings, listener, slots, open_browser).run())
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
            where = f"try: another --port, or look at {home / 'server.log'}"
            print(f"error[cannot_start]: {error}\n  {where}", file=sys.stderr)
        elif isinstance(error, ValueError) and str(error).startswith("SIRDAR_"):
            print(f"error[bad_setting]: {error}\n  try: see docs/reference/settings.md", file=sys.stderr)
        else:
            raise
        return 1


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    """Signals are ours: the agent leaves before the server stops. ``up`` is set when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


@dataclass(slots=True)
class _Prepared:
    """What the start made: the agent's join token where it has not joined yet, and the one-time link."""

    join: str
    link: str
    token: str | None


class _Up:
    """One run of ``sirdar up``."""

    def __init__(self, settings: Settings, listener: socket.socket, slots: int | None, open_browser: bool) -> None:
        self._settings = settings
        self._listener = listener
        self._slots = slots if slots is not None else os.cpu_count() or 1
        self._open_browser = open_browser
        self._asked: list[int] = []  # the signals that came; SIGHUP does not count as a second one
        self._stop = asyncio.Event()
        self._again = asyncio.Event()
        self._agent: AgentProcess | None = None

    async def run(self) -> int:
        settings = self._settings
        services = build_services(settings)
        prepared = services.store.write_now(partial(_prepare, services=services))
        server = _Server(_uvicorn_config(build_asgi(services)))
        self._obey_signals()
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if serving.done():
            await serving
            return 1
        if self._slots > 0:
            self._agent = AgentProcess(settings, self._slots, prepared.join)
            await self._agent.start()
        self._greet(prepared)
        _rest_the_collector()
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        services.hub.leaving = True  # for /api/ready
        await self._leave()
        services.hub.close()  # answers whoever waits, else the server would wait for them
        server.should_exit = True
        server.force_exit = False
        await serving
        return 0

    def _greet(self, prepared: _Prepared) -> None:
        url = self._settings.url
        if prepared.token is not None:
            profile.keep_login(url, profile.Login(prepared.token, people.ADMIN))
        agent = (
            f"an agent with {self._slots} slots runs jobs on this machine"
            if self._slots
            else "no agent on this machine"
        )
        _say(f"Sirdar serves {self._settings.home}; {agent}")
        _say(f"sign in once, within 15 minutes: {prepared.link}")
        _say(f"ready {url}")
        if self._open_browser:
            webbrowser.open(prepared.link)

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number)
        # A terminal that closes ends it in good order, unless whoever started it wants it to stay (nohup).
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._stop.set)

    def _on_signal(self, number: int) -> None:
        self._asked.append(number)
        self._stop.set()
        if len(self._asked) == 2 and self._agent is not None:
            self._again.set()
            _say("ending the programs too")
            self._agent.cancel()

    async def _leave(self) -> None:
        """The agent goes first, while the server still takes its reports."""
        if self._agent is None:
            return
        left = await self._agent.leave()
        if not left:
            return
        programs = "1 program runs on" if left == 1 else f"{left} programs run on"
        by_hand = self._asked == [signal.SIGINT]
        way_out = f"; Ctrl-C again within {SECOND_THOUGHT_S:.0f} s ends them" if by_hand else ""
        _say(f"{programs}; the next 'sirdar up' with this home takes them up again{way_out}")
        if by_hand:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), SECOND_THOUGHT_S)
                await self._agent.leave()


def _say(text: str) -> None:
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


def _uvicorn_config(app: Any) -> uvicorn.Config:
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


def _prepare(tx: Tx, *, services: Services) -> _Prepared:
    settings = services.settings
    people.ensure_admin(tx, os.environ.get("SIRDAR_ADMIN_PASSWORD") or None)
    admin = people_store.user_by_name(tx.conn, people.ADMIN)
    link = people.make_login_link(tx, people.ADMIN, settings) if admin is not None else ""
    return _Prepared(_join_token(tx, services), link, _profile_token(tx, services))


def _join_token(tx: Tx, services: Services) -> str:
    """A token for the embedded agent, where it has not joined; the resource is made at the first start."""
    row = resource_store.find_resource_by_name(tx.conn, LOCAL)
    if row is None:
        for stale in (services.settings.home / "agent").glob("identity*"):  # of a ledger that is gone
            stale.unlink()
        admin = people_store.user_by_name(tx.conn, people.ADMIN)
        if admin is None:
            raise Problem("not_found", "The user admin is gone: the embedded agent has no owner.")
        return attach.create_resource(tx, services.settings, name=LOCAL, owner_id=admin.id, embedded=True)[1]
    joined = row.public_key is not None and (services.settings.home / "agent" / IDENTITY).exists()
    return "" if joined else attach.new_join_token(tx, services.settings, row.id)


def _profile_token(tx: Tx, services: Services) -> str | None:
    """A token for the command line of whoever starts the server, unless one is kept that works."""
    url = services.settings.url
    kept = profile.load().servers.get(profile.normal_url(url))
    if kept is not None and tokens.works(tx.conn, kept.token, tx.now):
        return kept.token
    admin = people_store.user_by_name(tx.conn, people.ADMIN)
    if admin is None:
        return None
    wanted = TokenRequest(label="command line", scopes=(Scope.ALL,), lifetime_s=PROFILE_TOKEN_S)
    return tokens.issue(tx, admin.id, wanted, default_s=PROFILE_TOKEN_S).text
