"""Problems without variables (all are fixed, or none is used): constants alone decide, and solvers refuse or misjudge them.

The driver in C does the same in native/constants.c, in the same words.
"""

import math
from pathlib import Path

from sirdar.optim import sol
from sirdar.optim.nl import Problem, read_header, read_nl
from sirdar.optim.sol import Answer

HEADER_BYTES = 8192
NEAR = 1e-6  # values that a solver found and somebody fixed meet their constraints as nearly as this


def has_no_variables(path: Path) -> bool:
    """Raises NlError, OSError."""
    with path.open("rb") as file:
        header, _ = read_header(file.read(HEADER_BYTES))
    return header.n_vars == 0


def decide(path: Path, objective: int, solver: str) -> tuple[Answer, Problem]:
    """The answer in the name of the solver, such as ``HiGHS 1.15.1``. Raises NlError, NotLinear, OSError."""
    problem = read_nl(path, objective)
    return _answer(problem, solver), problem


def _answer(problem: Problem, solver: str) -> Answer:
    for row, (lower, upper) in enumerate(zip(problem.row_lower, problem.row_upper, strict=True)):
        missed = max(lower, -upper)
        if not missed <= NEAR:
            text = f"infeasible problem: it has no variables, and constraint {row} is missed by {missed:.15g}"
            return Answer(sol.INFEASIBLE, f"{solver}: {text}")
    if not math.isfinite(problem.constant):
        return Answer(sol.FAILURE, f"{solver}: the objective is no finite number, and the problem has no variables")
    text = f"optimal solution; objective {problem.constant:.15g} (the problem has no variables)"
    return Answer(sol.SOLVED, f"{solver}: {text}", duals=[0.0] * problem.n_rows)
