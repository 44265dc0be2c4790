"""A job of many tasks: how far it is, its table, its plot, and what failed and why."""

from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.task_table import FIXED, NO, Column, Kind, read_axes
from sirdar.services import task_table
from sirdar.services.explain import explain_now
from sirdar.services.jobs import Shown, show_job
from sirdar.services.pace import left_of_job
from sirdar.services.resubmit import resubmit
from sirdar.services.task_table import TaskPage
from sirdar.store.job_views import JobView
from sirdar.store.task_table import FailureGroup
from sirdar.store.task_views import TaskView
from sirdar.web import job_words, session, words
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show, show_part
from sirdar.web.table_query import ROWS, TableQuery, TableQueryDep
from sirdar.wire.submit import ResubmitRequest

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FAILURES_OPEN = 6  # groups that are seen at once; the others are folded
REASONS = 3
PLAIN = frozenset({"running", "ok"})  # reasons that only say what the state says
BAR_WIDTH = 1000
LONGEST_FILTER = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of the table, with the column it stands in."""

    column: Column
    value: Any


@dataclass(frozen=True, slots=True)
class Row:
    """A task as the table shows it. ``running_since``: where it runs, so that its duration grows."""

    task: TaskView
    shape: str
    word: str
    outcome: str
    running_since: float | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the bar: tasks of one kind. ``filter``: the word for them in the address; ``x`` and ``width`` of ``BAR_WIDTH``."""

    shape: str
    word: str
    filter: str
    count: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Tasks that failed alike. ``shown_at``: address of the table of them."""

    group: FailureGroup
    shown_at: str


@router.get("/jobs/{job_id}/table")
async def table_page(page: PageDep, asked: TableQueryDep) -> Response:
    """For whoever may see the job, and for whoever has its link."""
    caller = _caller(page, asked)
    shown = await show_job(page.services, caller, asked.job_id, link=asked.share or None)
    asked = replace(asked, job_id=shown.job.id)
    columns = await task_table.columns_of_job(page.services, shown.job)
    query = asked.task_query()
    found = await task_table.list_tasks(
        page.services, caller, shown.job.id, query, link=asked.share or None, count=True
    )
    tasks = found.tasks[:ROWS]
    following = None
    if len(found.tasks) > ROWS:
        following = asked.address(after=str(query.offset + ROWS if asked.sort else tasks[-1].no))
    values = await _live_values(page, asked, shown, columns, replace(found, tasks=tasks))
    return show(
        page,
        "job_many.html",
        all_columns=columns,
        filters=job_words.FILTERS,
        fitting=found.fitting,
        first=query.offset + 1 if asked.sort else None,
        following=following,
        axes=_axes(columns),
        drawn=_drawn(columns, asked),
        events=_events(asked, shown.job),
        part=_part_address(asked, tasks),
        **values,
    )


@router.get("/jobs/{job_id}/table/part")
async def table_part(
    page: PageDep, asked: TableQueryDep, no: Annotated[str, Query(max_length=12 * ROWS)] = ""
) -> Response:
    """What of the page follows the server: counts, failures, and the rows that are shown, in the order that they have."""
    shown = await show_job(page.services, _caller(page, asked), asked.job_id, link=asked.share or None)
    columns = await task_table.columns_of_job(page.services, shown.job)
    numbers = [int(text) for text in no.split(",") if text.isascii() and text.isdecimal()][:ROWS]
    found = await task_table.show_tasks(
        page.services, _caller(page, asked), shown.job.id, numbers, link=asked.share or None
    )
    return show_part(page, "job_many.html", "live", **await _live_values(page, asked, shown, columns, found))


@router.post("/jobs/{job_id}/rerun")
async def rerun(job_id: str, page: PageDep) -> Response:
    """Failed tasks as a new job: all, or (``like``) those that failed as that one did; with the same version or the latest."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    like = fields.get("like", "")
    numbers = None
    if like.isascii() and like.isdecimal() and len(like) < 10:
        numbers = await task_table.failed_like(page.services, caller, job_id, int(like))
    version = "latest" if fields.get("version") == "latest" else "same"
    request = ResubmitRequest(only="failed", tasks=numbers, version=version)
    new_id = await resubmit(page.services, caller, job_id, request)
    return go_to(f"/jobs/{new_id}/table")


def _caller(page: Page, asked: TableQuery) -> Any:
    return page.caller if asked.share else page.user


def _events(asked: TableQuery, job: JobView) -> str | None:
    """Nothing more is told of a job that has ended."""
    if job.ended_at is not None:
        return None
    more = {"share": asked.share} if asked.share else {}
    return f"/jobs/{job.id}/live?{urlencode({'after': job.event_seq, **more})}"


