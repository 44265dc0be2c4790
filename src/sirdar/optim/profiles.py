"""Performance profiles: how solvers compare over a set of problems. Pure.

E. D. Dolan and J. J. Moré, "Benchmarking optimization software with performance profiles", Mathematical Programming 91,
201-213 (2002). For a problem p and a solver s with the cost t(p, s), a time or a number of iterations, the performance ratio
is r(p, s) = t(p, s) / min over s of t(p, s), infinite where s failed. The profile of s is the share of all problems whose
ratio is at most tau: rho_s(tau). So rho_s(1) is the share of problems on which s is the best, and its limit the share that
s solves.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """``ratios``: of the problems that the solver solved, sorted. ``problems``: of the whole set, solved or not."""

    solver: str
    ratios: tuple[float, ...]
    problems: int

    def share(self, tau: float) -> float:
        """rho(tau): the share of all problems that are solved at no more than ``tau`` times the best cost."""
        return bisect_right(self.ratios, tau) / self.problems

    @property
    def best_on(self) -> float:
        """The share of problems on which no solver was better."""
        return self.share(1.0)

    @property
    def solved(self) -> float:
        """The share of problems that the solver solved at all."""
        return len(self.ratios) / self.problems

    def steps(self) -> tuple[tuple[float, float], ...]:
        """Where the profile rises: (tau, rho from there on), beginning at tau = 1."""
        taus = sorted({1.0, *self.ratios})
        return tuple((tau, self.share(tau)) for tau in taus)


def performance_profiles(costs: Mapping[str, Sequence[float | None]]) -> tuple[Profile, ...]:
    """A profile for each solver, in the order of ``costs``: of each solver the cost of each problem, None where it failed.

    A problem that no solver solves counts in the share of each. Raises ValueError where the solvers have not the same number of
    problems, where there are none, or where a cost is not positive and finite.
    """
    counts = {solver: len(values) for solver, values in costs.items()}
    if not counts or 0 in counts.values():
        raise ValueError("a performance profile needs a solver and a problem at least")
    if len(set(counts.values())) > 1:
        raise ValueError(f"each solver needs a cost, or None, for each problem: {counts}")
    for solver, values in costs.items():
        _check(solver, values)
    columns = list(zip(*costs.values(), strict=True))
    best = [min((cost for cost in column if cost is not None), default=math.inf) for column in columns]
    return tuple(
        Profile(
            solver,
            tuple(sorted(cost / least for cost, least in zip(values, best, strict=True) if cost is not None)),
            len(columns),
        )
        for solver, values in costs.items()
    )


def _check(solver: str, values: Sequence[float | None]) -> None:
    for place, cost in enumerate(values):
        if cost is not None and not (math.isfinite(cost) and cost > 0):
            raise ValueError(
                f"the cost of problem {place} with {solver} is {cost}; expected a positive number, or None if it failed"
            )
