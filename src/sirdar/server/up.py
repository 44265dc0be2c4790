"""``sirdar up``: a server, and an agent with its porter as processes of their own, on one home directory."""

import asyncio
import contextlib
import os
import signal
import socket
import webbrowser
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sirdar.client import profile
from sirdar.domain.people import Scope
from sirdar.domain.problems import Problem
from sirdar.server.agent_process import AgentProcess
from sirdar.server.app import build_asgi, build_services
from sirdar.server.home import HomeLock
from sirdar.server.logs import configure_logs
from sirdar.server.process import Server, in_words, listen, obey_signals, refuses_plain_http, run_loop, say
from sirdar.server.ready import until_stopped
from sirdar.services import attach, people, tokens
from sirdar.services.builtin import publish_builtin
from sirdar.services.context import Services
from sirdar.services.settings import Settings, from_environment
from sirdar.services.tokens import TokenRequest
from sirdar.store import people as people_store
from sirdar.store import resources as resource_store
from sirdar.store.engine import Tx
from sirdar.store.schema import one_by_one

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
    if refuses_plain_http(host, insecure=insecure):
        return 2

    def run() -> int:
        with HomeLock.take(home) as lock:
            listener = listen(host, port)
            settings = from_environment(home, host=host, port=listener.getsockname()[1], insecure=insecure)
            configure_logs(settings)
            lock.say({"pid": os.getpid(), "url": settings.url})
            return run_loop(_Up(settings, listener, slots, open_browser).run)

    return in_words(home, str(home / "server.log"), run)


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
        services.hub.starts_agent = self._slots > 0
        prepared = services.store.write_now(partial(_prepare, services=services))
        await publish_builtin(services)
        server = Server(build_asgi(services))
        obey_signals(self._on_signal, self._stop.set)
        serving = await server.begin(self._listener)
        if serving is None:
            return 1
        if self._slots > 0:
            self._agent = AgentProcess(settings, self._slots, prepared.join)
            await self._agent.start()
        refused = await until_stopped(services, partial(self._greet, prepared), self._stop, serving)
        services.hub.leaving = True  # for /api/ready
        await self._leave()
        services.hub.close()  # answers whoever waits, else the server would wait for them
        server.should_exit = True
        server.force_exit = False
        await serving
        if refused is not None:
            raise refused
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
        say(f"Sirdar serves {self._settings.home}; {agent}")
        say(f"sign in once, within 15 minutes: {prepared.link}")
        if self._open_browser:
            webbrowser.open(prepared.link)

    def _on_signal(self, number: int) -> None:
        self._asked.append(number)
        self._stop.set()
        if len(self._asked) == 2 and self._agent is not None:
            self._again.set()
            say("ending the programs too")
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
        say(f"{programs}; the next 'sirdar up' with this home takes them up again{way_out}")
        if by_hand:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECOND_THOUGHT_S):
                    await self._again.wait()
                await self._agent.leave()


def _prepare(tx: Tx, *, services: Services) -> _Prepared:
    link = prepare_admin(tx, services.settings)
    return _Prepared(_join_token(tx, services), link, _profile_token(tx, services))


def prepare_admin(tx: Tx, settings: Settings) -> str:
    """Make the first administrator where there is none; a link that signs in once, empty where that user was removed."""
    one_by_one(tx.conn)
    people.ensure_admin(tx, os.environ.get("SIRDAR_ADMIN_PASSWORD") or None)
    admin = people_store.user_by_name(tx.conn, people.ADMIN)
    return people.make_login_link(tx, people.ADMIN, settings) if admin is not None else ""


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
