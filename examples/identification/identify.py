"""Identification on two levels, in the manner of balanced identification (SvF): python3 identify.py -o identified/

Inner level: an oscillator's x(t) on a grid from noisy samples, where alpha weighs the integral of x''(t)^2 (Tikhonov), with k and
c of x'' = -k x - c x'. Outer level: the alpha that foretells left-out samples best, by ternary search over log10(alpha); each step
solves all folds at both inner points as one job. Writes steps.csv and identification.png.
The server: SIRDAR_URL and SIRDAR_TOKEN, or where `sirdar login` went.
"""

import argparse
import csv
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pyomo.environ as pyo
from matplotlib.figure import Figure

from sirdar.client.errors import SirdarError
from sirdar.optim import Solved, Status, solve_all

K, C, SPAN_S, NOISE = 4.0, 0.2, 10.0, 0.2
EQUATION = 1e-5  # the weight of the equation's residual: small, so that alpha and the samples shape x(t)

Solve = Callable[[Sequence[Any], str], Sequence[Solved]]


@dataclass(frozen=True, slots=True)
class Data:
    """Times of the grid (s), the true x(t), and a noisy sample at each."""

    t: list[float]
    truth: list[float]
    samples: list[float]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the search: the interval of log10(alpha), its two inner points and their errors of cross validation."""

    step: int
    low: float
    high: float
    left: float
    right: float
    left_error: float
    right_error: float
    seconds: float


def measured(intervals: int, seed: int) -> Data:
    """The oscillator from x = 1 at rest, with normal noise of deviation NOISE."""
    noise, omega = random.Random(seed), math.sqrt(K - C * C / 4)
    t = [i * SPAN_S / intervals for i in range(intervals + 1)]
    truth = [math.exp(-C * s / 2) * (math.cos(omega * s) + C / (2 * omega) * math.sin(omega * s)) for s in t]
    return Data(t, truth, [x + noise.gauss(0, NOISE) for x in truth])


# ---------------------------------------------------------------- the inner level


def fold(data: Data, left_out: Sequence[int], name: str) -> Any:
    """x, x' and x'' on the grid, k and c, by the samples that are not left out. ``alpha`` is a parameter that may be changed."""
    grid, pairs, h = range(len(data.t)), range(len(data.t) - 1), data.t[1]
    hidden = set(left_out)
    used = [i for i in grid if i not in hidden]
    m = pyo.ConcreteModel(name)
    m.alpha = pyo.Param(mutable=True, initialize=1.0)
    m.x, m.v, m.a = pyo.Var(grid, initialize=0.0), pyo.Var(grid, initialize=0.0), pyo.Var(grid, initialize=0.0)
    m.k, m.c = pyo.Var(initialize=1.0, bounds=(0, 100)), pyo.Var(initialize=0.0, bounds=(-10, 10))
    m.dx = pyo.Constraint(pairs, rule=lambda m, i: m.x[i + 1] - m.x[i] == h * (m.v[i] + m.v[i + 1]) / 2)
    m.dv = pyo.Constraint(pairs, rule=lambda m, i: m.v[i + 1] - m.v[i] == h * (m.a[i] + m.a[i + 1]) / 2)
    misfit = sum((m.x[i] - data.samples[i]) ** 2 for i in used) / len(used)
    bend = h * sum(m.a[i] ** 2 for i in grid)
    equation = h * sum((m.a[i] + m.k * m.x[i] + m.c * m.v[i]) ** 2 for i in grid)
    m.cost = pyo.Objective(expr=misfit + m.alpha * bend + EQUATION * equation)
    return m


class Validation:
    """Cross validation: sample i belongs to part i modulo ``folds``. Two models of each part are built once, for the two points."""

    def __init__(self, data: Data, folds: int, solve: Solve) -> None:
        self._data, self._solve = data, solve
        self._parts = [range(part, len(data.t), folds) for part in range(folds)]
        self._models = [[fold(data, part, f"without part {n}") for n, part in enumerate(self._parts)] for _ in range(2)]

    def errors(self, points: Sequence[float], what: str) -> list[float]:
        """Mean squares of what was left out less what was foretold, at one or two values of log10(alpha): all folds at once."""
        asked = self._models[: len(points)]
        for models, point in zip(asked, points, strict=True):
            for model in models:
                model.alpha = 10**point
        solved(self._solve, [model for models in asked for model in models], what)
        return [self._error(models) for models in asked]

    def _error(self, models: Sequence[Any]) -> float:
        squares = [
            (pyo.value(model.x[i]) - self._data.samples[i]) ** 2
            for model, part in zip(models, self._parts, strict=True)
            for i in part
        ]
        return sum(squares) / len(squares)


