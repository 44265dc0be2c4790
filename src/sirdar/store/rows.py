"""All rows of a database, whatever its tables are: read in order, written into empty tables of the same schema.

Tables come in the order of their foreign keys. What one database gives, the other takes: values are text, numbers, bytes, null.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from sirdar.domain.problems import Problem
from sirdar.store import tables

BATCH = 1000
NOT_CONTENT = frozenset({"alembic_version", tables.blob_holds.name})  # of the database itself, not of what it keeps

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class TableRows:
    """A table and its columns, in the order in which rows give them."""

    name: str
    columns: tuple[str, ...]


def tables_of(conn: Connection) -> list[TableRows]:
    """The tables with content."""
    inspector = sa.inspect(conn)
    names = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name and name not in NOT_CONTENT]
    return [TableRows(name, tuple(column["name"] for column in inspector.get_columns(name))) for name in names]


def is_empty(conn: Connection) -> bool:
    """Whether there is no table at all."""
    return not sa.inspect(conn).get_table_names()


def read_rows(conn: Connection, table: TableRows) -> Iterator[Row]:
    """All rows, read as they are asked for."""
    query = f"SELECT {_quoted(table.columns)} FROM {_quoted([table.name])}"  # noqa: S608  (names from the schema)
    options = {"stream_results": True, "max_row_buffer": BATCH}
    with conn.exec_driver_sql(query, execution_options=options) as result:
        for part in result.partitions(BATCH):
            yield from part


def write_rows(conn: Connection, table: TableRows, rows: Iterable[Row]) -> int:
    """Add rows to a table; how many. Raises Problem ``conflict`` where the database does not take one."""
    write = _copy_in if conn.dialect.name == "postgresql" else _insert
    left, count = iter(rows), 0
    while part := list(islice(left, BATCH)):
        try:
            write(conn, table, part)
        except (DBAPIError, ValueError, _driver_error(conn)) as error:
            if isinstance(error, DBAPIError) and isinstance(error.orig, OSError):
                raise
            said = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise _refused(conn, table, said, error) from error
        count += len(part)
    return count


def count_rows(conn: Connection, table: TableRows) -> int:
    return int(conn.exec_driver_sql(f"SELECT count(*) FROM {_quoted([table.name])}").scalar_one())  # noqa: S608


def set_sequences(conn: Connection) -> None:
    """Have the numbers that the database gives go on after the largest that was written. SQLite does so by itself."""
    if conn.dialect.name != "postgresql":
        return
    inspector = sa.inspect(conn)
    for table in tables_of(conn):
        for column in inspector.get_columns(table.name):
            name = column["name"]
            find = sa.text("SELECT pg_get_serial_sequence(:table, :column)")
            if conn.execute(find, {"table": table.name, "column": name}).scalar_one() is None:
                continue
            after = f"SELECT max({_quoted([name])}) FROM {_quoted([table.name])}"  # noqa: S608
            if (last := conn.exec_driver_sql(after).scalar_one()) is not None:
                set_to = sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
                conn.execute(set_to, {"table": table.name, "column": name, "last": last})


def forget_blobs(conn: Connection, digests: Sequence[str]) -> None:
    """Remove the rows of blobs whose bytes are not there, so that nobody is told that they are."""
    for at in range(0, len(digests), BATCH):
        chosen = tables.blobs.c.sha256.in_(digests[at : at + BATCH])
        conn.execute(tables.blobs.delete().where(chosen))


def blobs_with_rows(conn: Connection) -> Iterator[tuple[str, int, bool]]:
    """Every blob that has a row and is whole: digest, size in bytes, whether somebody names it."""
    b, r = tables.blobs.c, tables.blob_refs.c
    named = sa.exists().where(r.sha256 == b.sha256)
    query = sa.select(b.sha256, b.size_bytes, named).where(b.quarantined_at.is_(None))
    options = {"stream_results": True, "max_row_buffer": BATCH}
    with conn.execute(query, execution_options=options) as result:
        for part in result.partitions(BATCH):
            for sha256, size, has_name in part:
                yield sha256, size, bool(has_name)


def _copy_in(conn: Connection, table: TableRows, rows: Sequence[Row]) -> None:
    statement = f"COPY {_quoted([table.name])} ({_quoted(table.columns)}) FROM STDIN"
    driver: Any = conn.connection.cursor()
    with driver as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _insert(conn: Connection, table: TableRows, rows: Sequence[Row]) -> None:
    marks = ", ".join("?" * len(table.columns))
    statement = f"INSERT INTO {_quoted([table.name])} ({_quoted(table.columns)}) VALUES ({marks})"  # noqa: S608
    conn.exec_driver_sql(statement, [tuple(row) for row in rows])


def _refused(conn: Connection, table: TableRows, said: str, error: BaseException) -> Problem:
    known = error.orig if isinstance(error, DBAPIError) else error
    if any(words in said.lower() for words in ("disk is full", "no space left", "disk full")):
        return Problem("disk_full", f"The database has no room: {said}; nothing was kept.")
    hint = None
    if "NUL" in said or "0x00" in said:
        hint = "PostgreSQL keeps no text with a zero character: change that row in the SQLite database first."
    return Problem("conflict", f"A row of {table.name} was not taken: {type(known).__name__}: {said}", hint=hint)


def _driver_error(conn: Connection) -> type[Exception]:
    """COPY goes past SQLAlchemy, and so do its errors."""
    module: Any = conn.dialect.dbapi
    error: type[Exception] = module.Error
    return error


def _quoted(names: Iterable[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)
