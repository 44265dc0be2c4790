"""``run``: submit a job, and if asked follow it to its end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli import watch
from sirdar.cli.job_page import best_of, output_lines, tail_of_stderr
from sirdar.cli.reply import Reply
from sirdar.cli.session import Session, current
from sirdar.cli.submit_options import SubmitOptions
from sirdar.cli.values import read_inputs, read_inputs_file, read_rows
from sirdar.client.job import Job


def run(
    app: str,
    /,
    *,
    input: Annotated[
        list[str] | None,
        Parameter(
            name=["--input", "-i"],
            help="name=value, name=@file; again for each member of a list",
            consume_multiple=False,
            negative="",
        ),
    ] = None,
    inputs: Annotated[Path | None, Parameter(help="a JSON file of inputs; -i comes over them")] = None,
    foreach: Annotated[Path | None, Parameter(help="JSON lines: one task for each, merged over the inputs")] = None,
    options: SubmitOptions | None = None,
) -> Reply:
    """Upload the files among the inputs and submit.

    Parameters
    ----------
    app
        owner/alias, owner/alias@3 or an id; me/ is you
    """
    session = current()
    declared = session.client.app(app).inputs
    values = {**(read_inputs_file(inputs, declared) if inputs else {}), **read_inputs(input or [], declared)}
    options = options or SubmitOptions()
    job = session.client.app(app).submit(
        values,
        foreach=read_rows(foreach, declared) if foreach else None,
        **options.given(session),
    )
    session.keep_last(job.id)
    return finish(job, session, wait=options.wait or options.download is not None, download=options.download)


def finish(job: Job, session: Session, *, wait: bool, download: Path | None = None) -> Reply:
    """What is said of a job that was just submitted, or that is followed to its end."""
    session.tell(*(f"warning: {text}" for text in job.warnings))
    if not wait:
        lines = [f"submitted job {job.id}  {watch.summary(job.document)}"]
        return Reply(job.document, [job.id], lambda: lines, [f"sirdar job watch {job.id}"])
    session.tell(f"job {job.id} of {job.app}" + (f"  {job.url}" if job.url else ""))
    left = watch.follow(job, session)
    if left is not None:
        return Reply(job.document, [job.id], lambda: (), exit_code=left)
    return ended(job, session, download)


def ended(job: Job, session: Session, download: Path | None = None) -> Reply:
    """The end of a job: its state, its outputs, and for a failure the last lines of its stderr."""
    job.refresh()
    document = dict(job.document)
    paths = job.download(download) if download is not None else []
    code = watch.exit_code(document)
    has_files = any(True for _ in _files(document.get("result")))
    if paths:
        document["downloaded"] = [str(path) for path in paths]

    def lines() -> Iterator[str]:
        yield watch.ended_words(document)
        if best := best_of(document):
            yield f"best  {best}"
        yield from output_lines(document, session.terminal)
        yield from (f"downloaded {path}" for path in paths)
        if code:
            yield from tail_of_stderr(session, job.id)

    following = [f"sirdar explain {job.id}", f"sirdar job logs {job.id} --stream both"] if code else []
    if has_files and not paths:
        following.append(f"sirdar job download {job.id}")
    return Reply(document, [job.id], lines, following, code)


def _files(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("/api/files/"):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _files(member)
    elif isinstance(value, list):
        for member in value:
            yield from _files(member)