def _part_address(asked: TableQuery, tasks: list[TaskView]) -> str:
    shown = ",".join(str(task.no) for task in tasks)
    path, _, query = asked.address(after=asked.after).partition("?")
    return f"{path}/part?{query}{'&' if query else ''}no={shown}"


async def _live_values(
    page: Page, asked: TableQuery, shown: Shown, columns: tuple[Column, ...], found: TaskPage
) -> dict[str, Any]:
    job, now = shown.job, page.services.store.clock()
    chosen = tuple(column for column in columns if not asked.cols or column.name in asked.cols or column is NO)
    groups = []
    if job.failed or job.state == "FAILED":
        groups = await task_table.failures(page.services, _caller(page, asked), job.id, link=asked.share or None)
    return {
        "asked": asked,
        "job": job,
        "may_act": shown.may_act,
        "share": asked.share,
        "state_now": job_words.state_words(job, now),
        "segments": _segments(job),
        "ended": job.done + job.failed + job.cancelled,
        "left_s": await page.services.store.read(lambda conn: left_of_job(conn, job, now)),
        "reasons_to_wait": await _reasons_to_wait(page, asked, job, now),
        "failures": [Failure(group, _address_of(asked, group)) for group in groups],
        "failures_open": FAILURES_OPEN,
        "reasons": sorted({group.reason for group in groups if group.reason} | ({asked.reason} - {""})),
        "columns": chosen,
        "labels": _labels(columns),
        "rows": [_row(job, task, found.items.get(task.no, {}), chosen, now) for task in found.tasks],
        "looked_at": now,
    }


async def _reasons_to_wait(page: Page, asked: TableQuery, job: JobView, now: float) -> list[str]:
    """Why nothing runs now, where nothing does."""
    if job.ended_at is not None or job.running:
        return []
    link, caller = asked.share or None, _caller(page, asked)
    explained = await page.services.store.read(lambda conn: explain_now(conn, caller, job.id, now=now, link=link))
    texts = [why.text for why in explained.why if why.code not in PLAIN and why.text]
    return list(dict.fromkeys(texts))[:REASONS]


def _address_of(asked: TableQuery, group: FailureGroup) -> str:
    return asked.address(state=("failed",), reason=group.reason, text=group.message[:LONGEST_FILTER].strip())


def _segments(job: JobView) -> list[Segment]:
    """The bar's parts, what has ended first. None is too narrow to be seen."""
    kinds = (
        ("done", words.gettext("done"), job.done),
        ("failed", words.gettext("failed"), job.failed),
        ("cancelled", words.gettext("cancelled"), job.cancelled),
        ("running", words.gettext("running"), job.running),
        ("waiting", words.gettext("waiting"), max(0, job.total - job.done - job.failed - job.cancelled - job.running)),
    )
    present = [kind for kind in kinds if kind[2]]
    widths = [max(6.0, BAR_WIDTH * count / job.total) for _, _, count in present]
    scale, x, segments = BAR_WIDTH / sum(widths) if widths else 1.0, 0.0, []
    for (shape, word, count), width in zip(present, widths, strict=True):
        segments.append(Segment(shape, word, shape, count, round(x, 1), round(width * scale, 1)))
        x += width * scale
    return segments


def _row(job: JobView, task: TaskView, item: dict[str, Any], columns: tuple[Column, ...], now: float) -> Row:
    shown = job_words.task_row(job, task, now)
    cells = tuple(Cell(column, task_table.value_of(job, task, item, column)) for column in columns)
    runs = task.started_at if task.started_at is not None and task.ended_at is None else None
    return Row(task, shown.shape, shown.word, shown.outcome, runs if task.reason is None else None, cells)


def _labels(columns: tuple[Column, ...]) -> dict[str, str]:
    """What stands above each column."""
    fixed = {
        "no": words.gettext("Task"),
        "state": words.gettext("State"),
        "resource": words.gettext("Resource"),
        "waitS": words.gettext("Wait"),
        "runS": words.gettext("Run time"),
    }
    return {column.name: fixed.get(column.name) or column.name.partition(".")[2] for column in columns}


def _axes(columns: tuple[Column, ...]) -> dict[str, list[Column]]:
    """What may be chosen for a plot: along x anything but the state, along y numbers, for the colour anything."""
    numbers = [column for column in columns if column.kind is not Kind.TEXT]
    x = [column for column in columns if column not in FIXED or column.kind is Kind.NUMBER]
    return {"x": x, "y": numbers, "color": list(columns[1:])}


def _drawn(columns: tuple[Column, ...], asked: TableQuery) -> dict[str, Column | None]:
    """What the plot shows now. Raises Problem ``invalid_field`` for an address with a column that there is not."""
    x, y, color = read_axes(columns, asked.x, asked.y, asked.color)
    return {"x": x, "y": y, "color": color}
