"""Engines: how the two databases are opened, for the writers and for readers."""

import sqlite3

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

READERS = 4


def make_engine(url: str, *, writer: bool) -> Engine:
    """The engine of the one writer, or of readers. On PostgreSQL both are alike."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=8, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1 if writer else READERS,
        max_overflow=4,
        hide_parameters=True,  # errors go to the log with their text
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
