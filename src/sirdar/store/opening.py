"""Databases by their address: opened beside a server's own connections, for what is done with a whole one."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from sirdar.domain.problems import Problem
from sirdar.store.errors import is_disk_full

SQLITE = "sqlite:///"


def driver_url(url: str) -> str:
    """An address as SQLAlchemy takes it: ``postgresql://`` and ``postgres://`` mean the driver that Sirdar brings."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in {"postgresql", "postgres"} else url


def is_postgres(url: str) -> bool:
    return driver_url(url).startswith("postgresql+psycopg://")


def place(url: str) -> Path | None:
    """The file of an SQLite database; None for PostgreSQL."""
    return Path(url.removeprefix(SQLITE)) if url.startswith("sqlite") else None


def shown(url: str) -> str:
    """An address without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.partition("://")[0] + "://..."


def open_plain(url: str) -> Engine:
    """An engine whose connections begin true transactions, also around changes of the schema, and enforce no foreign keys.

    Raises Problem ``invalid_field`` where the address is none, or the driver is not installed.
    """
    expected = "postgresql://USER:PASSWORD@HOST/NAME, or sqlite:///PATH"
    if not url.startswith(SQLITE) and not is_postgres(url):
        raise Problem("invalid_field", f"{shown(url)!r} is no database.", field="database", expected=expected)
    try:
        engine = sa.create_engine(driver_url(url), poolclass=NullPool, hide_parameters=True)
    except ArgumentError:
        raise Problem("invalid_field", f"{shown(url)!r} is no database.", field="database", expected=expected) from None
    except ModuleNotFoundError as error:
        detail = f"PostgreSQL needs the package {error.name}."
        raise Problem("invalid_field", detail, field="database", hint="Install sirdar[server,postgres].") from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _by_hand)
        sa.event.listen(engine, "begin", _begin)
    return engine


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """A connection that sees the database as it is now, however long it reads, while others write.

    Raises Problem ``not_found`` where it is an SQLite file that is not there.
    """
    path = place(url)
    if path is not None and not path.exists():
        raise Problem("not_found", f"There is no database {path}.")
    engine = open_plain(url)
    try:
        with database_in_words(url), engine.connect() as conn:
            if path is None:
                conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            else:
                conn.info["deferred"] = True  # a reader does not stop the writer
                conn.exec_driver_sql("PRAGMA query_only=ON")
                conn.rollback()
            with conn.begin():
                conn.exec_driver_sql("SELECT 1" if path is None else "SELECT count(*) FROM sqlite_master")
                yield conn
    finally:
        engine.dispose()


@contextlib.contextmanager
def database_in_words(url: str) -> Iterator[None]:
    """What the database's driver raises becomes a Problem that says which database, and what it said."""
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        if is_disk_full(error):
            raise Problem("disk_full", f"There is no room for {shown(url)}: {said}; nothing was kept.") from error
        raise Problem("unavailable", f"The database {shown(url)} said: {said}") from error


def _by_hand(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin late, and not at all for a change of the schema
    connection.execute("PRAGMA busy_timeout=30000")


def _begin(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN" if conn.info.get("deferred") else "BEGIN IMMEDIATE")
