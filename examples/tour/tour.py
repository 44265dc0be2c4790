"""One subtree of a branch-and-bound search for the shortest round trip: python3 tour.py cities.csv --first 3 --second 7

The subtree holds the tours that begin 0, FIRST, SECOND. What any task of the job has found (``--share yes``) cuts branches here.
Writes found.json: the best tour that this subtree holds, if it is better than all that were known, the nodes that were
visited, and how many branches fell to whose tours.
"""

import argparse
import csv
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

from agent_port import Incumbent


class Search:
    """Depth first, the nearest city first. The bound: each city that is left is entered over its cheapest road."""

    def __init__(self, places: list[tuple[float, float]], incumbent: Incumbent) -> None:
        n = len(places)
        self.n = n
        self.road = [[math.dist(a, b) for b in places] for a in places]
        self.cheapest = [min(self.road[a][b] for a in range(n) if a != b) for b in range(n)]
        self.near = [sorted((b for b in range(n) if b != a), key=self.road[a].__getitem__) for a in range(n)]
        self.incumbent = incumbent
        self.nodes = 0
        self.cut_by: Counter[str] = Counter()
        self.best: tuple[float, list[int]] | None = None

    def below(self, tour: list[int]) -> None:
        """Search all tours that begin so."""
        length = sum(self.road[a][b] for a, b in pairwise(tour))
        left = self.cheapest[0] + sum(self.cheapest[b] for b in range(1, self.n) if b not in tour)
        self._visit(tour, length, left)

    def _visit(self, tour: list[int], length: float, left: float) -> None:
        self.nodes += 1
        last = tour[-1]
        if len(tour) == self.n:
            self._round(tour, length + self.road[last][0])
            return
        for city in self.near[last]:
            if city in tour or (city == 2 and 1 not in tour):  # a tour and its reverse are one: 1 comes before 2
                continue
            further = length + self.road[last][city]
            rest = left - self.cheapest[city]
            if further + rest >= self.incumbent.value - 1e-9:
                self.cut_by[self.incumbent.by] += 1
                continue
            tour.append(city)
            self._visit(tour, further, rest)
            tour.pop()

    def _round(self, tour: list[int], length: float) -> None:
        if length < self.incumbent.value - 1e-9:
            self.best = length, tour.copy()
            self.incumbent.offer(length, "-".join(map(str, tour)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Searches the tours that begin 0, FIRST, SECOND.")
    parser.add_argument("cities", type=Path)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--second", type=int, required=True)
    parser.add_argument("--share", choices=("yes", "no"), default="yes")
    asked = parser.parse_args()
    with asked.cities.open(newline="") as file:
        places = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    beginning = [0, asked.first, asked.second]
    if len(set(beginning)) < 3 or max(beginning) >= len(places):
        parser.error(f"0, {asked.first}, {asked.second} are no three cities of {len(places)}")
    incumbent = Incumbent("best", shared=asked.share == "yes")
    search = Search(places, incumbent)
    if not (2 in beginning and 1 not in beginning[: beginning.index(2)]):
        search.below(beginning)
    incumbent.close()
    length, tour = search.best or (None, None)
    found = {
        "length": length,
        "tour": tour,
        "nodes": search.nodes,
        "cut_by": dict(search.cut_by),
        "known": incumbent.value,
    }
    Path("found.json").write_text(json.dumps({k: v for k, v in found.items() if v is not None and v != math.inf}))


if __name__ == "__main__":
    main()
