"""The job's log as Everest's clients read it: a line for each event, beginning with the time in UTC, agents' messages as JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.store.job_views import EventView

ENDINGS = {"DONE": "DONE", "FAILED": "FAILED", "CANCELLED": "CANCELED"}


@dataclass(slots=True)
class Seen:
    """What earlier events said that later lines need: where each task is, and which attempts are known to run."""

    places: dict[int, str] = field(default_factory=dict)
    running: set[tuple[int, int]] = field(default_factory=set)


def lines_of(job_id: str, event: EventView, seen: Seen) -> Iterator[str]:
    """The lines of one event."""
    if event.kind == "offered":
        seen.places.update((no, event.data["resource"]) for no, _ in event.data["tasks"])
    for at, words in _words(job_id, event, seen):
        yield f"{_time(at)} {words}"


def _words(job_id: str, event: EventView, seen: Seen) -> Iterator[tuple[float, str]]:
    data = event.data
    if event.kind == "submitted":
        yield event.at, f"Job {job_id} submitted: {data['total']} task(s)"
    elif event.kind == "state":
        message = f": {data['message']}" if data.get("message") else ""
        yield event.at, f"Job {job_id} is {data['state']}{message}"
    elif event.kind == "cancel_requested":
        yield event.at, f"Cancel requested by {data['by']}"
    elif event.kind == "ended":
        yield from _ended(job_id, event, seen)
    elif "tasks" in data:
        yield from _of_tasks(job_id, event, seen)
    else:
        yield event.at, f"{event.kind} {json.dumps(data, ensure_ascii=False)}"


def _of_tasks(job_id: str, event: EventView, seen: Seen) -> Iterator[tuple[float, str]]:
    data, places = event.data, seen.places
    for no, attempt, *rest in data["tasks"]:
        task = _id(job_id, no, attempt)
        if event.kind == "offered":
            yield event.at, f"Task {task} sent to resource {data['resource']}"
        elif event.kind == "running":
            seen.running.add((no, attempt))
            yield rest[0], _message(places.get(no), "TASK_STATE", task, "RUNNING", {})
        elif event.kind == "message":
            yield event.at, _message(places.get(no), "TASK_MESSAGE", task, rest[0])
        elif event.kind == "returned":
            yield event.at, f"Task {task} waits again ({rest[0]}): {rest[1]}"
        else:
            yield event.at, f"Task {task}: {event.kind}"


def _ended(job_id: str, event: EventView, seen: Seen) -> Iterator[tuple[float, str]]:
    for no, attempt, state, reason, started_at, ended_at in event.data["tasks"]:
        task_id, place = _id(job_id, no, attempt), seen.places.get(no)
        if started_at is not None and (no, attempt) not in seen.running:
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
