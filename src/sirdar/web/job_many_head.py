"""What stands above every tab of a job of many tasks: its state, how far it is, how long it may still take."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sirdar.domain.app import FileRef
from sirdar.domain.job import STOPPED_BY_FAILURE
from sirdar.domain.people import Caller
from sirdar.domain.plan_app import of_the_author
from sirdar.services.explain import explain_now
from sirdar.services.pace import left_of_job
from sirdar.store import jobs as job_store
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.web import formats, job_words, words
from sirdar.web.job_words import StateWords
from sirdar.web.pages import Page
from sirdar.web.table_query import TableQuery

BAR_WIDTH = 1000
REASONS = 3
INPUTS_SHOWN = 12  # of the best task
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
class BestShown:
    """The best task so far: whose value was sought, what its own input set gives. ``task`` None: there is none yet."""

    key: str
    value: float | None = None
    task: int | None = None
    shown_at: str = ""
    inputs: tuple[tuple[str, str], ...] = ()


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
    best: "BestShown | None" = None
    met: str = ""  # on what it stopped early, is stopping, or would


async def load(page: Page, caller: Caller | None, job: JobView, now: float, *, share: str = "") -> Head:
    """``share``: the link's secret, by which the caller may see it; addresses go on with it."""
    look = words.elsewhere(partial(load_now, caller=caller, job=job, now=now, share=share))
    return await page.services.store.read(look)


def load_now(conn: Conn, caller: Caller | None, job: JobView, now: float, *, share: str = "") -> Head:
    """``load`` on a connection."""
    stopped = job.cancel_requested_by == STOPPED_BY_FAILURE
    return Head(
        state=job_words.state_words(job, now),
        by="" if stopped or job.stopped_early or not _called_off(job) else _by(job.cancel_requested_by, caller),
        stopped=stopped,
        segments=tuple(_segments(job, TableQuery(job.id, share=share))),
        ended=job.done + job.failed,
        left_s=left_of_job(conn, job, now),
        reasons=() if job.stopped_early else _reasons_to_wait(conn, caller, job, now, share),
        best=_best(conn, job, share),
        met=_met(job),
    )


def _best(conn: Conn, job: JobView, share: str) -> BestShown | None:
    if job.criterion is None or not job.criterion.key:
        return None
    if job.best is None:
        return BestShown(job.criterion.key)
    no = job.best.task
    item = of_the_author(job.app_owner, job.app_alias, job_store.load_items(conn, job.id, [no]).get(no, {}))
    inputs = tuple((name, _given(value)) for name, value in list(item.items())[:INPUTS_SHOWN])
    shown_at = TableQuery(job.id, share=share).at("", task=no)
    return BestShown(job.criterion.key, job.best.value, no, shown_at, inputs)


def _given(value: Any) -> str:
    """A value of an input set, briefly: of a file its name, of a secret nothing."""
    if isinstance(value, dict) and "$secret" in value:
        return "…"
    ref = FileRef.from_json(value) if isinstance(value, dict) else None
    return formats.value(ref.name if ref else value, 60)


def _met(job: JobView) -> str:
    if job.criterion is None or job.criterion.stop is None:
        return ""
    if job.met_task is None:
        return _not_met(job, job.criterion.stop.text)
    told = {"no": formats.integer(job.met_task), "condition": job.criterion.stop.text}
    if not job.stopped_early:
        return words.gettext("Task %(no)s met %(condition)s.", **told)
    if job.ended_at is None:
        return words.gettext("It stops early: task %(no)s met %(condition)s.", **told)
    return words.ngettext(
        "Stopped early: task %(no)s met %(condition)s; %(num)s task was not needed.",
        "Stopped early: task %(no)s met %(condition)s; %(num)s tasks were not needed.",
        job.cancelled,
        **told,
    )


def _not_met(job: JobView, condition: str) -> str:
    """It seeks still, or sought in vain: a name that no task ever gives looks like this, too."""
    if job.ended_at is None:
        return words.gettext("It stops when %(condition)s holds for a task.", condition=condition)
    done = formats.integer(job.done)
    return words.gettext("No task met %(condition)s (done: %(count)s).", condition=condition, count=done)


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
