"""The tasks of a job over REST: a list that filters and sorts, one task, the whole table, why tasks failed, points of a plot."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api import plot_shapes, shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.ended_tasks import FILES, read_names, task_list
from sirdar.api.job_table import PARQUET, accepted_form, column_shape, write_csv, write_json
from sirdar.api.jobs import Share, ViewerDep, read_cursor
from sirdar.api.paging import After, Limit, page
from sirdar.api.render import render_failure, render_job, render_span, render_task, render_try
from sirdar.api.results import results_of
from sirdar.api.submit import MAX_WAIT_S, wait_for_end
from sirdar.domain.outcome import Reason
from sirdar.domain.problems import Problem
from sirdar.services import jobs as job_service
from sirdar.services import task_table
from sirdar.services.job_filters import read_states
from sirdar.services.open_jobs import add_tasks
from sirdar.services.table_parquet import require_parquet, write_parquet
from sirdar.services.task_table import TaskQuery
from sirdar.services.timelines import timeline_of
from sirdar.store import jobs as job_store
from sirdar.store import task_views
from sirdar.store.task_table import TaskFilter
from sirdar.wire.submit import AddRequest

router = APIRouter(tags=["jobs"])
_FORMS: dict[str, tuple[Any, str]] = {
    "json": (write_json, "application/json"),
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "parquet": (lambda found: write_parquet(found.columns, found.batches), PARQUET),
}
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


@router.post("/api/jobs/{job_id}/tasks", responses={200: {"model": shapes.Job}})
async def add(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    job_id: str,
    body: AddRequest,
    wait: Annotated[
        float | None,
        Query(ge=0, le=MAX_WAIT_S, description="Answer with the ended job, after this many seconds at most"),
    ] = None,
    files: Annotated[str, Query(description=FILES)] = "",
) -> Response:
    """Add tasks to an open job, or say that no more come.

    A request that is sent again with its Idempotency-Key adds nothing more.
    """
    names = read_names(files)
    full = await add_tasks(services, caller, job_id, body, key=request.headers.get("idempotency-key"))
    shown = await wait_for_end(services, caller, full, wait or 0.0)
    content = render_job(shown, services.settings.url, results=await results_of(services, shown.job))
    if (listed := await task_list(services, caller, shown, names)) is not None:
        content["taskList"] = listed
    return Response(to_json(content), media_type="application/json")


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
        show=lambda task: render_task(
            job, task, {**job.inputs, **found.items.get(task.no, {})}, found.again.get(task.no)
        ),
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
        again = job_store.load_again(conn, job.id, [no]) if job.again_of and job.many else {}
        return job, task, items.get(no, {}), again.get(no), task_views.attempts_of_task(conn, job.id, no)

    job, task, item, again, tries = await services.store.read(read)
    body = render_task(job, task, {**job.inputs, **item}, again)
    body["tries"] = [render_try(one) for one in tries]
    body["timeline"] = [render_span(span) for span in timeline_of(job, task, tries)]
    return Response(to_json(body), media_type="application/json")


# ---------------------------------------------------------------- the whole table


@router.get(
    "/api/jobs/{job_id}/table",
    response_class=Response,
    responses={
        200: {
            "model": shapes.TaskTable,
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def table(
    request: Request,
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    format: Annotated[
        Literal["json", "csv", "parquet"] | None, Query(description="Else as Accept says, and JSON where it does not")
    ] = None,
    state: States = None,
    resource: Resource = None,
    reason: ReasonWord = None,
    text: Text = None,
    like: Like = None,
    where: Where = None,
    share: Share = None,
) -> Response:
    """All tasks in order: number, state, resource, seconds of waiting and running, inputs that differ, outputs that are
    values; then seconds from submission to end, bytes staged, attempts, reason, times of submission, start and end."""
    wanted = _filter(state, resource, reason, text, like)
    form = format or accepted_form(request.headers.get("accept", ""))
    if form == "parquet":
        require_parquet()
    found = await task_table.table(services, caller, job_id, wanted, where=where or (), link=share)
    write, media_type = _FORMS[form]
    headers = {"cache-control": "no-store"}
    if form != "json":
        headers["content-disposition"] = f'attachment; filename="{found.job.id}.{form}"'
    return StreamingResponse(write(found), headers=headers, media_type=media_type)


# ---------------------------------------------------------------- failures, points


@router.get("/api/jobs/{job_id}/failures", responses={200: {"model": list[shapes.Failure]}})
async def failures(services: ServicesDep, caller: ViewerDep, job_id: str, share: Share = None) -> Response:
    """Why tasks failed: by reason, exit code and message, how many and the first of them; the most frequent first,
    a hundred at most. Messages that differ only in numbers, paths and quoted words count as one; that of the first is told."""
    found = await task_table.failures(services, caller, job_id, link=share)
    listed = [render_failure(group) for group in found]
    return Response(to_json(listed), media_type="application/json")


@router.get("/api/jobs/{job_id}/points", responses={200: {"model": plot_shapes.Points}})
async def points(
    services: ServicesDep,
    caller: ViewerDep,
    job_id: str,
    x: Name = "",
    y: Name = "",
    color: Annotated[
        str,
        Query(
            max_length=200,
            description="A column; else an input, or what the job seeks, that is on no axis; none: no colour",
        ),
    ] = "",
    share: Share = None,
) -> Response:
    """Points of a plot of one column of the table over another; of two thousand tasks at most, which are then taken evenly."""
    found = await task_table.points(services, caller, job_id, x=x, y=y, color=color, link=share)
    body = {
        "x": column_shape(found.x),
        "y": column_shape(found.y),
        "color": column_shape(found.color) if found.color else None,
        "points": found.rows,
        "sampled": found.sampled,
        "of": found.of,
        "ended": found.ended,
        "best": found.best,
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
