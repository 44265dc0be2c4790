"""How long a job of many tasks still takes: what is told, and when nothing is."""

import pytest

from sirdar.domain.pace import Pace, left_of_program, left_s

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


def waves(tasks: int, run_s: float, slots: int, after_s: float) -> Pace:
    """A machine whose slots all began at once with tasks of one length, so long after."""
    whole, ends = int(after_s / run_s), []
    for wave in range(whole):
        ends += [(NOW + wave * run_s, NOW + (wave + 1) * run_s)] * slots
    return Pace(tasks - len(ends) - slots, [NOW + whole * run_s] * slots, ends, NOW + after_s)


def test_tasks_that_end_in_waves_make_it_neither_leap_nor_promise_too_much() -> None:
    """Eight at once, each a minute long, three hundred in all: 38 waves, whenever one looks."""
    for after_s in (60.1, 75.0, 90.0, 119.0, 120.5, 150.0, 179.9, 300.0, 600.5, 659.0, 1200.1, 1259.0, 1300.0, 1830.0):
        told, true_s = left_s(waves(300, 60.0, 8, after_s)), 38 * 60.0 - after_s
        assert told is not None
        assert 0.85 * true_s - 15 <= told <= 1.2 * true_s + 15, (after_s, told, true_s)


def test_the_shortest_of_those_that_began_together_tell_nothing() -> None:
    """Ten began at once; those that ended in their first seconds are the shortest."""
    ends = [(NOW - 10.0, NOW - 10.0 + took_s) for took_s in (1.0, 2.0, 3.0, 4.0)]
    assert left_s(Pace(200, [NOW - 10.0 + at for at in (0, 0, 0, 0, 0, 0, 1, 2, 3, 4)], ends, NOW)) is None
    more = [*ends, (NOW - 10.0, NOW - 1.0)]
    told = left_s(Pace(200, [NOW - 10.0] * 5 + [NOW - 9.0, NOW - 8.0, NOW - 7.0, NOW - 6.0, NOW - 1.0], more, NOW))
    assert told is not None
    assert told > 100


def test_it_is_held_back_for_some_seconds_unless_many_have_ended() -> None:
    ends = [(NOW, NOW + 0.5), (NOW + 0.5, NOW + 1.0), (NOW + 1.0, NOW + 1.5)]
    assert left_s(Pace(50, [NOW + 1.5], ends, NOW + 1.6)) is None
    assert left_s(Pace(50, [NOW + 4.5], [*ends, (NOW + 4, NOW + 4.5)], NOW + 5.0)) is not None
    assert left_s(Pace(50, [NOW + 2.0], [(NOW, NOW + 0.1 * no) for no in range(20)], NOW + 2.0)) is not None


def test_it_is_never_less_than_the_longest_that_runs() -> None:
    ends = [(NOW - 100.0, NOW - 90.0 + no) for no in range(5)]
    told = left_s(Pace(3, [NOW, NOW], ends, NOW))
    assert told is not None
    assert told >= 12.0


def told(done: float, said_s: float, now_s: float) -> float | None:
    """Of a program that began at ``NOW``, said this after so many seconds, and is looked at after so many."""
    return left_of_program(done, started_at=NOW, said_at=NOW + said_s, now=NOW + now_s)


def test_a_program_is_counted_down_between_its_reports() -> None:
    """Seven folds, a minute each, told at the end of each: whenever one looks, it is what is left of seven minutes."""
    for now_s in (60.0, 61.0, 90.0, 119.0, 120.0, 150.0, 240.0, 299.0, 359.0):
        fold = int(now_s // 60)
        assert told(fold / 7, fold * 60.0, now_s) == pytest.approx(420 - now_s), now_s


def test_nobody_knows_how_long_a_program_takes_at_its_beginning_or_when_it_falls_silent() -> None:
    assert told(0.5, 1.0, 1.0) is None, "it says half, and has just begun"
    assert told(0.01, 60.0, 60.0) is None
    assert told(1.0, 60.0, 60.0) is None
    assert told(0.5, 60.0, 121.0) is None
    assert told(0.5, 60.0, 119.9) == pytest.approx(6.0), "not nothing, while it has not ended"
    assert told(0.5, 60.0, 59.0) == pytest.approx(60.0), "a clock that went back"
