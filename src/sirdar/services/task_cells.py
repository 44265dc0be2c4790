"""The values of a job's table: for each column a function that takes it out of a task's row and input set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sirdar.domain import spans
from sirdar.domain.task_table import AGAIN, Column, Kind, value_at
from sirdar.store.job_views import JobView
from sirdar.store.task_table import TaskRow
from sirdar.store.task_views import TaskView

Getter: TypeAlias = Callable[[TaskRow, Mapping[str, Any]], Any]
_STAGED = {"stagedInBytes": "staged_in_bytes", "stagedOutBytes": "staged_out_bytes"}
_NO_ITEM: Mapping[str, Any] = {}


def values_of(
    job: JobView,
    columns: Sequence[Column],
    rows: Iterable[TaskRow],
    items: Mapping[int, Mapping[str, Any]],
    again: Mapping[int, int] | None = None,
) -> list[list[Any]]:
    """A list of values for each row, in the order of the columns; times in seconds, None where there is none.

    ``items``: input sets by numbers of tasks; ``again``: numbers of the tasks whose work they do again.
    """
    earlier = again or {}
    getters: list[Getter] = [
        (lambda row, _: earlier.get(row.no)) if column is AGAIN else getter(job, column) for column in columns
    ]
    found = []
    for row in rows:
        item = items.get(row.no, _NO_ITEM)
        found.append([get(row, item) for get in getters])
    return found


def value_of(job: JobView, task: TaskView, item: Mapping[str, Any], column: Column) -> Any:
    """As ``values_of``, of a task that was read for a page."""
    times = (task.ready_at, task.staging_at, task.started_at, task.ended_at, task.reported_at)
    row = TaskRow(task.no, task.state, task.resource, *times, task.last_attempt, task.reason, task.stats, task.result)
    return getter(job, column)(row, item)


def getter(job: JobView, column: Column) -> Getter:
    """What gives the column's value."""
    if column.of_input:
        return _of_input(job.inputs, column)
    if column.of_output:
        return _of_output(column)
    if column.name == "waitS":
        return lambda row, _: _waited(job, row)
    if column.name == "runS":
        return lambda row, _: spans.span(row.started_at, row.ended_at)
    if column.name == "totalS":
        created_at = job.created_at
        return lambda row, _: spans.span(created_at, row.reported_at if row.reported_at is not None else row.ended_at)
    if column.name == "createdAt":
        return lambda row, _: job.created_at
    if column.kind is Kind.TIME:
        return (lambda row, _: row.started_at) if column.name == "startedAt" else (lambda row, _: row.ended_at)
    if name := _STAGED.get(column.name):
        return lambda row, _: row.staged.get(name)
    place = TaskRow._fields.index(column.name)
    return lambda row, _: row[place]


def _of_input(common: Mapping[str, Any], column: Column) -> Getter:
    """From the task's own input set, else from what all have in common."""
    key, usual = column.path[0], value_at(common, column)
    if len(column.path) > 1:
        return lambda row, item: value_at(item, column) if key in item else usual

    def get(row: TaskRow, item: Mapping[str, Any]) -> Any:
        if key not in item:
            return usual
        value = item[key]
        return value if isinstance(value, str | int | float) else None

    return get


def _of_output(column: Column) -> Getter:
    if len(column.path) > 1:
        return lambda row, _: value_at(row.outputs, column)
    key = column.path[0]

    def get(row: TaskRow, _: Mapping[str, Any]) -> Any:
        value = row.outputs.get(key)
        return value if isinstance(value, str | int | float) else None

    return get


def _waited(job: JobView, row: TaskRow) -> float | None:
    staged_s = spans.staged_in(row.staged.get("staged_in_s"), row.staging_at, row.started_at)
    return spans.waited(row.ready_at if row.ready_at is not None else job.ready_at, row.started_at, staged_s)
