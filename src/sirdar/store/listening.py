"""Hearing what other servers of the same PostgreSQL commit: LISTEN on a connection of its own, read by the event loop.

The connection's name (``application_name``) is also how servers see one another: it ends with its process, however that ends.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog

from sirdar.store.engine import CHANNEL, Store, Tx
from sirdar.store.hints import Hints, decode, encode_all, encode_here

log = structlog.get_logger()
NAME = "sirdar-listen "
LOOK_EVERY_S = 10.0  # a connection that is dead without having said so is found by then
CLOCKS_DIFFER_S = 2.0
ALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "connect_timeout": 10}
_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND starts_with(application_name, %s) AND application_name <> %s"
)

_SERVERS = (
    "SELECT application_name, coalesce(host(client_addr), ''), extract(epoch FROM backend_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(application_name, %s) ORDER BY backend_start"
)


async def listen(store: Store) -> AsyncIterator[Hints]:
    """What others commit, as long as the connection holds; at its beginning, that anything may have changed.

    Raises the driver's errors where it breaks. While others listen ``store.alone`` is False.
    """
    conn = await asyncio.to_thread(_connect, store.url, store.name)
    texts: deque[str] = deque()
    conn.add_notify_handler(lambda notice: texts.append(notice.payload))
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    handle = conn.fileno()  # a connection that has broken does not tell it any more
    try:
        _warn_of_clock(store, await asyncio.to_thread(_begin, conn, store.name, store.key_print))
        loop.add_reader(handle, arrived.set)
        store.alone = False  # until the first look
        yield Hints(everything=True)
        store.alone = await asyncio.to_thread(_is_alone, conn, store.name)
        while True:
            # Before each wait: what came together with the answer to a look is in the driver's memory, and rings nothing.
            while (notice := conn.pgconn.notifies()) is not None:
                texts.append(notice.extra.decode())
            while texts:
                async for hints in _understood(store, texts.popleft()):
                    yield hints
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await arrived.wait()
            except TimeoutError:
                store.alone = await asyncio.to_thread(_is_alone, conn, store.name)
            arrived.clear()
            conn.pgconn.consume_input()
    finally:
        store.alone = False  # who is deaf cannot know
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(handle)  # before its number is another's
        conn.close()


async def _understood(store: Store, text: str) -> AsyncIterator[Hints]:
    heard = decode(text)
    if heard.sender == store.name or heard.to not in ("", store.name):
        return
    store.greeted = store.greeted or bool(heard.to) or (heard.here and heard.key == store.key_print)
    if heard.key != store.key_print and (heard.here or heard.to):
        log.error("server_with_another_key", server=heard.sender, hint="Servers of one database share one home.")
        store.stranger = store.stranger or bool(heard.to)  # it was here first
    if heard.here:  # what was committed before we knew of it was not told
        store.alone = False
        log.info("server_heard_of", server=heard.sender)
        await store.write(lambda tx: _greet(store, tx, heard.sender))
        return
    yield heard.hints


def _greet(store: Store, tx: Tx, newcomer: str) -> None:
    store.tell(tx.conn, encode_all(store.name, to=newcomer, key=store.key_print))


def _warn_of_clock(store: Store, database_at: float) -> None:
    """Servers compare times that others of them wrote: leases, offers, tokens."""
    ahead_s = store.clock() - database_at
    if abs(ahead_s) > CLOCKS_DIFFER_S:
        log.warning("clock_differs_from_databases", ahead_s=round(ahead_s, 1))


# ---------------------------------------------------------------- in threads


def _connect(url: str, name: str) -> Any:
    import psycopg  # of an extra; with SQLite nobody listens

    words = sa.make_url(url)
    _, options = words.get_dialect()().create_connect_args(words)
    return psycopg.connect(**{**ALIVE, **options, "application_name": NAME + name}, autocommit=True)


def _begin(conn: Any, name: str, key: str) -> float:
    """Listen, and say so; the database's clock."""
    conn.execute(f"LISTEN {CHANNEL}")
    conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, encode_here(name, key)))
    return float(conn.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0])


def _is_alone(conn: Any, name: str) -> bool:
    return int(conn.execute(_OTHERS, (NAME, NAME + name)).fetchone()[0]) == 0


@dataclass(frozen=True, slots=True)
class Server:
    """A server of this database that listens, by the name of its process; ``since`` in seconds since 1970."""

    name: str
    address: str  # as the database sees it; empty: on the same machine, through a socket
    since: float


def servers(conn: sa.engine.Connection) -> list[Server]:
    """Those that listen now, the oldest first. Empty with SQLite, where there is one and nobody listens."""
    if conn.dialect.name != "postgresql":
        return []
    return [Server(row[0].removeprefix(NAME), row[1], float(row[2])) for row in conn.exec_driver_sql(_SERVERS, (NAME,))]


def others_listen(conn: sa.engine.Connection, name: str) -> bool:
    """Whether a server other than that one listens now. Always False with SQLite."""
    if conn.dialect.name != "postgresql":
        return False
    return int(conn.exec_driver_sql(_OTHERS, (NAME, NAME + name)).scalar_one()) > 0
