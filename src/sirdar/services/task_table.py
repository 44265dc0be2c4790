"""The tasks of a job as a table: columns, pages that are filtered and sorted, all rows as a stream, failures, points of a plot."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sirdar.domain.app import App, OutputType
from sirdar.domain.failures import FailureGroup
from sirdar.domain.people import Caller
from sirdar.domain.plan_app import of_the_author
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import (
    AGAIN,
    EXPORTED,
    FIXED,
    SELDOM,
    Column,
    Sort,
    columns_of,
    found_columns,
    read_axes,
    read_condition,
    read_sort,
    varying,
    widen,
)
from sirdar.services.apps import load_version
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.services.task_cells import values_of
from sirdar.store import jobs as job_store
from sirdar.store import task_table, task_values, task_views
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_table import TaskFilter
from sirdar.store.task_views import TaskView

ROWS_AT_ONCE = 1000
MOST_POINTS = 2000
MOST_FAILURES = 100
LOOKED_AT = 50  # results in which columns of outputs are looked for that name their values themselves
MOST_CONDITIONS = 10
LINKED_TASKS = 20_000  # of a larger job nobody who has only its link has further columns put in order
MOST_KEPT = (
    30  # columns of a job that are kept in order; of one with fewer tasks than those more, as many values in all
)
REMEMBERED = 500  # jobs whose differing inputs are known
RESULTS_AT_ONCE = 2000
_found: OrderedDict[tuple[str, str], tuple[Column, ...]] = (
    OrderedDict()
)  # of ended jobs whose outputs name their values
_differing: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """What a page of tasks is asked for. ``sort``: ``runS``, ``-outputs.error``; empty: by number, going on ``after`` one.

    Sorted, ``offset`` tasks are passed over.
    """

    wanted: TaskFilter = field(default_factory=TaskFilter)
    sort: str = ""
    where: Sequence[str] = ()  # conditions on values, as ``domain.task_table.read_condition`` reads them
    after: int = -1
    offset: int = 0
    limit: int = 40


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks, each with its own input set. ``fitting``: how many fit the filter, where that was asked for.

    ``again``: of a job that runs some tasks of another again, their numbers there.
    """

    job: JobView
    columns: tuple[Column, ...]
    tasks: list[TaskView]
    items: dict[int, dict[str, Any]]
    fitting: int | None
    again: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Points:
    """Rows of (number, x, y, color) of those tasks that have both values. ``sampled``: there are more, ``of`` in all.

    ``best``: the number of the best task, where an axis shows what the job seeks; None where it has no point.
    """

    x: Column
    y: Column
    color: Column | None
    rows: list[tuple[int, Any, Any, Any]]
    sampled: bool
    of: int
    ended: bool  # the job has, so that no more come
    best: int | None


async def columns_of_job(services: Services, job: JobView) -> tuple[Column, ...]:
    """The columns of a job's table. Input sets of a job that is not open never change, so which inputs differ is remembered."""
    loaded = await load_version(services, job.version_id)
    declared = columns_of(loaded.app, await _differing_inputs(services, job))
    if all(spec.type is not OutputType.VALUES for spec in loaded.app.outputs):
        return declared
    found = await services.store.read(partial(task_views.results, job_id=job.id, after=-1, limit=LOOKED_AT))
    more = tuple(found_columns(loaded.app, (result for _, result in found), declared))
    return (*declared[: -len(SELDOM)], *more, *SELDOM)


async def columns_of_all(services: Services, job: JobView) -> tuple[Column, ...]:
    """As ``columns_of_job``, but of all results so far: a value that only late tasks have is a column, and a column with
    numbers and texts is one of texts."""
    columns = await columns_of_job(services, job)
    loaded = await load_version(services, job.version_id)
    if all(spec.type is not OutputType.VALUES for spec in loaded.app.outputs):
        return columns
    declared = columns_of(loaded.app, await _differing_inputs(services, job))
    key = (services.store.name, job.id)
    more = _found.get(key)
    if more is None:
        more = await _found_in_all(services, job, loaded.app, declared)
        if job.ended_at is not None:
            _found[key] = more
            while len(_found) > REMEMBERED:
                _found.popitem(last=False)
    return (*declared[: -len(SELDOM)], *more, *SELDOM)


