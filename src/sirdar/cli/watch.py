"""Following a job to its end: a live line on a terminal, a line for each change elsewhere, and Ctrl-C."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from sirdar.cli import errors
from sirdar.cli.draw import state_words
from sirdar.cli.numbers import count, duration, number, percent
from sirdar.cli.session import Session
from sirdar.client.job import Job
from sirdar.client.requests.jobs import has_ended
from sirdar.client.sse import Event

SECOND_CTRL_C_S = 1.5
PLAIN_PERIOD_S = 10.0
ORDER = {"SUBMITTED": 0, "READY": 1, "RUNNING": 2}  # states never go back; all others are ends


class Line(Protocol):
    """Where the job's present state is shown."""

    def update(self, document: Mapping[str, Any]) -> None: ...


def follow(job: Job, session: Session) -> int | None:
    """Show the job until it ends. None at its end, the exit code where the reader has gone away from it."""
    document = dict(job.document)
    try:
        with _line(session) as line:
            line.update(document)
            for event in job.events():
                found = changes(event)
                if _is_past(found, document):
                    continue
                if found.get("state", document.get("state")) != document.get("state"):
                    document.pop("info", None)  # both were of the state before
                    document.pop("statusMessage", None)
                document.update(found)
                line.update(document)
            job.refresh()
            line.update(job.document)
        return None
    except KeyboardInterrupt:
        return _interrupted(job, session)


