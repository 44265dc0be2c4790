"""Statements that every task passes through, run by the database's own driver.

SQLAlchemy compiles each once for a dialect; afterwards only the driver's call is left. Between two rare calls most of a
statement's time is Python code that has fallen out of the processor's caches, so less code is more speed, on an idle system
above all. Errors are SQLAlchemy's, as everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

Params = Mapping[str, Any]


class Hot:
    """A statement with named parameters. ``columns``: what an INSERT fills.

    ``sqlite`` and ``postgres`` may be texts of their own, where the dialects differ.
    """

    def __init__(
        self,
        sqlite: sa.sql.expression.ClauseElement | str,
        postgres: sa.sql.expression.ClauseElement | str | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> None:
        clauses = sqlite, sqlite if postgres is None else postgres
        self._clauses: list[Any] = [sa.text(clause) if isinstance(clause, str) else clause for clause in clauses]
        self._columns = columns
        self._names: tuple[str, ...] = ()
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def run(self, conn: Connection, rows: Sequence[Params]) -> None:
        """Once for each of the rows of parameters. Raises DBAPIError."""
        sql, names, fixed = self._compiled.get(conn.dialect.name) or self._compile(conn)
        values = [_ordered(row, names, fixed) for row in rows]
        driver: Any = conn.connection.driver_connection
        try:
            if len(values) == 1:
                driver.execute(sql, values[0])
            else:
                driver.cursor().executemany(sql, values)
        except Exception as error:
            raise _wrapped(error, sql, values, conn) from error

    def all(self, conn: Connection, **params: Any) -> list[tuple[Any, ...]]:
        """Every row of a query. Raises DBAPIError."""
        sql, names, fixed = self._compiled.get(conn.dialect.name) or self._compile(conn)
        values = _ordered(params, names, fixed)
        driver: Any = conn.connection.driver_connection
        try:
            rows: list[tuple[Any, ...]] = driver.execute(sql, values).fetchall()
        except Exception as error:
            raise _wrapped(error, sql, values, conn) from error
        return rows

    def mapped(self, conn: Connection, **params: Any) -> list[dict[str, Any]]:
        """Every row of a query that is no text, by the names of its columns. Raises DBAPIError."""
        if not self._names:
            self._names = tuple(column.name for column in self._clauses[0].selected_columns)
        return [dict(zip(self._names, row, strict=True)) for row in self.all(conn, **params)]

    def _compile(self, conn: Connection) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        dialect = conn.dialect
        clause = self._clauses[dialect.name == "postgresql"]
        compiled: Any = clause.compile(dialect=dialect, column_keys=self._columns)
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        names = tuple(compiled.positiontup) if compiled.positional else None
        self._compiled[dialect.name] = known = (str(compiled), names, fixed)
        return known


def _ordered(row: Params, names: tuple[str, ...] | None, fixed: Params) -> Any:
    if fixed:
        row = {**fixed, **row}
    return row if names is None else tuple([row[name] for name in names])


def _wrapped(error: Exception, sql: str, values: Any, conn: Connection) -> Exception:
    """As SQLAlchemy would raise it; other errors as they are."""
    dialect = conn.dialect
    base: Any = dialect.loaded_dbapi.Error
    if not isinstance(error, base):
        return error
    made = DBAPIError.instance(sql, values, error, base, dialect=dialect)
    return made if isinstance(made, Exception) else error
