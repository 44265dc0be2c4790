"""What the documents of the API say, as properties. Shared by the blocking and the asynchronous classes; no I/O."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from sirdar.client.errors import JobCancelled, JobError, JobFailed, JobOutcome
from sirdar.client.requests.address import instant
from sirdar.client.requests.jobs import has_ended

SHAPES = {"DONE": "✓", "FAILED": "✕", "CANCELLED": "⊘", "RUNNING": "●"}


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a job. ``document`` is all that the server says of it."""

    number: int
    name: str
    state: str
    resource: str | None
    run_s: float | None
    outcome: JobOutcome | None
    result: Any
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits, or why it ended so. ``why`` has a stable code and a sentence each."""

    state: str
    summary: str
    why: tuple[tuple[str, str], ...]
    hint: str | None

    def __str__(self) -> str:
        # A reason that only says the summary again would be read twice.
        lines = [self.summary, *(f"  why: {text}" for _, text in self.why if text != self.summary)]
        return "\n".join([*lines, *([f"  try: {self.hint}"] if self.hint else [])])


@dataclass(frozen=True, slots=True)
class Published:
    """A version of an application. ``created`` is False where the same bytes were published before."""

    id: str
    ref: str
    version: int
    digest: str
    created: bool
    notes: tuple[str, ...] = ()


class JobView:
    """A job as its last known document shows it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = dict(document)
        # Said once, in the reply to the submission: that no resource can ever run it.
        self.warnings: tuple[str, ...] = tuple(map(str, document.get("warnings") or ()))

    def _latest(self) -> dict[str, Any]:
        """The document that properties read; blocking jobs fetch it anew here."""
        return self._document

    @property
    def document(self) -> dict[str, Any]:
        """All that the server said of the job, as JSON."""
        return self._latest()

    @property
    def id(self) -> str:
        return str(self._document["id"])

    @property
    def app(self) -> str:
        """``owner/alias@version``."""
        version = self._document.get("appVersion")
        name = self._document.get("app") or self._document.get("appAlias") or self._document.get("appId", "")
        return f"{name}@{version}" if version else str(name)

    @property
    def url(self) -> str | None:
        """Address of the job's page."""
        return self._document.get("url")

    @property
    def name(self) -> str | None:
        return self._document.get("name")

    @property
    def inputs(self) -> dict[str, Any]:
        return self._document.get("inputs") or {}

    @property
    def state(self) -> str:
        """SUBMITTED, READY, RUNNING, DONE, FAILED or CANCELLED."""
        return str(self._latest().get("state"))

    @property
    def status_message(self) -> str | None:
        """What the program said of itself last."""
        return self._latest().get("statusMessage")

    @property
    def progress(self) -> float | None:
        """From 0 to 1, where the program (or the count of its tasks) tells."""
        return self._latest().get("progress")

    @property
    def metrics(self) -> dict[str, float]:
        return self._latest().get("metrics") or {}

    @property
    def info(self) -> str | None:
        """The state's reason in words."""
        return self._latest().get("info")

    @property
    def outcome(self) -> JobOutcome | None:
        """How it ended; None before."""
        return outcome_of(self._latest())

    @property
    def submitted_at(self) -> datetime | None:
        return instant(self._document.get("submittedAt") or self._document.get("createdAt"))

    @property
    def started_at(self) -> datetime | None:
        return instant(self._latest().get("startedAt"))

    @property
    def ended_at(self) -> datetime | None:
        return instant(self._latest().get("endedAt"))

    def _repr_html_(self) -> str:
        document = self._latest()
        link = f'<a href="{html.escape(self.url)}">{self.id}</a>' if self.url else html.escape(self.id)
        words = [
            f"{SHAPES.get(str(document.get('state')), '○')} {document.get('state')}",
            document.get("statusMessage") or document.get("info") or "",
            f"{document['progress']:.0%}" if isinstance(document.get("progress"), int | float) else "",
            self.app,
        ]
        return f"{link} " + " · ".join(html.escape(str(word)) for word in words if word)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self._document.get('state')} {self.app}>"


def outcome_of(document: Mapping[str, Any]) -> JobOutcome | None:
    """The outcome in a job's or task's document."""
    outcome = document.get("outcome")
    if not isinstance(outcome, Mapping):
        return None
    message = str(outcome.get("message") or document.get("info") or outcome.get("reason"))
    return JobOutcome(str(outcome.get("reason")), message, outcome.get("exitCode"), outcome.get("fault"))


def error_of(document: Mapping[str, Any]) -> JobError | None:
    """The error that an ended job stands for; None for one that is DONE or has not ended."""
    state = document.get("state")
    if not has_ended(document) or state == "DONE":
        return None
    words = str(document.get("info") or f"it ended {state}")
    outcome = outcome_of(document) or JobOutcome("cancelled" if state == "CANCELLED" else "unknown", words)
    kind = JobCancelled if state == "CANCELLED" else JobFailed
    return kind(str(document["id"]), outcome, document.get("result"))


def task_of(document: Mapping[str, Any]) -> Task:
    """A member of ``/tasks``."""
    resource = document.get("resource")
    return Task(
        int(document["no"]),
        str(document.get("name") or document["no"]),
        str(document["state"]),
        resource.get("name") if isinstance(resource, Mapping) else resource,
        document.get("runS"),
        outcome_of(document),
        document.get("result"),
        document,
    )


def explanation_of(document: Mapping[str, Any]) -> Explanation:
    why = tuple((str(reason.get("code", "")), str(reason.get("text", ""))) for reason in document.get("why") or ())
    return Explanation(str(document.get("state")), str(document.get("summary", "")), why, document.get("try"))


def published_of(document: Mapping[str, Any], status: int = 0) -> Published:
    ref = f"{document['owner']}/{document['alias']}@{document['version']}"
    created = bool(document.get("created", status == 201))
    notes = tuple(map(str, document.get("notes") or ()))
    return Published(
        str(document["id"]), ref, int(document["version"]), str(document.get("digest", "")), created, notes
    )


def job_file_path(uri: str, job_id: str) -> tuple[str, ...] | None:
    """Where a job's file lies within the job: ``('plot.png',)``, ``('tasks', '3', 'plot.png')``; None for other URIs.

    Raises ValueError for a path that would leave the folder that it is put into.
    """
    path = urlsplit(uri).path
    prefix = f"/api/files/jobs/{job_id}/"
    if prefix not in path:
        return None
    parts = tuple(unquote(part) for part in path.split(prefix, 1)[1].split("/"))
    if any(part in {"", ".", ".."} or "/" in part or "\\" in part or "\0" in part for part in parts):
        raise ValueError(f"{uri!r} is no place for a file")
    return parts
