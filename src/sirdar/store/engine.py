"""Connections, the writer threads and group commit.

Every write of the server is a function of a ``Tx``. Writers take what has queued up, run it in one transaction with a savepoint
for each function, and answer after the commit: on SQLite one writer, ``BEGIN IMMEDIATE``, ``synchronous=FULL``; on PostgreSQL a
few. Functions must not touch the network and must be quick.
"""

import asyncio
import contextlib
import errno
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool

from sirdar.domain.problems import Problem
from sirdar.store.gather import Gatherer

T = TypeVar("T")
Merge: TypeAlias = "Callable[[Tx, list[Any]], Sequence[Any]]"
MAX_BATCH = 256
READERS = 4
POSTGRES_WRITERS = 4
MOST_TRIES = 16
LONGEST_WAIT_S = 1.3  # between two tries
CONFLICTS = ("40P01", "40001")  # SQLSTATE of a deadlock, and of a transaction that could not be put in order
AWAY = ("57P01", "57P02", "57P03")  # SQLSTATE: shut down by its administrator, after a crash, not started yet
DISK_FULL = ("disk is full", "no space left on device", "disk full")

log = structlog.get_logger()


@dataclass(slots=True)
class Hints:
    """What a transaction changed, for those who watch. Hints may be lost: loops correct by polling."""

    jobs: set[str] = field(default_factory=set)  # something of the job changed: watchers look again
    ended: set[str] = field(default_factory=set)  # the job ended: waiters, dependants, notices
    resources: set[str] = field(default_factory=set)  # a wish for an agent was written
    queue: bool = False  # there may be something to place
    pending: bool = False  # there is a SUBMITTED job to advance
    notices: bool = False  # there is a notice to send
    variables: list[Any] = field(default_factory=list)  # store.variables.Change: shared variables that were set
    after: list[Callable[[], object]] = field(default_factory=list)  # called on the event loop once it is committed
    undo: list[Callable[[], object]] = field(default_factory=list)  # called in the writer's thread if it is rolled back

    def add(self, other: "Hints") -> None:
        self.jobs |= other.jobs
        self.ended |= other.ended
        self.resources |= other.resources
        self.queue |= other.queue
        self.pending |= other.pending
        self.notices |= other.notices
        self.variables += other.variables
        self.after += other.after
        self.undo += other.undo

    def rolled_back(self) -> None:
        """What was noted on the way did not happen."""
        for call in self.undo:
            call()
        self.undo.clear()

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
    merge: "Merge | None" = None  # how commands of one kind are run together
    item: Any = None
    patient: bool = False
    queued_at: float = 0.0


