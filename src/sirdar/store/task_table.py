"""Finding tasks of one job: filtered by what they are and say, sorted by any column of its table, values in JSON among them.

Numbers of tasks are found first, in one query; rows are read only for those that are shown. Tasks that were not given out
yet have no row; where they matter, the job's input sets are what is searched, and rows are joined to them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.failures import FailureGroup
from sirdar.domain.plot_data import thin
from sirdar.domain.states import STATES
from sirdar.domain.task_table import Column, Condition, Sort, value_at
from sirdar.domain.task_table import is_ordered as column_is_ordered
from sirdar.store.failures import failure_groups
from sirdar.store.job_views import JobView
from sirdar.store.tables import job_items, resources, tasks
from sirdar.store.task_values import FEW, Ordered, missing
from sirdar.store.task_views import implied_state

AT_ONCE = 500
LARGE = 2000  # tasks, from which on sorting by a value goes by values that are kept in order
# Escapes that PostgreSQL's jsonb refuses: of a zero byte, and of half a character.
_REFUSED = r"\\u(0000|d[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f])"


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """``resource``: name or id. ``text`` stands in a message, or in a value of the table; ASCII letters match in either case.

    ``like``: number of a task; those that failed as that one did.
    """

    state: Sequence[str] = ()
    resource: str | None = None
    reason: str | None = None
    text: str | None = None
    like: int | None = None
    where: Sequence[Condition] = ()  # of values, which are kept in order then

    def __bool__(self) -> bool:
        return bool(self.state or self.resource or self.reason or self.text or self.like is not None or self.where)


class TaskRow(NamedTuple):
    """What the table needs of a task. Times are seconds since 1970; what is staged by the agent's own word."""

    no: int
    state: str
    resource: str | None = None
    ready_at: float | None = None
    staging_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reported_at: float | None = None
    attempts: int = 0
    reason: str | None = None
    staged: Mapping[str, Any] = MappingProxyType({})  # staged_in_s, staged_in_bytes, staged_out_bytes
    outputs: Mapping[str, Any] = MappingProxyType({})


def find_numbers(
    conn: Connection,
    job: JobView,
    wanted: TaskFilter,
    columns: Sequence[Column],
    sort: Sort | None = None,
    *,
    after: int = -1,
    offset: int = 0,
    limit: int = 40,
) -> list[int]:
    """Numbers of the tasks of one page, in order.

    Without ``sort`` they go on ``after`` a number; sorted, ``offset`` of them are passed over.
    """
    if is_ordered(conn, job, wanted, sort):
        return _ordered(conn, job, wanted, columns).numbers(sort, after=after, offset=offset, limit=limit)
    query = _Query(conn, job, wanted, columns, sort)
    found = query.numbers(after=after, offset=offset, limit=limit)
    if query.searches_all:
        return found
    return [*found, *_without_row(job, wanted, max(job.expanded, after + 1), limit - len(found))]


def count_tasks(conn: Connection, job: JobView, wanted: TaskFilter, columns: Sequence[Column]) -> int:
    """How many fit."""
    if not wanted:
        return job.total
    if is_ordered(conn, job, wanted, None):
        return _ordered(conn, job, wanted, columns).count()
    query = _Query(conn, job, wanted, columns, None)
    counted = query.count()
    return counted if query.searches_all else counted + len(_without_row(job, wanted, job.expanded, job.total))


def to_order(job: JobView, wanted: TaskFilter, sort: Sort | None) -> list[Column]:
    """Columns whose values should be in order for this question."""
    columns = {one.column.name: one.column for one in wanted.where}
    if sort is not None and column_is_ordered(sort.column) and (wanted.where or job.total >= LARGE):
        columns[sort.column.name] = sort.column
    return list(columns.values())


def is_ordered(conn: Connection, job: JobView, wanted: TaskFilter, sort: Sort | None) -> bool:
    """Whether the question is answered from values that are in order."""
    if (
        not job.ordered
        or (sort is None and not wanted.where)
        or (sort is not None and not column_is_ordered(sort.column))
    ):
        return False
    columns = [*(one.column for one in wanted.where), *([sort.column] if sort is not None else [])]
    return not missing(conn, job, columns)


def _ordered(conn: Connection, job: JobView, wanted: TaskFilter, columns: Sequence[Column]) -> Ordered:
    """The search by values that are in order, with the conditions on tasks that the usual one has."""
    implied = implied_state(job)
    states = {"DONE": job.done, "FAILED": job.failed, "CANCELLED": job.cancelled, "RUNNING": job.running}
    few = bool(wanted.state) and implied not in wanted.state
    few = few and sum(states.get(state, job.total) for state in wanted.state) < FEW
    # Few have rows, all of them: their states are asked for as the index has them.
    of_task, params = _Query(conn, job, replace(wanted, where=()), columns, None, outer=not few).conditions()
    return Ordered(conn, job, wanted.where, of_task=of_task, params=params, few=few)


