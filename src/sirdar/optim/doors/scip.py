"""``scip``: SCIP as an AMPL solver for mixed-integer linear and nonlinear problems, solved to global optimality."""

from collections.abc import Sequence
from ctypes import c_uint
from functools import partial
from pathlib import Path

from sirdar.optim import sol
from sirdar.optim.doors.call import Door, Given, OptionFault, Solved, SolverFault, problem_of, serve
from sirdar.optim.doors.scip_library import PRESOLVING_OFF, Scip
from sirdar.optim.nl import Header, NlError, Problem, read_header
from sirdar.optim.sol import Answer, read_sol

ALIAS = {
    "timelim": "limits/time",
    "timelimit": "limits/time",
    "time_limit": "limits/time",
    "mipgap": "limits/gap",
    "mipgapabs": "limits/absgap",
    "maxnodes": "limits/nodes",
    "outlev": "display/verblevel",
}
NEAR = 1e-6  # as SCIP takes two numbers for one
NOTHING = 1e-9
CHANGES_THE_PROBLEM = ("presolving/", "propagating/", "heuristics/")
WORDS = {
    "infeasible": "infeasible problem",
    "unbounded": "unbounded problem",
    "infeasible or unbounded": "infeasible or unbounded problem",
    "optimal solution found": "optimal solution",
}


def main(words: Sequence[str], package: str) -> int:
    """The command. ``package``: PySCIPOpt's directory."""
    place = Path(package)
    return serve(Door("scip", partial(version, place), partial(solve, place), ALIAS), words)


def version(package: Path) -> str:
    """As the command tells it. Raises SolverFault."""
    return f"SCIP {Scip(package).version()}"


def solve(package: Path, given: Given) -> Solved:
    """Solve the problem of one call."""
    if not given.is_nl:
        raise SolverFault(f"{given.problem}: this command takes .nl files")
    header, _ = read_header(given.problem.read_bytes())
    if header.n_objectives > 1:
        raise NlError(
            f"it has {header.n_objectives} objectives, and SCIP reads problems with one: leave out the others"
        )
    if given.objective != 1:
        raise OptionFault(f"objno={given.objective}: SCIP takes the problem's objective")
    lp = _is_lp(header) and not any(name.startswith(CHANGES_THE_PROBLEM) for name, _ in given.options)
    answer = _run(package, given, whole=lp)
    if answer.code == sol.INFEASIBLE_OR_UNBOUNDED:  # presolve does not say which
        answer = _run(package, given, whole=True)
    if lp and answer.code == sol.SOLVED and len(answer.duals) == header.n_rows:
        _complete_duals(answer, problem_of(given))
    return Solved(answer, header.n_vars, header.n_rows, header.options)


def _is_lp(header: Header) -> bool:
    return not any(header.nonlinear) and not any(header.integers) and not header.n_functions


def _run(package: Path, given: Given, *, whole: bool) -> Answer:
    """``whole``: without presolve and what goes with it, as duals need the problem as it was given."""
    scip = Scip(package)
    scip.call("includeDefaultPlugins")
    if whole:
        scip.call("setPresolving", PRESOLVING_OFF, c_uint(1))
        scip.call("setHeuristics", PRESOLVING_OFF, c_uint(1))
        for name in ("propagating/maxrounds", "propagating/maxroundsroot"):
            scip.set_parameter(name, "0")
    for name, value in given.options:
        scip.set_parameter(name, value)
    scip.call("readProb", str(given.problem).encode(), None)
    scip.call("solve")
    scip.call("writeSolutionNl")  # beside the problem: the values in AMPL's order
    answer = read_sol(given.solution)
    has_point = bool(answer.x) and answer.code // 100 in (0, 1, 4)
    if not has_point:  # what it writes then are infinities, or the way there
        answer.x, answer.duals = (), ()
    told = WORDS.get(answer.message, answer.message)
    if answer.code // 100 == 4 and not has_point:
        told += ", without a solution"
    bound = f"; objective {scip.number('getPrimalbound'):.15g}" if has_point else ""
    nodes = scip.number("getNTotalNodes")
    scip.close()
    answer.message = f"SCIP {scip.version()}: {told}{bound}\n{nodes} node{'s' * (nodes != 1)}"
    return answer


def _complete_duals(answer: Answer, problem: Problem) -> None:
    """Adds reduced costs. SCIP takes a row of one variable for a bound: what that holds back is given to the row again.

    Where a variable between its bounds is left with a reduced cost, the duals are of another problem, and not told.
    """
    duals, reduced = list(answer.duals), _reduced_costs(problem, answer.duals)
    free = [j for j, cost in enumerate(reduced) if abs(cost) > NOTHING and not _at_bound(problem, j, answer.x[j])]
    rows = _rows_of_one(problem, set(free)) if free else {}
    for j in free:
        for row, value in rows.get(j, ()):
            if _same(value * answer.x[j], problem.row_lower[row]) or _same(value * answer.x[j], problem.row_upper[row]):
                duals[row] += reduced[j] / value
                reduced[j] = 0.0
                break
        else:
            answer.duals = ()
            return
    answer.duals, answer.suffixes = duals, {"rc": reduced}


def _reduced_costs(problem: Problem, duals: Sequence[float]) -> list[float]:
    """What is left of the costs when the rows have had their share."""
    left = list(problem.cost)
    for row, dual in enumerate(duals):
        if dual:
            for at in range(problem.starts[row], problem.starts[row + 1]):
                left[problem.columns[at]] -= dual * problem.values[at]
    return left


def _rows_of_one(problem: Problem, variables: set[int]) -> dict[int, list[tuple[int, float]]]:
    """By variable, its rows in which it stands alone, each with its factor."""
    found: dict[int, list[tuple[int, float]]] = {}
    for row in range(problem.n_rows):
        at = problem.starts[row]
        if problem.starts[row + 1] == at + 1 and problem.columns[at] in variables and problem.values[at]:
            found.setdefault(problem.columns[at], []).append((row, problem.values[at]))
    return found


def _at_bound(problem: Problem, j: int, value: float) -> bool:
    return _same(value, problem.lower[j]) or _same(value, problem.upper[j])


def _same(value: float, other: float) -> bool:
    return abs(value - other) <= NEAR * max(1.0, abs(value))
