"""Performance profiles against a case that was worked out by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.optim.profiles import Profile, performance_profiles

# Five problems; nobody solves the last one. Ratios, by hand:
#            p1   p2   p3   p4   p5        ratios of a: 1, 2, 1, -, -    of b: 2, 1, 1, 1, -    of c: 4, 3, -, 5, -
COSTS: dict[str, list[float | None]] = {
    "a": [1.0, 4.0, 3.0, None, None],
    "b": [2.0, 2.0, 3.0, 2.0, None],
    "c": [4.0, 6.0, None, 10.0, None],
}


def test_a_case_by_hand() -> None:
    a, b, c = performance_profiles(COSTS)
    assert (a.solver, a.ratios, a.problems) == ("a", (1.0, 1.0, 2.0), 5)
    assert (b.ratios, c.ratios) == ((1.0, 1.0, 1.0, 2.0), (3.0, 4.0, 5.0))
    assert [one.best_on for one in (a, b, c)] == [0.4, 0.6, 0.0]
    assert [one.solved for one in (a, b, c)] == [0.6, 0.8, 0.6]
    assert [c.share(tau) for tau in (1, 2.9, 3, 4.5, 5, 1e9)] == [0.0, 0.0, 0.2, 0.4, 0.6, 0.6]
    assert a.steps() == ((1.0, 0.4), (2.0, 0.6))
    assert c.steps() == ((1.0, 0.0), (3.0, 0.2), (4.0, 0.4), (5.0, 0.6))


def test_a_solver_that_solves_nothing_has_a_flat_profile() -> None:
    _, none = performance_profiles({"a": [1.0, 2.0], "none": [None, None]})
    assert none == Profile("none", (), 2)
    assert none.steps() == ((1.0, 0.0),)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({}, "needs a solver and a problem"),
        ({"a": []}, "needs a solver and a problem"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "each solver needs a cost, or None, for each problem: {'a': 1, 'b': 2}"),
        ({"a": [0.0]}, "the cost of problem 0 with a is 0.0; expected a positive number"),
        ({"a": [1.0, float("inf")]}, "the cost of problem 1 with a is inf"),
    ],
)
def test_what_makes_no_profile_is_said(costs: Any, said: str) -> None:
    with pytest.raises(ValueError) as raised:
        performance_profiles(costs)
    assert said in str(raised.value)


costs_of_one = st.lists(st.none() | st.floats(1e-3, 1e6), min_size=4, max_size=4)


@given(st.dictionaries(st.sampled_from("abc"), costs_of_one, min_size=1), st.floats(1e-3, 1e3))
def test_profiles_rise_end_at_what_is_solved_and_do_not_know_the_unit(costs: Any, unit: float) -> None:
    profiles = performance_profiles(costs)
    for one in profiles:
        shares = [share for _, share in one.steps()]
        assert shares == sorted(shares)
        assert shares[-1] == one.solved <= 1
    solvable = sum(any(costs[solver][place] is not None for solver in costs) for place in range(4))
    assert sum(one.best_on for one in profiles) * 4 >= solvable - 1e-9, "each problem that is solved has a best solver"
    scaled = performance_profiles({s: [None if c is None else c * unit for c in values] for s, values in costs.items()})
    assert [one.ratios for one in scaled] == [pytest.approx(one.ratios) for one in profiles]
