"""A job of many tasks: how far it is, its table, its plot, and what failed and why."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.failures import FailureGroup
from sirdar.domain.task_table import BYTES_IN, BYTES_OUT, FIXED, NO, RUN, SELDOM, TOTAL, WAIT, Column, Kind, read_axes
from sirdar.services import task_cells, task_table
from sirdar.services.apps import load_version
from sirdar.services.job_files import inputs_with_uris, job_prefix
from sirdar.services.jobs import Shown, show_job
from sirdar.services.plans import is_planned
from sirdar.services.resubmit import resubmit
from sirdar.services.task_table import TaskPage
from sirdar.store import job_shares
from sirdar.store.job_views import JobView
from sirdar.store.task_views import TaskView
from sirdar.web import formats, job_many_head, job_parts, job_words, session, words
from sirdar.web.job_words import Named
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show, show_part
from sirdar.web.table_query import ROWS, TableQuery, TableQueryDep
from sirdar.wire.submit import ResubmitRequest

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
_WITH_CODE = re.compile("the program ended with exit code -?\\d+")
FAILURES_OPEN = 6  # groups that are seen at once; the others are folded


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of the table, with the column it stands in."""

    column: Column
    value: Any


@dataclass(frozen=True, slots=True)
class Row:
    """A task as the table shows it. ``briefly``: its outcome where there is little room; ``running_since``: where it runs, so that
    its duration grows."""

    task: TaskView
    shape: str
    word: str
    outcome: str
    briefly: str
    running_since: float | None
    again: int | None  # its number in the job that is repeated
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Tasks that failed alike. ``shown_at``: address of the table of them."""

    group: FailureGroup
    shown_at: str


@router.get("/jobs/{job_id}/table")
async def earlier_address(page: PageDep, asked: TableQueryDep) -> Response:
    """Where the table stood once; who keeps that address comes to the job's page, with the same rows."""
    return go_to(asked.address(after=asked.after))


async def show_page(page: Page, asked: TableQuery, shown: Shown) -> Response:
    """The page of a job of many tasks, for whoever may see it: ``/jobs/ID`` itself."""
    caller = _caller(page, asked)
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
        seldom=SELDOM,
        filters=job_words.FILTERS,
        fitting=found.fitting,
        first=query.offset + 1 if asked.sort else None,
        following=following,
        axes=_axes(columns),
        drawn=_drawn(columns, asked, task_table.sought_of(shown.job)),
        events=_events(asked, shown.job),
        part=_part_address(asked, tasks),
        refresh_s=job_words.refresh_s(shown.job, values["looked_at"]),
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
    """Failed tasks as a new job: all, or (``like``) those that failed as that one did, or (``only=not_done``) cancelled ones too;
    with the same version or the latest."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    like = fields.get("like", "")
    numbers = None
    if like.isascii() and like.isdecimal() and len(like) < 10:
        numbers = await task_table.failed_like(page.services, caller, job_id, int(like))
    request = ResubmitRequest(
        only="not_done" if fields.get("only") == "not_done" and numbers is None else "failed",
        tasks=numbers,
        version="latest" if fields.get("version") == "latest" else "same",
    )
    new_id = await resubmit(page.services, caller, job_id, request)
    return go_to(f"/jobs/{new_id}")


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
    return f"{path}/table/part?{query}{'&' if query else ''}no={shown}"


async def _live_values(
    page: Page, asked: TableQuery, shown: Shown, columns: tuple[Column, ...], found: TaskPage
) -> dict[str, Any]:
    job, now = shown.job, page.services.store.clock()
    chosen = tuple(column for column in columns if _is_chosen(column, asked))
    head = await job_many_head.load(page, _caller(page, asked), job, now, share=asked.share)
    groups = []
    if job.failed or job.state == "FAILED":
        groups = await task_table.failures(page.services, _caller(page, asked), job.id, link=asked.share or None)
    return {
        "asked": asked,
        "job": job,
        "may_act": shown.may_act,
        "share": asked.share,
        "head": head,
        "shares": await _shares(page, shown),
        "repeated_by": shown.repeated_by,
        "made": job_prefix(job.id, None) if await _is_planned(page, job) else "",
        "inputs": _common_inputs(job, columns, asked.share),
        "link": f"?{urlencode({'share': asked.share})}" if asked.share else "",
        "children": await _count_children(page, _caller(page, asked), job),
        "failures": [Failure(group, _address_of(asked, group)) for group in groups],
        "failures_open": FAILURES_OPEN,
        "reasons": sorted({group.reason for group in groups if group.reason} | ({asked.reason} - {""})),
        "columns": chosen,
        "labels": _labels(columns),
        "units": _units(),
        "rows": [_row(found, task, chosen, now) for task in found.tasks],
        "looked_at": now,
    }


async def _is_planned(page: Page, job: JobView) -> bool:
    """Whether the job has an archive of results and a table, which a plan's job has at its end."""
    return job.ended_at is not None and is_planned(await load_version(page.services, job.version_id))


