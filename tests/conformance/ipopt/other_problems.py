"""Problems that show one thing each: a direction, a kind of constraint, a size, an end other than success."""

from math import log, sin
from typing import Any

from pyomo.environ import (
    ConcreteModel,
    Constraint,
    Integers,
    Objective,
    RangeSet,
    Var,
    maximize,
)
from pyomo.environ import log as ln
from tests.conformance.ipopt.hock_schittkowski import Build, finished, model

STEPS = 10_000


def maximum() -> Any:
    """A box of the largest volume in an ellipsoid: HS 29, the other way round."""
    m = model([1, 1, 1])
    m.obj = Objective(expr=m.x[1] * m.x[2] * m.x[3], sense=maximize)
    m.c1 = Constraint(expr=m.x[1] ** 2 + 2 * m.x[2] ** 2 + 4 * m.x[3] ** 2 <= 48)
    return m


def entropy() -> Any:
    """The distribution of greatest entropy on four points is even."""
    m = model([0.7, 0.1, 0.1, 0.1], (1e-8, 1))
    m.obj = Objective(expr=-sum(m.x[i] * ln(m.x[i]) for i in range(1, 5)), sense=maximize)
    m.c1 = Constraint(expr=sum(m.x[i] for i in range(1, 5)) == 1)
    return m


def fixed_variables() -> Any:
    """Bounds that are equal: the variable goes into the file, and is none to the solver."""
    m = model([0, 0, 5], {2: (2, 2), 3: (0, None)})
    x = m.x
    return finished(m, (x[1] - x[2]) ** 2 + (x[3] - x[1] * x[2]) ** 2 + x[2], x[1] + x[3] >= 7)


def all_fixed() -> Any:
    m = model([0, 0], {1: (3, 3), 2: (4, 4)})
    return finished(m, m.x[1] ** 2 + m.x[2] ** 2, m.x[1] + m.x[2] <= 8)


def unconstrained() -> Any:
    """Rosenbrock's, in a chain of ten."""
    m = model([0.5] * 10)
    return finished(m, sum(100 * (m.x[i + 1] - m.x[i] ** 2) ** 2 + (1 - m.x[i]) ** 2 for i in range(1, 10)))


def equalities() -> Any:
    """As many equations as variables: a point on a circle and a line."""
    m = model([5, 5])
    return finished(m, m.x[1] + m.x[2], m.x[1] ** 2 + m.x[2] ** 2 == 25, m.x[1] - m.x[2] == 1)


def no_objective() -> Any:
    m = model([1, 4], (0, None))
    m.c1 = Constraint(expr=m.x[1] * m.x[2] == 6)
    m.c2 = Constraint(expr=m.x[1] + m.x[2] == 5)
    m.obj = Objective(expr=0.0)
    return m


def linear() -> Any:
    """A linear program; the multipliers are known."""
    m = model([1, 1], (0, None))
    m.obj = Objective(expr=3 * m.x[1] + 5 * m.x[2], sense=maximize)
    m.c1 = Constraint(expr=m.x[1] <= 4)
    m.c2 = Constraint(expr=2 * m.x[2] <= 12)
    m.c3 = Constraint(expr=3 * m.x[1] + 2 * m.x[2] <= 18)
    return m


def quadratic() -> Any:
    """The nearest point of a triangle's side."""
    m = model([0, 0], (0, None))
    return finished(m, (m.x[1] - 2) ** 2 + (m.x[2] - 2) ** 2, m.x[1] + m.x[2] <= 2)


def unstarted() -> Any:
    """No starting values: each variable begins where it is nearest to zero."""
    m = ConcreteModel()
    m.x = Var(RangeSet(3), bounds=lambda _, i: {1: (1, 9), 2: (-9, -1)}.get(i, (None, None)))
    return finished(m, m.x[1] ** 2 + m.x[2] ** 2 + (m.x[3] - 4) ** 2)


