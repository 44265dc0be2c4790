"""Work that one server of a database does at a time: a lock of PostgreSQL's that ends with the server's connection.

It only saves work from being done twice; whatever is written checks for itself whether it still holds.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

_TRY = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:what, 0))")
_RELEASE = sa.text("SELECT pg_advisory_unlock(hashtextextended(:what, 0))")


class Holds:
    """What this process holds, on one connection, which is opened by the first."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._conn: Connection | None = None
        self._lock = threading.Lock()
        self._held: set[str] = set()

    @contextlib.asynccontextmanager
    async def hold(self, what: str) -> AsyncIterator[bool]:
        """True within the block while nobody else holds it, in this process or another. Raises DBAPIError."""
        mine = await asyncio.to_thread(self._take, what)
        try:
            yield mine
        finally:
            if mine:
                await asyncio.shield(asyncio.to_thread(self._release, what))

    def close(self) -> None:
        with self._lock:
            if self._conn is not None:
                self._conn.close()
        self._engine.dispose()

    def _take(self, what: str) -> bool:
        with self._lock:
            if what in self._held:
                return False
            if self._conn is None or self._conn.invalidated:
                self._conn = self._engine.connect()
            mine = bool(self._conn.execute(_TRY, {"what": what}).scalar_one())
            if mine:
                self._held.add(what)
            return mine

    def _release(self, what: str) -> None:
        with self._lock:
            self._held.discard(what)
            if self._conn is not None and not self._conn.invalidated:
                with contextlib.suppress(DBAPIError):  # the connection has ended, and what it held with it
                    self._conn.execute(_RELEASE, {"what": what})
