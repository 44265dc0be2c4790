"""Pyomo models as .nl files, and solutions back into them."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirdar.optim.records import OUT_OF_TIME, Solved, Status, status_of
from sirdar.optim.sol_reader import Sol

_MAXIMISED = re.compile(rb"O0 1\b")
_TERMINATIONS = {
    Status.OPTIMAL: "optimal",
    Status.INFEASIBLE: "infeasible",
    Status.UNBOUNDED: "unbounded",
    Status.LIMIT: "maxIterations",
    Status.FAILED: "internalSolverError",
    Status.CANCELLED: "userInterrupt",
}
_TIME_CODES = (401, 402, 472)  # CPU time, time; time before there was any solution


@dataclass(slots=True)
class Problem:
    """One problem of a set, as it is sent. ``model`` and ``info`` (Pyomo's NLWriterInfo) None: it was given as a .nl file.

    ``fault``: why it cannot be sent; then ``nl`` is empty.
    """

    index: int
    name: str
    nl: bytes = b""
    model: Any = None
    info: Any = None
    fault: Solved | None = None

    @property
    def sign(self) -> float:
        """-1 where the objective is maximised: what solvers that minimise print is turned by it."""
        at = self.nl.find(b"\nO0 1")  # once for each problem: a search by lines takes ten times as long
        return -1.0 if at >= 0 and _MAXIMISED.match(self.nl, at + 1) else 1.0


def write_problem(index: int, given: Any) -> Problem:
    """A Pyomo model, or the path of a .nl file, as a problem. Raises OSError, and TypeError for what is neither."""
    if isinstance(given, str | Path):
        return Problem(index, Path(given).stem, Path(given).read_bytes())
    if not callable(getattr(given, "component_data_objects", None)):
        raise TypeError(
            f"models[{index}] is a {type(given).__name__}, neither a Pyomo model nor the path of a .nl file"
        )
    return _write_model(index, given)


def _write_model(index: int, model: Any) -> Problem:
    from pyomo.common.errors import InfeasibleConstraintException
    from pyomo.repn.plugins.nl_writer import NLWriter

    name = str(model.name)
    text = io.StringIO()
    try:
        # As Pyomo's own solvers do: what is scaled or taken out of the problem could not be found again in the solution.
        info = NLWriter().write(model, text, scale_model=False, linear_presolve=False, skip_trivial_constraints=False)
    except InfeasibleConstraintException as error:
        return Problem(index, name, model=model, fault=_not_sent(index, name, Status.INFEASIBLE, str(error)))
    except (ValueError, RuntimeError, TypeError) as error:
        return Problem(index, name, model=model, fault=_not_sent(index, name, Status.FAILED, str(error)))
    if len(info.objectives) > 1:
        names = ", ".join(str(one.name) for one in info.objectives[:5])
        why = f"it has {len(info.objectives)} active objectives ({names}); deactivate all but one"
        return Problem(index, name, model=model, fault=_not_sent(index, name, Status.FAILED, why))
    if info.external_function_libraries:
        why = f"it calls functions of {info.external_function_libraries[0]}, which is on this machine only"
        return Problem(index, name, model=model, fault=_not_sent(index, name, Status.FAILED, why))
    return Problem(index, name, text.getvalue().encode(), model, info)


def _not_sent(index: int, name: str, status: Status, why: str) -> Solved:
    return Solved(index, name, status, message=f"not sent: {why}", reason="model")


# ---------------------------------------------------------------- solutions into models


def load(problem: Problem, sol: Sol) -> None:
    """Values of variables, and of the model's active import suffixes, as the solver gave them. Raises ValueError where the
    numbers of variables or constraints are not the model's."""
    variables, constraints = problem.info.variables, problem.info.constraints
    if (sol.x and len(sol.x) != len(variables)) or (sol.y and len(sol.y) != len(constraints)):
        raise ValueError(
            f"the solution has {len(sol.x)} values and {len(sol.y)} duals;"
            f" the problem {len(variables)} variables and {len(constraints)} constraints"
        )
    from pyomo.core.expr.numvalue import value
    from pyomo.core.staleflag import StaleFlagManager

    if sol.x:
        StaleFlagManager.mark_all_as_stale(delayed=True)
        for variable, number in zip(variables, sol.x, strict=True):
            variable.set_value(number, skip_validation=True)
        for variable, expression in problem.info.eliminated_vars:
            variable.set_value(value(expression), skip_validation=True)
    _load_suffixes(problem, sol)


def _load_suffixes(problem: Problem, sol: Sol) -> None:
    wanted = {suffix.local_name: suffix for suffix in _import_suffixes(problem.model)}
    if not wanted:
        return
    for suffix in wanted.values():
        suffix.clear_all_values()
    info = problem.info
    members = {
        "variable": info.variables,
        "constraint": info.constraints,
        "objective": info.objectives,
        "problem": [problem.model],
    }
    for given in sol.suffixes:
        if given.name in wanted:
            wanted[given.name].update((members[given.kind][number], what) for number, what in given.values.items())
    if "dual" in wanted:
        wanted["dual"].update(zip(info.constraints, sol.y, strict=False))
    if "rc" in wanted and not any(given.name == "rc" for given in sol.suffixes):
        _reduced_costs(wanted["rc"], info.variables, sol)


def _reduced_costs(place: Any, variables: Any, sol: Sol) -> None:
    """Of Ipopt's two multipliers of a variable's bounds, the larger one."""
    lower: dict[int, float] = next((one.values for one in sol.suffixes if one.name == "ipopt_zL_out"), {})
    upper: dict[int, float] = next((one.values for one in sol.suffixes if one.name == "ipopt_zU_out"), {})
    for number in sorted(lower.keys() | upper.keys()):
        place[variables[number]] = max(lower.get(number, 0.0), upper.get(number, 0.0), key=abs)


def _import_suffixes(model: Any) -> Iterator[Any]:
    from pyomo.core.base.suffix import active_import_suffix_generator

    return (suffix for _, suffix in active_import_suffix_generator(model))


def objective_of(problem: Problem) -> float | None:
    """The value of the model's objective as its variables stand; None where it has none, or it cannot be evaluated."""
    from pyomo.core.expr.numvalue import value

    if problem.info is None or not problem.info.objectives:
        return None
    found = value(problem.info.objectives[0], exception=False)
    return None if found is None else float(found)


# ---------------------------------------------------------------- Pyomo's results


def results_of(problem: Problem, record: Solved, solver: str) -> Any:
    """The record as pyomo.opt.SolverResults, with the conditions that Pyomo's reader of .sol files gives."""
    from pyomo.opt import SolverResults, SolverStatus, TerminationCondition

    results = SolverResults()
    results.solver.name = solver
    results.solver.message = record.message
    results.solver.id = record.code
    timed = record.status is Status.LIMIT and (record.reason == OUT_OF_TIME or record.code in _TIME_CODES)
    results.solver.termination_condition = TerminationCondition(
        "maxTimeLimit" if timed else _TERMINATIONS[record.status]
    )
    if record.status is Status.CANCELLED:
        results.solver.status = SolverStatus.aborted
    elif record.status is Status.FAILED:
        results.solver.status = SolverStatus.error
    else:
        doubtful = record.status is not Status.OPTIMAL or (record.code or 0) >= 100
        results.solver.status = SolverStatus.warning if doubtful else SolverStatus.ok
    if record.run_s is not None:
        results.solver.time = record.run_s
    if problem.info is not None:
        results.problem.number_of_variables = len(problem.info.variables)
        results.problem.number_of_constraints = len(problem.info.constraints)
        results.problem.number_of_objectives = len(problem.info.objectives)
    return results


def attach(results: Any, problem: Problem, sol: Sol) -> None:
    """Put the solution into the results, from where ``model.solutions.load_from(results)`` takes it."""
    from pyomo.core.expr.symbol_map import SymbolMap

    info, symbols, solution = problem.info, SymbolMap(), results.solution.add()
    kinds = (("v", info.variables, solution.variable), ("c", info.constraints, solution.constraint))
    for letter, members, place in kinds:
        symbols.addSymbols((member, f"{letter}{number}") for number, member in enumerate(members))
        given = {"v": sol.x, "c": sol.y}[letter]
        place.update({f"{letter}{number}": {_KEYS[letter]: value} for number, value in enumerate(given)})
    symbols.addSymbols((member, f"o{number}") for number, member in enumerate(info.objectives))
    for suffix in sol.suffixes:
        if suffix.kind in ("variable", "constraint"):
            letter, _, place = kinds[suffix.kind == "constraint"]
            name = suffix.name if letter == "v" else suffix.name[:1].upper() + suffix.name[1:]  # as Pyomo's reader does
            for number, value in suffix.values.items():
                place.setdefault(f"{letter}{number}", {})[name] = value
    results._smap = symbols


_KEYS = {"v": "Value", "c": "Dual"}


def judged(record: Solved, sol: Sol) -> Solved:
    """The record with what the solution file says."""
    record.status = status_of(sol.code)
    record.code = sol.code
    record.message = "; ".join(sol.message.splitlines())
    record.x, record.y = sol.x, sol.y
    if record.status is Status.FAILED:
        record.reason = "solver"
    return record