async def _found_in_all(services: Services, job: JobView, app: App, declared: Sequence[Column]) -> tuple[Column, ...]:
    """One pass over the results, some thousands in memory at a time; what is done with them is done in the store's threads."""

    def read(conn: Conn, after: int) -> tuple[list[Column], int | None]:
        results = task_views.results(conn, job.id, after=after, limit=RESULTS_AT_ONCE)
        last = results[-1][0] if len(results) == RESULTS_AT_ONCE else None
        return list(found_columns(app, (result for _, result in results), declared)), last

    found: dict[str, Column] = {}
    after: int | None = -1
    while after is not None:
        columns, after = await services.store.read(partial(read, after=after))
        widen(found, columns)
    if job.ended_at is None:  # what comes next may have a fraction
        return tuple(replace(column, whole=False) for column in found.values())
    return tuple(found.values())


async def varying_inputs(services: Services, job: JobView) -> list[str]:
    """Names of the inputs that are not the same for all tasks, in order."""
    names = dict.fromkeys(await _differing_inputs(services, job))
    return sorted(of_the_author(job.app_owner, job.app_alias, names))


async def _differing_inputs(services: Services, job: JobView) -> frozenset[str]:
    """Names of inputs that are not the same for all tasks."""
    if not job.many:
        return frozenset()
    key = (services.store.name, job.id)
    if key in _differing:
        return _differing[key]
    found = await services.store.read(lambda conn: varying(task_table.input_sets(conn, job.id)))
    if not job.open:  # else more sets may come
        _differing[key] = found
        while len(_differing) > REMEMBERED:
            _differing.popitem(last=False)
    return found


async def list_tasks(
    services: Services,
    caller: Caller | None,
    job_id: str,
    query: TaskQuery,
    *,
    link: str | None = None,
    count: bool = False,
) -> TaskPage:
    """One page. ``count``: say too how many fit. Raises Problem ``not_found``, ``invalid_field``."""
    job = await _seen(services, caller, job_id, link)
    # Columns are needed only to sort by, and to look into: the plain list of a job costs one query.
    seen = query.sort or query.wanted.text or query.where
    columns = await columns_of_job(services, job) if seen else FIXED
    sort = read_sort(columns, query.sort) if query.sort else None
    wanted = _narrowed(query.wanted, columns, query.where)
    job = await _in_order(services, caller, job, wanted, sort)

    def read(conn: Conn) -> TaskPage:
        numbers = task_table.find_numbers(
            conn,
            job,
            wanted,
            columns,
            sort,
            after=-1 if sort else query.after,
            offset=query.offset if sort else 0,
            limit=query.limit,
        )
        items = job_store.load_items(conn, job.id, numbers) if job.many and numbers else {}
        fitting = task_table.count_tasks(conn, job, wanted, columns) if count else None
        again = _again(conn, job, numbers)
        return TaskPage(job, columns, task_views.tasks_by_no(conn, job, numbers), items, fitting, again)

    return await services.store.read(read)


def _again(conn: Conn, job: JobView, numbers: Sequence[int]) -> dict[int, int]:
    return job_store.load_again(conn, job.id, numbers) if job.again_of and job.many and numbers else {}


def _narrowed(wanted: TaskFilter, columns: Sequence[Column], where: Sequence[str]) -> TaskFilter:
    """With conditions on values. Raises Problem ``invalid_field``."""
    if not where:
        return wanted
    if len(where) > MOST_CONDITIONS:
        expected = f"at most {MOST_CONDITIONS}"
        raise Problem("invalid_field", f"{len(where)} conditions are too many.", field="where", expected=expected)
    return replace(wanted, where=[read_condition(columns, text) for text in where])