def _without_row(job: JobView, wanted: TaskFilter, first: int, limit: int) -> range:
    """Numbers of tasks that were not given out yet and fit. No resource has them, and nobody said anything of them."""
    fits = not wanted.state or implied_state(job) in wanted.state
    if not fits or wanted.resource or wanted.reason or wanted.text or limit <= 0:
        return range(0)
    if wanted.like is not None and not (wanted.like >= job.expanded and implied_state(job) == "FAILED"):
        return range(0)
    return range(first, max(first, min(job.total, first + limit)))


class _Query:
    """One search among the tasks of a job; gathers parameters as its parts are written.

    Rows are of ``t`` (a task) and ``r`` (its resource); of ``x`` (number and input set) where inputs are looked at, or where
    tasks without a row have their place among the others.
    """

    def __init__(
        self,
        conn: Connection,
        job: JobView,
        wanted: TaskFilter,
        columns: Sequence[Column],
        sort: Sort | None,
        *,
        outer: bool = False,  # only its conditions are wanted, of tasks that may have no row
    ) -> None:
        self._conn, self._job = conn, job
        self._sqlite = conn.dialect.name == "sqlite"
        self._params: dict[str, Any] = {"job": job.id}
        of_inputs = wanted.text is not None and any(column.of_input for column in columns)
        self.searches_all = outer or (job.many and job.expanded < job.total and (sort is not None or of_inputs))
        self._items = self.searches_all or of_inputs or (sort is not None and sort.column.of_input)
        self._no = "x.no" if self._items else "t.no"
        self._state = "coalesce(t.state, :implied)" if self.searches_all else "t.state"
        self._where = self._conditions(wanted, columns)
        self._value, self._order = self._no, "ASC"
        if sort is not None:
            self._value = self._of(sort.column)
            self._order = f"{'DESC' if sort.descending else 'ASC'} NULLS LAST"

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """What must hold of ``t`` and ``r``, and its parameters."""
        return self._where[1:], {**self._params, "implied": implied_state(self._job)}

    def numbers(self, *, after: int, offset: int, limit: int) -> list[int]:
        where = [*self._where, *([f"{self._no} > {self._bind(after)}"] if after >= 0 else [])]
        inner = f"SELECT {self._no} AS no, {self._value} AS v FROM {self._source()} WHERE {' AND '.join(where)}"  # noqa: S608
        statement = f"SELECT s.no FROM ({inner}) s ORDER BY s.v {self._order}, s.no LIMIT :most OFFSET :passed"  # noqa: S608
        return list(self._run(statement, most=limit, passed=offset).scalars())

    def count(self) -> int:
        statement = f"SELECT count(*) FROM {self._source()} WHERE {' AND '.join(self._where)}"  # noqa: S608
        return int(self._run(statement).scalar_one())

    def _run(self, statement: str, **more: Any) -> sa.CursorResult[Any]:
        params = {**self._params, **more, "implied": implied_state(self._job), "ready": self._job.ready_at}
        params["created"] = self._job.created_at
        text = sa.text(statement)
        return self._conn.execute(text, {name: value for name, value in params.items() if f":{name}" in statement})

    def _source(self) -> str:
        resource = "LEFT JOIN resources r ON r.id = t.resource_id"
        if not self._items:
            return f"tasks t {resource}"
        items = _ITEMS_SQLITE if self._sqlite else _ITEMS_POSTGRES
        # An outer join also where every task has a row: else SQLite goes through the input sets anew for each task.
        return f"({items}) x LEFT JOIN tasks t ON t.job_id = :job AND t.no = x.no {resource}"

    # ------------------------------------------------------------ conditions

    def _conditions(self, wanted: TaskFilter, columns: Sequence[Column]) -> list[str]:
        where = ["1 = 1" if self._items or self.searches_all else "t.job_id = :job"]
        if wanted.state:
            # Letter for letter, so that the index of the failed ones can be used; a word that is no state raises KeyError.
            any_of = [f"{self._state} = '{STATES[state].value}'" for state in wanted.state]
            where.append(f"({' OR '.join(any_of)})")
        if wanted.resource:
            name = self._bind(wanted.resource)
            where.append(f"(r.name = {name} OR r.id = {name})")
        if wanted.reason:
            where.append(f"t.reason = {self._bind(wanted.reason)}")
        if wanted.text:
            where.append(self._with_text(wanted.text, columns))
        if wanted.like is not None:
            where.append(self._alike(wanted.like))
        return where

    def _alike(self, no: int) -> str:
        """Failed as that task did: where that one never got a row, those without one; none where it has not failed."""
        example = self._conn.execute(_FAILED_AS.where(tasks.c.job_id == self._job.id, tasks.c.no == no)).first()
        if example is None:
            never_begun = no >= self._job.expanded and implied_state(self._job) == "FAILED"
            return "t.no IS NULL" if never_begun else "1 = 0"
        same = " AND ".join(
            f"{column} = {self._bind(value)}" if value is not None else f"{column} IS NULL"
            for column, value in zip(
                ("t.reason", "t.exit_code", "coalesce(t.failure, t.message)"), example, strict=True
            )
        )
        return f"t.state = 'FAILED' AND {same}"

    def _with_text(self, text: str, columns: Sequence[Column]) -> str:
        pattern = self._bind("%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        like = "LIKE" if self._sqlite else "ILIKE"
        said = ["t.message", "t.status_message", *(self._json(column, words=True) for column in columns if column.path)]
        return "(" + " OR ".join(f"{words} {like} {pattern} ESCAPE '\\'" for words in said) + ")"

    # ------------------------------------------------------------ values

    def _of(self, column: Column) -> str:
        """What is sorted by, numbers as numbers."""
        if column.path:
            return self._json(column)
        told = self._told("staged_in_s")
        waited = f"(t.started_at - coalesce(t.ready_at, :ready) - coalesce({told}, t.started_at - t.staging_at, 0))"
        return {
            "no": self._no,
            "state": self._state,
            "resource": "r.name",
            "waitS": f"CASE WHEN {waited} < 0 THEN 0 ELSE {waited} END",
            "runS": "t.ended_at - t.started_at",
            "totalS": "coalesce(t.reported_at, t.ended_at) - :created",
            "stagedInBytes": self._told("staged_in_bytes"),
            "stagedOutBytes": self._told("staged_out_bytes"),
            "attempts": "coalesce(t.last_attempt, 0)",
        }[column.name]

    def _told(self, name: str) -> str:
        """A number of the agent's own report."""
        if self._sqlite:
            return f"json_extract(t.stats_json, '$.{name}')"
        return f"CAST(CAST(t.stats_json AS jsonb) ->> '{name}' AS double precision)"

    def _json(self, column: Column, *, words: bool = False) -> str:
        """A value of an input set (else of what all tasks have in common) or of a result; as a text where ``words`` are wanted."""
        if column.of_output:
            return self._inside("t.result_json", column, words=words)
        own = self._inside("x.item", column, words=words)
        common = value_at(self._job.inputs, column)
        if common is None:
            return own
        if self._sqlite:
            return f"coalesce({own}, {self._bind(common)})"
        usual = self._bind(str(common) if words else json.dumps(common))
        return f"coalesce({own}, {usual if words else f'CAST({usual} AS jsonb)'})"

    def _inside(self, document: str, column: Column, *, words: bool) -> str:
        if self._sqlite:
            value = (
                f"json_extract({document}, {self._bind('$' + ''.join(f'.{json.dumps(key)}' for key in column.path))})"
            )
            return f"CAST({value} AS text)" if words else value
        place = f"CAST({self._bind('{' + ','.join(json.dumps(key) for key in column.path) + '}')} AS text[])"
        refused = f"strpos({document}, '\\u') > 0 AND {document} ~* {self._bind(_REFUSED)}"
        whole = f"(CASE WHEN {refused} THEN NULL ELSE CAST({document} AS jsonb) END)"
        return f"{whole} #>> {place}" if words else f"nullif({whole} #> {place}, CAST('null' AS jsonb))"

    def _bind(self, value: Any) -> str:
        name = f"p{len(self._params)}_"
        self._params[name] = value
        return f":{name}"


_ITEMS_SQLITE = (
    "SELECT i.first + e.key AS no, e.value AS item FROM job_items i, json_each(i.items_json) e WHERE i.job_id = :job"
)
_ITEMS_POSTGRES = (
    "SELECT CAST(i.first + e.place - 1 AS integer) AS no, CAST(e.value AS text) AS item FROM job_items i"
    " CROSS JOIN LATERAL json_array_elements(CAST(i.items_json AS json)) WITH ORDINALITY AS e(value, place)"
    " WHERE i.job_id = :job"
)


# ---------------------------------------------------------------- rows


_ROW = sa.select(
    tasks.c.no,
    tasks.c.state,
    resources.c.name,
    tasks.c.ready_at,
    tasks.c.staging_at,
    tasks.c.started_at,
    tasks.c.ended_at,
    tasks.c.reported_at,
    tasks.c.last_attempt,
    tasks.c.reason,
    tasks.c.stats_json,
    tasks.c.result_json,
).select_from(tasks.outerjoin(resources, resources.c.id == tasks.c.resource_id))


def read_rows(conn: Connection, job: JobView, numbers: Sequence[int]) -> list[TaskRow]:
    """Those tasks, in that order."""
    found: dict[int, TaskRow] = {}
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        these = tasks.c.no.in_(some)
        if max(some) - min(some) < len(some):  # one after another
            these = tasks.c.no.between(min(some), max(some))
        rows = conn.execute(_ROW.where(tasks.c.job_id == job.id, these)).all()
        documents = zip(_decoded(row[-2] for row in rows), _decoded(row[-1] for row in rows), strict=True)
        found.update((row[0], TaskRow._make((*row[:-2], *both))) for row, both in zip(rows, documents, strict=True))
    implied = implied_state(job)
    reason = {"CANCELLED": "cancelled", "FAILED": job.reason}.get(implied)
    return [found.get(no) or TaskRow(no, implied, reason=reason) for no in numbers]


def _decoded(texts: Iterable[str | None]) -> list[Any]:
    """The objects in columns of JSON, read as one document, which takes a third of the time; empty where there is none."""
    decoded: list[Any] = json.loads(f"[{','.join(text or '{}' for text in texts)}]")
    return decoded


# ---------------------------------------------------------------- input sets


def input_sets(conn: Connection, job_id: str) -> Iterator[dict[str, Any]]:
    """All input sets of a job of many, in order, as they are read."""
    query = sa.select(job_items.c.items_json).where(job_items.c.job_id == job_id).order_by(job_items.c.first)
    for row in conn.execution_options(yield_per=8).execute(query):
        yield from json.loads(row.items_json)


# ---------------------------------------------------------------- failures, samples


# How a task failed: those that are the same in this are shown, and run again, together.
_ALIKE = (tasks.c.reason, tasks.c.exit_code, sa.func.coalesce(tasks.c.failure, tasks.c.message))
_FAILED = sa.text("tasks.state = 'FAILED'")
_FAILED_AS = sa.select(*_ALIKE).where(_FAILED)


def failures(conn: Connection, job: JobView, most: int) -> list[FailureGroup]:
    """Failed tasks by reason, exit code and kind of message, the most frequent first, ``most`` groups at most."""
    found = failure_groups(conn, job.id, most) if job.many else _failure_of_one(conn, job)
    never_begun = job.total - job.expanded
    if never_begun and implied_state(job) == "FAILED":
        found.append(FailureGroup(job.reason or "", job.message or "", job.exit_code, never_begun, job.expanded))
    found.sort(key=lambda group: (-group.count, group.example))
    return found[:most]


def _failure_of_one(conn: Connection, job: JobView) -> list[FailureGroup]:
    """Of a job of one task, whose kinds of failures nobody counts."""
    query = sa.select(tasks.c.reason, tasks.c.message, tasks.c.exit_code).where(tasks.c.job_id == job.id, _FAILED)
    return [FailureGroup(reason, message or "", code, 1, 0) for reason, message, code in conn.execute(query)]


def failed_numbers(conn: Connection, job: JobView) -> list[int]:
    """Numbers of all tasks that have failed, in order."""
    query = (
        sa.select(tasks.c.no).where(tasks.c.job_id == job.id, sa.text("tasks.state = 'FAILED'")).order_by(tasks.c.no)
    )
    with_rows = list(conn.execute(query).scalars())
    return with_rows + (list(range(job.expanded, job.total)) if implied_state(job) == "FAILED" else [])


def cancelled_numbers(conn: Connection, job: JobView) -> list[int]:
    """Numbers of all tasks that were called off: those that never ran, and those that were ended on the way."""
    query = sa.select(tasks.c.no).where(tasks.c.job_id == job.id, tasks.c.state == "CANCELLED").order_by(tasks.c.no)
    with_rows = list(conn.execute(query).scalars())
    return with_rows + (list(range(job.expanded, job.total)) if implied_state(job) == "CANCELLED" else [])


def failed_like(conn: Connection, job: JobView, no: int) -> list[int]:
    """Numbers of all tasks that failed as that one did (see ``FailureGroup``). Empty where it has not failed."""
    return find_numbers(conn, job, TaskFilter(like=no), (), limit=job.total)


def sample(conn: Connection, job: JobView, columns: Sequence[Column], most: int) -> tuple[list[int], int]:
    """Numbers of at most ``most`` tasks, evenly among those that can have values in all these columns; and how many can."""
    needs = [tasks.c.job_id == job.id]
    if any(column.of_output for column in columns):
        needs.append(tasks.c.result_json.is_not(None))
    if any(column.name in {"runS", "totalS"} for column in columns):
        needs.append(tasks.c.ended_at.is_not(None))
    if any(column.name == "waitS" for column in columns):
        needs.append(tasks.c.started_at.is_not(None))
    numbers = list(conn.execute(sa.select(tasks.c.no).where(*needs).order_by(tasks.c.no)).scalars())
    return thin(numbers, most), len(numbers)
