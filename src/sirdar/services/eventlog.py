"""The job's log as Everest's clients read it: a line for each event, beginning with the time in UTC, agents' messages as JSON."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.store.job_views import EventView

ENDINGS = {"DONE": "DONE", "FAILED": "FAILED", "CANCELLED": "CANCELED"}


def event_lines(job_id: str, events: Iterable[EventView]) -> Iterator[str]:
    """Lines without their ends, in the order in which the server learned of things."""
    places: dict[int, str] = {}
    for event in events:
        if event.kind == "offered":
            places.update((no, event.data["resource"]) for no, _ in event.data["tasks"])
        for at, words in _words(job_id, event, places):
            yield f"{_time(at)} {words}"


def _words(job_id: str, event: EventView, places: dict[int, str]) -> Iterator[tuple[float, str]]:
    data = event.data
    if event.kind == "submitted":
        yield event.at, f"Job {job_id} submitted: {data['total']} task(s)"
    elif event.kind == "state":
        message = f": {data['message']}" if data.get("message") else ""
        yield event.at, f"Job {job_id} is {data['state']}{message}"
    elif event.kind == "cancel_requested":
        yield event.at, f"Cancel requested by {data['by']}"
    elif event.kind == "offered":
        for no, attempt in data["tasks"]:
            yield event.at, f"Task {_id(job_id, no, attempt)} sent to resource {data['resource']}"
    elif event.kind == "running":
        for no, attempt, at in data["tasks"]:
            yield at, _message(places.get(no), "TASK_STATE", _id(job_id, no, attempt), "RUNNING", {})
    elif event.kind == "message":
        for no, attempt, text in data["tasks"]:
            yield event.at, _message(places.get(no), "TASK_MESSAGE", _id(job_id, no, attempt), text)
    elif event.kind == "returned":
        for no, attempt, reason, message in data["tasks"]:
            yield event.at, f"Task {_id(job_id, no, attempt)} waits again ({reason}): {message}"
    elif event.kind == "ended":
        yield from _ended(job_id, event, places)
    else:
        yield event.at, f"{event.kind} {json.dumps(data, ensure_ascii=False)}"


def _ended(job_id: str, event: EventView, places: dict[int, str]) -> Iterator[tuple[float, str]]:
    for no, attempt, state, reason, started_at, ended_at in event.data["tasks"]:
        task_id, place = _id(job_id, no, attempt), places.get(no)
        if started_at is not None:
            yield started_at, _message(place, "TASK_STATE", task_id, "RUNNING", {})
        if ended_at is not None and started_at is not None:
            yield ended_at, _message(place, "TASK_STATE", task_id, "COMPLETED", {})
        yield event.at, _message(place, "TASK_STATE", task_id, ENDINGS.get(state, state), {"reason": reason})


def _message(resource: str | None, *parts: Any) -> str:
    return f"[{resource or '-'}/agent] {json.dumps(list(parts), ensure_ascii=False)}"


def _id(job_id: str, no: int, attempt: int) -> str:
    return AttemptKey(JobId(job_id), no, attempt).text


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
