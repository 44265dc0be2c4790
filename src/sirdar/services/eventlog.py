"""The job's log as Everest's clients read it: a line for each event, beginning with the time in UTC, agents' messages as JSON.

Lines stand in the order of their times: that a program began is often told together with its end. What an agent's clock says
counts only between the offer and the server's own time of the report, so that a clock that is wrong turns nothing round.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.store.job_events import EventView

ENDINGS = {"DONE": "DONE", "FAILED": "FAILED", "CANCELLED": "CANCELED"}


@dataclass(slots=True)
class Seen:
    """What earlier events said that later lines need: where each task is, and which attempts are known to run."""

    places: dict[int, str] = field(default_factory=dict)
    running: set[tuple[int, int]] = field(default_factory=set)
    offered: dict[tuple[int, int], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Line:
    """``at``: what it says; ``order``: where it stands, by the server's clock."""

    at: float
    words: str
    order: float


def lines_of(job_id: str, events: Sequence[EventView], seen: Seen) -> list[str]:
    """The lines of some events that follow one another, sorted among themselves."""
    lines: list[_Line] = []
    for event in events:
        if event.kind == "offered":
            seen.places.update((no, event.data["resource"]) for no, _ in event.data["tasks"])
            seen.offered.update(((no, attempt), event.at) for no, attempt in event.data["tasks"])
        lines += _lines(job_id, event, seen)
    return [f"{_time(line.at)} {line.words}" for line in sorted(lines, key=lambda line: line.order)]


def _lines(job_id: str, event: EventView, seen: Seen) -> Iterator[_Line]:
    if event.kind == "ended":
        yield from _ended(job_id, event, seen)
    elif event.kind in ("submitted", "state", "cancel_requested") or "tasks" not in event.data:
        yield _Line(event.at, _of_job(job_id, event), event.at)
    else:
        yield from _of_tasks(job_id, event, seen)


def _of_job(job_id: str, event: EventView) -> str:
    data = event.data
    if event.kind == "submitted":
        return f"Job {job_id} submitted: {data['total']} task(s)"
    if event.kind == "state":
        message = f": {data['message']}" if data.get("message") else ""
        return f"Job {job_id} is {data['state']}{message}"
    if event.kind == "added":
        return _of_added(data)
    if event.kind == "cancel_requested":
        return f"Cancel requested by {data['by']}"
    return f"{event.kind} {json.dumps(data, ensure_ascii=False)}"


def _of_added(data: Mapping[str, Any]) -> str:
    last = (
        "" if not data["last"] else f"No more tasks are taken: {data['why']}" if "why" in data else "No more tasks come"
    )
    added = f"{data['count']} task(s) added, from number {data['first']} on" if data["count"] else ""
    return ". ".join(part for part in (added, last) if part)


def _of_tasks(job_id: str, event: EventView, seen: Seen) -> Iterator[_Line]:
    data, places = event.data, seen.places
    for no, attempt, *rest in data["tasks"]:
        task, at, order = _id(job_id, no, attempt), event.at, event.at
        if event.kind == "offered":
            words = f"Task {task} sent to resource {data['resource']}"
        elif event.kind == "running":
            seen.running.add((no, attempt))
            words = _message(places.get(no), "TASK_STATE", task, "RUNNING", {})
            at, order = rest[0], _order(rest[0], no, attempt, event, seen)
        elif event.kind == "message" and not rest[0]:
            continue  # the last one was taken back
        elif event.kind == "message":
            words = _message(places.get(no), "TASK_MESSAGE", task, rest[0])
        elif event.kind == "returned":
            words = f"Task {task} waits again ({rest[0]}): {rest[1]}"
        else:
            words = f"Task {task}: {event.kind}"
        yield _Line(at, words, order)


def _ended(job_id: str, event: EventView, seen: Seen) -> Iterator[_Line]:
    for no, attempt, state, reason, started_at, ended_at in event.data["tasks"]:
        task_id, place = _id(job_id, no, attempt), seen.places.get(no)
        if started_at is not None and (no, attempt) not in seen.running:
            words = _message(place, "TASK_STATE", task_id, "RUNNING", {})
            yield _Line(started_at, words, _order(started_at, no, attempt, event, seen))
        if ended_at is not None and started_at is not None:
            words = _message(place, "TASK_STATE", task_id, "COMPLETED", {})
            yield _Line(ended_at, words, _order(ended_at, no, attempt, event, seen))
        words = _message(place, "TASK_STATE", task_id, ENDINGS.get(state, state), {"reason": reason})
        yield _Line(event.at, words, event.at)


def _order(told_at: float, no: int, attempt: int, event: EventView, seen: Seen) -> float:
    return min(max(told_at, seen.offered.get((no, attempt), told_at)), event.at)


def _message(resource: str | None, *parts: Any) -> str:
    return f"[{resource or '-'}/agent] {json.dumps(list(parts), ensure_ascii=False)}"


def _id(job_id: str, no: int, attempt: int) -> str:
    return AttemptKey(JobId(job_id), no, attempt).text


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
