"""``scip``: SCIP as an AMPL solver for mixed-integer linear and nonlinear problems, solved to global optimality."""

from collections.abc import Sequence
from ctypes import c_uint
from functools import partial
from pathlib import Path

from sirdar.optim import sol
from sirdar.optim.doors.call import Door, Given, OptionFault, Solved, SolverFault, problem_of, serve
from sirdar.optim.doors.scip_library import PRESOLVING_OFF, Scip
from sirdar.optim.nl import Header, Problem, read_header
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
    if given.objective > 1:
        raise OptionFault(f"objno={given.objective}: SCIP takes the first objective")
    header, _ = read_header(given.problem.read_bytes())
    lp = _is_lp(header) and not any(name.startswith(CHANGES_THE_PROBLEM) for name, _ in given.options)
    answer = _run(package, given, whole=lp)
    if answer.code == sol.INFEASIBLE_OR_UNBOUNDED:  # presolve does not say which
        answer = _run(package, given, whole=True)
    if lp and answer.duals and answer.code == sol.SOLVED:
        answer.suffixes = {"rc": _reduced_costs(problem_of(given), answer.duals)}
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


def _reduced_costs(problem: Problem, duals: Sequence[float]) -> list[float]:
    """What is left of the costs when the rows have had their share."""
    left = list(problem.cost)
    for row, dual in enumerate(duals):
        if dual:
            for at in range(problem.starts[row], problem.starts[row + 1]):
                left[problem.columns[at]] -= dual * problem.values[at]
    return left
