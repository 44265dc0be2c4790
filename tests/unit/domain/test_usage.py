"""The curve of a program's usage: short whatever its age, exact in cpu, and no peak of memory is lost."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.usage import PIECE_ROWS, Curve, Row, halved, joined, points


def curve_of(n: int, *, most: int = 20, every_s: float = 1.0, cpus: float = 1.0) -> tuple[Curve, list[list[Row]]]:
    """A curve of so many samples, and the pieces that were told of it, each as it was at last."""
    curve = Curve(most=most)
    told: dict[float, list[Row]] = {}
    for number in range(1, n + 1):
        curve.add(number * every_s, number * every_s * cpus, 1000 + number)
        told[curve.piece[0][0]] = list(curve.piece)
    return curve, list(told.values())


def test_a_short_curve_has_every_sample() -> None:
    curve, _ = curve_of(5)
    assert curve.rows == [(float(n), float(n), 1000 + n) for n in range(1, 6)]
    assert [(point.at_s, point.cpus) for point in points(curve.rows)] == [(float(n), 1.0) for n in range(1, 6)]


def test_neighbours_become_one_by_the_most_of_memory_and_the_mean_of_cpu() -> None:
    rows = [(1.0, 1.0, 50), (2.0, 1.0, 10), (3.0, 2.0, 10), (4.0, 4.0, 90), (5.0, 4.0, 20)]
    assert halved(rows) == [(2.0, 1.0, 50), (4.0, 4.0, 90), (5.0, 4.0, 20)]
    assert [point.cpus for point in points(halved(rows))] == [0.5, 1.5, 0.0]


def test_a_long_curve_stays_short_and_even() -> None:
    curve, _ = curve_of(5000)
    assert 10 <= len(curve.rows) <= 20
    steps = [after[0] - before[0] for before, after in pairwise(curve.rows)][:-2]
    assert max(steps) <= 3 * min(steps)
    assert curve.rows[-1] == (5000.0, 5000.0, 6000)


def test_what_ended_unseen_was_still_spent() -> None:
    curve = Curve()
    for at_s, cpu_s in ((1, 1.0), (2, 2.0), (3, 0.5), (4, 1.5)):
        curve.add(at_s, cpu_s, 1)
    assert [row[1] for row in curve.rows] == [1.0, 2.0, 2.0, 3.0]


def test_a_clock_that_was_set_back_adds_nothing() -> None:
    curve = Curve()
    curve.add(5, 1, 1)
    curve.add(3, 2, 1)
    assert len(curve.rows) == 1


def test_pieces_are_small_and_make_the_curve() -> None:
    curve, pieces = curve_of(19)
    assert all(len(piece) <= PIECE_ROWS for piece in pieces)
    assert joined(reversed(pieces)) == curve.rows


def test_pieces_of_a_long_run_are_few_and_join_to_a_curve() -> None:
    curve, pieces = curve_of(5000)
    assert len(pieces) < 30
    whole = joined(pieces, 20)
    assert len(whole) <= 20 and whole[-1] == curve.rows[-1]
    assert [point.cpus for point in points(whole)] == [1.0] * len(whole)


def test_what_a_later_agent_tells_follows_what_an_earlier_one_told() -> None:
    earlier, later = [(1.0, 1.0, 5), (2.0, 2.0, 6), (3.0, 3.0, 7)], [(3.0, 3.0, 7), (9.0, 9.0, 8)]
    assert joined([later, earlier, []]) == [(1.0, 1.0, 5), (2.0, 2.0, 6), (3.0, 3.0, 7), (9.0, 9.0, 8)]


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 64), st.integers(1, 10**12)), min_size=1, max_size=400),
    st.integers(4, 40),
)
def test_no_peak_is_lost_and_no_time_either(samples: list[tuple[float, float, int]], most: int) -> None:
    curve, at_s, cpu_s = Curve(most=most), 0.0, 0.0
    for step_s, cpus, memory_bytes in samples:
        at_s, cpu_s = at_s + step_s, cpu_s + step_s * cpus
        curve.add(at_s, cpu_s, memory_bytes)
    assert len(curve.rows) <= most
    assert max(row[2] for row in curve.rows) == max(memory for _, _, memory in samples)
    assert curve.rows[-1][0] == round(at_s, 2) and abs(curve.rows[-1][1] - cpu_s) < 0.02
    assert all(before[0] < after[0] and before[1] <= after[1] for before, after in pairwise(curve.rows))
