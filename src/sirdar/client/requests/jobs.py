"""Jobs: submit, look, wait, stop, share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sirdar.client.exchange import Reply, Request
from sirdar.client.requests.address import params, piece, without_none
from sirdar.client.requests.apps import app_path

ENDED = frozenset({"DONE", "FAILED", "CANCELLED"})
SLACK_S = 30.0  # how much later than asked the answer to a long wait may come


@dataclass(frozen=True, slots=True)
class Options:
    """What a submission may carry besides its inputs; None is left to the server and the application.

    ``on_failure``: continue, stop or ignore. ``overrides``: cpus, memory, time, gpus, nodes, where the application
    allows it. ``after``: ids of jobs that must be DONE first. ``notify``: ``{"webhook": url}`` or ``{"email": ..}``.
    Of many tasks: ``criterion``: ``{"minimize": KEY}`` or ``{"maximize": KEY}``, an output or a number that they report;
    ``stop_when``: ``"loss < 0.01"``, on which the rest is called off.
    """

    name: str | None = None
    resources: Sequence[str] | None = None
    on_failure: str | None = None
    overrides: Mapping[str, Any] | None = None
    retries: int | None = None
    debug: bool | None = None
    after: Sequence[str] | None = None
    priority: int | None = None
    notify: Sequence[Mapping[str, Any]] | None = None
    retention_s: float | None = None
    criterion: Mapping[str, str] | None = None
    stop_when: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def submit(
    app: str,
    inputs: Mapping[str, Any],
    options: Options,
    *,
    key: str,
    foreach: Sequence[Mapping[str, Any]] | Mapping[str, str] | None = None,
    sweep: Mapping[str, Any] | None = None,
    wait_s: float | None = None,
    stays_open: bool = False,
    files: Sequence[str] = (),
) -> Request:
    """Submit a job; ``key`` makes it safe to send again, ``wait_s`` asks for the finished job in the answer.

    ``stays_open``: ``foreach`` has only its first tasks; ``add`` brings the others while it runs. ``files``: names of outputs and
    streams that the answer shall hold of each task, where the job has ended by then.
    """
    body = without_none(
        {
            "name": options.name,
            "inputs": dict(inputs),
            "foreach": foreach,
            "sweep": sweep,
            "open": stays_open or None,
            "resources": _listed(options.resources),
            "onFailure": options.on_failure,
            "overrides": dict(options.overrides) if options.overrides else None,
            "retries": options.retries,
            "debug": options.debug or None,
            "after": _listed(options.after),
            "priority": options.priority,
            "notify": _listed(options.notify),
            "retentionS": options.retention_s,
            "criterion": dict(options.criterion) if options.criterion else None,
            "stopWhen": options.stop_when,
            **options.extra,
        }
    )
    return Request(
        "POST",
        app_path(app),
        params({"wait": wait_s, "files": _joined(files)}),
        json=body,
        headers={"Idempotency-Key": key},
        timeout_s=(wait_s or 0.0) + SLACK_S,
    )


def add(
    job: str,
    foreach: Sequence[Mapping[str, Any]],
    *,
    first: int,
    last: bool,
    key: str,
    wait_s: float | None = None,
    files: Sequence[str] = (),
) -> Request:
    """More tasks of an open job, numbered from ``first`` on, which is how many it has; ``last``: no more come.

    None at all, not being the last, are a sign of life: the server waits on. ``key`` makes it safe to send again. ``files`` as of
    a submission.
    """
    body = {"foreach": [dict(row) for row in foreach], "first": first, "last": last}
    headers = {"Idempotency-Key": key}
    query, timeout_s = params({"wait": wait_s, "files": _joined(files)}), (wait_s or 0.0) + SLACK_S
    return Request("POST", job_path(job, "tasks"), query, json=body, headers=headers, timeout_s=timeout_s)


def _joined(names: Sequence[str]) -> str | None:
    return ",".join(names) or None


def show(job: str, wait_s: float | None = None) -> Request:
    """The job; with ``wait_s`` the answer is held until the job's end, or for so long."""
    return Request("GET", job_path(job), params({"wait": wait_s}), timeout_s=(wait_s or 0.0) + SLACK_S)


def listing(
    *,
    state: str | None = None,
    app: str | None = None,
    text: str | None = None,
    owner: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    parent: str | None = None,
    limit: int | None = None,
) -> Request:
    """Newest first; ``limit`` is the size of a page."""
    given = {"state": state, "app": app, "text": text, "owner": owner, "parent": parent, "limit": limit}
    return Request("GET", "/api/jobs", params({**given, "since": since, "until": until}))


def delete(job: str) -> Request:
    return Request("DELETE", job_path(job))


def delete_named(name: str) -> Request:
    return Request("DELETE", "/api/jobs", {"name": name})


def cancel(job: str) -> Request:
    return Request("POST", job_path(job, "cancel"), repeatable=True)