def _is_past(found: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """The events begin with the job's story; what it tells of earlier states is not what is now."""
    state = found.get("state")
    return state is not None and ORDER.get(state, 9) < ORDER.get(str(document.get("state")), 0)


def changes(event: Event) -> dict[str, Any]:
    """What an event says of the job, under the names of the job's document."""
    data = event.data if isinstance(event.data, Mapping) else {}
    if event.kind == "job":
        kept = ("state", "info", "statusMessage", "progress", "metrics", "tasks", "resource", "startedAt")
        return {name: data[name] for name in kept if data.get(name) is not None}
    if event.kind == "tasks":
        counts = data.get("tasks", data)
        found = {name: data[name] for name in ("best", "leftS") if name in data}
        return {"tasks": counts, **found} if isinstance(counts, Mapping) else {}
    if event.kind == "message":
        text = data.get("statusMessage", data.get("text"))
        found = {"statusMessage": text, "progress": data.get("progress"), "metrics": data.get("metrics")}
        said = {name: value for name, value in found.items() if value}
        return {"statusMessage": "", **said} if text is not None else said  # an empty one takes the last back
    return {}


def summary(document: Mapping[str, Any]) -> str:
    """The job in one line: state, reason or message, counts, metrics, progress."""
    state = str(document.get("state"))
    words = [state_words(document)]
    waiting = state in {"SUBMITTED", "READY"}
    words.append(str((waiting and document.get("info")) or document.get("statusMessage") or ""))
    words.append(task_counts(document.get("tasks")))
    words.append(best_words(document))
    words.append(left_words(document))
    words += [f"{name} {number(value)}" for name, value in (document.get("metrics") or {}).items()]
    words.append(percent(document.get("progress")) if state == "RUNNING" else "")
    return " · ".join(word for word in words if word)


def task_counts(tasks: object) -> str:
    """``6 213/10 000, running 128, failed 3`` for a job of many tasks."""
    if not isinstance(tasks, Mapping) or int(tasks.get("total") or 1) <= 1:
        return ""
    words = [f"{count(int(tasks.get('done') or 0))}/{count(int(tasks['total']))} done"]
    words += [f"{count(int(tasks[name]))} {name}" for name in ("running", "failed", "cancelled") if tasks.get(name)]
    return ", ".join(words)


def best_words(document: Mapping[str, Any]) -> str:
    """``best loss 0.0125 in task 17`` for a job that seeks the best of many."""
    best, sought = document.get("best"), document.get("criterion")
    if not isinstance(best, Mapping) or not isinstance(sought, Mapping):
        return ""
    return f"best {next(iter(sought.values()), '')} {number(best['value'])} in task {best.get('task')}"


def left_words(document: Mapping[str, Any]) -> str:
    """``about 3 min left`` for a job of many tasks, as far as anybody can tell."""
    left = duration(document.get("leftS"))
    return f"about {left} left" if left and document.get("state") == "RUNNING" else ""


@contextmanager
def _line(session: Session) -> Iterator[Line]:
    if not session.plain:
        yield _Silent()
    elif session.terminal.interactive:
        with _live() as line:
            yield line
    else:
        yield _PlainLines()


class _Silent:
    def update(self, document: Mapping[str, Any]) -> None:
        pass


class _PlainLines:
    """A line for each new state or message; of mere progress one in ten seconds."""

    def __init__(self) -> None:
        self._last: tuple[Any, Any] | None = None
        self._told_at = 0.0
        self._text = ""

    def update(self, document: Mapping[str, Any]) -> None:
        if has_ended(document):
            return  # how it ended is the answer, on standard output
        key = (document.get("state"), document.get("statusMessage") or "")
        text = summary(document)
        if key == self._last and (text == self._text or time.monotonic() - self._told_at < PLAIN_PERIOD_S):
            return
        self._last, self._text, self._told_at = key, text, time.monotonic()
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _live() -> Iterator[Line]:
    """A line with a bar and the time since the start, redrawn in place (rich is imported here, and only here)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, progress.add_task("", total=None))


class _Bar:
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def update(self, document: Mapping[str, Any]) -> None:
        fraction = fraction_done(document)
        total = None if fraction is None else 1.0
        self._progress.update(self._task, description=summary(document), completed=fraction or 0.0, total=total)


def fraction_done(document: Mapping[str, Any]) -> float | None:
    """From 0 to 1: what the program says, else the share of tasks that have ended."""
    if isinstance(document.get("progress"), int | float):
        return float(document["progress"])
    tasks = document.get("tasks")
    if isinstance(tasks, Mapping) and int(tasks.get("total") or 1) > 1 and not document.get("open"):
        ended = sum(int(tasks.get(name) or 0) for name in ("done", "failed", "cancelled"))
        return ended / int(tasks["total"])
    return None


def _interrupted(job: Job, session: Session) -> int:
    """Ctrl-C once: the job goes on, and we say how to come back. Twice: shall it be cancelled?"""
    try:
        print(f"\njob {job.id} goes on; come back to it with `sirdar job watch {job.id}`", file=sys.stderr)
        print("press Ctrl-C again to cancel it", file=sys.stderr, flush=True)
        time.sleep(SECOND_CTRL_C_S)
        return errors.INTERRUPTED
    except KeyboardInterrupt:
        pass
    if sys.stdin.isatty() and session.plain:
        try:
            answer = input(f"\ncancel job {job.id}? [y/N] ")
        except (KeyboardInterrupt, EOFError):
            return errors.INTERRUPTED
        if answer.strip().lower() not in {"y", "yes"}:
            return errors.INTERRUPTED
    job.cancel()
    print(f"asked for the end of job {job.id}", file=sys.stderr)
    return errors.CANCELLED


def exit_code(document: Mapping[str, Any]) -> int:
    """0 only for a job that is DONE."""
    state = document.get("state")
    return 0 if state == "DONE" else errors.CANCELLED if state == "CANCELLED" else errors.FAILED


def ended_words(document: Mapping[str, Any]) -> str:
    """``✓ Done in 6.2 s`` or ``✕ Failed after 2 s: the program ended with exit code 2``.

    A job of one task that is done has words only where there is something to know; one of many where some
    failed, or where it stopped early.
    """
    state = str(document.get("state"))
    took = duration(document.get("runS"))
    joint = "in" if state == "DONE" else "after"
    timing = f" {joint} {took}" if took else ""
    outcome = document.get("outcome") or {}
    reason = str(outcome.get("message") or "")
    if state == "DONE" and (document.get("tasks") or {}).get("total") != 1:
        told = document.get("metBy") is not None or document.get("failures")
        reason = reason if told else ""
    elif state != "DONE":
        reason = reason or str(document.get("info") or "")
    return f"{state_words(document)}{timing}" + (f": {reason}" if reason else "")
