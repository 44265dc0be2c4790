"""``highs``: HiGHS as an AMPL solver for linear, mixed-integer linear and convex quadratic problems."""

from collections.abc import Sequence
from ctypes import c_double, c_int
from functools import partial
from pathlib import Path

from sirdar.optim import sol
from sirdar.optim.doors.call import Door, Given, Solved, SolverFault, problem_of, serve
from sirdar.optim.doors.highs_library import Highs, integers, reals
from sirdar.optim.nl import NotLinear, Problem
from sirdar.optim.sol import Answer

BY_ROWS, TRIANGLE, MINIMIZE, MAXIMIZE = 2, 1, 1, -1
HAS_POINT = 2  # of "primal_solution_status": feasible
EMPTY, OPTIMAL, INFEASIBLE, INFEASIBLE_OR_UNBOUNDED, UNBOUNDED = 6, 7, 8, 9, 10
ENDS: dict[int, tuple[int, str]] = {
    EMPTY: (sol.SOLVED, "optimal solution"),
    OPTIMAL: (sol.SOLVED, "optimal solution"),
    INFEASIBLE: (sol.INFEASIBLE, "infeasible problem"),
    INFEASIBLE_OR_UNBOUNDED: (sol.INFEASIBLE_OR_UNBOUNDED, "infeasible or unbounded problem"),
    UNBOUNDED: (sol.UNBOUNDED, "unbounded problem"),
    11: (sol.LIMIT, "stopped at the bound of the objective"),
    12: (sol.LIMIT, "stopped at the target of the objective"),
    13: (sol.LIMIT_BY_TIME, "stopped at the time limit"),
    14: (sol.LIMIT_BY_ITERATIONS, "stopped at the iteration limit"),
    16: (sol.LIMIT_BY_NODES, "stopped at the limit of nodes or solutions"),
    17: (sol.LIMIT, "interrupted"),
    18: (sol.LIMIT, "stopped at the memory limit"),
}
ALIAS = {
    "timelim": "time_limit",
    "timelimit": "time_limit",
    "mipgap": "mip_rel_gap",
    "mipgapabs": "mip_abs_gap",
    "maxnodes": "mip_max_nodes",
    "outlev": "output_flag",
    "iterlim": "simplex_iteration_limit",
}


SOLVES = "linear problems, with integers or without, and convex quadratic ones"


def main(words: Sequence[str], package: str) -> int:
    """The command. ``package``: highspy's directory."""
    place = Path(package)
    return serve(Door("highs", partial(version, place), partial(solve, place), ALIAS, SOLVES), words)


def version(package: Path) -> str:
    """As the command tells it. Raises SolverFault."""
    return f"HiGHS {Highs(package).version()}"


def solve(package: Path, given: Given) -> Solved:
    """Solve the problem of one call."""
    problem = problem_of(given) if given.is_nl else None
    if problem is not None and problem.quadratic and any(problem.integer):
        raise NotLinear("it is quadratic and has integer variables (scip solves such problems)")
    highs = Highs(package)
    for name, value in given.options:
        highs.set_option(name, value)
    if problem is not None:
        pass_problem(highs, problem)
    elif not given.problem.is_file():
        raise FileNotFoundError(2, "no such file", str(given.problem))
    else:
        highs.call("readModel", str(given.problem).encode())
    highs.call("run")
    status = highs.value("getModelStatus")
    if status == INFEASIBLE_OR_UNBOUNDED:  # presolve does not say which
        highs.set_option("presolve", "off")
        highs.call("run")
        status = highs.value("getModelStatus")
    n_vars, n_rows = highs.value("getNumCol"), highs.value("getNumRow")
    if status == EMPTY and n_rows:  # HiGHS does not look at the rows then
        raise SolverFault(f"{given.problem}: it has no variables, which HiGHS does not judge; as .nl it is decided")
    options = problem.options if problem is not None else ()
    return Solved(_answer(highs, status, problem, n_vars, n_rows), n_vars, n_rows, options)


def pass_problem(highs: Highs, problem: Problem) -> None:
    """Give the problem, and where to begin. Raises SolverFault."""
    q_starts, q_rows, q_values = _hessian(problem)
    highs.call(
        "passModel",
        c_int(problem.n_vars),
        c_int(problem.n_rows),
        c_int(len(problem.columns)),
        c_int(len(q_rows)),
        c_int(BY_ROWS),
        c_int(TRIANGLE),
        c_int(MAXIMIZE if problem.maximize else MINIMIZE),
        c_double(problem.constant),
        reals(problem.cost),
        reals(problem.lower),
        reals(problem.upper),
        reals(problem.row_lower),
        reals(problem.row_upper),
        integers(problem.starts),
        integers(problem.columns),
        reals(problem.values),
        integers(q_starts),
        integers(q_rows),
        reals(q_values),
        integers([int(whole) for whole in problem.integer]) if any(problem.integer) else None,
    )
    if problem.start and any(problem.integer):  # the simplex method would have to find a basis for it first
        indices = sorted(problem.start)
        values = [problem.start[index] for index in indices]
        highs.call("setSparseSolution", c_int(len(indices)), integers(indices), reals(values))


def _hessian(problem: Problem) -> tuple[list[int], list[int], list[float]]:
    """Of ``x Q x / 2``: the lower triangle by columns."""
    columns: list[list[tuple[int, float]]] = [[] for _ in range(problem.n_vars if problem.quadratic else 0)]
    for (i, j), value in sorted(problem.quadratic.items()):
        columns[j].append((i, 2 * value if i == j else value))
    starts, rows, values = [0], [], []
    for column in columns:
        rows += [i for i, _ in column]
        values += [value for _, value in column]
        starts.append(len(rows))
    return starts, rows, values


def _answer(highs: Highs, status: int, problem: Problem | None, n_vars: int, n_rows: int) -> Answer:
    if status not in ENDS:
        raise SolverFault(f"HiGHS ended without an answer (model status {status}); what it said stands above")
    code, words = ENDS[status]
    has_point = highs.integer_info("primal_solution_status") == HAS_POINT or status == EMPTY
    if sol.LIMIT <= code < sol.FAILURE and not has_point:
        code, words = code + sol.WITHOUT_POINT, f"{words}, without a solution"
    x, reduced, duals = highs.solution(n_vars, n_rows)
    told = f"; objective {highs.objective():.15g}" if has_point and code != sol.UNBOUNDED else ""
    message = f"HiGHS {highs.version()}: {words}{told}\n{_effort(highs)}"
    if not has_point:
        x = []
    if problem is not None and any(problem.integer):
        return Answer(code, message, x)
    has_duals = highs.integer_info("dual_solution_status") == HAS_POINT
    return Answer(code, message, x, duals if has_duals else (), {"rc": reduced} if has_duals else {})


def _effort(highs: Highs) -> str:
    counts = {
        name: highs.integer_info(f"{key}_iteration_count")
        for key, name in (("simplex", "simplex"), ("ipm", "interior point"), ("qp", "QP"))
    }
    told = [f"{n} {name} iterations" for name, n in counts.items() if n > 0]
    return ", ".join(told) or "no iterations: presolve was enough"