async def _in_order(
    services: Services, caller: Caller | None, job: JobView, wanted: TaskFilter, sort: Sort | None
) -> JobView:
    """The job with those values in order that the question needs. Only the first that needs a column has to wait for it.

    Raises Problem ``invalid_field`` for more than a job keeps, and ``forbidden`` for whoever has only the link of a large one.
    """
    columns = task_table.to_order(job, wanted, sort)
    if not columns:
        return job
    left = await services.store.read(lambda conn: task_values.missing(conn, job, columns))
    if left:
        await services.store.read(partial(_may_keep, caller=caller, job=job, columns=left))
    for column in left:
        while await services.store.write(partial(task_values.fill, job=job, column=column)) < job.total:
            pass
    if left and job.total >= task_table.LARGE:
        await services.store.write(task_values.learn)
    return replace(job, ordered=True)


def _may_keep(conn: Conn, *, caller: Caller | None, job: JobView, columns: Sequence[Column]) -> None:
    """Each column that is kept costs a row for each task: raises Problem where that is too much."""
    kept = task_values.kept(conn, job)
    new = [column.name for column in columns if column.name not in kept]
    most = max(MOST_KEPT, MOST_KEPT * LINKED_TASKS // max(1, job.total))
    known = ", ".join(sorted(kept)) or "no column yet"
    if len(kept) + len(new) > most:
        said = f"Of a job of {job.total} tasks at most {most} columns are kept in order, and it has {len(kept)}."
        raise Problem("invalid_field", said, field="sort", expected=known)
    if job.total > LINKED_TASKS and not _sees_without_link(conn, caller, job):
        raise Problem(
            "forbidden",
            f"By its link a job of {job.total} tasks is sorted and searched only by columns that are kept in order: {known}.",
            hint="Sign in as somebody who may see the job, or have its owner sort by that column once.",
        )


def _sees_without_link(conn: Conn, caller: Caller | None, job: JobView) -> bool:
    try:
        return find_seen(conn, caller, job.id) is not None
    except Problem:
        return False


# ---------------------------------------------------------------- all rows


@dataclass(frozen=True, slots=True)
class Table:
    """``batches`` gives some rows after others: the values of each task that fits, in the order of ``columns`` and of the tasks'
    numbers."""

    job: JobView
    columns: tuple[Column, ...]
    batches: AsyncIterator[list[list[Any]]]


async def table(
    services: Services,
    caller: Caller | None,
    job_id: str,
    wanted: TaskFilter,
    *,
    where: Sequence[str] = (),
    link: str | None = None,
) -> Table:
    """The whole table, read some rows at a time. Raises Problem ``not_found``, ``invalid_field``."""
    job = await _seen(services, caller, job_id, link)
    columns = await columns_of_all(services, job)
    wanted = _narrowed(wanted, columns, where)
    job = await _in_order(services, caller, job, wanted, None)
    again = await services.store.read(lambda conn: _again(conn, job, [0]))
    every = (*columns, *([AGAIN] if again else []), *EXPORTED)
    return Table(job, every, _batches(services, job, every, wanted))


async def _batches(
    services: Services, job: JobView, columns: Sequence[Column], wanted: TaskFilter
) -> AsyncIterator[list[list[Any]]]:
    after = -1
    while True:
        found = await services.store.read(partial(_some, job=job, columns=columns, wanted=wanted, after=after))
        if found:
            yield found
        if len(found) < ROWS_AT_ONCE:
            return
        after = found[-1][0]


def _some(conn: Conn, *, job: JobView, columns: Sequence[Column], wanted: TaskFilter, after: int) -> list[list[Any]]:
    numbers: Sequence[int] = range(after + 1, min(job.total, after + 1 + ROWS_AT_ONCE))
    if wanted:
        numbers = task_table.find_numbers(conn, job, wanted, columns, after=after, limit=ROWS_AT_ONCE)
    return _values(conn, job, columns, numbers)


def _values(conn: Conn, job: JobView, columns: Sequence[Column], numbers: Sequence[int]) -> list[list[Any]]:
    """The values of these tasks, the number first whatever the columns are."""
    of_inputs = any(column.of_input for column in columns)
    items = job_store.load_items(conn, job.id, numbers) if job.many and of_inputs and numbers else {}
    again = _again(conn, job, numbers) if AGAIN in columns else {}
    return values_of(job, columns, task_table.read_rows(conn, job, numbers), items, again)


# ---------------------------------------------------------------- failures, points


async def failures(
    services: Services, caller: Caller | None, job_id: str, *, link: str | None = None
) -> list[FailureGroup]:
    """Failed tasks by why they failed, the most frequent first. Raises Problem ``not_found``."""

    def read(conn: Conn) -> list[FailureGroup]:
        return task_table.failures(conn, find_seen(conn, caller, job_id, link=link), MOST_FAILURES)

    return await services.store.read(read)


async def failed_like(services: Services, caller: Caller | None, job_id: str, no: int) -> list[int]:
    """Numbers of the tasks that failed as that one did. Raises Problem ``not_found``, ``conflict`` where it has not failed."""

    def read(conn: Conn) -> list[int]:
        job = find_seen(conn, caller, job_id)
        if not 0 <= no < job.total or not (numbers := task_table.failed_like(conn, job, no)):
            raise Problem("conflict", f"Task {no} of job {job.id} has not failed.")
        return numbers

    return await services.store.read(read)


async def show_tasks(
    services: Services, caller: Caller | None, job_id: str, numbers: Sequence[int], *, link: str | None = None
) -> TaskPage:
    """These tasks as they are now, in that order, as far as the job has them. Raises Problem ``not_found``."""
    job = await _seen(services, caller, job_id, link)
    some = [no for no in numbers if 0 <= no < job.total]

    def read(conn: Conn) -> TaskPage:
        items = job_store.load_items(conn, job.id, some) if job.many and some else {}
        return TaskPage(job, FIXED, task_views.tasks_by_no(conn, job, some), items, None, _again(conn, job, some))

    return await services.store.read(read)


async def points(
    services: Services,
    caller: Caller | None,
    job_id: str,
    *,
    x: str = "",
    y: str = "",
    color: str = "",
    link: str | None = None,
) -> Points:
    """What a plot of two columns shows, of two thousand tasks at most; ``read_axes`` says which, where none is named.

    Raises Problem ``not_found``, ``invalid_field``.
    """
    job = await _seen(services, caller, job_id, link)
    axes = read_axes(await columns_of_job(services, job), x, y, color, sought=sought_of(job))

    def read(conn: Conn) -> Points:
        chosen = [column for column in axes if column is not None]
        numbers, count = task_table.sample(conn, job, chosen[:2], MOST_POINTS)
        best = _best_shown(job, chosen[:2])
        numbers = sorted({*numbers, *best})
        found = [(no, *values) for no, values in zip(numbers, _values(conn, job, chosen, numbers), strict=True)]
        rows = [(row[0], row[1], row[2], row[3] if len(row) > 3 else None) for row in found]
        whole = [row for row in rows if row[1] is not None and row[2] is not None]
        shown = next((row[0] for row in whole if row[0] in best), None)
        return Points(*axes, whole, count > len(numbers), count, job.ended_at is not None, shown)

    return await services.store.read(read)


def _best_shown(job: JobView, axes: Sequence[Column]) -> set[int]:
    """The best task, where an axis shows what the job seeks; it is drawn, however few of many are."""
    shown = any(axis.name == f"outputs.{sought_of(job)}" for axis in axes)
    return {job.best.task} if job.best is not None and shown else set()


def sought_of(job: JobView) -> str:
    """Name of the output whose best the job seeks; empty where it seeks none."""
    return job.criterion.key if job.criterion else ""


async def _seen(services: Services, caller: Caller | None, job_id: str, link: str | None) -> JobView:
    return await services.store.read(lambda conn: find_seen(conn, caller, job_id, link=link))
