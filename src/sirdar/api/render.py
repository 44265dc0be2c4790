"""Jobs and tasks as the REST API shows them (``facts`` of Everest's clients, and what they lack in the same manner)."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sirdar.api.paging import iso
from sirdar.domain import spans
from sirdar.domain.app import FileRef
from sirdar.domain.criterion import stored_criterion
from sirdar.domain.failures import FailureGroup
from sirdar.domain.outcome import Reason
from sirdar.domain.spans import span
from sirdar.domain.timeline import Span, Try
from sirdar.services.job_files import inputs_with_uris, job_prefix, result_with_uris
from sirdar.services.jobs import Shown
from sirdar.services.submit import Submitted
from sirdar.store.job_views import JobView
from sirdar.store.task_views import TaskView

SECRET = "(secret)"  # noqa: S105
INLINE_RESULTS = 10_000


def render_submitted(submitted: Submitted, owner: str, base: str) -> dict[str, Any]:
    """The reply to a submission, made without reading it back."""
    new, version = submitted.new, submitted.loaded.version
    created = iso(submitted.created_at)
    waiting = new.state.value == "READY"
    return {
        "id": new.id,
        "name": new.name,
        "state": new.state.value,
        "info": None,
        **_app(version.app_id, version.owner_name, version.alias, version.shown, new.code_version),
        "appName": submitted.loaded.app.name or version.alias,
        "owner": owner,
        "inputs": _inputs(submitted),
        "createdAt": created,
        "submittedAt": created,
        "readyAt": created if waiting else None,
        "startedAt": None,
        "endedAt": None,
        "tasks": {
            "total": new.total,
            "waiting": new.total,
            "queued": 0,
            "running": 0,
            "done": 0,
            "failed": 0,
            "cancelled": 0,
        },
        "onFailure": new.on_failure.value,
        **({"open": True} if new.open_s is not None else {}),
        **_sought_newly(new.criterion_json),
        "stdout": f"/api/jobs/{new.id}/stdout",
        "stderr": f"/api/jobs/{new.id}/stderr",
        "url": f"{base}/jobs/{new.id}",
    }


def _sought_newly(stored: str | None) -> dict[str, Any]:
    sought = stored_criterion(stored) if stored else None
    if sought is None:
        return {}
    of_key = {"criterion": {sought.direction: sought.key}, "best": None} if sought.key else {}
    return {**of_key, **({"stopWhen": sought.stop.text, "metBy": None} if sought.stop else {})}


def render_job(shown: Shown, base: str, *, results: list[Any] | dict[str, str] | str | None = None) -> dict[str, Any]:
    """The whole job. ``results``: of a job of many tasks that has ended, a list or the URI of one."""
    job, task = shown.job, shown.task
    body = render_summary(job, base)
    body["inputs"] = inputs_with_uris(_shown_inputs(job.inputs), job_prefix(job.id))
    if task is not None:
        body |= _of_single_task(job, task)
    elif results is not None:
        body["result"] = results
    if job.best is not None:
        prefix = job_prefix(job.id, job.best.task)
        body["best"]["inputs"] = inputs_with_uris(_shown_inputs(shown.best_inputs), prefix)
    if shown.failures:
        body["failures"] = [render_failure(group) for group in shown.failures]
    if shown.repeated_by:
        body["repeatedBy"] = list(shown.repeated_by)
    body["permissions"] = {"act": shown.may_act}
    if shown.notices:
        body["notices"] = [asdict(notice) for notice in shown.notices]
    return body


def render_summary(job: JobView, base: str) -> dict[str, Any]:
    """A job in a list."""
    ended = job.ended_at is not None
    body: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "info": info_of(job),
        **_app(job.app_id, job.app_owner, job.app_alias, job.version, job.code_version),
        "appName": job.app_name or job.app_alias,
        "owner": job.owner,
        "createdAt": iso(job.created_at),
        "submittedAt": iso(job.created_at),
        "readyAt": iso(job.ready_at),
        "startedAt": iso(job.started_at),
        "endedAt": iso(job.ended_at),
        "waitS": span(job.created_at, job.started_at),
        "runS": span(job.started_at, job.ended_at),
        "statusMessage": job.status_message,
        "progress": job.progress,
        "metrics": job.metrics,
        "tasks": {
            "total": job.total,
            "waiting": job.waiting,
            "queued": job.leased - job.running,
            "running": job.running,
            "done": job.done,
            "failed": job.failed,
            "cancelled": job.cancelled,
        },
        "onFailure": job.on_failure,
        "stdout": f"/api/jobs/{job.id}/stdout",
        "stderr": f"/api/jobs/{job.id}/stderr",
        "url": f"{base}/jobs/{job.id}",
        **_sought(job),
    }
    if ended:
        body["outcome"] = _outcome(job.reason, job.message, job.exit_code)
    if job.open:
        body["open"] = True
    if job.cancel_requested_at is not None:
        body |= {"cancelRequestedAt": iso(job.cancel_requested_at), "cancelRequestedBy": job.cancel_requested_by}
    if job.delete_requested_at is not None:
        body["deleteRequestedAt"] = iso(job.delete_requested_at)
    if job.environment:
        body["environment"] = job.environment
    if job.parent_job:
        body["parent"] = job.parent_job
    if job.again_of:
        body["againOf"] = job.again_of
    if job.pending.get("after"):
        body["after"] = job.pending["after"]
    return body


def _sought(job: JobView) -> dict[str, Any]:
    """What is sought among the tasks, and what was found so far."""
    sought = job.criterion
    if sought is None:
        return {}
    body: dict[str, Any] = {}
    if sought.key:
        best = {"task": job.best.task, "value": job.best.value} if job.best is not None else None
        body |= {"criterion": {sought.direction: sought.key}, "best": best}
    if sought.stop is not None:
        body |= {"stopWhen": sought.stop.text, "metBy": job.met_task}
    if job.stopped_early:
        body["notNeeded"] = job.cancelled
    return body


def render_failure(group: FailureGroup) -> dict[str, Any]:
    """Tasks that failed alike."""
    return {
        "reason": group.reason,
        "message": group.message,
        "exitCode": group.exit_code,
        "fault": Reason(group.reason).fault.value if group.reason else None,
        "count": group.count,
        "example": group.example,
    }


def render_task(
    job: JobView, task: TaskView, inputs: dict[str, Any] | None = None, again: int | None = None
) -> dict[str, Any]:
    """A task's row: what Everest's page shows, and its outputs. ``again``: its number in the job that is repeated."""
    prefix = job_prefix(job.id, task.no if job.many else None)
    ready = task.ready_at if task.ready_at is not None else job.ready_at
    body: dict[str, Any] = {
        "no": task.no,
        "id": f"{job.id}-{task.no}-{max(0, task.attempt - 1)}",
        "name": f"{job.name} {task.no}" if job.many else job.name,
        "state": task.state,
        "phase": task.phase,
        "resource": {"id": task.resource_id, "name": task.resource} if task.resource_id else None,
        "submittedAt": iso(job.created_at),
        "readyAt": iso(ready),
        "startedAt": iso(task.started_at),
        "endedAt": iso(task.ended_at),
        "totalS": span(job.created_at, task.reported_at or task.ended_at),
        "waitS": spans.waited(ready, task.started_at, _staged(task)),
        "stageInS": _staged(task),
        "runS": span(task.started_at, task.ended_at),
        "stageOutS": span(task.ended_at, task.reported_at),
        "stagedInBytes": task.stats.get("staged_in_bytes", 0),
        "stagedOutBytes": task.stats.get("staged_out_bytes", 0),
        "attempts": task.last_attempt,
        "outcome": _outcome(task.reason, task.message, task.exit_code) if task.reason else None,
        "result": result_with_uris(task.result, prefix) if task.result or task.state == "DONE" else None,
        "stats": render_stats(task.stats),
        "statusMessage": task.status_message,
        "progress": task.progress,
        "metrics": task.metrics,
        "stdout": f"/api/jobs/{job.id}/stdout?task={task.no}",
        "stderr": f"/api/jobs/{job.id}/stderr?task={task.no}",
    }
    if inputs is not None:
        body["inputs"] = inputs_with_uris(_shown_inputs(inputs), prefix)
    if again is not None:
        body["againOf"] = again
    if task.debug:
        body["debugArchive"] = _debug_uri(task.debug, prefix)
    return body


def render_try(one: Try) -> dict[str, Any]:
    """An attempt at a task."""
    return {
        "no": one.no,
        "state": one.state.value,
        "resource": one.resource,
        "offeredAt": iso(one.offered_at),
        "acceptedAt": iso(one.accepted_at),
        "stagingAt": iso(one.staging_at),
        "stagedAt": iso(one.staged_at),
        "startedAt": iso(one.started_at),
        "endedAt": iso(one.ended_at),
        "reportedAt": iso(one.reported_at),
        "reason": one.reason,
        "message": one.message,
        "exitCode": one.exit_code,
    }


def render_span(span: Span) -> dict[str, Any]:
    """What a part of a task's time was spent on."""
    return {
        "kind": span.kind.value,
        "from": iso(span.begin_at),
        "to": iso(span.end_at),
        "attempt": span.attempt,
        "resource": span.resource,
        "reason": span.reason,
        "message": span.message,
        "text": span.words,
    }


