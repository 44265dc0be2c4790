"""How long a job of many tasks will still take, from the tasks that have ended and how quickly they do so now. Pure.

Most of the time the present rate tells it: so many tasks are left, so many end in a second. Towards the end that would be wrong,
because nothing new starts and the last ones have to be waited for: then it is told from how long a task takes.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_ENDED = 3  # from fewer, nobody can tell
LATE = 0.1  # a task that runs longer than the others is thought to need this part of their time still


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
    if not pace.running or len(pace.ends) < LEAST_ENDED:
        return None
    usual_s = statistics.fmean(end - start for start, end in pace.ends)
    last_s = max(_left_of_one(usual_s, pace.now - start) for start in pace.running)
    work_s = pace.waiting * usual_s + sum(_left_of_one(usual_s, pace.now - start) for start in pace.running)
    by_durations = work_s / len(pace.running)
    rate = _rate(pace)
    by_rate = (pace.waiting + len(pace.running)) / rate if rate is not None else by_durations
    return max(by_rate if pace.waiting > len(pace.running) else by_durations, last_s)


def _left_of_one(usual_s: float, elapsed_s: float) -> float:
    return max(usual_s - max(0.0, elapsed_s), LATE * usual_s)


def _rate(pace: Pace) -> float | None:
    """Ends in a second, over the time since the first of those known: it falls by itself while nothing ends."""
    first = min(end for _, end in pace.ends)
    passed_s = pace.now - first
    return (len(pace.ends) - 1) / passed_s if passed_s > 0 else None
