"""The values of a job's table in order: filled piece by piece when they are first asked for, kept up as tasks end from then on.

Jobs that nobody looks at so cost nothing. ``task_columns.upto`` says how far a column is filled, under the job's row lock,
which every end of a task holds too: no value is missed, and one that is written twice is the same.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.task_table import RUN, Column, Compare, Condition, Sort, ordered_value, value_at
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.job_views import JobView
from sirdar.store.jobs import load_items, lock_jobs
from sirdar.store.tables import jobs, task_columns, tasks

AT_ONCE = 4096  # tasks that are filled in one transaction
FEW = 4000  # fewer fit: they are found first and sorted; else the order is followed until a page is full

TaskValues: TypeAlias = tuple[int, Mapping[str, Any]]  # number of a task, values by names of columns

_COLUMNS = Hot(
    sa.select(task_columns.c.name, task_columns.c.id, task_columns.c.upto).where(
        task_columns.c.job_id == sa.bindparam("job")
    )
)
_ADD = Hot(
    "INSERT INTO task_values (col, no, number, letters) VALUES (:col, :no, :number, :letters) ON CONFLICT (col, no) DO NOTHING"
)
_ADD_POSTGRES = sa.text(
    "INSERT INTO task_values (col, no, number, letters) SELECT * FROM unnest(CAST(:col AS bigint[]), CAST(:no AS integer[]),"
    " CAST(:number AS double precision[]), CAST(:letters AS text[])) ON CONFLICT (col, no) DO NOTHING"
)
_SQL = {
    Compare.EQUAL: "=",
    Compare.DIFFERENT: "<>",
    Compare.LESS: "<",
    Compare.AT_MOST: "<=",
    Compare.MORE: ">",
    Compare.AT_LEAST: ">=",
}


# ---------------------------------------------------------------- writing


def ended_values(no: int, started_at: float | None, columns: Mapping[str, Any]) -> TaskValues:
    """The values that a task has from its end on. ``columns``: those of its row."""
    outputs = json.loads(columns["result_json"]) if columns.get("result_json") else {}
    found = {f"outputs.{name}": value for name, value in outputs.items()}
    if started_at is not None and columns.get("ended_at") is not None:
        found[RUN.name] = max(0.0, columns["ended_at"] - started_at)
    return no, found


def add_values(tx: Tx, job_id: str, values: Iterable[TaskValues]) -> None:
    """Write values of tasks, of those columns that are kept in order. The job's row is locked."""
    ids = {name: id for name, id, _ in _COLUMNS.all(tx.conn, job=job_id)}
    rows = [
        {"col": ids[name], "no": no, "number": kept[0], "letters": kept[1]}
        for no, named in values
        for name, value in named.items()
        if name in ids and (kept := ordered_value(value)) is not None
    ]
    if rows and tx.conn.dialect.name == "postgresql":
        tx.conn.execute(_ADD_POSTGRES, {name: [row[name] for row in rows] for name in rows[0]})
    elif rows:
        _ADD.run(tx.conn, rows)


def kept(conn: Connection, job: JobView) -> frozenset[str]:
    """Names of the columns that are, wholly or in part, in order."""
    return frozenset(name for name, _, _ in _COLUMNS.all(conn, job=job.id)) if job.ordered else frozenset()


def missing(conn: Connection, job: JobView, columns: Iterable[Column]) -> list[Column]:
    """Those of the columns that are not, or not yet wholly, in order."""
    upto = {name: upto for name, _, upto in _COLUMNS.all(conn, job=job.id)} if job.ordered else {}
    return [column for column in columns if upto.get(column.name, -1) < job.total]


def fill(tx: Tx, job: JobView, column: Column) -> int:
    """Put the next tasks' values of a column in order; below which number they all are now."""
    row = lock_jobs(tx, [job.id]).get(job.id)
    if row is None:
        return job.total
    mine = (task_columns.c.job_id == job.id, task_columns.c.name == column.name)
    first = tx.conn.execute(sa.select(task_columns.c.upto).where(*mine)).scalar()
    if first is None:
        first = 0
        tx.conn.execute(sa.insert(task_columns).values(job_id=job.id, name=column.name, upto=0))
        tx.conn.execute(sa.update(jobs).where(jobs.c.id == job.id).values(ordered=1))
    last = min(row.job.total, first + AT_ONCE)  # an open job may have more by now than who asked has seen
    add_values(tx, job.id, _values_between(tx.conn, job, column, first, last))
    tx.conn.execute(sa.update(task_columns).where(*mine).values(upto=last))
    return last


