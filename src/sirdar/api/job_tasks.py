"""The tasks of a job over REST: a list that filters and sorts, one task, the whole table, why tasks failed, points of a plot."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import shapes
from sirdar.api.deps import ServicesDep
from sirdar.api.jobs import Share, ViewerDep, read_cursor
from sirdar.api.paging import After, Limit, page
from sirdar.api.render import render_failure, render_span, render_task, render_try
from sirdar.domain.outcome import Reason
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import Column
from sirdar.services import jobs as job_service
from sirdar.services import task_table
from sirdar.services.job_filters import read_states
from sirdar.services.task_table import TaskQuery
from sirdar.services.timelines import timeline_of
from sirdar.store import jobs as job_store
from sirdar.store import task_views
from sirdar.store.task_table import TaskFilter

router = APIRouter(tags=["jobs"])
LINES_AT_ONCE = 500
States = Annotated[list[str] | None, Query(description="One or several, also joined by commas")]
Resource = Annotated[str | None, Query(max_length=200, description="Name or id of the machine that has it")]
ReasonWord = Annotated[str | None, Query(max_length=40, description="How it ended: exit_code, out_of_memory, ...")]
Text = Annotated[str | None, Query(max_length=200, description="Stands in its message or in a value of the table")]
Like = Annotated[int | None, Query(ge=0, lt=2**31, description="Number of a task: those that failed as that one did")]
Where = Annotated[
    list[Annotated[str, Query(max_length=300)]] | None,
    Query(description="A value compared, such as outputs.loss<0.01 or inputs.solver=ipopt; several must all hold"),
]
Name = Annotated[str, Query(max_length=200)]


@router.get("/api/jobs/{job_id}/tasks", responses={200: {"model": list[shapes.Task]}})
async def tasks(
    request: Request,
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    state: States = None,
    resource: Resource = None,
    reason: ReasonWord = None,
    text: Text = None,
    like: Like = None,
    where: Where = None,
    sort: Annotated[
        str, Query(max_length=200, description="A column of the table; with a minus before it the largest first")
    ] = "",
    limit: Limit = 40,
    after: After = "",
    share: Share = None,
) -> Response:
    """The tasks of a job, also those that have no row of their own yet; in order, unless they shall be sorted."""
    last = read_cursor(after)
    passed = (last or 0) if sort else 0
    wanted = _filter(state, resource, reason, text, like)
    query = TaskQuery(wanted, sort, where or (), after=-1 if last is None else last, offset=passed, limit=limit + 1)
    found = await task_table.list_tasks(services, caller, job_id, query, link=share)
    job = found.job
    return page(
        request,
        found.tasks,
        limit,
        cursor=lambda task: str(passed + limit) if sort else str(task.no),
        show=lambda task: render_task(job, task, {**job.inputs, **found.items.get(task.no, {})}),
    )


@router.get("/api/jobs/{job_id}/tasks/{no}", responses={200: {"model": shapes.WholeTask}})
async def one_task(services: ServicesDep, caller: ViewerDep, job_id: str, no: int, share: Share = None) -> Response:
    """One task, with its attempts, and what its time was spent on."""

    def read(conn: Any) -> Any:
        job = job_service.find_seen(conn, caller, job_id, link=share)
        task = task_views.find_task(conn, job, no)
        if task is None:
            raise Problem("not_found", f"Job {job.id} has no task {no}; it has {job.total}.")
        items = job_store.load_items(conn, job.id, [no]) if job.many else {}
        return job, task, items.get(no, {}), task_views.attempts_of_task(conn, job.id, no)

    job, task, item, tries = await services.store.read(read)
    body = render_task(job, task, {**job.inputs, **item})
    body["tries"] = [render_try(one) for one in tries]
    body["timeline"] = [render_span(span) for span in timeline_of(job, task, tries)]
    return Response(to_json(body), media_type="application/json")


# ---------------------------------------------------------------- the whole table


@router.get(
    "/api/jobs/{job_id}/table",
    response_class=Response,
    responses={200: {"model": shapes.TaskTable, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def table(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    format: Annotated[Literal["json", "csv"], Query()] = "json",
    state: States = None,
    resource: Resource = None,
    reason: ReasonWord = None,
    text: Text = None,
    like: Like = None,
    where: Where = None,
    share: Share = None,
) -> Response:
    """All tasks in order: number, state, resource, seconds of waiting and running, inputs that differ, outputs that are
    values; then seconds from submission to end, bytes staged, attempts."""
    wanted = _filter(state, resource, reason, text, like)
    found = await task_table.table(services, caller, job_id, wanted, where=where or (), link=share)
    if format == "csv":
        name = f'attachment; filename="{found.job.id}.csv"'
        headers = {"content-disposition": name, "cache-control": "no-store"}
        return StreamingResponse(csv_of(found), headers=headers, media_type="text/csv; charset=utf-8")
    return StreamingResponse(_json(found), media_type="application/json")


async def csv_of(found: task_table.Table) -> AsyncIterator[str]:
    """The table as CSV, some lines at a time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in found.columns])
    lines = 1
    async for row in found.rows:
        writer.writerow([_word(value) for value in row])
        lines += 1
        if lines >= LINES_AT_ONCE:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
            lines = 0
    yield text.getvalue()


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


