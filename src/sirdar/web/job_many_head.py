"""What stands above every tab of a job of many tasks: its state, how far it is, how long it may still take."""

from dataclasses import dataclass
from functools import partial

from sirdar.domain.job import STOPPED_BY_FAILURE
from sirdar.domain.people import Caller
from sirdar.services.explain import explain_now
from sirdar.services.pace import left_of_job
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.web import job_words, words
from sirdar.web.job_words import StateWords
from sirdar.web.pages import Page
from sirdar.web.table_query import TableQuery

BAR_WIDTH = 1000
REASONS = 3
PLAIN = frozenset({"running", "ok"})  # reasons that only say what the state says


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the bar: tasks of one kind. ``shown_at``: address of the table of them; ``x`` and ``width`` of ``BAR_WIDTH``."""

    shape: str
    word: str
    shown_at: str
    count: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Head:
    """``by``: who called it off, in words. ``stopped``: it stopped itself at its first failure. ``left_s``: None while nobody can
    know."""

    state: StateWords
    by: str
    stopped: bool
    segments: tuple[Segment, ...]
    ended: int  # by themselves: neither what was called off before its end nor what never ran
    left_s: float | None
    reasons: tuple[str, ...]  # why nothing runs now


async def load(page: Page, caller: Caller | None, job: JobView, now: float, *, share: str = "") -> Head:
    """``share``: the link's secret, by which the caller may see it; addresses go on with it."""
    look = words.elsewhere(partial(load_now, caller=caller, job=job, now=now, share=share))
    return await page.services.store.read(look)


def load_now(conn: Conn, caller: Caller | None, job: JobView, now: float, *, share: str = "") -> Head:
    """``load`` on a connection."""
    stopped = job.cancel_requested_by == STOPPED_BY_FAILURE
    return Head(
        state=job_words.state_words(job, now),
        by="" if stopped or not _called_off(job) else _by(job.cancel_requested_by, caller),
        stopped=stopped,
        segments=tuple(_segments(job, TableQuery(job.id, share=share))),
        ended=job.done + job.failed,
        left_s=left_of_job(conn, job, now),
        reasons=_reasons_to_wait(conn, caller, job, now, share),
    )


def _reasons_to_wait(conn: Conn, caller: Caller | None, job: JobView, now: float, share: str) -> tuple[str, ...]:
    """Why nothing runs now, where nothing does."""
    if job.ended_at is not None or job.running:
        return ()
    explained = explain_now(conn, caller, job.id, now=now, link=share or None)
    texts = [why.text for why in explained.why if why.code not in PLAIN and why.text]
    return tuple(dict.fromkeys(texts))[:REASONS]


def _by(name: str | None, caller: Caller | None) -> str:
    if not name:
        return ""
    return (
        words.gettext("by you")
        if caller is not None and caller.name == name
        else words.gettext("by %(name)s", name=name)
    )


def _called_off(job: JobView) -> bool:
    """A wish that came when all tasks had ended by themselves changed nothing, and is not told."""
    return job.ended_at is None or job.state == "CANCELLED"


def _segments(job: JobView, table: TableQuery) -> list[Segment]:
    """The bar's parts, what has ended first. None is too narrow to be seen."""
    waiting = max(0, job.total - job.done - job.failed - job.cancelled - job.running)
    kinds = (
        ("done", words.gettext("done"), job.done),
        ("failed", words.gettext("failed"), job.failed),
        ("cancelled", words.gettext("cancelled"), job.cancelled),
        ("running", words.gettext("running"), job.running),
        ("waiting", words.gettext("waiting"), waiting),
    )
    present = [kind for kind in kinds if kind[2]]
    widths = [max(6.0, BAR_WIDTH * count / job.total) for _, _, count in present]
    scale, x, segments = BAR_WIDTH / sum(widths) if widths else 1.0, 0.0, []
    for (shape, word, count), width in zip(present, widths, strict=True):
        shown_at = table.address(state=(shape,))
        segments.append(Segment(shape, word, shown_at, count, round(x, 1), round(width * scale, 1)))
        x += width * scale
    return segments
