"""Optimisation: solvers as commands, sets of problems, models. Importing the package brings nothing heavy.

``from sirdar.optim import solve_all``. ``import sirdar.optim.plugin`` makes ``SolverFactory("sirdar")`` known to Pyomo.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sirdar.optim.records import Records, Solved, Status
    from sirdar.optim.sets import solve_all, solve_all_async

_HOMES = {
    "Records": "records",
    "Solved": "records",
    "Status": "records",
    "solve_all": "sets",
    "solve_all_async": "sets",
}

__all__ = ["Records", "Solved", "Status", "solve_all", "solve_all_async"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sirdar.optim.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sirdar.optim' has no attribute {name!r}")