def learn(tx: Tx) -> None:
    """Have PostgreSQL look at what was just filled: until it knows how values are spread, it plans searches badly."""
    if tx.conn.dialect.name == "postgresql":
        tx.conn.exec_driver_sql("ANALYZE task_values")


def _values_between(conn: Connection, job: JobView, column: Column, first: int, last: int) -> Iterable[TaskValues]:
    if column.of_input:
        items = load_items(conn, job.id, range(first, last)) if job.many else {}
        for no in range(first, last):
            yield no, {column.name: value_at({**job.inputs, **items.get(no, {})}, column)}
        return
    result = tasks.c.result_json if column.of_output else sa.null()
    query = sa.select(tasks.c.no, tasks.c.started_at, tasks.c.ended_at, result).where(
        tasks.c.job_id == job.id, tasks.c.no >= first, tasks.c.no < last, tasks.c.ended_at.is_not(None)
    )
    for no, started_at, ended_at, text in conn.execute(query):
        _, named = ended_values(no, started_at, {"ended_at": ended_at, "result_json": text})
        yield no, {column.name: named.get(column.name)}


# ---------------------------------------------------------------- reading


class Ordered:
    """A search by values that are in order: numbers of tasks that fit all conditions, by one column's values.

    ``of_task``: besides, what must hold of ``t`` (a task's row, if it has one) and ``r`` (its resource), in SQL with ``params``;
    ``few``: at most a few thousand rows do, and no task without one.
    """

    def __init__(
        self,
        conn: Connection,
        job: JobView,
        conditions: Sequence[Condition],
        *,
        of_task: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        few: bool = False,
    ) -> None:
        self._conn = conn
        self._ids: dict[str, int] = {name: id for name, id, _ in _COLUMNS.all(conn, job=job.id)}
        self._params: dict[str, Any] = {"job": job.id, "first": 0, "total": job.total, **(params or {})}
        self._of_task, self._few = list(of_task), few
        self._conditions = self._by_column(conditions)
        self._narrow: tuple[str, list[tuple[str, str]]] | None = None

    def numbers(self, sort: Sort | None, *, after: int, offset: int, limit: int) -> list[int]:
        """One page: those with a value in order (descending: exactly the other way round), then those without, by number."""
        if sort is None:
            self._params["first"] = after + 1
            return self._of_all([], 0, limit)
        column = self._bind(self._ids[sort.column.name])
        found = self._sorted(column, "DESC" if sort.descending else "ASC", offset, limit)
        if len(found) == limit:
            return found
        valued = f"EXISTS (SELECT 1 FROM task_values w WHERE w.col = {column} AND w.no = n.no)"  # noqa: S608
        passed = offset - self._count_of_all([valued]) if not found and offset else 0
        return found + self._of_all([f"NOT {valued}"], max(0, passed), limit - len(found))

    def count(self) -> int:
        """How many fit."""
        if len(self._conditions) == 1 and not self._of_task:
            return self._one(f"SELECT count(*) FROM ({self._fitting(self._conditions[0])}) s")  # noqa: S608
        return self._count_of_all([])

    # ------------------------------------------------------------ by value

    def _sorted(self, column: str, direction: str, offset: int, limit: int) -> list[int]:
        """Of those with a value: the few that fit the narrowest condition, sorted; else the order is followed."""
        begin, conditions = self._narrowest()
        same = [rest.replace("c.", "v.") for of, rest in conditions if self._params[of[1:]] == self._params[column[1:]]]
        others = [(of, rest) for of, rest in conditions if self._params[of[1:]] != self._params[column[1:]]]
        where = [f"v.col = {column}", *(["v.no = c.no"] if begin else []), *same, *self._must("v.no", others)]
        source = f"{'c CROSS JOIN ' if begin else ''}task_values v {self._rows('v.no')}"
        order = f"v.number {direction}, v.letters {direction}, v.no {direction}"
        statement = f"{begin} SELECT v.no FROM {source} WHERE {' AND '.join(where)} ORDER BY {order}"  # noqa: S608
        return self._page(statement, offset, limit)

    def _narrowest(self) -> tuple[str, list[tuple[str, str]]]:
        """A beginning of the statement that gives the few that can fit as ``c``, and the conditions that are left."""
        if self._narrow is None:
            self._narrow = self._find_narrowest()
        return self._narrow

    def _find_narrowest(self) -> tuple[str, list[tuple[str, str]]]:
        if self._few and self._of_task:
            inner = f"SELECT t.no FROM tasks t {_RESOURCE} WHERE t.job_id = :job AND {' AND '.join(self._of_task)}"  # noqa: S608
            return f"WITH c AS MATERIALIZED ({inner})", self._conditions
        for place, one in enumerate(self._conditions):
            if self._one(f"SELECT count(*) FROM ({self._fitting(one)} LIMIT {FEW}) s") < FEW:  # noqa: S608
                rest = self._conditions[:place] + self._conditions[place + 1 :]
                return f"WITH c AS MATERIALIZED ({self._fitting(one)})", rest
        return "", self._conditions

    # ------------------------------------------------------------ by number

    def _of_all(self, where: Sequence[str], offset: int, limit: int) -> list[int]:
        return self._page(f"{self._all_that('n.no', where)} ORDER BY n.no", offset, limit)

    def _count_of_all(self, where: Sequence[str]) -> int:
        return self._one(self._all_that("count(*)", where))

    def _all_that(self, what: str, where: Sequence[str]) -> str:
        """Of the few that can fit, where there are such, else of all numbers of the job."""
        begin, conditions = self._narrowest()
        numbers = _NUMBERS_SQLITE if self._conn.dialect.name == "sqlite" else _NUMBERS_POSTGRES
        must = " AND ".join([f"n.no >= {self._bind(self._params['first'])}", *where, *self._must("n.no", conditions)])
        source = f"{'c n' if begin else numbers} {self._rows('n.no')}"
        return f"{begin} SELECT {what} FROM {source} WHERE {must}"  # noqa: S608

    # ------------------------------------------------------------ parts

    def _by_column(self, conditions: Sequence[Condition]) -> list[tuple[str, str]]:
        """Ids of columns, and what must hold of their values, as ``c``: those of one column together are a range."""
        found: dict[str, list[str]] = {}
        for one in conditions:
            value = "c.letters" if isinstance(one.value, str) else "c.number"
            found.setdefault(one.column.name, []).append(f"{value} {_SQL[one.compare]} {self._bind(one.value)}")
        return [(self._bind(self._ids[name]), " AND ".join(parts)) for name, parts in found.items()]

    def _fitting(self, condition: tuple[str, str]) -> str:
        return f"SELECT c.no FROM task_values c WHERE c.col = {condition[0]} AND {condition[1]}"  # noqa: S608

    def _must(self, no: str, conditions: Sequence[tuple[str, str]]) -> list[str]:
        exists = [f"EXISTS ({self._fitting(one)} AND c.no = {no})" for one in conditions]
        return [*exists, *self._of_task]

    def _rows(self, no: str) -> str:
        return f"LEFT JOIN tasks t ON t.job_id = :job AND t.no = {no} {_RESOURCE}" if self._of_task else ""

    def _page(self, statement: str, offset: int, limit: int) -> list[int]:
        return list(self._run(f"{statement} LIMIT {self._bind(limit)} OFFSET {self._bind(offset)}").scalars())

    def _one(self, statement: str) -> int:
        return int(self._run(statement).scalar_one())

    def _run(self, statement: str) -> sa.CursorResult[Any]:
        used = {name: value for name, value in self._params.items() if f":{name}" in statement}
        return self._conn.execute(sa.text(statement), used)

    def _bind(self, value: Any) -> str:
        name = f"v{len(self._params)}_"
        self._params[name] = value
        return f":{name}"


_RESOURCE = "LEFT JOIN resources r ON r.id = t.resource_id"
_NUMBERS_SQLITE = (
    "(WITH RECURSIVE g(no) AS (SELECT :first WHERE :first < :total UNION ALL SELECT no + 1 FROM g WHERE no + 1 < :total)"
    " SELECT no FROM g) n"
)
_NUMBERS_POSTGRES = "(SELECT generate_series(CAST(:first AS integer), CAST(:total AS integer) - 1) AS no) n"
