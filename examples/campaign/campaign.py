"""A campaign: problems x solvers x options on the machines of a Sirdar server: python3 campaign.py nonlinear.json -o report/

The file says which set of problems (problems.py) and which variants: a name, a solver, its options. Each solver has one job.
Writes table.csv, profiles.csv, profiles.png and report.html. The server: SIRDAR_URL and SIRDAR_TOKEN, or where `sirdar login` went.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from problems import Problem, problems

from report import write_report
from sirdar.client.errors import SirdarError
from sirdar.optim import Solved, Status, solve_all

TIME_CODES = (
    401,
    402,
    472,
)  # of AMPL's: Ipopt's limits of time, those of the other solvers, the latter without a solution
COSTS = ("seconds", "iterations")


@dataclass(frozen=True, slots=True)
class Variant:
    """A solver with options."""

    name: str
    solver: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A problem with a variant. ``error``: relative to the known value, or absolute where that is small."""

    problem: str
    variant: str
    outcome: str
    seconds: float | None
    iterations: int | None
    objective: float | None
    known: float
    error: float | None
    code: int | None
    resource: str | None
    message: str


def read_campaign(path: Path) -> tuple[str, str, list[Variant], float, float]:
    """The set's name, the cost of the profiles, the variants, the tolerance, the limit of time of a run (s). Raises ValueError."""
    document = json.loads(path.read_text())
    variants = [Variant(one["name"], one["solver"], one.get("options", {})) for one in document["variants"]]
    if len({one.name for one in variants}) < len(variants):
        raise ValueError(f"{path}: two variants have one name")
    cost = document.get("cost", "seconds")
    if cost not in COSTS:
        raise ValueError(f"{path}: cost is {cost!r}; expected one of {', '.join(COSTS)}")
    return document["problems"], cost, variants, document.get("tolerance", 1e-6), document.get("time_limit_s", 60)


def run(given: Sequence[Problem], variants: Sequence[Variant], tolerance: float, time_limit_s: float) -> list[Row]:
    """A row for each problem with each variant, in their order."""
    rows: dict[tuple[str, str], Row] = {}
    for solver in dict.fromkeys(variant.solver for variant in variants):
        pairs = [(problem, variant) for variant in variants if variant.solver == solver for problem in given]
        records = solve_all(
            [problem.make() for problem, _ in pairs],
            solver,
            options=[variant.options for _, variant in pairs],
            name=f"campaign, {solver}",
            time_limit_s=time_limit_s,
        )
        for (problem, variant), record in zip(pairs, records, strict=True):
            rows[problem.name, variant.name] = row_of(problem, variant, record, tolerance)
    return [rows[problem.name, variant.name] for problem in given for variant in variants]


def row_of(problem: Problem, variant: Variant, record: Solved, tolerance: float) -> Row:
    error = None
    if record.objective is not None:
        error = abs(record.objective - problem.known) / max(1.0, abs(problem.known))
    return Row(
        problem=problem.name,
        variant=variant.name,
        outcome=outcome_of(record, error, tolerance),
        seconds=record.run_s,
        iterations=record.iterations,
        objective=record.objective,
        known=problem.known,
        error=error,
        code=record.code,
        resource=record.resource,
        message=record.message or record.reason or "",
    )


def outcome_of(record: Solved, error: float | None, tolerance: float) -> str:
    """A limit that came first is no failure of the solver's, and an answer that is not the known one is no solution."""
    if record.status is Status.OPTIMAL:
        return "solved" if error is not None and error <= tolerance else "other answer"
    if record.status is Status.LIMIT:
        return "time limit" if record.code in TIME_CODES else "other limit"
    if record.reason == "time_limit":
        return "time limit"
    return str(record.status)


def write_table(rows: Sequence[Row], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Problems x solvers x options: a table, performance profiles, a report."
    )
    parser.add_argument("campaign", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("report"))
    asked = parser.parse_args()
    try:
        name, cost, variants, tolerance, time_limit_s = read_campaign(asked.campaign)
        rows = run(problems(name), variants, tolerance, time_limit_s)
    except (SirdarError, ValueError, KeyError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error))
    asked.output.mkdir(parents=True, exist_ok=True)
    write_table(rows, asked.output / "table.csv")
    write_report(rows, cost, f"{name.capitalize()} problems", asked.output)
    print(f"{asked.output / 'report.html'}: {len(rows)} runs, {sum(row.outcome == 'solved' for row in rows)} solved")


if __name__ == "__main__":
    main()
