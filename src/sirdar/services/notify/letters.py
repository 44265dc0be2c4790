"""What is said when a job ends: the letter, the line for a chat, and the JSON of a webhook, all from the same facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sirdar.domain.app import FileRef
from sirdar.domain.command import as_text
from sirdar.domain.outcome import MEANING, Outcome
from sirdar.domain.states import State
from sirdar.domain.units import format_duration, format_size

MAX_OUTPUTS = 20
MAX_VALUE = 200
SHORT = 160

_VERBS = {State.DONE: "is done", State.FAILED: "has failed", State.CANCELLED: "was cancelled"}


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The facts about an ended job. Times are seconds since 1970; ``tasks`` counts the states of a job of many tasks."""

    job_id: str
    app: str  # owner/alias
    app_version: int
    state: State
    url: str
    submitted_at: float
    ended_at: float
    outcome: Outcome | None = None
    started_at: float | None = None
    job_name: str = ""
    code_version: str = ""
    owner: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)  # as stored: files are FileRef.to_json()
    tasks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Letter:
    """``text`` is the body of an e-mail; ``short`` is one line of at most 160 characters and the link."""

    subject: str
    text: str
    short: str


def letter(end: JobEnd) -> Letter:
    """The letter for a job's end."""
    verb = _VERBS.get(end.state, "has ended")
    subject = f"{end.job_name or end.app} {verb}"
    first = f"The job '{end.job_name}' of {end.app} {verb}." if end.job_name else f"{subject}."
    sections = [[first, *_why(end)], _times(end), _outputs(end), [end.url]]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"
    return Letter(subject, text, _short(end, subject))


def payload(end: JobEnd) -> dict[str, Any]:
    """The JSON of a webhook: camelCase, times in ISO 8601, files by name and size (their bytes are behind ``url``)."""
    outcome = end.outcome
    return {
        "event": "job.ended",
        "id": end.job_id,
        "name": end.job_name,
        "app": end.app,
        "appVersion": end.app_version,
        "codeVersion": end.code_version or None,
        "owner": end.owner,
        "state": end.state.value,
        "reason": outcome.reason.value if outcome else None,
        "message": outcome.message if outcome else None,
        "exitCode": outcome.exit_code if outcome else None,
        "submitted": _iso(end.submitted_at),
        "started": _iso(end.started_at) if end.started_at is not None else None,
        "ended": _iso(end.ended_at),
        "tasks": dict(end.tasks) or None,
        "result": {name: _for_json(value) for name, value in end.result.items()},
        "url": end.url,
    }


def _why(end: JobEnd) -> list[str]:
    lines = []
    if end.outcome is not None and not end.outcome.ok:
        lines.append(end.outcome.message or MEANING[end.outcome.reason])
        if end.outcome.message and end.outcome.message != MEANING[end.outcome.reason]:
            lines.append(MEANING[end.outcome.reason])
        if end.outcome.exit_code is not None:
            lines.append(f"Exit code: {end.outcome.exit_code}")
    if end.tasks:
        counts = ", ".join(f"{count} {state}" for state, count in end.tasks.items() if count)
        lines.append(f"Tasks: {counts}")
    return lines


def _times(end: JobEnd) -> list[str]:
    version = f"{end.app} version {end.app_version}"
    rows = [("Application", f"{version} ({end.code_version})" if end.code_version else version)]
    rows.append(("Submitted", _clock(end.submitted_at)))
    if end.started_at is not None:
        waited, ran = end.started_at - end.submitted_at, end.ended_at - end.started_at
        rows.append(("Started", f"{_clock(end.started_at)}, after {format_duration(max(0.0, waited))}"))
        rows.append(("Ended", f"{_clock(end.ended_at)}, after {format_duration(max(0.0, ran))}"))
    else:
        rows.append(("Ended", f"{_clock(end.ended_at)}, without having started"))
    return [f"{name + ':':<13}{value}" for name, value in rows]


def _outputs(end: JobEnd) -> list[str]:
    if not end.result:
        return []
    lines = [f"  {name}: {_for_people(value)}" for name, value in list(end.result.items())[:MAX_OUTPUTS]]
    more = len(end.result) - len(lines)
    return ["Outputs:", *lines, *([f"  and {more} more"] if more > 0 else [])]


def _short(end: JobEnd, subject: str) -> str:
    facts: list[str] = []
    if end.outcome is not None and not end.outcome.ok:
        facts = [end.outcome.message]
    elif end.started_at is not None:
        subject += f" in {format_duration(max(0.0, end.ended_at - end.started_at))}"
        plain = {name: value for name, value in end.result.items() if isinstance(value, int | float | str)}
        facts = [f"{name} = {_for_people(value)}" for name, value in list(plain.items())[:3]]
    line = f"{subject}: {', '.join(facts)}" if facts else subject
    return f"{_cut(' '.join(line.split()), SHORT)} {end.url}"


def _for_people(value: Any) -> str:
    if (ref := FileRef.from_json(value)) is not None:
        return f"{ref.name} ({format_size(ref.size_bytes)})"
    if isinstance(value, list) and value and all(FileRef.from_json(item) for item in value):
        shown = ", ".join(_for_people(item) for item in value[:5])
        return shown if len(value) <= 5 else f"{shown} and {len(value) - 5} more"
    return _cut(" ".join(as_text(value).split()), MAX_VALUE)


def _for_json(value: Any) -> Any:
    if (ref := FileRef.from_json(value)) is not None:
        return {"name": ref.name, "size": ref.size_bytes}
    return [_for_json(item) for item in value] if isinstance(value, list) else value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
