"""A job in words: its state's shape, word, since when and why; how long it may still take. Pure."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sirdar.domain.app import FileRef
from sirdar.domain.pace import left_of_program
from sirdar.domain.states import State
from sirdar.store.job_places import Place
from sirdar.store.job_views import JobView
from sirdar.store.task_views import TaskView
from sirdar.web import formats, service_words, words

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
PICTURE_BYTES_MAX = 5 * 10**6
SMALL = (".json", ".txt", ".csv", ".tsv", ".md")
SMALL_BYTES = 600  # a few lines
TABLES = (".csv", ".tsv")
SMALL_TABLE_BYTES = 150  # of short rows even less would be dozens
# What the filter of the list of jobs offers, and the states behind it.
FILTERS: dict[str, tuple[str, ...]] = {
    "waiting": ("SUBMITTED", "READY"),
    "running": ("RUNNING",),
    "done": ("DONE",),
    "failed": ("FAILED",),
    "cancelled": ("CANCELLED",),
}


@dataclass(frozen=True, slots=True)
class StateWords:
    """``shape`` names the style; ``since`` is a time, ``span_s`` how long it has been so (or took)."""

    shape: str
    word: str
    since: float | None
    span_s: float | None


def word_of(state: str) -> str:
    """A state's word in the page's language."""
    known = {
        "SUBMITTED": words.gettext("Preparing"),
        "READY": words.gettext("Waiting"),
        "RUNNING": words.gettext("Running"),
        "DONE": words.gettext("Done"),
        "FAILED": words.gettext("Failed"),
        "CANCELLED": words.gettext("Cancelled"),
    }
    return known.get(state, state.capitalize())


def phase_words(phase: str | None) -> str | None:
    """What happens to a task between being given out and its program's start, and after its end."""
    known = {
        "STAGING_IN": words.gettext("Bringing its files"),
        "STAGING_OUT": words.gettext("Collecting its outputs"),
        "ACCEPTED": words.gettext("Queued there"),
    }
    return known.get(phase or "")


def state_words(job: JobView, now: float, place: Place | None = None) -> StateWords:
    """The state as a list and a page show it."""
    if job.ended_at is not None:
        ran_s = job.ended_at - job.started_at if job.started_at is not None else None
        if job.state == State.DONE and job.failed and not job.done:
            return StateWords("none", words.gettext("Done, none succeeded"), job.ended_at, ran_s)
        return StateWords(job.state.lower(), word_of(job.state), job.ended_at, ran_s)
    if job.cancel_requested_at is not None:
        return StateWords(
            "cancelled",
            words.gettext("Stopping") if job.stopped_early else words.gettext("Cancelling"),
            job.cancel_requested_at,
            now - job.cancel_requested_at,
        )
    if job.state == State.RUNNING and place is not None and place.unreachable_since is not None and not job.many:
        since = place.unreachable_since
        return StateWords("unreachable", words.gettext("Unreachable"), since, now - since)
    if job.state == State.RUNNING:
        since = job.started_at if job.started_at is not None else job.created_at
        return StateWords("running", word_of(job.state), since, now - since)
    since = job.created_at if job.ready_at is None else job.ready_at
    return StateWords("waiting", word_of(job.state), since, now - since)


def share_done(job: JobView, task: TaskView | None) -> float | None:
    """Progress from 0 to 1: what the program says, else the share of tasks that have ended; None where nobody knows."""
    if job.ended_at is not None:
        return None
    said = task.progress if task is not None and task.progress is not None else job.progress
    if said is not None:
        return min(1.0, max(0.0, said))
    if job.total > 1 and not job.open:
        return (job.done + job.failed + job.cancelled) / job.total
    return None


