"""Test problems with known answers, as Pyomo models.

``nonlinear``: from W. Hock and K. Schittkowski, Test Examples for Nonlinear Programming Codes, Springer 1981, with the starting
points and the values that the book gives. ``integer``: 0-1 knapsacks whose values follow their weights closely, and assignment
problems, made from a seed; their answers come from the dynamic programmes below.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

Bounds = tuple[float | None, float | None]
FREE: Bounds = (None, None)
UP: Bounds = (0, None)


@dataclass(frozen=True, slots=True)
class Problem:
    """``known``: the value at the optimum. ``make``: the model, anew at each call."""

    name: str
    known: float
    make: Callable[[], pyo.ConcreteModel]


def problems(name: str) -> list[Problem]:
    """The set of that name. Raises ValueError for another."""
    sets = {"nonlinear": hock_schittkowski, "integer": integer}
    if name not in sets:
        raise ValueError(f"there is no set of problems {name!r}; there are {', '.join(sets)}")
    return sets[name]()


# ---------------------------------------------------------------- Hock and Schittkowski


def _hs(
    number: int,
    known: float,
    start: Sequence[float],
    cost: Callable[..., Any],
    constraints: Callable[..., Sequence[Any]] | None = None,
    bounds: Sequence[Bounds] | None = None,
) -> Problem:
    def make() -> pyo.ConcreteModel:
        model = pyo.ConcreteModel(name=f"hs{number:03}")
        limits = bounds or [FREE] * len(start)
        model.x = pyo.Var(range(len(start)), bounds=lambda _, i: limits[i])
        x = [model.x[i] for i in range(len(start))]
        for one, value in zip(x, start, strict=True):
            one.set_value(value, skip_validation=True)  # the book starts outside of the bounds now and then
        model.cost = pyo.Objective(expr=cost(*x))
        model.meet = pyo.ConstraintList()
        for one in constraints(*x) if constraints else ():
            model.meet.add(one)
        return model

    return Problem(f"hs{number:03}", known, make)


def hock_schittkowski() -> list[Problem]:
    root3, sin, cos, log = math.sqrt(3), pyo.sin, pyo.cos, pyo.log
    return [
        _hs(1, 0, (-2, 1), lambda x, y: 100 * (y - x**2) ** 2 + (1 - x) ** 2, bounds=(FREE, (-1.5, None))),
        _hs(4, 8 / 3, (1.125, 0.125), lambda x, y: (x + 1) ** 3 / 3 + y, bounds=((1, None), UP)),
        _hs(5, -root3 / 2 - math.pi / 3, (0, 0), lambda x, y: sin(x + y) + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1,
            bounds=((-1.5, 4), (-3, 3))),
        _hs(6, 0, (-1.2, 1), lambda x, y: (1 - x) ** 2, lambda x, y: [10 * (y - x**2) == 0]),
        _hs(7, -root3, (2, 2), lambda x, y: log(1 + x**2) - y, lambda x, y: [(1 + x**2) ** 2 + y**2 == 4]),
        _hs(9, -0.5, (0, 0), lambda x, y: sin(math.pi * x / 12) * cos(math.pi * y / 16), lambda x, y: [4 * x - 3 * y == 0]),
        _hs(10, -1, (-10, 10), lambda x, y: x - y, lambda x, y: [-3 * x**2 + 2 * x * y - y**2 + 1 >= 0]),
        _hs(11, -8.498464223, (4.9, 0.1), lambda x, y: (x - 5) ** 2 + y**2 - 25, lambda x, y: [y - x**2 >= 0]),
        _hs(12, -30, (0, 0), lambda x, y: x**2 / 2 + y**2 - x * y - 7 * x - 7 * y, lambda x, y: [25 - 4 * x**2 - y**2 >= 0]),
        _hs(14, 9 - 2.875 * math.sqrt(7), (2, 2), lambda x, y: (x - 2) ** 2 + (y - 1) ** 2,
            lambda x, y: [x - 2 * y + 1 == 0, 1 - x**2 / 4 - y**2 >= 0]),
        _hs(21, -99.96, (-1, -1), lambda x, y: x**2 / 100 + y**2 - 100, lambda x, y: [10 * x - y >= 10],
            bounds=((2, 50), (-50, 50))),
        _hs(22, 1, (2, 2), lambda x, y: (x - 2) ** 2 + (y - 1) ** 2, lambda x, y: [x + y <= 2, y - x**2 >= 0]),
        _hs(28, 0, (-4, 1, 1), lambda x, y, z: (x + y) ** 2 + (y + z) ** 2, lambda x, y, z: [x + 2 * y + 3 * z == 1]),
        _hs(35, 1 / 9, (0.5,) * 3,
            lambda x, y, z: 9 - 8 * x - 6 * y - 4 * z + 2 * x**2 + 2 * y**2 + z**2 + 2 * x * y + 2 * x * z,
            lambda x, y, z: [x + y + 2 * z <= 3], bounds=(UP,) * 3),
        _hs(37, -3456, (10,) * 3, lambda x, y, z: -x * y * z,
            lambda x, y, z: [x + 2 * y + 2 * z <= 72, x + 2 * y + 2 * z >= 0], bounds=((0, 42),) * 3),
        _hs(39, -1, (2,) * 4, lambda a, b, c, d: -a, lambda a, b, c, d: [b - a**3 - c**2 == 0, a**2 - b - d**2 == 0]),
        _hs(43, -44, (0,) * 4,
            lambda a, b, c, d: a**2 + b**2 + 2 * c**2 + d**2 - 5 * a - 5 * b - 21 * c + 7 * d,
            lambda a, b, c, d: [
                8 - a**2 - b**2 - c**2 - d**2 - a + b - c + d >= 0,
                10 - a**2 - 2 * b**2 - c**2 - 2 * d**2 + a + d >= 0,
                5 - 2 * a**2 - b**2 - c**2 - 2 * a + b + d >= 0,
            ]),
        _hs(71, 17.0140173, (1, 5, 5, 1), lambda a, b, c, d: a * d * (a + b + c) + c,
            lambda a, b, c, d: [a * b * c * d >= 25, a**2 + b**2 + c**2 + d**2 == 40], bounds=((1, 5),) * 4),
        _hs(76, -4.681818181, (0.5,) * 4,
            lambda a, b, c, d: a**2 + b**2 / 2 + c**2 + d**2 / 2 - a * c + c * d - a - 3 * b + c - d,
            lambda a, b, c, d: [a + 2 * b + c + d <= 5, 3 * a + b + 2 * c - d <= 4, b + 4 * c >= 1.5], bounds=(UP,) * 4),
    ]  # fmt: skip


# ---------------------------------------------------------------- integers


def integer() -> list[Problem]:
    return [*(knapsack(n, seed) for n in (20, 40, 60) for seed in (1, 2)), *(assignment(n, 1) for n in (6, 8, 10))]


def knapsack(n: int, seed: int) -> Problem:
    """The most value for half of the weight."""
    source = random.Random(seed)
    weights = [source.randint(100, 999) for _ in range(n)]
    values = [weight + source.randint(-50, 50) for weight in weights]
    room = sum(weights) // 2

    def make() -> pyo.ConcreteModel:
        model = pyo.ConcreteModel(name=f"knapsack{n}_{seed}")
        model.take = pyo.Var(range(n), domain=pyo.Binary)
        model.value = pyo.Objective(expr=sum(values[i] * model.take[i] for i in range(n)), sense=pyo.maximize)
        model.room = pyo.Constraint(expr=sum(weights[i] * model.take[i] for i in range(n)) <= room)
        return model

    return Problem(f"knapsack{n}_{seed}", _most_value(weights, values, room), make)


def _most_value(weights: Sequence[int], values: Sequence[int], room: int) -> int:
    best = [0] * (room + 1)
    for weight, value in zip(weights, values, strict=True):
        best = best[:weight] + [max(a, b + value) for a, b in zip(best[weight:], best, strict=False)]
    return best[room]


def assignment(n: int, seed: int) -> Problem:
    """People to tasks, at the least cost."""
    source = random.Random(seed)
    cost = [[source.randint(10, 99) for _ in range(n)] for _ in range(n)]

    def make() -> pyo.ConcreteModel:
        model = pyo.ConcreteModel(name=f"assignment{n}_{seed}")
        model.does = pyo.Var(range(n), range(n), domain=pyo.Binary)
        model.cost = pyo.Objective(expr=sum(cost[i][j] * model.does[i, j] for i in range(n) for j in range(n)))
        model.one_task = pyo.Constraint(range(n), rule=lambda m, i: sum(m.does[i, j] for j in range(n)) == 1)
        model.one_person = pyo.Constraint(range(n), rule=lambda m, j: sum(m.does[i, j] for i in range(n)) == 1)
        return model

    return Problem(f"assignment{n}_{seed}", _least_cost(cost), make)


def _least_cost(cost: Sequence[Sequence[int]]) -> int:
    """Person by person, over the sets of tasks that are given out."""
    least = {0: 0}
    for row in cost:
        further: dict[int, int] = {}
        for given, so_far in least.items():
            for task, more in enumerate(row):
                if not given >> task & 1:
                    key = given | 1 << task
                    further[key] = min(further.get(key, so_far + more), so_far + more)
        least = further
    return least[(1 << len(cost)) - 1]
