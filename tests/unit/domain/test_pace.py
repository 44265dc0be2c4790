"""How long a job of many tasks still takes: what is told, and when nothing is."""

import pytest

from sirdar.domain.pace import Pace, left_s

NOW = 1_000_000.0


def steady(ended: int, run_s: float, slots: int, waiting: int, ago_s: float = 0.0) -> Pace:
    """A machine of so many slots that has ended tasks of one length, one after another, the last ``ago_s`` ago."""
    every_s = run_s / slots
    ends = [NOW - ago_s - every_s * back for back in range(ended)]
    running = [NOW - ago_s - every_s * slot for slot in range(slots)]
    return Pace(waiting, running, [(end - run_s, end) for end in ends], NOW)


def test_nobody_knows_before_three_have_ended_or_while_none_runs() -> None:
    assert left_s(Pace(10, [NOW], [], NOW)) is None
    assert left_s(Pace(10, [NOW], [(NOW - 2, NOW - 1), (NOW - 1, NOW)], NOW)) is None
    assert left_s(Pace(10, [], steady(50, 1, 1, 10).ends, NOW)) is None


@pytest.mark.parametrize(("slots", "waiting", "expected"), [(1, 100, 1000), (4, 1000, 2500), (4, 400, 1000)])
def test_at_a_steady_pace_it_is_what_is_left_over_the_rate(slots: int, waiting: int, expected: float) -> None:
    assert left_s(steady(100, 10.0, slots, waiting)) == pytest.approx(expected, rel=0.02)


def test_short_tasks_are_told_by_how_many_end_not_by_how_long_they_take() -> None:
    """Each takes a millisecond, but only a hundred end in a second: starting them costs more than running them."""
    ends = [(NOW - back * 0.01 - 0.001, NOW - back * 0.01) for back in range(50)]
    assert left_s(Pace(1000, [NOW], ends, NOW)) == pytest.approx(10.0, rel=0.02)


def test_while_nothing_ends_it_grows() -> None:
    quiet = [left_s(steady(20, 10.0, 2, 500, ago_s=ago_s)) for ago_s in (0.0, 60.0, 600.0)]
    assert quiet == sorted(quiet)  # type: ignore[type-var]
    assert quiet[2] > 3 * quiet[0]  # type: ignore[operator]


def test_at_the_end_the_last_ones_are_waited_for() -> None:
    ends = steady(40, 60.0, 4, 0).ends
    assert left_s(Pace(0, [NOW - 50, NOW - 20], ends, NOW)) == pytest.approx(40.0)
    assert left_s(Pace(0, [NOW - 300], ends, NOW)) == pytest.approx(6.0), "longer than usual: nobody knows better"
    assert left_s(Pace(1, [NOW - 59, NOW - 59, NOW - 59], ends, NOW)) == pytest.approx(78 / 3)


def test_it_is_never_less_than_the_longest_that_runs() -> None:
    ends = [(NOW - 100.0, NOW - 90.0 + no) for no in range(5)]
    told = left_s(Pace(3, [NOW, NOW], ends, NOW))
    assert told is not None
    assert told >= 12.0
