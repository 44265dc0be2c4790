"""``job ...`` and ``explain``."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.job_page import page, value_words
from sirdar.cli.numbers import duration, moment
from sirdar.cli.reply import Reply
from sirdar.cli.run import ended, finish
from sirdar.cli.session import UsageError, current
from sirdar.cli.story import in_words
from sirdar.cli.values import read_inputs
from sirdar.cli.watch import follow as follow_job
from sirdar.cli.watch import summary, task_counts
from sirdar.client.errors import ApiError, NotFound
from sirdar.client.exchange import Request
from sirdar.client.job import Job
from sirdar.client.requests import jobs as requests
from sirdar.client.requests import people as people_requests
from sirdar.client.views import explanation_of

JobId = Annotated[str, Parameter(help="an id, a beginning of it (four characters or more), or last")]


STATES = ("submitted", "ready", "running", "done", "failed", "cancelled")


def read_states(text: str | None) -> str | None:
    """``failed,done`` in any case, as the server writes them."""
    if text is None:
        return None
    wanted = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in STATES]
    if unknown or not wanted:
        raise UsageError(f"{text!r} is no state", f"one of {', '.join(STATES)}, or several joined by commas")
    return ",".join(wanted).upper()


def list_jobs(
    *,
    state: Annotated[str | None, Parameter(help="jobs in these states alone: running, or failed,cancelled")] = None,
    app: Annotated[str | None, Parameter(help="jobs of this application")] = None,
    text: Annotated[str | None, Parameter(help="a part of the name")] = None,
    owner: Annotated[str | None, Parameter(help="jobs of this user that you may see")] = None,
    since: Annotated[str | None, Parameter(help="submitted at or after: 2026-11-20, 2026-11-20T14:00Z")] = None,
    until: Annotated[str | None, Parameter(help="submitted before")] = None,
    limit: Annotated[int, Parameter(help="how many; 0 for all")] = 40,
) -> Reply:
    """Jobs, newest first."""
    session = current()
    request = requests.listing(
        state=read_states(state),
        app=app,
        text=text,
        owner=owner,
        since=_instant(since),
        until=_instant(until),
        limit=min(limit, 1000) if limit else 1000,
    )
    found = list(session.client.iterate(request, limit or None))
    return _table(found)


def show(job: JobId = "last", /) -> Reply:
    """How a job stands."""
    document = _job(job).document
    return Reply(document, [document["id"]], lambda: page(document, current().terminal))


def watch(job: JobId = "last", /) -> Reply:
    """Follow a job until it ends; the exit code tells how. Ctrl-C goes away from it, a second one asks to cancel it."""
    session = current()
    found = _job(job)
    left = None if found.is_over else follow_job(found, session)
    if left is not None:
        return Reply(found.document, [found.id], lambda: (), exit_code=left)
    return ended(found, session)


def logs(
    job: JobId = "last",
    /,
    *,
    stream: Annotated[Literal["stdout", "stderr", "both"], Parameter(help="stderr goes to standard error")] = "both",
    task: Annotated[int | None, Parameter(help="number of a task, from 0")] = None,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="until the program has ended", negative="")
    ] = False,
) -> Reply | None:
    """What the program wrote to its standard output and error."""
    session = current()
    lines = _job(job).stream_logs(stream, task=task, follow=follow)
    if session.options.json:
        found = [{"stream": getattr(line, "stream", stream), "line": line} for line in lines]
        return Reply(found)
    for line in lines:
        print(line, file=sys.stderr if getattr(line, "stream", "") == "stderr" else sys.stdout, flush=follow)
    return None


def events(
    job: JobId = "last",
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="until the job has ended", negative="")] = False,
) -> Reply | None:
    """The job's story. With --json the events themselves; with --follow one JSON object in each line."""
    import json

    session = current()
    job_id = session.job_id(job)
    if follow:
        for event in session.client.job(job_id).events():
            document = {"id": event.id, "event": event.kind, "data": event.data}
            print(
                json.dumps(document, ensure_ascii=False) if session.options.json else _event_line(document), flush=True
            )
        return None
    if session.options.json:
        return Reply(session.client.call(requests.past_events(job_id)))
    story = session.client.send(requests.event_log(job_id)).body.decode(errors="replace")
    return Reply(None, [], lambda: list(in_words(job_id, story.splitlines(), _resource_names())))


def _resource_names() -> dict[str, str]:
    """By id, of those that one may see."""
    try:
        return {one["id"]: one["name"] for one in current().client.iterate(people_requests.resources())}
    except ApiError:
        return {}


def children(job: JobId = "last", /) -> Reply:
    """Jobs that a job's tasks submitted."""
    session = current()
    return _table(list(session.client.iterate(requests.children(session.job_id(job)))))


