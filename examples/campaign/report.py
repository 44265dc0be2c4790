"""The report of a campaign: outcomes, performance profiles (Dolan and Moré, 2002) as numbers and a picture, and the whole table."""

import csv
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from sirdar.optim.profiles import Profile, performance_profiles

TAUS = (1, 1.5, 2, 3, 5, 10, 100)
OUTCOMES = ("solved", "other answer", "time limit", "other limit", "infeasible", "unbounded", "failed", "cancelled")
MEANING = {
    "solved": "solved, and the value is the known one",
    "other answer": "the solver says it is solved, at another value (a local optimum, say)",
    "time limit": "a limit of time came first, the solver's own or the task's",
    "other limit": "a limit of iterations or nodes came first",
    "failed": "the solver gave up, crashed, refused an option, or could not be run",
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1d232b }
table { border-collapse: collapse; margin: .6rem 0 1.6rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #dde2e8; text-align: left }
td.number, th.number { text-align: right }
tr.bad td { background: #fdf1ef } tr.limit td { background: #fdf8e7 }
img { max-width: 100%; height: auto } small { color: #5a6572 }
"""


def write_report(rows: Sequence[Any], cost: str, title: str, folder: Path) -> None:
    """profiles.csv, profiles.png and report.html. ``rows``: with problem, variant, outcome and the column ``cost``."""
    profiles = profiles_of(rows, cost)
    with (folder / "profiles.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["variant", "tau", "share"])
        writer.writerows([one.solver, tau, share] for one in profiles for tau, share in one.steps())
    draw(profiles, cost).savefig(folder / "profiles.png", dpi=150)
    (folder / "report.html").write_text(page(rows, profiles, cost, title), encoding="utf-8")


def profiles_of(rows: Sequence[Any], cost: str) -> tuple[Profile, ...]:
    """What is not solved has no cost. A count of 0 iterations, at a start that is the solution, counts as 1."""
    costs: dict[str, list[float | None]] = {}
    for row in rows:
        value = getattr(row, cost) if row.outcome == "solved" else None
        if value is not None:
            value = max(value, 1 if cost == "iterations" else 1e-3)
        costs.setdefault(row.variant, []).append(value)
    return performance_profiles(costs)


def draw(profiles: Sequence[Profile], cost: str) -> Figure:
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    last = max([2.0, *(ratio for one in profiles for ratio in one.ratios)]) * 1.2
    for one, line in zip(profiles, ("-", "--", "-.", ":") * len(profiles), strict=False):
        taus, shares = zip(*one.steps(), (last, one.solved), strict=True)
        axes.step(taus, shares, where="post", linestyle=line, linewidth=1.8, label=one.solver)
    axes.set(xscale="log", xlim=(1, last), ylim=(0, 1.03), ylabel="share of problems")
    axes.set_xlabel(f"{cost}, as a multiple of the best variant's")
    marks = [tau for tau in (*TAUS, 20, 50, 200, 500, 1000, 10000) if tau <= last]
    axes.set_xticks(sorted(marks), [f"{tau:g}" for tau in sorted(marks)], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def page(rows: Sequence[Any], profiles: Sequence[Profile], cost: str, title: str) -> str:
    heads = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        f"<p>{len({row.problem for row in rows})} problems, {len(profiles)} variants, {len(rows)} runs.</p>",
        "<h2>How they ended</h2>",
    ]
    met = [outcome for outcome in OUTCOMES if any(row.outcome == outcome for row in rows)]
    counts = {one.solver: Counter(row.outcome for row in rows if row.variant == one.solver) for one in profiles}
    outcomes = table("outcomes", ["variant", *met], [[name, *(n[one] for one in met)] for name, n in counts.items()])
    meanings = "<br>".join(f"{one}: {MEANING[one]}" for one in met if one in MEANING)
    shares = [[one.solver, *(f"{one.share(tau):.3f}" for tau in TAUS), f"{one.solved:.3f}"] for one in profiles]
    told = [
        f"<p><small>{meanings}</small></p><h2>Performance profiles</h2>",
        f"<p>The share of problems that a variant solves at no more than so many times the {cost} of the best variant.</p>",
        "<p><img src='profiles.png' alt='Performance profiles; their numbers stand below'></p>",
        table("profiles", ["variant", *(f"{tau:g}" for tau in TAUS), "at all"], shares),
        "<h2>All runs</h2>",
        table("runs", ["problem", "variant", "outcome", "seconds", "iterations", "objective", "known", "message"],
              [[row.problem, row.variant, row.outcome, _number(row.seconds, 3), _number(row.iterations), _number(row.objective, 8),
                _number(row.known, 8), row.message] for row in rows]),
        "</body></html>",
    ]  # fmt: skip
    return "\n".join([*heads, outcomes, *told])


def table(name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [
        f"<table id='{name}'><thead><tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr></thead><tbody>"
    ]
    for row in rows:
        kind = " class='limit'" if any("limit" in str(cell)[-5:] for cell in row[2:3]) else ""
        kind = " class='bad'" if "failed" in row or "other answer" in row else kind
        lines.append(f"<tr{kind}>{''.join(_cell(cell) for cell in row)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _cell(value: Any) -> str:
    text = str(value)
    number = text.replace(".", "").replace("-", "").replace("e", "").isdigit()
    return f"<td{' class=number' if number else ''}>{html.escape(text)}</td>"


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return ""
    return str(value) if digits is None else f"{value:.{digits}g}"
