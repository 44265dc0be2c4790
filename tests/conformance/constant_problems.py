"""Problems without variables, or with constraints that have none, which all solvers must answer alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.optim.pyomo_models import write_problem

pe = pytest.importorskip("pyomo.environ")


def fixed(at: float, *, sense: Any = pe.minimize) -> Any:
    """Its only variable is fixed; ``3 x + 4`` with ``x >= 2``."""
    m = pe.ConcreteModel()
    m.x = pe.Var(initialize=at)
    m.x.fix(at)
    m.obj = pe.Objective(expr=3 * m.x + 4, sense=sense)
    m.c = pe.Constraint(expr=m.x >= 2)
    return m


def nonlinear() -> Any:
    m = fixed(2)
    m.ring = pe.Constraint(expr=(0, pe.exp(m.x) - m.x**2, 5))
    m.same = pe.Constraint(expr=pe.sqrt(m.x) == 2**0.5)
    return m


def constant_objective() -> Any:
    m = pe.ConcreteModel()
    m.x = pe.Var(bounds=(0, 5))
    m.obj = pe.Objective(expr=1.0)
    return m


def missed_by_rounding() -> Any:
    m = fixed(4)
    m.d = pe.Constraint(expr=m.x <= 4 - 1e-8)
    return m


NO_VARIABLES: dict[str, tuple[Callable[[], Any], str]] = {
    "fixed": (lambda: fixed(2), "optimal solution; objective 10 (the problem has no variables)"),
    "maximised": (
        lambda: fixed(11, sense=pe.maximize),
        "optimal solution; objective 37 (the problem has no variables)",
    ),
    "nonlinear": (nonlinear, "optimal solution; objective 10 (the problem has no variables)"),
    "constant": (constant_objective, "optimal solution; objective 1 (the problem has no variables)"),
    "rounding": (missed_by_rounding, "optimal solution; objective 16 (the problem has no variables)"),
    "infeasible": (
        lambda: fixed(-1.5),
        "infeasible problem: it has no variables, and constraint 0 is missed by 3.5",
    ),
    "equality": (
        lambda: _with(fixed(2), lambda m: m.x == 3),
        "infeasible problem: it has no variables, and constraint 1 is missed by 1",
    ),
}


def _with(m: Any, rule: Callable[[Any], Any]) -> Any:
    m.d = pe.Constraint(expr=rule(m))
    return m


def constant_row(side: float) -> Any:
    """A variable that is free, and a constraint on one that is not."""
    m = pe.ConcreteModel()
    m.x, m.y = pe.Var(bounds=(0, 5), initialize=1), pe.Var(initialize=3)
    m.y.fix(3)
    m.c = pe.Constraint(expr=m.y >= side)
    m.obj = pe.Objective(expr=2 * m.x + m.y)
    return m


def write_nl(m: Any, path: Path) -> None:
    """As Sirdar writes it; ``m.write`` of Pyomo refuses models without variables."""
    path.write_bytes(write_problem(0, m).nl)


def ending(path: Path) -> str:
    """What Pyomo's own reader takes the solution file for."""
    from pyomo.opt import ReaderFactory, ResultsFormat

    return str(ReaderFactory(ResultsFormat.sol)(str(path)).solver.termination_condition)
