"""An empty database that is filled with all rows of another one, in one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sirdar.domain.problems import Problem
from sirdar.store import rows as row_store
from sirdar.store import schema
from sirdar.store.opening import database_in_words, open_plain, shown
from sirdar.store.people import Conn
from sirdar.store.rows import Row, TableRows


class Filling:
    """The transaction. Nothing of it is seen before the block of ``filling`` has ended."""

    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self._known = {table.name: table for table in row_store.tables_of(conn)}
        self._forgotten = 0

    def add(self, table: TableRows, rows: Iterable[Row]) -> int:
        """Write rows; how many. Raises Problem ``invalid_archive`` where there is no such table or column."""
        known = self._known.get(table.name)
        if known is None or not set(table.columns) <= set(known.columns):
            raise Problem("invalid_archive", f"Its table {table.name} is not as this schema has it.")
        return row_store.write_rows(self._conn, table, rows)

    def forget_blobs(self, digests: Sequence[str]) -> None:
        row_store.forget_blobs(self._conn, digests)
        self._forgotten = len(digests)

    def finish(self, expected: Mapping[str, int]) -> None:
        """Compare the numbers of rows, set what counts on, bring the schema to the newest revision. Raises Problem ``conflict``."""
        for name, number in expected.items():
            found = row_store.count_rows(self._conn, self._known[name])
            wanted = number - (self._forgotten if name == "blobs" else 0)
            if found != wanted:
                raise Problem("conflict", f"{found} rows of {name} arrived of {wanted}; nothing was kept.")
        row_store.set_sequences(self._conn)
        schema.upgrade(self._conn)


@contextmanager
def filling(url: str, revision: str) -> Iterator[Filling]:
    """An empty database's transaction, with the tables of a revision. Committed when the block ends well.

    Raises Problem ``already_exists`` where the database is not empty, ``unavailable``, ``disk_full``.
    """
    engine = open_plain(url)
    try:
        with database_in_words(url), engine.begin() as conn:
            if not row_store.is_empty(conn):
                hint = "Make one of its own for this server: createdb NAME."
                raise Problem("already_exists", f"The database {shown(url)} is not empty.", hint=hint)
            schema.upgrade(conn, revision)
            yield Filling(conn)
    finally:
        engine.dispose()