def download(
    job: JobId = "last",
    /,
    *,
    to: Annotated[Path, Parameter(help="a folder; of many tasks each gets one of its own in it")] = Path(),
) -> Reply:
    """Download the output files; a job that has not ended is waited for."""
    paths = _job(job).download(to)
    words = [str(path) for path in paths] or ["the job has no output files"]
    return Reply([str(path) for path in paths], [str(path) for path in paths], lambda: words)


def cancel(
    *job: JobId,
    state: Annotated[str | None, Parameter(help="all of your jobs in these states: ready, running")] = None,
    app: Annotated[str | None, Parameter(help="all of this application")] = None,
    text: Annotated[str | None, Parameter(help="all with this in their name")] = None,
    since: Annotated[str | None, Parameter(help="all that were submitted at or after: 2026-11-20")] = None,
    until: Annotated[str | None, Parameter(help="all that were submitted before")] = None,
) -> Reply:
    """End jobs: these, or all that fit. A running program gets SIGTERM first; the job is CANCELLED when it has ended."""
    wanted = _filter(state=read_states(state), app=app, text=text, since=since, until=until)
    if wanted and not job:
        return _many(requests.cancel_many(wanted), "cancelled", "asked for the end of")
    _either(wanted)
    found = [_job(one) for one in _some(job)]
    asked = [one.cancel() for one in found]
    words = [
        f"asked for the end of job {one.id}" if was_asked else f"job {one.id} had ended already: {one.state.lower()}"
        for one, was_asked in zip(found, asked, strict=True)
    ]
    return Reply([one.document for one in found], [one.id for one in found], lambda: words)


def delete(
    *job: JobId,
    name: Annotated[str | None, Parameter(help="all of your jobs of this name")] = None,
    state: Annotated[str | None, Parameter(help="all in these states: failed, or done,cancelled")] = None,
    app: Annotated[str | None, Parameter(help="all of this application")] = None,
    text: Annotated[str | None, Parameter(help="all with this in their name")] = None,
    since: Annotated[str | None, Parameter(help="all that were submitted at or after: 2026-11-20")] = None,
    until: Annotated[str | None, Parameter(help="all that were submitted before")] = None,
) -> Reply:
    """Remove jobs and their files: these, or all that fit."""
    session = current()
    wanted = _filter(state=read_states(state), app=app, text=text, since=since, until=until)
    if wanted and not job:
        return _many(requests.delete_many(_filter(name=name, **wanted)), "deleted", "deleted")
    _either(wanted)
    if name is not None:
        last = _last_named(name)
        session.client.send(requests.delete_named(name))
        if last:
            session.forget_last(last)
        return Reply({"deleted": {"name": name}}, [], lambda: [f"deleted the jobs named {name}"])
    ids = [session.job_id(one) for one in _some(job)]
    for one in ids:
        session.client.send(requests.delete(one))
        session.forget_last(one)
    return Reply({"deleted": ids}, ids, lambda: [f"deleted job {one}" for one in ids])


def resubmit(
    job: JobId = "last",
    /,
    *,
    input: Annotated[
        list[str] | None,
        Parameter(name=["--input", "-i"], help="name=value of an input to change", consume_multiple=False, negative=""),
    ] = None,
    name: Annotated[str | None, Parameter(help="of the new job")] = None,
    latest: Annotated[bool, Parameter(help="of the newest version of the application", negative="")] = False,
    failed: Annotated[bool, Parameter(help="of many tasks those alone that failed", negative="")] = False,
    not_done: Annotated[
        bool, Parameter(help="of many tasks those that failed and those that were cancelled", negative="")
    ] = False,
    task: Annotated[
        list[int] | None,
        Parameter(help="of many tasks this one alone; may be repeated", consume_multiple=False, negative=""),
    ] = None,
    wait: Annotated[bool, Parameter(name="--wait", negative="--detach", help="follow the job to its end")] = False,
) -> Reply:
    """A new job with the inputs of an old one."""
    session = current()
    old = _job(job)
    declared = session.client.app(_app_of(old, latest)).inputs if input else {}
    version = "latest" if latest else None
    only = "not_done" if not_done else "failed" if failed else None
    new = old.resubmit(_name=name, _version=version, _only=only, _tasks=task, **read_inputs(input or [], declared))
    session.keep_last(new.id)
    return finish(new, session, wait=wait)


def share(
    job: JobId,
    /,
    *subject: Annotated[str, Parameter(help="a user, or group:NAME; without any: who may see it")],
    link: Annotated[bool, Parameter(help="an address by which anybody may see the job", negative="")] = False,
    revoke: Annotated[bool, Parameter(help="take it back", negative="")] = False,
) -> Reply:
    """Let others see a job."""
    session = current()
    job_id = session.job_id(job)
    if link:
        return _share_link(job_id, revoke)
    if not subject:
        found = session.client.call(requests.shares(job_id))
        return Reply(found, [], lambda: share_lines(found))
    names = [one if ":" in one else f"user:{one}" for one in subject]
    for one in names:
        session.client.send(requests.unshare(job_id, one) if revoke else requests.share(job_id, one))
    done = "no longer shared with" if revoke else "shared with"
    return Reply({"job": job_id, "subjects": names, "revoked": revoke}, names, lambda: [f"{done} {', '.join(names)}"])


