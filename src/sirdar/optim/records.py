"""What became of a problem, in words that do not depend on the solver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How solving a problem ended.

    OPTIMAL: solved (``code`` 100 and above: with a doubt of the solver's). INFEASIBLE, UNBOUNDED: the solver found the problem so.
    LIMIT: an iteration, time or node limit came first. FAILED: the solver gave up, crashed, or could not be run; ``reason`` tells.
    CANCELLED: the job was cancelled before this problem was solved.
    """

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    LIMIT = "limit"
    FAILED = "failed"
    CANCELLED = "cancelled"


_BY_HUNDREDS = (Status.OPTIMAL, Status.OPTIMAL, Status.INFEASIBLE, Status.UNBOUNDED, Status.LIMIT)


def status_of(code: int | None) -> Status:
    """The status that AMPL's solve_result_num means."""
    if code is None or code < 0 or code >= 100 * len(_BY_HUNDREDS):
        return Status.FAILED
    return _BY_HUNDREDS[code // 100]


@dataclass(slots=True)
class Solved:
    """The record of one problem of a set.

    ``index``: its place in the list that was given. ``message``: what the solver says. ``code``: AMPL's solve_result_num.
    ``reason`` and ``stderr``: why it failed. ``run_s``: seconds that the solver ran; ``solver_s``: that it says it took.
    ``log``: the solver's output. ``x``, ``y``: values of variables and duals of constraints in the order of the .nl file.
    ``job_id`` and ``task``: where it was solved on the server; empty and -1 where it was not sent.
    """

    index: int
    name: str
    status: Status
    message: str = ""
    code: int | None = None
    objective: float | None = None
    iterations: int | None = None
    solver_s: float | None = None
    run_s: float | None = None
    resource: str | None = None
    reason: str | None = None
    stderr: str = ""
    log: str = ""
    job_id: str = ""
    task: int = -1
    x: list[float] = field(default_factory=list, repr=False)
    y: list[float] = field(default_factory=list, repr=False)
    results: Any = field(
        default=None, repr=False
    )  # pyomo.opt.SolverResults; None for a problem that was given as a .nl file

    @property
    def ok(self) -> bool:
        """The problem was solved."""
        return self.status is Status.OPTIMAL

    def __str__(self) -> str:
        value = "" if self.objective is None else f", objective {self.objective:.8g}"
        return f"{self.name}: {self.status}{value}" + (f" ({self.message or self.reason})" if not self.ok else "")


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a solver's log says of its work."""

    iterations: int | None = None
    solver_s: float | None = None
    minimised: float | None = None


def counts(records: Mapping[int, Solved]) -> dict[Status, int]:
    """How many records of each status there are, those with none left out."""
    found: dict[Status, int] = {}
    for record in records.values():
        found[record.status] = found.get(record.status, 0) + 1
    return {status: found[status] for status in Status if status in found}