def integers() -> Any:
    """Integer variables are solved as continuous ones."""
    m = ConcreteModel()
    m.x = Var(RangeSet(2), bounds=(0, 10), initialize=1, within=Integers)
    return finished(m, (m.x[1] - 2.5) ** 2 + (m.x[2] - 3.25) ** 2)


def large() -> Any:
    """20,000 variables: the linear-quadratic regulator of an integrator."""
    m = ConcreteModel()
    h = 10 / STEPS
    m.x = Var(range(STEPS), initialize=1.0)
    m.u = Var(range(STEPS), initialize=0.0)
    m.begin = Constraint(expr=m.x[0] == 1)
    m.step = Constraint(range(STEPS - 1), rule=lambda m, k: m.x[k + 1] == m.x[k] + h * m.u[k])
    m.obj = Objective(expr=h * sum(m.x[k] ** 2 + m.u[k] ** 2 for k in range(STEPS)))
    return m


def large_value() -> float:
    """Riccati's recursion, backwards: the cost to go is ``p x**2``."""
    h = 10 / STEPS
    p = h
    for _ in range(STEPS - 1):
        p = h + p - (p * h) ** 2 / (h + p * h**2)
    return p


def separable() -> Any:
    m = model([0.0] * 200, (-0.5, 0.5))
    return finished(m, sum((m.x[i] - sin(i)) ** 2 for i in range(1, 201)))


def separable_value() -> float:
    return sum(max(0.0, abs(sin(i)) - 0.5) ** 2 for i in range(1, 201))


def infeasible() -> Any:
    m = model([1, 1])
    return finished(m, m.x[1] + m.x[2], m.x[1] ** 2 + m.x[2] ** 2 <= 1, m.x[1] + m.x[2] >= 4)


def infeasible_lines() -> Any:
    m = model([0, 0])
    return finished(m, m.x[1] ** 2, m.x[1] + m.x[2] >= 3, m.x[1] + m.x[2] <= 1)


def unbounded() -> Any:
    m = model([0, 0])
    return finished(m, -m.x[1] - m.x[2], m.x[1] - m.x[2] == 0)


def nan_at_start() -> Any:
    m = model([-1, 1])
    return finished(m, ln(m.x[1]) ** 2 + m.x[2] ** 2, m.x[1] + m.x[2] >= 1)


def too_few_freedoms() -> Any:
    m = model([1, 2])
    x = m.x
    return finished(m, x[1] + x[2], x[1] == 1, x[1] * x[2] == 2, x[1] + x[2] ** 2 == 5, x[2] ** 3 == 8)


SOLVED: dict[str, tuple[Build, float]] = {
    "maximum": (maximum, 16 * 2**0.5),
    "entropy": (entropy, log(4)),
    "fixed_variables": (fixed_variables, 2.1),
    "all_fixed": (all_fixed, 25.0),
    "unconstrained": (unconstrained, 0.0),
    "equalities": (equalities, 7.0),
    "no_objective": (no_objective, 0.0),
    "linear": (linear, 36.0),
    "quadratic": (quadratic, 2.0),
    "unstarted": (unstarted, 2.0),
    "integers": (integers, 0.0),
    "separable": (separable, separable_value()),
    "large": (large, large_value()),
}

# Name, code of solve_result_num, a part of the message.
UNSOLVED: dict[str, tuple[Build, int, str]] = {
    "infeasible": (infeasible, 200, "Converged to a locally infeasible point. Problem may be infeasible."),
    "infeasible_lines": (infeasible_lines, 200, "Converged to a locally infeasible point. Problem may be infeasible."),
    "unbounded": (unbounded, 300, "Iterates diverging; problem might be unbounded."),
    "nan_at_start": (nan_at_start, 502, "Unknown Error: invalid number in a function or derivative."),
    "too_few_freedoms": (too_few_freedoms, 502, "Unknown Error: too few degrees of freedom."),
}