def solved(solve: Solve, models: Sequence[Any], what: str) -> None:
    """Exits where a problem has no solution: a search would go on from a number that means nothing."""
    for record in solve(models, what):
        if record.status is not Status.OPTIMAL:
            sys.exit(f"{what}, {record.name}: {record.status}: {record.message or record.reason}")


def by_sirdar(models: Sequence[Any], what: str) -> Sequence[Solved]:
    return solve_all(models, solver="ipopt", name=f"identification, {what}", warm=True)


# ---------------------------------------------------------------- the outer level


def search(validation: Validation, low: float, high: float, steps: int) -> list[Step]:
    """Ternary search: of three thirds, the one beside the worse inner point falls away."""
    made = []
    for number in range(1, steps + 1):
        began = time.perf_counter()
        left, right = low + (high - low) / 3, high - (high - low) / 3
        one, other = validation.errors([left, right], f"step {number}")
        made.append(Step(number, low, high, left, right, one, other, time.perf_counter() - began))
        print(f"step {number}: log10(alpha) {left:.4f} and {right:.4f}, errors {one:.6f} and {other:.6f}", flush=True)
        low, high = (low, right) if one < other else (left, high)
    return made


def tried(steps: Sequence[Step]) -> list[tuple[float, float]]:
    """All points of the search with their errors, by log10(alpha)."""
    return sorted(point for one in steps for point in ((one.left, one.left_error), (one.right, one.right_error)))


def fits(data: Data, points: Sequence[float], solve: Solve) -> list[Any]:
    """x(t) by all samples at each log10(alpha)."""
    models = [fold(data, (), f"all samples, log10(alpha) {point:.2f}") for point in points]
    for model, point in zip(models, points, strict=True):
        model.alpha = 10**point
    solved(solve, models, "all samples")
    return models


# ---------------------------------------------------------------- what is written


def write_steps(steps: Sequence[Step], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Step))
        writer.writerows(astuple(one) for one in steps)


def draw(data: Data, shown: Sequence[tuple[float, Any]], curve: Sequence[tuple[float, float]], best: float) -> Figure:
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.plot(data.t, data.samples, ".", color="0.6", label="samples")
    left.plot(data.t, data.truth, color="black", linewidth=1, label="truth")
    for (point, model), line in zip(shown, (":", "-", "--"), strict=True):
        x = [pyo.value(model.x[i]) for i in range(len(data.t))]
        left.plot(data.t, x, line, linewidth=1.6, label=f"alpha = 1e{point:.1f}{', found' if point == best else ''}")
    left.set(xlabel="t, s", ylabel="x")
    left.legend(fontsize="small", loc="upper right")
    right.plot(*zip(*curve, strict=True), ".-", linewidth=1)
    right.axvline(best, color="0.6", linewidth=1)
    right.set(xlabel="log10(alpha)", ylabel="error of cross validation", yscale="log")
    right.grid(alpha=0.3)
    return figure


def rms(one: Sequence[float], other: Sequence[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) / len(one))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="An oscillator from noisy samples, with the regularisation that foretells best."
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("identified"))
    parser.add_argument("--steps", type=int, default=21)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--intervals", type=int, default=102, help="of the grid (102: 311 variables a fold)")
    parser.add_argument(
        "--range", type=float, nargs=2, default=(-7.0, 1.0), metavar=("LOW", "HIGH"), help="log10(alpha)"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    data = measured(asked.intervals, asked.seed)
    low, high = asked.range
    try:
        steps = search(Validation(data, asked.folds, by_sirdar), low, high, asked.steps)
        best, error = min(tried(steps), key=lambda point: point[1])
        shown = [low, best, high]
        models = fits(data, shown, by_sirdar)
    except SirdarError as fault:
        sys.exit(str(fault))
    asked.output.mkdir(parents=True, exist_ok=True)
    write_steps(steps, asked.output / "steps.csv")
    draw(data, list(zip(shown, models, strict=True)), tried(steps), best).savefig(
        asked.output / "identification.png", dpi=150
    )
    found = models[1]
    away = rms([pyo.value(found.x[i]) for i in range(len(data.t))], data.truth)
    print(f"alpha 1e{best:.3f}, error of cross validation {error:.6f}")
    print(f"k {pyo.value(found.k):.3f} ({K:g}), c {pyo.value(found.c):.3f} ({C:g})")
    print(f"from the truth: fit {away:.4f}, samples {rms(data.samples, data.truth):.4f} (root mean square)")
    print(f"{asked.output / 'steps.csv'}, {asked.output / 'identification.png'}")


if __name__ == "__main__":
    main()
