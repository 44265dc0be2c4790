"""Connections, the writer threads and group commit.

Every write of the server is a function of a ``Tx``. Writers take what has queued up, run it in one transaction with a savepoint
for each function, and answer after the commit: on SQLite one writer, ``BEGIN IMMEDIATE``, ``synchronous=FULL``; on PostgreSQL a
few, beside those of other servers. Functions must not touch the network and must be quick.

On PostgreSQL a transaction also tells the other servers of the database what it changed (``hints``).
"""

import asyncio
import contextlib
import json
import queue
import random
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from sirdar.domain.problems import Problem
from sirdar.store.clock import WatchedClock
from sirdar.store.connect import READERS, make_engine
from sirdar.store.errors import breaks_transaction, is_away, may_pass, translate
from sirdar.store.gather import Gatherer
from sirdar.store.hints import Hints, encode
from sirdar.store.holding import Holds
from sirdar.store.hot import Hot

T = TypeVar("T")
Merge: TypeAlias = "Callable[[Tx, list[Any]], Sequence[Any]]"
MAX_BATCH = 256
POSTGRES_WRITERS = 4
MOST_TRIES = 16
LONGEST_WAIT_S = 1.3  # between two tries

CHANNEL = "sirdar"
_TELL = Hot("SELECT 1", f"SELECT pg_notify('{CHANNEL}', :text)")
# In one order, before anything else in the transaction is locked: two batches that name the same agents cannot deadlock.
_LOCK_RESOURCES = Hot(
    "SELECT 1",
    "SELECT id FROM resources WHERE id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))"
    " ORDER BY id FOR NO KEY UPDATE",
)

log = structlog.get_logger()


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
    resource_id: str = ""  # whose row is locked before the batch begins
    apart: bool = False  # on PostgreSQL it has a transaction of its own


class Store:
    """The ledger of one server process. ``write`` and ``read`` are for coroutines; ``write_now`` for start-up code and tests."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self.url = url
        self.watched = WatchedClock()
        self.clock: Callable[[], float] = clock or self.watched
        self.sqlite = url.startswith("sqlite")
        self.write_engine = make_engine(url, writer=True)
        self.read_engine = make_engine(url, writer=False)
        # Runs inside the transaction, after the batch's commands: the scheduler leases what they made ready,
        # so that a submission and its lease are one commit. Where it fails, the commands are committed without it.
        self.before_commit: list[Callable[[Tx], None]] = []
        self.after_commit: list[Callable[[Hints], None]] = []  # called on the event loop's thread
        self.after_others: list[Callable[[Hints], None]] = []  # the same, for what another server has committed
        self.name = secrets.token_hex(4)  # of this process, among the servers of one database
        self.alone = self.sqlite  # no other server listens: nobody is told
        self.key_print = ""  # of the key that the servers of a database share
        self.greeted = False  # another server has heard of it, or begins with the same key
        self.stranger = False  # those that were here before have another key
        self._holds = None if self.sqlite else Holds(url)
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
        if self._holds is not None:
            self._holds.close()

    async def write(
        self, run: Callable[[Tx], T], *, patient: bool = False, resource_id: str = "", apart: bool = False
    ) -> T:
        """Run in the next transaction; returns (or raises) after the commit. ``patient``: in a burst, others go first.

        On PostgreSQL, the row of ``resource_id`` is locked at the transaction's beginning, so that what is read of it holds
        until the commit, whatever other servers do. ``apart``: in a transaction of its own, because it may wait for locks.
        """
        if self._closed:
            raise Problem("unavailable", "The server is stopping.", hint="Send the request again.")
        loop = asyncio.get_running_loop()
        command = _Command(
            run,
            loop,
            loop.create_future(),
            patient=patient,
            queued_at=time.monotonic(),
            resource_id=resource_id,
            apart=apart and not self.sqlite,
        )
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
            raise translate(error) from error

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
            for part in _apart(batch):
                self._run_batch(part)

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
                        command.error = translate(known)
                    break
                if tries < MOST_TRIES and may_pass(known):
                    time.sleep(random.uniform(0, min(LONGEST_WAIT_S, 0.01 * 2**tries)))  # noqa: S311
                elif isinstance(error, _HookFailed):
                    log.error("before_commit_failed", exc_info=error.__cause__)
                    hooks = False
                elif len(batch) > 1:
                    for command in batch:
                        self._run_batch([command])
                    return
                else:
                    batch[0].error = translate(error)
                    break
        self._answer(batch, hints)

    def _transact(self, batch: list[_Command], hints: Hints, *, hooks: bool) -> None:
        with self._writing() as conn:
            now = self.clock()
            if not self.sqlite:
                _lock_resources(conn, batch)
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
            if not self.alone and hints:
                for text in encode(hints, self.name):
                    _TELL.all(conn, text=text)

    @contextlib.asynccontextmanager
    async def hold(self, what: str) -> AsyncIterator[bool]:
        """Within the block no other server does this work; False: one does. Work is only saved: writes check for themselves.

        Raises Problem ``unavailable`` where the database is away.
        """
        if self.alone or self._holds is None:
            yield True
            return
        try:
            async with self._holds.hold(what) as mine:
                yield mine
        except DBAPIError as error:
            raise translate(error) from error

    def tell(self, conn: Connection, text: str) -> None:
        """Tell the other servers something when this transaction is committed. PostgreSQL only."""
        _TELL.all(conn, text=text)

    def heard(self, hints: Hints) -> None:
        """Another server has committed this. Called on the event loop."""
        for listener in self.after_others:
            listener(hints)

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
            if breaks_transaction(error):
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
            if breaks_transaction(error):
                raise
            conn.exec_driver_sql("ROLLBACK TO SAVEPOINT command")
            command.error = translate(error)

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


def _alone(merge: "Merge", item: Any, tx: Tx) -> Any:
    (result,) = merge(tx, [item])
    if isinstance(result, Exception):
        raise result
    return result


def _apart(batch: list[_Command]) -> Iterator[list[_Command]]:
    """The batch without the commands that have a transaction of their own, then these, one by one."""
    together = [command for command in batch if not command.apart]
    if together:
        yield together
    for command in batch:
        if command.apart:
            yield [command]


def _lock_resources(conn: Connection, batch: Sequence[_Command]) -> None:
    ids = {command.resource_id for command in batch} - {""}
    if ids:
        _LOCK_RESOURCES.all(conn, ids=json.dumps(sorted(ids)))


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