class Store:
    """The ledger of one server process. ``write`` and ``read`` are for coroutines; ``write_now`` for start-up code and tests."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self.clock = clock
        self.sqlite = url.startswith("sqlite")
        self.write_engine = _make_engine(url, writer=True)
        self.read_engine = _make_engine(url, writer=False)
        # Runs inside the transaction, after the batch's commands: the scheduler leases what they made ready,
        # so that a submission and its lease are one commit. Where it fails, the commands are committed without it.
        self.before_commit: list[Callable[[Tx], None]] = []
        self.after_commit: list[Callable[[Hints], None]] = []  # called on the event loop's thread
        self._queue: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._writers: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kept: Connection | None = None  # the writer's, on SQLite
        self._reading = threading.local()  # a connection of each thread that reads, on SQLite
        self._kept_readers: list[Connection] = []
        self._closed = False

    def start(self) -> None:
        """Start the writer threads; called on the event loop that is told of hints."""
        self._loop = asyncio.get_running_loop()
        for number in range(1 if self.sqlite else POSTGRES_WRITERS):
            thread = threading.Thread(target=self._write_forever, name=f"store-write-{number}", daemon=True)
            thread.start()
            self._writers.append(thread)

    def close(self) -> None:
        """Finish what is queued, then close every connection. What is written afterwards is refused."""
        self._closed = True
        for _ in self._writers:
            self._queue.put(None)
        for thread in self._writers:
            thread.join()
        self._writers.clear()
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._readers.shutdown()
        for conn in self._kept_readers:
            conn.close()
        if self.sqlite:
            with contextlib.suppress(DBAPIError), self.write_engine.connect() as conn:
                conn.exec_driver_sql("PRAGMA optimize")
        self.write_engine.dispose()
        self.read_engine.dispose()

    async def write(self, run: Callable[[Tx], T], *, patient: bool = False) -> T:
        """Run in the next transaction; returns (or raises) after the commit. ``patient``: in a burst, others go first."""
        if self._closed:
            raise Problem("unavailable", "The server is stopping.", hint="Send the request again.")
        loop = asyncio.get_running_loop()
        command = _Command(run, loop, loop.create_future(), patient=patient, queued_at=time.monotonic())
        self._queue.put(command)
        result: T = await command.future
        return result

    async def write_merged(self, merge: "Merge", item: Any) -> Any:
        """``write`` for what comes in crowds: ``merge`` gets the items of all such commands of a batch at once.

        It answers with one result for each, in their order; a result that is an exception is raised to its caller alone.
        """
        if self._closed:
            raise Problem("unavailable", "The server is stopping.", hint="Send the request again.")
        loop = asyncio.get_running_loop()
        command = _Command(partial(_alone, merge, item), loop, loop.create_future(), merge=merge, item=item)
        self._queue.put(command)
        return await command.future

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run on a read-only snapshot in a thread."""
        call = self._read_kept if self.sqlite else self.read_now
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, call, run)
        except DBAPIError as error:
            raise _translate(error) from error

    def _read_kept(self, run: Callable[[Connection], T]) -> T:
        """``read_now`` on the thread's own connection: taking one from the pool costs more than a short query."""
        conn: Connection | None = getattr(self._reading, "conn", None)
        if conn is None or conn.closed or conn.invalidated:
            conn = self._reading.conn = self.read_engine.connect()
            self._kept_readers.append(conn)
        with conn.begin():
            return run(conn)

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
        gatherer = Gatherer(self._queue, MAX_BATCH)
        while (batch := gatherer.next()) is not None:
            self._run_batch(batch)

    def _run_batch(self, batch: list[_Command]) -> None:
        """Commit the batch and answer; what fails alone is answered alone, and what may pass is tried again."""
        hooks, tries = True, 0
        while True:
            hints = Hints()
            try:
                self._transact(batch, hints, hooks=hooks)
                break
            except BaseException as error:  # the batch as a whole was rolled back
                hints.rolled_back()
                hints = Hints()  # of what did not happen nobody is told
                for command in batch:
                    command.error = command.result = None
                tries += 1
                known = error.__cause__ if isinstance(error, _HookFailed) else error
                if known is not None and is_away(known):  # not tried again: what was cut off may have been committed
                    for command in batch:
                        command.error = _translate(known)
                    break
                if tries < MOST_TRIES and _may_pass(error):
                    time.sleep(random.uniform(0, min(LONGEST_WAIT_S, 0.01 * 2**tries)))  # noqa: S311
                elif isinstance(error, _HookFailed):
                    log.error("before_commit_failed", exc_info=error.__cause__)
                    hooks = False
                elif len(batch) > 1:
                    for command in batch:
                        self._run_batch([command])
                    return
                else:
                    batch[0].error = _translate(error)
                    break
        self._answer(batch, hints)

    def _transact(self, batch: list[_Command], hints: Hints, *, hooks: bool) -> None:
        with self._writing() as conn:
            now = self.clock()
            for group in _groups(batch):
                if len(group) > 1:
                    self._run_group(group, conn, now, hints)
                else:
                    self._run_command(group[0], conn, now, hints, alone=len(batch) == 1)
            for hook in self.before_commit if hooks else ():
                try:
                    hook(Tx(conn, now, hints))
                except Exception as error:
                    raise _HookFailed(str(error)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction. SQLite's one writer keeps its connection: taking it from the pool costs a fifth of a small batch."""
        if not self.sqlite:
            with self.write_engine.begin() as conn:
                yield conn
            return
        if self._kept is None or self._kept.closed or self._kept.invalidated:
            self._kept = self.write_engine.connect()
        try:
            with self._kept.begin():
                yield self._kept
        except BaseException:  # a commit that failed may have left its transaction open; the pool rolls it back
            self._kept.close()
            raise

    def _run_group(self, group: list[_Command], conn: Connection, now: float, hints: Hints) -> None:
        """Commands of one kind as one; where that fails, each alone."""
        tx = Tx(conn, now)
        conn.exec_driver_sql("SAVEPOINT command")
        try:
            merge = group[0].merge
            assert merge is not None
            results = merge(tx, [command.item for command in group])
            conn.exec_driver_sql("RELEASE SAVEPOINT command")
        except Exception as error:
            tx.hints.rolled_back()
            if _breaks_transaction(error):
                raise
            conn.exec_driver_sql("ROLLBACK TO SAVEPOINT command")
            for command in group:
                self._run_command(command, conn, now, hints, alone=False)
            return
        hints.add(tx.hints)
        for command, result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                command.error = result
            else:
                command.result = result

    def _run_command(self, command: _Command, conn: Connection, now: float, hints: Hints, *, alone: bool) -> None:
        tx = Tx(conn, now)
        if alone:
            try:
                command.result = command.run(tx)
            except BaseException:
                tx.hints.rolled_back()
                raise
            hints.add(tx.hints)
            return
        conn.exec_driver_sql("SAVEPOINT command")  # SQLAlchemy's own nested transactions cost several times as much
        try:
            command.result = command.run(tx)
            conn.exec_driver_sql("RELEASE SAVEPOINT command")
            hints.add(tx.hints)
        except Exception as error:
            tx.hints.rolled_back()
            if _breaks_transaction(error):
                raise
            conn.exec_driver_sql("ROLLBACK TO SAVEPOINT command")
            command.error = _translate(error)

    def _answer(self, batch: list[_Command], hints: Hints) -> None:
        loop = self._loop
        assert loop is not None
        with contextlib.suppress(RuntimeError):  # the loop was closed under us
            loop.call_soon_threadsafe(self._deliver, batch, hints)

    def _deliver(self, batch: Iterable[_Command], hints: Hints) -> None:
        """Those who wait for what happened are woken before those who made it happen: agents get their work, people their ends."""
        try:
            for call in hints.after:
                call()
            if hints:
                for listener in self.after_commit:
                    listener(hints)
        finally:
            for command in batch:
                if command.future.done():
                    continue
                if command.error is not None:
                    command.future.set_exception(command.error)
                else:
                    command.future.set_result(command.result)


class _HookFailed(Exception):
    """What stands in ``before_commit`` failed; the batch is committed without it."""


def _may_pass(error: BaseException) -> bool:
    """True for what another try may not meet again: PostgreSQL's deadlocks and conflicts of transactions."""
    known = error.__cause__ if isinstance(error, _HookFailed) else error
    return isinstance(known, DBAPIError) and getattr(known.orig, "sqlstate", None) in CONFLICTS


def _alone(merge: "Merge", item: Any, tx: Tx) -> Any:
    (result,) = merge(tx, [item])
    if isinstance(result, Exception):
        raise result
    return result


def _groups(batch: Sequence[_Command]) -> list[list[_Command]]:
    """The batch in order, but commands of one kind together at the place of the first."""
    groups: list[list[_Command]] = []
    of_kind: dict[Merge, list[_Command]] = {}
    for command in batch:
        if command.merge is not None and command.merge in of_kind:
            of_kind[command.merge].append(command)
            continue
        groups.append([command])
        if command.merge is not None:
            of_kind[command.merge] = groups[-1]
    return groups


def _breaks_transaction(error: BaseException) -> bool:
    """Errors after which the whole transaction is gone (full disk, lost connection, deadlock)."""
    return isinstance(error, OperationalError)


def is_disk_full(error: BaseException) -> bool:
    """Whether this is how the system or the database says that there is no room."""
    if isinstance(error, OperationalError):
        return any(words in str(error.orig).lower() for words in DISK_FULL)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL could not be reached, or broke the connection off: it was restarted, or is being started."""
    if not isinstance(error, DBAPIError) or not hasattr(error.orig, "sqlstate"):  # SQLite's have none
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    lost = isinstance(error, OperationalError | InterfaceError) and not state
    return lost or state.startswith("08") or state in AWAY


def _translate(error: BaseException) -> BaseException:
    if is_away(error):
        return Problem(
            "unavailable",
            "The server cannot reach its database just now; whether this was carried out is not known.",
            hint="Send the request again in a moment; with an Idempotency-Key nothing is done twice.",
        )
    if is_disk_full(error):
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
