"""Watching one job: what a client or a page is told, from the ledger's events and the bells that say when to look."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import pace
from sirdar.services.context import Services
from sirdar.services.jobs import Shown, show_now
from sirdar.services.standing import EARLY, quiet_s
from sirdar.services.streams import read_stream
from sirdar.store import job_events
from sirdar.store.job_events import EventView
from sirdar.store.people import Conn

TASK_KINDS = frozenset({"offered", "running", "returned", "ended", "reachable"})
LEAST_S = 0.25  # task events reach a watcher as counts, at most four times a second
LOOK = 500  # events that are read at once
LOG_BYTES = 64 * 1024  # of a log at once
LOGS_S = 0.5  # pieces of a log that come to another server are not told of: they are looked for this often


@dataclass(frozen=True, slots=True)
class Told:
    """One message: ``kind`` job, tasks, message, log, end or quiet; ``id``: the event's number, where it stands for one."""

    kind: str
    data: dict[str, Any]
    id: int | None = None


async def watch(
    services: Services,
    caller: Caller | None,
    job_id: str,
    *,
    after: int = 0,
    streams: tuple[str, ...] = (),
    link: str | None = None,
) -> AsyncGenerator[Told, None]:
    """Everything after event number ``after``, then live until the job's end, or until it may not be seen any more.

    Raises Problem ``not_found`` at the start.
    """
    shown = await services.store.read(lambda conn: show_now(conn, caller, job_id, link=link))
    full = shown.job.id
    offsets = dict.fromkeys(streams, 0)
    words: tuple[Any, ...] | None = None
    spoke_at, silence_s = time.monotonic(), quiet_s(services)
    topics = [f"job:{full}", *([f"log:{full}"] if streams else [])]
    with services.hub.listen_all(topics) as bell, services.hub.listen(f"end:{full}") as over:
        while True:
            try:
                now = services.store.clock()
                look = partial(_look, caller=caller, job_id=full, after=after, link=link, now=now)
                events, shown, left_s = await services.store.read(look)
            except Problem:
                return  # it is gone, or not to be seen any more: the watcher comes again, and is told so
            for told in _tell(events, shown, left_s):
                yield told
            if events:
                after = events[-1].seq
            said = (shown.job.status_message, shown.job.progress, shown.job.metrics)
            if said != words and (words is not None or any(said)):
                yield Told("message", {"text": said[0], "progress": said[1], "metrics": said[2]})
            words = said
            async for told in _logs(services, caller, full, offsets, link):
                yield told
            if shown.job.ended_at is not None and len(events) < LOOK:
                yield Told("end", _state(shown))
                return
            if services.hub.closed:
                return  # the watcher comes again, with the number of the last event
            if any(event.kind in TASK_KINDS for event in events):
                await over.wait(LEAST_S)  # counts are held back, the end is not
            elif not events:
                await bell.wait(min(LOGS_S, silence_s) if streams and not services.store.alone else silence_s)
            if time.monotonic() - spoke_at >= EARLY * silence_s:
                spoke_at = time.monotonic()
                yield Told("quiet", {})


async def watch_changes(
    services: Services, caller: Caller | None, job_id: str, *, after: int | None = None, link: str | None = None
) -> AsyncGenerator[Told, None]:
    """That the job has changed since event number ``after`` (None: since now), then each time; without saying how.

    Awaited, it looks once, and raises Problem ``not_found``; what it gives tells ``changed`` at most four times a second, each
    under the number of the job's last event, ``quiet`` every ``quiet_s``, and at last ``end`` with the state. A job that is
    removed meanwhile ends too.
    """
    shown = await services.store.read(lambda conn: show_now(conn, caller, job_id, link=link))
    return _changes(services, caller, shown, after=shown.job.event_seq if after is None else after, link=link)


async def _changes(
    services: Services, caller: Caller | None, shown: Shown, *, after: int, link: str | None
) -> AsyncGenerator[Told, None]:
    job_id, last = shown.job.id, after
    rang = False
    with services.hub.listen(f"job:{job_id}") as bell, services.hub.listen(f"end:{job_id}") as over:
        while True:
            try:
                shown = await services.store.read(lambda conn: show_now(conn, caller, job_id, link=link))
            except Problem as problem:
                if problem.code == "not_found":
                    yield Told("end", {"state": None}, last)
                return  # of any other trouble the watcher learns when it comes again
            job = shown.job
            changed = rang or job.event_seq != last
            last = job.event_seq
            if changed:
                yield Told("changed", {"state": job.state}, last)
            if job.ended_at is not None:
                yield Told("end", {"state": job.state}, last)
                return
            if services.hub.closed:
                return
            if changed:
                await over.wait(LEAST_S)
            rang = await bell.wait(quiet_s(services))
            if not rang:
                yield Told("quiet", {})


def _look(
    conn: Conn, *, caller: Caller | None, job_id: str, after: int, link: str | None, now: float
) -> tuple[list[EventView], Shown, float | None]:
    """What came since, the job, and how long it will still take."""
    events = job_events.list_events(conn, job_id, after=after, limit=LOOK)
    shown = show_now(conn, caller, job_id, link=link)
    told = any(event.kind in TASK_KINDS for event in events)
    return events, shown, pace.left_of_job(conn, shown.job, now) if told else None


def _tell(events: list[EventView], shown: Shown, left_s: float | None) -> list[Told]:
    """Events of the job one by one; those of tasks together, as counts, under the number of the last. Numbers grow."""
    told = []
    last_of_tasks = None
    for event in events:
        if event.kind in TASK_KINDS:
            last_of_tasks = event.seq
        elif event.kind != "message":
            told.append(Told("job", {"kind": event.kind, "at": event.at, **event.data}, event.seq))
    if last_of_tasks is not None:
        told.append(Told("tasks", {**_counts(shown), **_found(shown), "leftS": left_s}, last_of_tasks))
    return sorted(told, key=lambda one: one.id or 0)


async def _logs(
    services: Services, caller: Caller | None, job_id: str, offsets: dict[str, int], link: str | None
) -> AsyncIterator[Told]:
    for stream in tuple(offsets):
        while True:
            try:
                piece = await read_stream(
                    services, caller, job_id, stream, offset=offsets[stream], limit=LOG_BYTES, link=link
                )
            except Problem:
                return  # as in ``watch``, which looks next
            if not piece.content:
                break
            text = piece.content.decode(errors="replace")
            yield Told("log", {"stream": stream, "offset": piece.offset, "text": text})
            offsets[stream] = piece.offset + len(piece.content)


def _counts(shown: Shown) -> dict[str, Any]:
    job = shown.job
    return {
        "state": job.state,
        "total": job.total,
        "waiting": job.waiting,
        "queued": job.leased - job.running,
        "running": job.running,
        "done": job.done,
        "failed": job.failed,
        "cancelled": job.cancelled,
        **({"open": True} if job.open else {}),
    }


def _found(shown: Shown) -> dict[str, Any]:
    """The best task so far, of a job that seeks one."""
    best = shown.job.best
    return {} if best is None else {"best": {"task": best.task, "value": best.value}}


def _state(shown: Shown) -> dict[str, Any]:
    job = shown.job
    return {**_counts(shown), **_found(shown), "reason": job.reason, "message": job.message, "exitCode": job.exit_code}
