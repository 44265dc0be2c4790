"""Shortens a round trip through cities by simulated annealing: python3 anneal.py cities.csv --sweeps 4000 --seed 1

Prints a line for each tenth of the way while it runs, writes tour.csv and, at the end, KEY = VALUE lines.
"""

import argparse
import csv
import math
import random
from pathlib import Path


def length(order: list[int], places: list[tuple[float, float]]) -> float:
    return sum(math.dist(places[a], places[b]) for a, b in zip(order, order[1:] + order[:1], strict=True))


def sweep(order: list[int], places: list[tuple[float, float]], heat: float, source: random.Random) -> None:
    """As many tries as there are cities to turn a stretch of the tour round; worse ones are taken while it is hot."""
    n = len(order)
    for _ in range(n):
        i, j = sorted(source.sample(range(n), 2))
        if j - i >= n - 1:
            continue
        a, b, c, d = (places[order[k]] for k in (i - 1, i, j, (j + 1) % n))
        change = math.dist(a, c) + math.dist(b, d) - math.dist(a, b) - math.dist(c, d)
        if change < 0 or source.random() < math.exp(-change / heat):
            order[i : j + 1] = order[i : j + 1][::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Shortens a round trip through cities by simulated annealing.")
    parser.add_argument("cities", type=Path)
    parser.add_argument("--sweeps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with asked.cities.open(newline="") as file:
        rows = list(csv.DictReader(file))
    places = [(float(row["x"]), float(row["y"])) for row in rows]
    order, source = list(range(len(places))), random.Random(asked.seed)
    first = length(order, places)
    for done in range(1, asked.sweeps + 1):
        sweep(order, places, heat=first / len(places) * 0.99 ** (900 * done / asked.sweeps), source=source)
        if done * 10 % asked.sweeps < 10:
            print(f"sweep {done} of {asked.sweeps}: length {length(order, places):.3f}", flush=True)
    with Path("tour.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["city", "x", "y"], *([rows[k]["city"], *places[k]] for k in order)])
    print(f"before = {first:.6f}")
    print(f"after = {length(order, places):.6f}")


if __name__ == "__main__":
    main()
