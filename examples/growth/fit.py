"""Fits a logistic curve to a growth experiment: reads a CSV of times and optical densities, writes numbers and a plot.

    python3 fit.py wells.csv --plot growth.png --numbers growth.json

The CSV has a header, a column of times (hours) and one column for each well. Needs NumPy and Matplotlib.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np


def read_csv(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times, and the measured densities of each well."""
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    try:
        table = np.array(rows, dtype=float)
    except ValueError as error:
        sys.exit(f"{path}: every cell below the header must be a number ({error})")
    return table[:, 0], {name: table[:, place] for place, name in enumerate(header) if place > 0}


def logistic(times: np.ndarray, start: float, capacity: float, rate: float) -> np.ndarray:
    return capacity / (1.0 + (capacity / start - 1.0) * np.exp(-rate * times))


def fit(times: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Start, capacity and rate by Levenberg and Marquardt's method on their logarithms, so that they stay positive."""
    guess = np.log([max(density[0], 1e-4), density.max(), 1.0])
    damping, error = 1e-2, np.inf
    for _ in range(200):
        residual = density - logistic(times, *np.exp(guess))
        slopes = np.empty((times.size, 3))
        for place in range(3):
            nudged = guess.copy()
            nudged[place] += 1e-6
            slopes[:, place] = (logistic(times, *np.exp(nudged)) - logistic(times, *np.exp(guess))) / 1e-6
        normal = slopes.T @ slopes
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slopes.T @ residual)
        tried = float(np.sum((density - logistic(times, *np.exp(guess + step))) ** 2))
        if tried < error:
            if error - tried < 1e-14:
                guess = guess + step
                break
            guess, error, damping = guess + step, tried, damping / 3
        else:
            damping *= 5
    return np.exp(guess)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fits a logistic curve to each well of a growth experiment.")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--plot", type=Path, default=Path("growth.png"))
    parser.add_argument("--numbers", type=Path, default=Path("growth.json"))
    parser.add_argument("--title", default="Growth")
    asked = parser.parse_args()

    times, wells = read_csv(asked.csv)
    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=120)
    grid = np.linspace(times[0], times[-1], 300)
    found = {}
    for name, density in wells.items():
        start, capacity, rate = fit(times, density)
        spread = np.sqrt(np.mean((density - logistic(times, start, capacity, rate)) ** 2))
        found[name] = {
            "rate": round(float(rate), 4),
            "capacity": round(float(capacity), 4),
            "doubling_hours": round(float(np.log(2) / rate), 4),
            "rms_error": round(float(spread), 5),
        }
        (line,) = axes.plot(grid, logistic(grid, start, capacity, rate), label=f"{name}: {rate:.2f} per hour")
        axes.plot(times, density, "o", markersize=3, color=line.get_color())
    axes.set(xlabel="hours", ylabel="optical density", title=asked.title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(asked.plot)

    fastest = max(found, key=lambda name: found[name]["rate"])
    summary = {"wells": found, "fastest": fastest, "fastest_rate": found[fastest]["rate"]}
    asked.numbers.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{len(found)} wells fitted; {fastest} grows fastest, {found[fastest]['rate']:.2f} per hour")


if __name__ == "__main__":
    main()
