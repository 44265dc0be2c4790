"""``job tasks``, ``job failures``, ``job table``: the tasks of one job."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.jobs import JobId, plain, read_states
from sirdar.cli.reply import Reply
from sirdar.cli.session import UsageError, current
from sirdar.cli.task_rows import task_lines
from sirdar.client.requests import jobs as requests

_FORMS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}


def _form_of(output: Path) -> str:
    """By the file's suffix."""
    form = _FORMS.get(output.suffix.lower())
    if form is None:
        raise UsageError(
            f"{output.name} has none of the suffixes {', '.join(_FORMS)}", "or say which it is: --format csv"
        )
    return form


def tasks(
    job: JobId = "last",
    /,
    *,
    state: Annotated[str | None, Parameter(help="tasks in this state alone: running, failed, ...")] = None,
    reason: Annotated[str | None, Parameter(help="tasks that ended so: exit_code, out_of_memory, ...")] = None,
    text: Annotated[str | None, Parameter(help="a part of a message, an input or an output")] = None,
    where: Annotated[
        list[str] | None,
        Parameter(help="a value compared: 'outputs.loss<0.01'; may be repeated", consume_multiple=False, negative=""),
    ] = None,
    sort: Annotated[
        str | None, Parameter(help="by a column: runS, inputs.beta, or --sort=-outputs.error for the largest first")
    ] = None,
    limit: Annotated[int, Parameter(help="how many; 0 for all")] = 40,
    wide: Annotated[
        bool, Parameter(help="all columns and whole values, however long the lines are", negative="")
    ] = False,
) -> Reply:
    """Tasks of a job, those too that have not been expanded yet."""
    session = current()
    job_id = session.job_id(job)
    request = requests.tasks(
        job_id,
        state=read_states(state),
        reason=reason,
        text=text,
        where=where,
        sort=sort,
        limit=min(limit, 1000) or 1000,
    )
    found = list(session.client.iterate(request, limit or None))

    def lines() -> list[str]:
        varying = session.client.call(requests.show(job_id)).get("varying") or []
        asked = [*(where or ()), *([sort] if sort else ())]
        return task_lines(found, varying, asked, session.terminal, plain(), wide=wide)

    return Reply(found, [str(task.get("no")) for task in found], lines)


def failures(job: JobId = "last", /) -> Reply:
    """Why tasks of a job failed, the most frequent reason first."""
    session = current()
    found = session.client.call(requests.failures(session.job_id(job)))
    headers = ("tasks>", "reason", "exit code>", "first>", "message")
    names = ("count", "reason", "exitCode", "example", "message")
    rows = [tuple(group.get(name) for name in names) for group in found]
    lines = ["no task has failed"]
    return Reply(found, [], lambda: draw.table(headers, rows, session.terminal) if found else lines)


def table(
    job: JobId = "last",
    /,
    *,
    format: Annotated[
        Literal["csv", "json", "parquet"] | None, Parameter(help="else as the file is called; CSV without a file")
    ] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="the file to write")] = None,
    state: Annotated[str | None, Parameter(help="tasks in this state alone: done, failed, ...")] = None,
    where: Annotated[
        list[str] | None,
        Parameter(help="a value compared: 'outputs.loss<0.01'; may be repeated", consume_multiple=False, negative=""),
    ] = None,
) -> Reply | None:
    """All tasks as CSV, JSON or Parquet: number, state, resource, seconds, inputs that differ, outputs that are values, times."""
    session = current()
    job_id = session.job_id(job)
    form = format or (_form_of(output) if output else "csv")
    if session.options.json and output is None:
        return Reply(session.client.call(requests.table(job_id, "json", state=read_states(state), where=where)))
    if form == "parquet" and output is None:
        raise UsageError("a Parquet file is not for a terminal: name one with -o table.parquet")
    body = session.client.send(requests.table(job_id, form, state=read_states(state), where=where)).body
    if output is None:
        sys.stdout.write(body.decode())
        return None
    output.write_bytes(body)
    return Reply({"file": str(output), "bytes": len(body)}, [str(output)], lambda: [f"wrote {output}"])