def left_s(job: JobView, task: TaskView | None, done: float | None, now: float) -> float | None:
    """About how long a job of one task will still take, once enough of it is done to say."""
    if job.started_at is None or done is None or job.state != State.RUNNING or job.cancel_requested_at is not None:
        return None
    began = task.started_at if task is not None and task.started_at is not None else job.started_at
    said_at = task.progressed_at if task is not None and task.progressed_at is not None else now
    return left_of_program(done, started_at=began, said_at=said_at, now=now)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A line of a job's tasks, as Everest's page has it. Spans in seconds; None where it has not come to that."""

    task: TaskView
    shape: str
    word: str
    total_s: float | None
    wait_s: float | None
    run_s: float | None
    in_bytes: int | None
    out_bytes: int | None
    outcome: str


def task_row(job: JobView, task: TaskView, now: float) -> TaskRow:
    ready = task.ready_at if task.ready_at is not None else job.ready_at
    taken = task.staging_at if task.staging_at is not None else task.started_at
    ended = task.reported_at or task.ended_at
    live = None if task.reason is not None else now
    shape = "waiting" if task.state in {"SUBMITTED", "READY"} else task.state.lower()
    told = {State.READY.value: ("ACCEPTED", "STAGING_IN"), State.RUNNING.value: ("STAGING_OUT",)}
    phase = phase_words(task.phase) if task.phase in told.get(task.state, ()) else None
    word = phase if phase is not None else word_of(task.state)
    said, ending = task.status_message or "", service_words.say(task.message)
    outcome = ending if task.reason is not None and task.state != State.DONE else said or ending
    return TaskRow(
        task=task,
        shape=shape,
        word=word,
        total_s=_span(job.created_at, ended if ended is not None else live),
        wait_s=_span(ready, taken if taken is not None else live),
        run_s=_span(task.started_at, task.ended_at if task.ended_at is not None else live),
        in_bytes=task.stats.get("staged_in_bytes"),
        out_bytes=task.stats.get("staged_out_bytes"),
        outcome=formats.value(outcome, 160) if outcome else "",
    )


def _span(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)


def refresh_s(job: JobView, now: float) -> int | None:
    """After how many seconds the page should be asked for again; None when nothing will change."""
    if job.ended_at is not None:
        return None
    age_s = now - job.created_at
    return 2 if age_s < 60 else 5 if age_s < 3600 else 15


# ---------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Item:
    """One file or value of an input or output."""

    text: str
    whole: str
    uri: str | None = None
    size_bytes: int | None = None
    picture: bool = False
    preview: str | None = None  # address of a page that shows what is in it
    small: bool = False  # what is in it is shown at once


@dataclass(frozen=True, slots=True)
class Named:
    """An input or output. ``unit``: of its numbers, as the application's description says."""

    name: str
    title: str
    items: tuple[Item, ...]
    unit: str = ""


def items_of(stored: Any, shown: Any, link: str = "") -> tuple[Item, ...]:
    """How a stored value is shown; ``shown`` is the same with URIs in place of files, ``link`` what its URIs need after them."""
    if isinstance(stored, list) and any(isinstance(entry, dict) and "$file" in entry for entry in stored):
        return tuple(item for one, uri in zip(stored, shown, strict=True) for item in items_of(one, uri, link))
    if (ref := FileRef.from_json(stored)) is not None:
        picture = ref.name.lower().endswith(PICTURES) and ref.size_bytes <= PICTURE_BYTES_MAX
        preview = preview_address(str(shown)) + link
        most = SMALL_TABLE_BYTES if ref.name.lower().endswith(TABLES) else SMALL_BYTES
        small = ref.name.lower().endswith(SMALL) and 0 < ref.size_bytes <= most
        return (Item(ref.name, ref.name, f"{shown}{link}", ref.size_bytes, picture, preview, small),)
    if isinstance(stored, dict) and "$secret" in stored:
        return (Item(words.gettext("(secret)"), words.gettext("(secret)")),)
    if isinstance(stored, dict) and len(stored) == 1 and "$url" in stored:
        address = str(stored["$url"])
        followed = address if urlsplit(address).scheme in {"http", "https"} else None
        return (Item(address, address, followed),)
    return (Item(formats.value(stored), formats.exact(stored)),)


def preview_address(uri: str) -> str:
    """Of a job's file: ``/jobs/ID/preview/PATH`` for ``/api/files/jobs/ID/PATH``."""
    job_id, _, path = uri.removeprefix("/api/files/jobs/").partition("/")
    return f"/jobs/{job_id}/preview/{path}"