def _is_chosen(column: Column, asked: TableQuery) -> bool:
    """The number always; the others as the address says, which says nothing of the usual ones."""
    return column is NO or (column.name in asked.cols if asked.cols else column not in SELDOM)


async def _shares(page: Page, shown: Shown) -> list[str]:
    if not shown.may_act:
        return []
    return await page.services.store.read(lambda conn: job_shares.shares_of_job(conn, shown.job.id))


async def _count_children(page: Page, caller: Any, job: JobView) -> int:
    return await page.services.store.read(lambda conn: job_parts.count_children(conn, caller, job))


def _common_inputs(job: JobView, columns: tuple[Column, ...], share: str) -> list[Named]:
    """What all tasks were given alike; the others stand in the table."""
    differ = {column.path[0] for column in columns if column.of_input}
    given = {name: value for name, value in job.inputs.items() if name not in differ}
    uris = inputs_with_uris(given, job_prefix(job.id, None))
    link = f"?{urlencode({'share': share})}" if share else ""
    return [Named(name, "", job_words.items_of(value, uris[name], link)) for name, value in given.items()]


def _address_of(asked: TableQuery, group: FailureGroup) -> str:
    return asked.address(state=(), reason="", text="", like=str(group.example))


def _row(found: TaskPage, task: TaskView, columns: tuple[Column, ...], now: float) -> Row:
    job, item = found.job, found.items.get(task.no, {})
    shown = job_words.task_row(job, task, now)
    cells = tuple(Cell(column, task_cells.value_of(job, task, item, column)) for column in columns)
    runs = task.started_at if task.started_at is not None and task.ended_at is None else None
    since = runs if task.reason is None else None
    return Row(
        task,
        shown.shape,
        shown.word,
        shown.outcome,
        _briefly(task, shown.outcome),
        since,
        found.again.get(task.no),
        cells,
    )


def _briefly(task: TaskView, outcome: str) -> str:
    """The program's own last words, where it said any: that it ended with a code says less."""
    code, _, said = (task.message or "").partition(": ")
    return (
        formats.value(said, 60)
        if said and _WITH_CODE.fullmatch(code)
        else formats.value(outcome, 60)
        if outcome
        else ""
    )


def _labels(columns: tuple[Column, ...]) -> dict[str, str]:
    """What stands above each column."""
    fixed = {
        "no": words.gettext("Task"),
        "state": words.gettext("State"),
        "resource": words.gettext("Resource"),
        "waitS": words.gettext("Wait"),
        "runS": words.gettext("Run time"),
        "totalS": words.gettext("Total"),
        "stagedInBytes": words.gettext("Bytes in"),
        "stagedOutBytes": words.gettext("Bytes out"),
        "attempts": words.gettext("Attempts"),
    }
    return {column.name: fixed.get(column.name) or column.name.partition(".")[2] for column in columns}


def _units() -> dict[str, str]:
    """Of what the platform knows itself, in the page's language."""
    seconds, octets = words.gettext("s"), words.gettext("B")
    return {WAIT.name: seconds, RUN.name: seconds, TOTAL.name: seconds, BYTES_IN.name: octets, BYTES_OUT.name: octets}


def _axes(columns: tuple[Column, ...]) -> dict[str, list[Column]]:
    """What may be chosen for a plot: along x anything but the state, along y numbers, for the colour anything."""
    numbers = [column for column in columns if column.kind is not Kind.TEXT]
    x = [column for column in columns if column not in FIXED or column.kind is Kind.NUMBER]
    return {"x": x, "y": numbers, "color": list(columns[1:])}


def _drawn(columns: tuple[Column, ...], asked: TableQuery, sought: str) -> dict[str, Column | None]:
    """What the plot shows now. Raises Problem ``invalid_field`` for an address with a column that there is not."""
    x, y, color = read_axes(columns, asked.x, asked.y, asked.color, sought=sought)
    return {"x": x, "y": y, "color": color}