async def _json(found: task_table.Table) -> AsyncIterator[bytes]:
    columns = [_column(column) for column in found.columns]
    begin = b'{"columns":' + to_json(columns) + b',"rows":['
    buffer = begin
    count = 0
    async for row in found.rows:
        buffer += (b",\n" if count else b"\n") + to_json(row)
        count += 1
        if count % LINES_AT_ONCE == 0:
            yield buffer
            buffer = b""
    yield buffer + b"\n]}\n"


def _column(column: Column) -> dict[str, str]:
    return {"name": column.name, "kind": column.kind.value, "title": column.title, "unit": column.unit}


# ---------------------------------------------------------------- failures, points


@router.get("/api/jobs/{job_id}/failures", responses={200: {"model": list[shapes.Failure]}})
async def failures(services: ServicesDep, caller: ViewerDep, job_id: str, share: Share = None) -> Response:
    """Why tasks failed: by reason, exit code and message, how many and the first of them; the most frequent first,
    a hundred at most. Messages that differ only in numbers, paths and quoted words count as one; that of the first is told."""
    found = await task_table.failures(services, caller, job_id, link=share)
    listed = [render_failure(group) for group in found]
    return Response(to_json(listed), media_type="application/json")


@router.get("/api/jobs/{job_id}/points", responses={200: {"model": shapes.Points}})
async def points(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    x: Name = "",
    y: Name = "",
    color: Name = "",
    share: Share = None,
) -> Response:
    """Points of a plot of one column of the table over another; of two thousand tasks at most, which are then taken evenly."""
    found = await task_table.points(services, caller, job_id, x=x, y=y, color=color, link=share)
    body = {
        "x": _column(found.x),
        "y": _column(found.y),
        "color": _column(found.color) if found.color else None,
        "points": found.rows,
        "sampled": found.sampled,
        "of": found.of,
        "ended": found.ended,
    }
    return Response(to_json(body), media_type="application/json")


def _filter(
    state: list[str] | None, resource: str | None, reason: str | None, text: str | None, like: int | None
) -> TaskFilter:
    for field, words in {"resource": resource, "text": text}.items():
        if words and "\0" in words:
            raise Problem("invalid_field", "A zero byte stands in no name.", field=field, hint="Leave the %00 out.")
    reasons = tuple(one.value for one in Reason)
    if reason and reason not in reasons:
        raise Problem("invalid_field", f"{reason!r} is no reason.", field="reason", expected=", ".join(reasons))
    return TaskFilter(tuple(read_states(state or ())), resource or None, reason or None, text or None, like)
