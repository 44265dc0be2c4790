"""``sirdar serve``: a server alone. Over PostgreSQL it is one of several, which share the home; over SQLite the only one."""

import asyncio
import os
import socket
from functools import partial
from pathlib import Path

from sirdar.server.app import build_asgi, build_services
from sirdar.server.home import HomeLock
from sirdar.server.logs import configure_logs
from sirdar.server.process import Server, in_words, listen, obey_signals, refuses_plain_http, run_loop, say
from sirdar.server.ready import until_stopped
from sirdar.server.up import prepare_admin
from sirdar.services.builtin import publish_builtin
from sirdar.services.settings import Settings, from_environment


def main(*, home: Path, database: str | None, host: str, port: int, insecure: bool) -> int:
    """Run until a signal. Returns the exit code: 0 after a clean end, 3 where another one holds the home."""
    home = home.expanduser().absolute()
    if refuses_plain_http(host, insecure=insecure):
        return 2

    def run() -> int:
        listener = listen(host, port)
        settings = from_environment(
            home,
            host=host,
            port=listener.getsockname()[1],
            insecure=insecure,
            database=database,
            log_file=os.environ.get("SIRDAR_LOG_FILE") or "-",  # one file in a shared home would be turned over by each
        )
        with HomeLock.take(home, shared=not settings.database_url.startswith("sqlite")) as lock:
            configure_logs(settings)
            lock.say({"pid": os.getpid(), "url": settings.url})
            return run_loop(partial(_serve, settings, listener))

    return in_words(home, "what it said before", run)


async def _serve(settings: Settings, listener: socket.socket) -> int:
    services = build_services(settings)
    link = services.store.write_now(partial(prepare_admin, settings=settings))
    await publish_builtin(services)
    stop = asyncio.Event()
    server = Server(build_asgi(services))
    obey_signals(lambda number: stop.set(), stop.set)
    serving = await server.begin(listener)
    if serving is None:
        return 1

    def greet() -> None:
        say(f"Sirdar serves {settings.home}; no agent on this machine")
        if not os.environ.get("SIRDAR_ADMIN_PASSWORD"):
            say(f"sign in once, within 15 minutes: {link}")

    refused = await until_stopped(services, greet, stop, serving)
    services.hub.leaving = True  # for /api/ready
    services.hub.close()  # answers whoever waits, else the server would wait for them
    server.should_exit = True
    await serving
    if refused is not None:
        raise refused
    return 0
