"""A task's time from its submission to its end, as spans without guesses. Pure.

Times of an attempt's phases are by its agent's clock, which may differ from the server's: no span begins before the one before it
in the same attempt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sirdar.domain.states import AttemptState


class Kind(StrEnum):
    """What a span of time was spent on.

    PREPARING: the job's files and code are fetched, or jobs that it waits for end.
    WAITING: for a resource, also between two attempts.
    QUEUED: given to a resource, which has not begun, or waits with the files at hand for a free slot.
    STAGING_IN: files are brought to the task's directory.
    RUNNING: the program runs.
    STAGING_OUT: the program has ended; outputs are read, hashed and uploaded.
    """

    PREPARING = "preparing"
    WAITING = "waiting"
    QUEUED = "queued"
    STAGING_IN = "staging_in"
    RUNNING = "running"
    STAGING_OUT = "staging_out"


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: its times in seconds since 1970, None where it has not come to that or nobody knows."""

    no: int
    state: AttemptState
    resource: str | None
    offered_at: float
    accepted_at: float | None = None
    staging_at: float | None = None
    staged_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reported_at: float | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None

    @property
    def over_at(self) -> float | None:
        """When nothing of it was left to be done; None while something is."""
        if self.state is not AttemptState.ENDED:
            return None
        return self.ended_at if self.reported_at is None else self.reported_at


@dataclass(frozen=True, slots=True)
class Span:
    """``end_at`` None: it goes on. ``reason``, ``message``: how the attempt ended, on the last span of each that has."""

    kind: Kind
    begin_at: float
    end_at: float | None
    attempt: int | None = None
    resource: str | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def words(self) -> str:
        """A sentence in English; pages say it by ``kind``, in the reader's language."""
        where = self.resource or "a resource that is no more"
        open_words, closed_words = _WORDS[self.kind]
        return (open_words if self.end_at is None else closed_words).format(where=where)


_WORDS = {
    Kind.PREPARING: ("Being prepared", "Was prepared"),
    Kind.WAITING: ("Waits for a resource", "Waited for a resource"),
    Kind.QUEUED: ("Queued on {where}", "Was queued on {where}"),
    Kind.STAGING_IN: ("Its files are brought to {where}", "Its files were brought to {where}"),
    Kind.RUNNING: ("Runs on {where}", "Ran on {where}"),
    Kind.STAGING_OUT: ("Its outputs are brought from {where}", "Its outputs were brought from {where}"),
}


def timeline(submitted_at: float, ready_at: float | None, ended_at: float | None, tries: Sequence[Try]) -> list[Span]:
    """The spans in order; those of two attempts overlap where one was silent while another was given out.

    ``ready_at``: when the job was prepared; ``ended_at``: when the task ended. Spans that took no time are left out, but for the
    programs' own.
    """
    spans = [Span(Kind.PREPARING, submitted_at, ready_at if ready_at is not None else ended_at)]
    if ready_at is not None:
        free_at: float | None = ready_at
        for one in tries:
            if free_at is not None and free_at < one.offered_at:
                spans.append(Span(Kind.WAITING, free_at, one.offered_at))
            spans += _of_try(one)
            free_at = _later(free_at, one)
        if free_at is not None and (ended_at is None or free_at < ended_at):
            spans.append(Span(Kind.WAITING, free_at, ended_at))
    return [span for span in spans if span.kind is Kind.RUNNING or span.end_at is None or span.end_at > span.begin_at]


def _later(free_at: float | None, one: Try) -> float | None:
    """Since when nothing is under way; None while something is."""
    if free_at is None or one.over_at is None:
        return None
    return max(free_at, one.offered_at, one.over_at)


def _of_try(one: Try) -> list[Span]:
    spans = [Span(kind, begin, end, one.no, one.resource) for kind, begin, end in _phases(_in_order(one))]
    if one.state is AttemptState.ENDED and spans:
        spans[-1] = replace(spans[-1], reason=one.reason, message=one.message)
    return spans


def _phases(one: Try) -> Iterator[tuple[Kind, float, float | None]]:
    over_at = one.over_at
    begun_at = one.staging_at if one.staging_at is not None else one.started_at
    yield Kind.QUEUED, one.offered_at, begun_at if begun_at is not None else over_at
    if one.staging_at is not None:
        there_at = one.staged_at if one.staged_at is not None else one.started_at
        yield Kind.STAGING_IN, one.staging_at, there_at if there_at is not None else over_at
        if one.staged_at is not None:
            yield Kind.QUEUED, one.staged_at, one.started_at if one.started_at is not None else over_at
    if one.started_at is not None:
        yield Kind.RUNNING, one.started_at, one.ended_at
        if one.ended_at is not None and one.reported_at is not None:
            yield Kind.STAGING_OUT, one.ended_at, one.reported_at
        elif one.ended_at is not None and one.state is AttemptState.STAGING_OUT:
            yield Kind.STAGING_OUT, one.ended_at, None


def _in_order(one: Try) -> Try:
    """The same with no time before an earlier phase's."""
    latest, fixed = one.offered_at, {}
    for name in ("staging_at", "staged_at", "started_at", "ended_at", "reported_at"):
        at = getattr(one, name)
        if at is not None:
            latest = fixed[name] = max(latest, at)
    return replace(one, **fixed)
