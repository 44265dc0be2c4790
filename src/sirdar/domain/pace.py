"""How long a job will still take: of one task from what its program says, of many from those that have ended. Pure.

Of many tasks the present rate tells it most of the time: so many are left, so many end in a second. Towards the end that would
be wrong, because nothing new starts and the last ones have to be waited for: then it is told from how long a task takes.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_ENDED = 3  # from fewer, nobody can tell
LEAST_DONE = 0.02  # of one program
LEAST_S = 5.0  # nor sooner after the first start, unless
MANY_ENDED = 20  # so many have ended by then
WAVES = 20  # from so many ends for each that runs now, it does not count any more where between two waves one looks
LATE = 0.1  # a task that runs longer than the others is thought to need this part of their time still


def left_of_program(done: float, *, started_at: float, said_at: float, now: float) -> float | None:
    """Seconds that a program will still take that said at ``said_at`` which share of its work was done; None while nobody can know.

    Between two reports it is counted down, as a clock does it, and does not grow until the next one comes; a program that has been
    silent for longer than it took to come this far is not counted on any more.
    """
    took_s, silent_s = said_at - started_at, max(0.0, now - said_at)
    if not LEAST_DONE <= done < 1 or took_s < LEAST_S or silent_s > took_s:
        return None
    then_s = took_s * (1 - done) / done
    return max(then_s - silent_s, LATE * then_s)


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of a job's tasks now. Times in seconds since 1970.

    ``ends``: (start, end) of the tasks that ended last; ``running``: starts of those whose program runs.
    """

    waiting: int
    running: Sequence[float]
    ends: Sequence[tuple[float, float]]
    now: float


def left_s(pace: Pace) -> float | None:
    """Seconds that it will take from now, or None while nobody can know: few have ended, or none runs now."""
    if not pace.running or not _tells(pace):
        return None
    usual_s = statistics.fmean(max(0.0, end - start) for start, end in pace.ends)
    left = [_left_of_one(usual_s, pace.now - start) for start in pace.running]
    if pace.waiting <= len(pace.running):
        return max((pace.waiting * usual_s + sum(left)) / len(pace.running), *left)
    return max((pace.waiting + len(pace.running)) / _rate(pace, usual_s, left), *left)


def _tells(pace: Pace) -> bool:
    """Whether enough have ended. The first to end are the shortest of those that began together, and would promise too much: half
    as many must have ended as run now."""
    ended = len(pace.ends)
    if ended < max(LEAST_ENDED, len(pace.running) / 2):
        return False
    return ended >= MANY_ENDED or pace.now - min(start for start, _ in pace.ends) >= LEAST_S


def _left_of_one(usual_s: float, elapsed_s: float) -> float:
    return max(usual_s - max(0.0, elapsed_s), LATE * usual_s)


def _rate(pace: Pace, usual_s: float, left: Sequence[float]) -> float:
    """Tasks that are done in a second. It falls by itself while nothing ends.

    Counted from the first start that is known, and what runs now in part: tasks that began together end together, and a count of
    ends alone would leap at each such wave, and be far too high at the first.
    """
    first_end = min(end for _, end in pace.ends)
    if len(pace.ends) >= WAVES * len(pace.running) and pace.now > first_end:
        return (len(pace.ends) - 1) / (pace.now - first_end)
    passed_s = max(pace.now - min(start for start, _ in pace.ends), 1e-3)
    begun = sum(1 - one / usual_s for one in left) if usual_s > 0 else 0.0
    return (len(pace.ends) + begun) / passed_s
