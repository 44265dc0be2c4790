"""The plot of a job's tasks: done ones, as many as a picture can show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sirdar.domain.people import Caller
from sirdar.domain.plot_data import Choice, Plot, Sense, Wish, arrange, choose, thin
from sirdar.domain.task_table import FIXED, NO, Column, Sort
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.services.task_cells import values_of
from sirdar.services.task_table import columns_of_job
from sirdar.store import jobs as job_store
from sirdar.store import task_table
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_table import TaskFilter

MOST_PLOTTED = 20_000


@dataclass(frozen=True, slots=True)
class PlotOfJob:
    """``done``: tasks that could be shown. ``sampled``: some of them, evenly, were looked at."""

    job: JobView
    plot: Plot
    done: int
    sampled: bool


async def plot(
    services: Services, caller: Caller | None, job_id: str, wish: Wish, *, link: str | None = None
) -> PlotOfJob:
    """Done tasks as a picture, twenty thousand at most; what the job seeks, where nobody asks for another value.

    Raises Problem ``not_found``, ``invalid_field``.
    """
    job = await services.store.read(lambda conn: find_seen(conn, caller, job_id, link=link))
    columns = await columns_of_job(services, job)
    choice = choose(columns, _sought(job, columns, wish))

    def read(conn: Conn) -> tuple[list[list[Any]], int]:
        numbers, done = looked_at(conn, job, choice)
        return _rows(conn, job, choice.columns, numbers), done

    rows, done = await services.store.read(read)
    return PlotOfJob(job, arrange(choice, rows), done, len(rows) < done)


def looked_at(conn: Conn, job: JobView, choice: Choice, most: int = MOST_PLOTTED) -> tuple[list[int], int]:
    """Numbers of at most ``most`` done tasks, evenly, and the best of all among them where it is marked; and how many are done."""
    done = TaskFilter(("DONE",))
    numbers = task_table.find_numbers(conn, job, done, FIXED, limit=job.total)
    some = thin(numbers, most)
    if choice.best and len(some) < len(numbers):
        sort = Sort(choice.y, descending=choice.best is Sense.MAX)
        some = sorted({*some, *task_table.find_numbers(conn, job, done, choice.columns, sort, limit=1)})
    return some, len(numbers)


def _sought(job: JobView, columns: Sequence[Column], wish: Wish) -> Wish:
    """The wish, with the job's criterion as the value and its best as the best."""
    criterion = job.criterion
    if criterion is None or not criterion.key or all(one.name != f"outputs.{criterion.key}" for one in columns):
        return wish
    if wish.y and wish.y not in (criterion.key, f"outputs.{criterion.key}"):
        return wish
    best = wish.best or (Sense.MAX if criterion.maximize else Sense.MIN)
    return replace(wish, y=wish.y or f"outputs.{criterion.key}", best=best)


def _rows(conn: Conn, job: JobView, columns: Sequence[Column], numbers: Sequence[int]) -> list[list[Any]]:
    """Number and values of each of these tasks."""
    of_inputs = any(column.of_input for column in columns)
    items = job_store.load_items(conn, job.id, numbers) if of_inputs and job.many and numbers else {}
    return values_of(job, (NO, *columns), task_table.read_rows(conn, job, numbers), items)