def explain(job: JobId = "last", /) -> Reply:
    """Why a job waits, or why it ended so."""
    session = current()
    document = session.client.call(requests.explain(session.job_id(job)))
    return Reply(document, [str(document.get("state"))], lambda: str(explanation_of(document)).splitlines())


def share_lines(found: Any) -> list[str]:
    """Who may see the job."""
    lines = [str(subject) for subject in found.get("subjects") or ()]
    lines += ["whoever has the link"] if found.get("link") else []
    return lines or ["shared with nobody"]


def _share_link(job_id: str, revoke: bool) -> Reply:
    client = current().client
    if revoke:
        client.send(requests.revoke_link(job_id))
        return Reply({"job": job_id, "revoked": True}, [], lambda: ["the link works no more"])
    document = client.call(requests.share_link(job_id))
    return Reply(document, [document["url"]], lambda: [document["url"]])


def _job(text: str) -> Job:
    session = current()
    return session.client.job(session.job_id(text))


def _last_named(name: str) -> str | None:
    """Id of the job that ``last`` stands for, where it has this name."""
    session = current()
    try:
        document = session.client.call(requests.show(session.job_id("last")))
    except (UsageError, NotFound):
        return None
    return str(document["id"]) if document.get("name") == name else None


def _some(jobs: tuple[str, ...]) -> tuple[str, ...]:
    if not jobs:
        raise UsageError("which job?", "give an id, or last")
    return jobs


def _filter(**given: Any) -> dict[str, Any]:
    """What was said, for the body of a request."""
    moments = {name: _instant(given[name]).isoformat() for name in ("since", "until") if given.get(name)}
    return {name: value for name, value in {**given, **moments}.items() if value is not None}


def _either(wanted: dict[str, Any]) -> None:
    if wanted:
        raise UsageError("jobs and a filter", "give ids, or say which jobs by --state, --app, --text, --since, --until")


def _many(request: Request, counted: str, done: str) -> Reply:
    """Act on all that fit, as often as the server says that there are more."""
    session = current()
    ids: list[str] = []
    refused: list[dict[str, Any]] = []
    more = True
    while more:
        found = session.client.call(request)
        ids += found["ids"]
        refused += found["refused"]
        more = bool(found["more"] and found["ids"])
    for one in ids if counted == "deleted" else ():
        session.forget_last(one)
    words = [f"{done} {len(ids)} job{'' if len(ids) == 1 else 's'}", *(str(one["detail"]) for one in refused)]
    return Reply({counted: len(ids), "ids": ids, "refused": refused}, ids, lambda: words)


def _app_of(job: Job, latest: bool) -> str:
    ref = str(job.document.get("appId") or job.app.partition("@")[0])
    version = job.document.get("appVersion")
    return ref if latest or not version else f"{ref}@{version}"


def _instant(text: str | None) -> Any:
    from datetime import datetime

    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "write 2026-11-20 or 2026-11-20T14:00Z") from None


def _table(found: list[dict[str, Any]]) -> Reply:
    session = current()
    headers = ("state", "job", "name", "app", "submitted", "ran>", "owner", "")
    rows = [
        (
            draw.state_words(job),
            job["id"],
            job.get("name"),
            f"{job.get('app') or job.get('appAlias')}@{job.get('appVersion')}",
            moment(job.get("submittedAt") or job.get("createdAt")),
            duration(job.get("runS")),
            job.get("owner"),
            _remark(job),
        )
        for job in found
    ]
    empty = ["no jobs; run an application: `sirdar app list`"]
    return Reply(
        found,
        [job["id"] for job in found],
        lambda: draw.table(headers, rows, session.terminal) if found else empty,
    )


def _remark(job: dict[str, Any]) -> str:
    """The last column: of a failed job why it failed, of any other its message and counts."""
    if job.get("state") != "FAILED":
        return summary(job).partition(" · ")[2]
    reason = (job.get("outcome") or {}).get("message") or job.get("info")
    return " · ".join(word for word in (str(reason or ""), task_counts(job.get("tasks"))) if word)


def plain() -> Any:
    from sirdar.cli.session import Terminal

    return Terminal()


def _event_line(event: dict[str, Any]) -> str:
    data = event["data"]
    words = (
        [f"{name} {value_words(value)}" for name, value in data.items() if value not in (None, "", {}, [])]
        if isinstance(data, dict)
        else [str(data)]
    )
    return f"{event['id']:>5}  {event['event']:<8} {'; '.join(words)}"