def cancel_many(wanted: Mapping[str, Any]) -> Request:
    """End all jobs that fit a filter: state, app, text, owner, name, since, until, parent."""
    return Request("POST", "/api/jobs/cancel", json={"filter": dict(wanted)}, repeatable=True)


def delete_many(wanted: Mapping[str, Any]) -> Request:
    return Request("POST", "/api/jobs/delete", json={"filter": dict(wanted)}, repeatable=True)


def resubmit(
    job: str,
    *,
    key: str,
    inputs: Mapping[str, Any] | None = None,
    name: str | None = None,
    version: str | None = None,
    only: str | None = None,
    tasks: Sequence[int] | None = None,
) -> Request:
    """A new job with the old one's inputs, those of ``inputs`` changed. ``version``: same or latest.

    ``only`` (``failed``, or ``not_done``: those that were cancelled too) and ``tasks`` take some tasks of a job of many.

    It is not sent twice: servers need not honour the key here.
    """
    given = {"name": name, "version": version, "only": only, "tasks": _listed(tasks)}
    body = without_none({"inputs": dict(inputs) if inputs else None, **given})
    headers = {"Idempotency-Key": key}
    return Request("POST", job_path(job, "resubmit"), json=body, headers=headers, repeatable=False)


def event_log(job: str) -> Request:
    """The job's story as text, one line for each event."""
    return Request("GET", job_path(job, "log"))


def stream(job: str, name: str, *, offset: int = 0, task: int | None = None) -> Request:
    """What the program wrote to ``stdout`` or ``stderr`` from a byte offset on; a negative one counts from the end."""
    return Request("GET", job_path(job, name), params({"offset": offset, "task": task}))


def tasks(
    job: str,
    *,
    state: str | None = None,
    reason: str | None = None,
    text: str | None = None,
    where: Sequence[str] | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> Request:
    """``sort``: a column of the job's table, with a minus before it the largest first. ``where``: ``outputs.loss<0.01``."""
    given = {"state": state, "reason": reason, "text": text, "where": _listed(where), "sort": sort, "limit": limit}
    return Request("GET", job_path(job, "tasks"), params(given))


def failures(job: str) -> Request:
    return Request("GET", job_path(job, "failures"))


def table(job: str, form: str = "csv", *, state: str | None = None, where: Sequence[str] | None = None) -> Request:
    """All tasks: number, state, times, inputs that differ, outputs that are values. ``form``: csv, json or parquet.

    ``where``: conditions on values, such as ``outputs.loss<0.01``.
    """
    return Request("GET", job_path(job, "table"), params({"format": form, "state": state, "where": _listed(where)}))


def plot(
    job: str,
    *,
    x: str | None = None,
    y: str | None = None,
    by: str | None = None,
    kind: str | None = None,
    best: str | None = None,
) -> Request:
    """Values over parameters, put together for a picture. ``kind``: line, scatter, heatmap, parallel; ``best``: min or max."""
    return Request("GET", job_path(job, "plot"), params({"x": x, "y": y, "by": by, "kind": kind, "best": best}))


def task(job: str, number: int) -> Request:
    return Request("GET", job_path(job, "tasks", str(number)))


def children(job: str) -> Request:
    return Request("GET", job_path(job, "children"))


def explain(job: str) -> Request:
    return Request("GET", job_path(job, "explain"))


def past_events(job: str) -> Request:
    return Request("GET", job_path(job, "events"), headers={"Accept": "application/json"})


def event_stream(job: str, last_id: str, quiet_s: float) -> Request:
    """Server-sent events after ``last_id``; ``quiet_s`` is the longest silence before the connection is given up."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id, "Accept-Encoding": "identity"}
    return Request("GET", job_path(job, "events"), headers=headers, timeout_s=quiet_s)


def shares(job: str) -> Request:
    return Request("GET", job_path(job, "share"))


def share(job: str, subject: str) -> Request:
    return Request("PUT", job_path(job, "share", subject), json={})


def unshare(job: str, subject: str) -> Request:
    return Request("DELETE", job_path(job, "share", subject))


def share_link(job: str) -> Request:
    return Request("POST", job_path(job, "share", "link"))


def revoke_link(job: str) -> Request:
    return Request("DELETE", job_path(job, "share", "link"))


def job_path(job: str, *tail: str) -> str:
    return "/".join(["/api/jobs", *map(piece, (job, *tail))])


def has_ended(document: Mapping[str, Any]) -> bool:
    """True for a job (or task) document whose state will not change any more."""
    return document.get("state") in ENDED


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """Bytes of a stream and whether there may be more. ``size_bytes``: how long the stream is so far."""

    content: bytes
    size_bytes: int
    complete: bool


def read_stream_piece(reply: Reply, offset: int) -> StreamPiece:
    """What a reply to ``stream`` holds."""
    size = int(reply.headers.get("sirdar-size", offset + len(reply.body)))
    return StreamPiece(reply.body, size, reply.headers.get("sirdar-complete", "true").lower() != "false")


def _listed(values: Sequence[Any] | None) -> list[Any] | None:
    return list(values) if values else None
