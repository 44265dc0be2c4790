"""``SolverFactory("sirdar", solver="ipopt")``: a model is solved on a server's resources, as Pyomo's own solvers solve it here.

Importing this module makes the name known to Pyomo.
"""

import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from pyomo.common.collections import Bunch
from pyomo.common.errors import ApplicationError
from pyomo.opt import SolverFactory, SolverStatus

from sirdar.client.client import Client
from sirdar.optim.records import Solved, Status
from sirdar.optim.sets import client_of_process, option_words, solve_all

TIME_OPTIONS = {"ipopt": "max_wall_time"}

log = logging.getLogger("pyomo.opt")


@SolverFactory.register("sirdar", doc="Solves with Ipopt, HiGHS, SCIP or CBC on the resources of a Sirdar server")
class SirdarSolver:
    """A solver on a server. ``options``: those of the solver, kept from call to call; ``resources``: names or ids, none for any;
    ``warm``: its process stays for the next problem."""

    def __init__(
        self,
        solver: str = "ipopt",
        *,
        resources: Sequence[str] | str | None = None,
        options: Mapping[str, Any] | None = None,
        client: Client | None = None,
        warm: bool = False,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(
                f"no option is named {', '.join(sorted(unknown))}; there are: solver, resources, options, client, warm"
            )
        self.name = "sirdar"
        self.solver = solver
        self.resources = resources
        self.client = client
        self.warm = warm
        self.options = Bunch(**dict(options or {}))

    def available(self, exception_flag: bool = True) -> bool:
        """Whether a server answers. Raises ApplicationError where none does and ``exception_flag`` is True."""
        try:
            (self.client or client_of_process()).me()
        except Exception as error:
            if exception_flag:
                raise ApplicationError(f"no Sirdar server can be used: {error}") from error
            return False
        return True

    def license_is_valid(self) -> bool:
        return True

    def warm_start_capable(self) -> bool:
        return True

    def has_capability(self, capability: str) -> bool:
        return True

    def set_options(self, words: str) -> None:
        """``"tol=1e-8 max_iter=50"``. The solver's own name, which Pyomo's factory says once more, is passed by."""
        for word in words.split():
            name, _, value = word.partition("=")
            if name != "solver":
                self.options[name] = value

    def solve(
        self,
        model: Any,
        *,
        tee: bool = False,
        load_solutions: bool = True,
        options: Mapping[str, Any] | str | None = None,
        timelimit: float | None = None,
        warmstart: bool = True,
    ) -> Any:
        """Solve a model; pyomo.opt.SolverResults, as Pyomo's own solvers give.

        ``options`` are added to the solver's own. ``tee`` prints what the solver printed. ``timelimit``: seconds; solvers
        without such an option are ended then. Values that variables have are where the solver starts, whether ``warmstart`` is
        said or not. Where the solution is not optimal, a warning is logged and what the solver gave is loaded. With
        ``load_solutions=False`` nothing is loaded; ``model.solutions.load_from(results)`` does it later. Raises
        ApplicationError where the solver crashed or could not be run, ValueError where it gave up.
        """
        words = [*option_words(dict(self.options)), *option_words(options)]
        if timelimit is not None and self.solver in TIME_OPTIONS:
            words.append(f"{TIME_OPTIONS[self.solver]}={timelimit:g}")
        record = solve_all(
            [model],
            self.solver,
            options=" ".join(words),
            resources=self.resources,
            client=self.client,
            progress=False,
            load_solutions=load_solutions,
            time_limit_s=None if self.solver in TIME_OPTIONS else timelimit,
            warm=self.warm,
        )[0]
        if tee:
            print(record.log, end="")  # noqa: T201  (that is what tee means)
        _refuse_crash(record)
        if load_solutions:
            _say_how(record, str(model.name))
        return record.results

    def __enter__(self) -> "SirdarSolver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def _refuse_crash(record: Solved) -> None:
    """Without a solve code there was no solution at all."""
    if record.status in (Status.FAILED, Status.CANCELLED) and record.code is None:
        said = record.stderr.strip() or record.log.strip()[-2000:]
        more = "" if said in record.message else f"\n{said}"
        raise ApplicationError(f"Solver (sirdar) did not exit normally: {record.message}{more}")


def _say_how(record: Solved, model: str) -> None:
    """In Pyomo's words, which its users look for."""
    results = record.results
    if results.solver.status == SolverStatus.warning:
        log.warning(
            'Loading a SolverResults object with a warning status into model.name="%s";\n'
            "  - termination condition: %s\n  - message from solver: %s",
            model,
            results.solver.termination_condition,
            record.message,
        )
    elif results.solver.status != SolverStatus.ok:
        raise ValueError(f"Cannot load a SolverResults object with bad status: {results.solver.status}")
