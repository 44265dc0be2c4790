"""``sirdar plot``: a job's values over its parameters, as a picture in a file."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, current
from sirdar.client.requests import jobs as requests


def plot(
    job: str = "last",
    /,
    *,
    x: Annotated[str | None, Parameter(help="a parameter, or any column of the table")] = None,
    y: Annotated[str | None, Parameter(help="the value; otherwise the first output that is a number")] = None,
    by: Annotated[
        str | None, Parameter(help="a second parameter: a series for each of its values, or the other axis")
    ] = None,
    kind: Annotated[
        Literal["line", "scatter", "heatmap", "parallel"] | None, Parameter(help="otherwise chosen by the values")
    ] = None,
    best: Annotated[
        Literal["min", "max"] | None, Parameter(help="mark the task with the smallest or largest value")
    ] = None,
    log: Annotated[
        str | None,
        Parameter(
            help="logarithmic scale: x, y (the value), names of parameters, several with commas; none; else by the values"
        ),
    ] = None,
    title: Annotated[str, Parameter(help="above the picture")] = "",
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="FILE.svg, .png or .pdf; otherwise JOB.svg")
    ] = None,
) -> Reply:
    """Draw a job's values over its parameters. Tasks that are not done are left out and counted below the picture."""
    session = current()
    scales = [word.strip() for word in (log or "").split(",") if word.strip()]
    drawing = _plots()
    job_id = session.job_id(job)
    path = output or Path(f"{job_id}.svg")
    document = session.client.call(requests.plot(job_id, x=x, y=y, by=by, kind=kind, best=best))
    try:
        drawing.save(drawing.draw(document, title=title, subject=f"job {job_id}", log=scales), path)
    except drawing.CannotPlot as error:
        raise Refused("cannot_plot", str(error)) from error
    except OSError as error:
        raise Refused("cannot_write", f"{path}: {error.strerror}") from error
    told = {"file": str(path), **{key: document[key] for key in ("kind", "shown", "total", "leftOut", "best")}}
    return Reply(
        told, [str(path)], lambda: [f"{path}: {document['kind']}, {document['shown']} of {document['total']} tasks"]
    )


def _plots() -> Any:
    """Says what to install where the extra is missing."""
    try:
        return import_module("sirdar.plots")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sirdar"):
            raise
        hint = "install sirdar[plots]: `uv tool install 'sirdar[plots]'`"
        raise Refused("not_installed", f"pictures need the package {error.name}", hint=hint) from error
