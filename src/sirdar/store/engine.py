"""Connections, the writer threads and group commit.

Every write of the server is a function of a ``Tx``. Writers take what has queued up, run it in one transaction with a savepoint
for each function, and answer after the commit: on SQLite one writer, ``BEGIN IMMEDIATE``, ``synchronous=FULL``; on PostgreSQL a
few. Functions must not touch the network and must be quick.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from sirdar.domain.problems import Problem

T = TypeVar("T")
MAX_BATCH = 256
READERS = 4
POSTGRES_WRITERS = 4


@dataclass(slots=True)
class Hints:
    """What a transaction changed, for those who watch. Hints may be lost: loops correct by polling."""

    jobs: set[str] = field(default_factory=set)  # something of the job changed: watchers look again
    ended: set[str] = field(default_factory=set)  # the job ended: waiters, dependants, notices
    resources: set[str] = field(default_factory=set)  # a wish for an agent was written
    queue: bool = False  # there may be something to place
    pending: bool = False  # there is a SUBMITTED job to advance
    notices: bool = False  # there is a notice to send
    variables: list[tuple[str, str, str]] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)  # called on the event loop when it is committed

    def add(self, other: "Hints") -> None:
        self.jobs |= other.jobs
        self.ended |= other.ended
        self.resources |= other.resources
        self.queue |= other.queue
        self.pending |= other.pending
        self.notices |= other.notices
        self.variables += other.variables
        self.after += other.after

    def __bool__(self) -> bool:
        return bool(
            self.jobs or self.ended or self.resources or self.queue or self.pending or self.notices or self.variables
        )


@dataclass(slots=True)
class Tx:
    """One command's view of a transaction: the connection, the server's clock, and the hints to send after the commit."""

    conn: Connection
    now: float
    hints: Hints = field(default_factory=Hints)

    @property
    def postgres(self) -> bool:
        return self.conn.dialect.name == "postgresql"


@dataclass(slots=True)
class _Command:
    run: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Store:
    """The ledger of one server process. ``write`` and ``read`` are for coroutines; ``write_now`` for start-up code and tests."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self.clock = clock
        self.sqlite = url.startswith("sqlite")
        self.write_engine = _make_engine(url, writer=True)
        self.read_engine = _make_engine(url, writer=False)
        # Runs inside the transaction, after the batch's commands: the scheduler leases what they made ready,
        # so that a submission and its lease are one commit.
        self.before_commit: list[Callable[[Tx], None]] = []
        self.after_commit: list[Callable[[Hints], None]] = []  # called on the event loop's thread
        self._queue: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._writers: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the writer threads; called on the event loop that is told of hints."""
        self._loop = asyncio.get_running_loop()
        for number in range(1 if self.sqlite else POSTGRES_WRITERS):
            thread = threading.Thread(target=self._write_forever, name=f"store-write-{number}", daemon=True)
            thread.start()
            self._writers.append(thread)

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        for _ in self._writers:
            self._queue.put(None)
        for thread in self._writers:
            thread.join()
        self._writers.clear()
        self._readers.shutdown()
        if self.sqlite:
            with contextlib.suppress(DBAPIError), self.write_engine.connect() as conn:
                conn.exec_driver_sql("PRAGMA optimize")
        self.write_engine.dispose()
        self.read_engine.dispose()

    async def write(self, run: Callable[[Tx], T]) -> T:
        """Run in the next transaction; returns (or raises) after the commit."""
        loop = asyncio.get_running_loop()
        command = _Command(run, loop, loop.create_future())
        self._queue.put(command)
        result: T = await command.future
        return result

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run on a read-only snapshot in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, run)

    def read_now(self, run: Callable[[Connection], T]) -> T:
        """Run on a read-only snapshot in this thread."""
        with self.read_engine.begin() as conn:
            return run(conn)

    def write_now(self, run: Callable[[Tx], T]) -> T:
        """Run in a transaction of its own in this thread, without telling anybody: for start-up, tools and tests."""
        with self.write_engine.begin() as conn:
            return run(Tx(conn, self.clock()))

    # ------------------------------------------------------------ the writer's thread

    def _write_forever(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            stop = False
            while len(batch) < MAX_BATCH:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                batch.append(more)
            self._run_batch(batch)
            if stop:
                return

    def _run_batch(self, batch: list[_Command]) -> None:
        hints = Hints()
        try:
            with self.write_engine.begin() as conn:
                now = self.clock()
                for command in batch:
                    self._run_command(command, conn, now, hints, alone=len(batch) == 1)
                tx = Tx(conn, now, hints)
                for hook in self.before_commit:
                    hook(tx)
        except BaseException as error:  # the batch as a whole was rolled back
            if len(batch) > 1:
                for command in batch:
                    command.error = command.result = None
                    self._run_batch([command])
                return
            batch[0].error = batch[0].error or _translate(error)
        self._answer(batch, hints)

    def _run_command(self, command: _Command, conn: Connection, now: float, hints: Hints, *, alone: bool) -> None:
        tx = Tx(conn, now)
        if alone:
            command.result = command.run(tx)
            hints.add(tx.hints)
            return
        savepoint = conn.begin_nested()
        try:
            command.result = command.run(tx)
            savepoint.commit()
            hints.add(tx.hints)
        except Exception as error:
            if _breaks_transaction(error):
                raise
            savepoint.rollback()
            command.error = _translate(error)

    def _answer(self, batch: list[_Command], hints: Hints) -> None:
        loop = self._loop
        assert loop is not None
        with contextlib.suppress(RuntimeError):  # the loop was closed under us
            loop.call_soon_threadsafe(self._deliver, batch, hints)

    def _deliver(self, batch: Iterable[_Command], hints: Hints) -> None:
        for command in batch:
            if command.future.done():
                continue
            if command.error is not None:
                command.future.set_exception(command.error)
            else:
                command.future.set_result(command.result)
        for call in hints.after:
            call()
        if hints:
            for listener in self.after_commit:
                listener(hints)


def _breaks_transaction(error: BaseException) -> bool:
    """Errors after which the whole transaction is gone (full disk, lost connection, deadlock)."""
    return isinstance(error, OperationalError)


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, OperationalError) and "full" in str(error.orig).lower():
        return Problem(
            "disk_full",
            "The database could not be written because the server's disk is full; nothing was changed.",
            hint="Make room on the server's disk and send the request again.",
        )
    return error


# ---------------------------------------------------------------- engines


def _make_engine(url: str, *, writer: bool) -> Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=8, max_overflow=0, pool_pre_ping=True)
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1 if writer else READERS,
        max_overflow=4,
        connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": 256},
    )
    sa.event.listen(engine, "connect", _prepare_writer if writer else _prepare_reader)
    sa.event.listen(engine, "begin", _begin_immediate if writer else _begin_deferred)
    return engine


def _prepare_writer(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's implicit transactions off; the begin event does it
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        "PRAGMA busy_timeout=30000; PRAGMA cache_size=-16000; PRAGMA wal_autocheckpoint=4000;"
        "PRAGMA temp_store=MEMORY;"
    )


def _prepare_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.executescript("PRAGMA busy_timeout=30000; PRAGMA query_only=ON; PRAGMA cache_size=-8000;")


def _begin_immediate(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN")
