"""``run``: submit a job, and if asked follow it to its end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli import watch
from sirdar.cli.job_page import output_lines, tail_of_stderr
from sirdar.cli.reply import Reply
from sirdar.cli.session import Session, UsageError, current
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
    wait: Annotated[bool, Parameter(name="--wait", negative="--detach", help="follow the job to its end")] = False,
    name: Annotated[str | None, Parameter(help="of the job")] = None,
    resource: Annotated[
        list[str] | None,
        Parameter(help="run on this machine, by id or name; may be repeated", consume_multiple=False, negative=""),
    ] = None,
    debug: Annotated[bool, Parameter(help="keep the whole working directory as an archive", negative="")] = False,
    after: Annotated[
        list[str] | None,
        Parameter(help="wait for the success of this job; may be repeated", consume_multiple=False, negative=""),
    ] = None,
    on_failure: Annotated[
        Literal["continue", "stop", "ignore"] | None, Parameter(help="of one task among many")
    ] = None,
    cpus: Annotated[int | None, Parameter(help="where the application allows it")] = None,
    memory: Annotated[str | None, Parameter(help="512 MiB; where the application allows it")] = None,
    time: Annotated[str | None, Parameter(help="10 min; where the application allows it")] = None,
    gpus: Annotated[int | None, Parameter(help="where the application allows it")] = None,
    nodes: Annotated[int | None, Parameter(help="where the application allows it")] = None,
    retries: Annotated[int | None, Parameter(help="of tasks that fail by the platform's fault")] = None,
    priority: Annotated[int | None, Parameter(help="higher goes first among your own")] = None,
    notify: Annotated[
        list[str] | None,
        Parameter(
            help="an e-mail address, or the URL of a webhook; may be repeated", consume_multiple=False, negative=""
        ),
    ] = None,
    download: Annotated[
        Path | None, Parameter(help="a folder for the output files; follows the job to its end")
    ] = None,
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
    overrides = {"cpus": cpus, "memory": memory, "time": time, "gpus": gpus, "nodes": nodes}
    job = session.client.app(app).submit(
        values,
        foreach=read_rows(foreach, declared) if foreach else None,
        name=name,
        resources=resource,
        debug=debug,
        after=[session.job_id(one) for one in after] if after else None,
        on_failure=on_failure,
        overrides={key: value for key, value in overrides.items() if value is not None},
        retries=retries,
        priority=priority,
        notify=[_notification(one) for one in notify] if notify else None,
    )
    session.keep_last(job.id)
    return finish(job, session, wait=wait or download is not None, download=download)


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


def _notification(text: str) -> dict[str, str]:
    if text.startswith(("http://", "https://")):
        return {"webhook": text}
    if "@" in text:
        return {"email": text}
    raise UsageError(f"--notify {text!r} is neither an address of a webhook nor of e-mail")
