"""What became of a problem, in words that do not depend on the solver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How solving a problem ended.

    OPTIMAL: solved (``code`` 100 and above: with a doubt of the solver's). INFEASIBLE, UNBOUNDED: the solver found the problem so.
    LIMIT: an iteration, time or node limit came first; where ``reason`` is time_limit the task's own, which ended the solver.
    FAILED: the solver gave up, crashed, or could not be run; ``reason`` tells.
    CANCELLED: the job was cancelled before this problem was solved.
    """

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    LIMIT = "limit"
    FAILED = "failed"
    CANCELLED = "cancelled"


OUT_OF_TIME = "time_limit"  # the reason of a task that was ended at the time that it was given

_BY_HUNDREDS = (Status.OPTIMAL, Status.OPTIMAL, Status.INFEASIBLE, Status.UNBOUNDED, Status.LIMIT)


def status_of(code: int | None) -> Status:
    """The status that AMPL's solve_result_num means."""
    if code is None or code < 0 or code >= 100 * len(_BY_HUNDREDS):
        return Status.FAILED
    return _BY_HUNDREDS[code // 100]


@dataclass(slots=True, repr=False)
class Solved:
    """The record of one problem of a set.

    ``index``: its place in the list that was given. ``message``: what the solver says. ``code``: AMPL's solve_result_num.
    ``reason``, ``message`` and ``stderr``: why it failed. ``warnings``: what the solver does otherwise than one may think.
    ``run_s``: seconds that the solver ran; ``solver_s``: that it says it took. ``log``: the solver's output.
    ``x``, ``y``: values of variables and duals of constraints in the order of the .nl file.
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
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    results: Any = None  # pyomo.opt.SolverResults; None for a problem that was given as a .nl file
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """The problem was solved."""
        return self.status is Status.OPTIMAL

    def __str__(self) -> str:
        value = "" if self.objective is None else f", objective {self.objective:.8g}"
        why = "" if self.ok or not self.words else f" ({self.words})"
        return f"{self.name}: {self.status}{value}{why}" + "".join(f"; {warning}" for warning in self.warnings)

    def __repr__(self) -> str:
        return f"<Solved {self}>"

    @property
    def words(self) -> str:
        """What there is to say beside the status: the message, or the reason."""
        return self.message or self.reason or ""


class Records(list[Solved]):
    """The records of a call, in the order of its problems; it prints as a table."""

    def __str__(self) -> str:
        return table(self)

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a solver's log says of its work."""

    iterations: int | None = None
    solver_s: float | None = None
    minimised: float | None = None


ROWS_SHOWN, LAST_ROWS = 50, 10
LETTERS = 100  # of what stands in the last column


def table(records: Sequence[Solved]) -> str:
    """A line for each record (of many the first and the last), columns that nobody has left out, and the counts."""
    head, cells = (
        ("PROBLEM", "STATUS", "OBJECTIVE", "ITERATIONS", "TIME", "RESOURCE", ""),
        [_cells(one) for one in records],
    )
    skipped = len(cells) - ROWS_SHOWN
    shown = cells if skipped <= 0 else [*cells[: ROWS_SHOWN - LAST_ROWS], *cells[-LAST_ROWS:]]
    kept = [at for at in range(len(head)) if at < 2 or any(row[at] for row in shown)]
    rows = [[row[at] for at in kept] for row in (head, *shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if skipped > 0:
        lines.insert(1 + ROWS_SHOWN - LAST_ROWS, f"... {skipped} more")
    return "\n".join([*lines, _summary(records)])


def _cells(record: Solved) -> tuple[str, ...]:
    said = "; ".join([*([] if record.ok or not record.words else [record.words]), *record.warnings])
    said = " ".join(said.split())
    return (
        record.name,
        record.status.value,
        "" if record.objective is None else f"{record.objective:.8g}",
        "" if record.iterations is None else str(record.iterations),
        "" if record.run_s is None else f"{record.run_s:.3g} s",
        record.resource or "",
        said if len(said) <= LETTERS else f"{said[: LETTERS - 1]}…",
    )


def _summary(records: Sequence[Solved]) -> str:
    number = len(records)
    by_status = ", ".join(f"{many} {status}" for status, many in counts(dict(enumerate(records))).items())
    return f"{number} problem{'s' * (number != 1)}" + (f": {by_status}" if by_status else "")


def counts(records: Mapping[int, Solved]) -> dict[Status, int]:
    """How many records of each status there are, those with none left out."""
    found: dict[Status, int] = {}
    for record in records.values():
        found[record.status] = found.get(record.status, 0) + 1
    return {status: found[status] for status in Status if status in found}