def render_results(job: JobView, rows: Iterable[tuple[int, dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    """Outputs of tasks by number, with URIs."""
    return {no: result_with_uris(result, job_prefix(job.id, no)) for no, result in rows}


def render_stats(stats: dict[str, Any]) -> dict[str, Any]:
    if not stats:
        return {}
    return {
        "cpuUserS": stats.get("cpu_user_s", 0.0),
        "cpuSystemS": stats.get("cpu_system_s", 0.0),
        "maxRssBytes": stats.get("max_rss_bytes", 0),
        "stagedInBytes": stats.get("staged_in_bytes", 0),
        "stagedOutBytes": stats.get("staged_out_bytes", 0),
    }


def info_of(job: JobView) -> str | None:
    """In words: why it failed; while it is on its way, what it waits for."""
    if job.ended_at is not None:
        return job.message
    if job.stopped_early:
        return f"Stopping early: {job.condition_met}"
    if job.cancel_requested_at is not None:
        return f"Cancelling: asked for by {job.cancel_requested_by}"
    if job.open and job.started_at is not None and not job.waiting and not job.leased:
        return "Waiting for more tasks from its client"
    if job.state == "SUBMITTED":
        waits = [
            text
            for name, text in (
                ("fetch", "fetching input files"),
                ("code", "fetching its code"),
                ("after", "waiting for a job"),
            )
            if job.pending.get(name)
        ]
        return "Being prepared: " + (", ".join(waits) or "starting")
    return None


def _of_single_task(job: JobView, task: TaskView) -> dict[str, Any]:
    rendered = render_task(job, task)
    body = {
        "resource": rendered["resource"],
        "attempts": rendered["attempts"],
        "phase": rendered["phase"],
        "stats": rendered["stats"],
        "statusMessage": task.status_message or job.status_message,
        "progress": task.progress if task.progress is not None else job.progress,
        "metrics": task.metrics or job.metrics,
    }
    if rendered["result"] is not None:
        body["result"] = rendered["result"]
    if "debugArchive" in rendered:
        body["debugArchive"] = rendered["debugArchive"]
    return body


def _app(app_id: str, owner: str, alias: str, number: int, code_version: str) -> dict[str, Any]:
    return {
        "appId": app_id,
        "appAlias": f"{owner}/{alias}",
        "app": f"{owner}/{alias}",
        "appVersion": number,
        "codeVersion": code_version or None,
    }


def _inputs(submitted: Submitted) -> dict[str, Any]:
    if submitted.new.inputs_json == "{}":
        return {}
    return inputs_with_uris(_shown_inputs(json.loads(submitted.new.inputs_json)), job_prefix(submitted.new.id))


def _shown_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Without what must not be shown: secrets; addresses still to be fetched stand as they were given."""
    return {name: _shown_value(value) for name, value in inputs.items()}


def _shown_value(value: Any) -> Any:
    if isinstance(value, dict):
        if "$secret" in value:
            return SECRET
        if len(value) == 1 and "$url" in value:
            return value["$url"]
    if isinstance(value, list):
        return [_shown_value(item) for item in value]
    return value


def _outcome(reason: str | None, message: str | None, exit_code: int | None) -> dict[str, Any]:
    fault = Reason(reason).fault.value if reason else None
    return {"reason": reason, "message": message, "exitCode": exit_code, "fault": fault}


def _staged(task: TaskView) -> float | None:
    return spans.staged_in(task.stats.get("staged_in_s"), task.staging_at, task.started_at)


def _debug_uri(debug: dict[str, Any], prefix: str) -> str | None:
    ref = FileRef.from_json(debug)
    return f"{prefix}{ref.name}" if ref else None
