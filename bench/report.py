"""What a bench gives back, and how it is written down: rows, ratios, tables in Markdown and JSON."""

import importlib.metadata
import json
import math
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("sirdar", "fastapi", "sqlalchemy", "uvicorn", "uvloop", "pydantic")


@dataclass(frozen=True, slots=True)
class Config:
    """How a bench is to run: ``rounds`` of alternated runs, a directory of its own, ``quick`` for a first look."""

    work: Path
    rounds: int = 5
    quick: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure. ``limit`` is what the machine itself reached in the same run, in the same unit.

    ``at_least`` and ``at_most`` bound ``value``; ``ratio_at_least`` and ``ratio_at_most`` bound ``value / limit``.
    """

    what: str
    value: float
    unit: str
    limit: float | None = None
    limit_what: str = ""
    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.limit if self.limit else None

    @property
    def reached(self) -> bool | None:
        """Whether every bound holds; None where there is none."""
        ratio = self.ratio
        held = [self.value >= self.at_least] if self.at_least is not None else []
        held += [self.value <= self.at_most] if self.at_most is not None else []
        if ratio is not None:
            held += [ratio >= self.ratio_at_least] if self.ratio_at_least is not None else []
            held += [ratio <= self.ratio_at_most] if self.ratio_at_most is not None else []
        return all(held) if held else None

    def goal(self) -> str:
        bounds = (
            (self.at_least, "at least {:g} " + self.unit),
            (self.at_most, "at most {:g} " + self.unit),
            (self.ratio_at_least, "at least {:g} of the limit"),
            (self.ratio_at_most, "at most {:g} of the limit"),
        )
        return ", ".join(text.format(bound) for bound, text in bounds if bound is not None)


def alternate(rounds: int, runs: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Calls each run once a round, in turn, so that what else the machine does falls on all of them alike."""
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        names = list(runs) if turn % 2 == 0 else list(runs)[::-1]
        for name in names:
            figures[name].append(runs[name]())
    return figures


def medians(figures: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


def spread(values: Sequence[float]) -> str:
    """``min to max of n``, for a row's note."""
    return f"{min(values):.4g} to {max(values):.4g} of {len(values)}"


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` (0..1) of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered) - 1e-9) - 1)]


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


# ---------------------------------------------------------------- tables


def machine() -> dict[str, Any]:
    """What the figures depend on, without the machine's name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": versions,
    }


def write(results: Path, name: str, rows: Sequence[Row], *, took_s: float, config: Config) -> None:
    """Writes ``NAME.md`` and ``NAME.json`` into the folder of results."""
    results.mkdir(parents=True, exist_ok=True)
    body = {
        "bench": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "rounds": config.rounds,
        "quick": config.quick,
        "took_s": round(took_s, 1),
        "machine": machine(),
        "rows": [{**asdict(row), "ratio": row.ratio, "reached": row.reached} for row in rows],
    }
    (results / f"{name}.json").write_text(json.dumps(body, indent=2) + "\n")
    (results / f"{name}.md").write_text(markdown(body, rows))


def markdown(body: Mapping[str, Any], rows: Sequence[Row]) -> str:
    about = body["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    lines = [
        f"# {body['bench']}",
        "",
        f"{body['date']}, medians of {body['rounds']} alternated runs{' (quick)' if body['quick'] else ''}, "
        f"{body['took_s']} s in all. {about['cores']} cores, {about['memory_gib']} GiB, {about['architecture']}; "
        f"Python {about['python']}, SQLite {about['sqlite']}; {versions}.",
        "",
        "| what | value | limit in the same run | ratio | goal | reached | note |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _line(row: Row) -> str:
    limit = f"{row.limit:.4g} {row.unit} ({row.limit_what})" if row.limit is not None else ""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    reached = {True: "yes", False: "**no**", None: ""}[row.reached]
    cells = (row.what, f"{row.value:.4g} {row.unit}", limit, ratio, row.goal(), reached, row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
