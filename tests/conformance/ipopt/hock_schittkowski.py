"""Problems of Hock and Schittkowski, Test Examples for Nonlinear Programming Codes (1981), with the values they give.

A value that has a closed form is written as one; the others are as long as the book, or a later refinement, has them.
"""

from collections.abc import Callable
from math import log, pi, sqrt
from typing import Any

from pyomo.environ import ConcreteModel, Constraint, Objective, RangeSet, Var, cos, exp, prod, sin
from pyomo.environ import log as ln

Bounds = dict[int, tuple[float | None, float | None]]
Build = Callable[[], Any]


def model(start: list[float], bounds: Bounds | tuple[float | None, float | None] | None = None) -> Any:
    """``x[1]`` and on, with a starting point."""
    m = ConcreteModel()
    each = bounds if isinstance(bounds, dict) else dict.fromkeys(range(1, len(start) + 1), bounds or (None, None))
    m.x = Var(
        RangeSet(len(start)),
        initialize=dict(enumerate(start, 1)),
        bounds=lambda _, i: each.get(i, (None, None)),
    )
    return m


def finished(m: Any, objective: Any, *constraints: Any) -> Any:
    m.obj = Objective(expr=objective)
    for number, constraint in enumerate(constraints, 1):
        m.add_component(f"c{number}", Constraint(expr=constraint))
    return m


def hs1() -> Any:
    m = model([-2, 1], {2: (-1.5, None)})
    return finished(m, 100 * (m.x[2] - m.x[1] ** 2) ** 2 + (1 - m.x[1]) ** 2)


def hs3() -> Any:
    m = model([10, 1], {2: (0, None)})
    return finished(m, m.x[2] + 1e-5 * (m.x[2] - m.x[1]) ** 2)


def hs4() -> Any:
    m = model([1.125, 0.125], {1: (1, None), 2: (0, None)})
    return finished(m, (m.x[1] + 1) ** 3 / 3 + m.x[2])


def hs5() -> Any:
    m = model([0, 0], {1: (-1.5, 4), 2: (-3, 3)})
    x = m.x
    return finished(m, sin(x[1] + x[2]) + (x[1] - x[2]) ** 2 - 1.5 * x[1] + 2.5 * x[2] + 1)


def hs6() -> Any:
    m = model([-1.2, 1])
    return finished(m, (1 - m.x[1]) ** 2, 10 * (m.x[2] - m.x[1] ** 2) == 0)


def hs7() -> Any:
    m = model([2, 2])
    return finished(m, ln(1 + m.x[1] ** 2) - m.x[2], (1 + m.x[1] ** 2) ** 2 + m.x[2] ** 2 == 4)


def hs9() -> Any:
    m = model([0, 0])
    return finished(m, sin(pi * m.x[1] / 12) * cos(pi * m.x[2] / 16), 4 * m.x[1] - 3 * m.x[2] == 0)


def hs10() -> Any:
    m = model([-10, 10])
    x = m.x
    return finished(m, x[1] - x[2], -3 * x[1] ** 2 + 2 * x[1] * x[2] - x[2] ** 2 + 1 >= 0)


def hs11() -> Any:
    m = model([4.9, 0.1])
    return finished(m, (m.x[1] - 5) ** 2 + m.x[2] ** 2 - 25, -(m.x[1] ** 2) + m.x[2] >= 0)


def hs12() -> Any:
    m = model([0, 0])
    x = m.x
    return finished(
        m, 0.5 * x[1] ** 2 + x[2] ** 2 - x[1] * x[2] - 7 * x[1] - 7 * x[2], 25 - 4 * x[1] ** 2 - x[2] ** 2 >= 0
    )


def hs14() -> Any:
    m = model([2, 2])
    x = m.x
    return finished(
        m, (x[1] - 2) ** 2 + (x[2] - 1) ** 2, -(x[1] ** 2) / 4 - x[2] ** 2 + 1 >= 0, x[1] - 2 * x[2] + 1 == 0
    )


def hs15() -> Any:
    m = model([-2, 1], {1: (None, 0.5)})
    x = m.x
    return finished(m, 100 * (x[2] - x[1] ** 2) ** 2 + (1 - x[1]) ** 2, x[1] * x[2] >= 1, x[1] + x[2] ** 2 >= 0)


def hs18() -> Any:
    m = model([2, 2], {1: (2, 50), 2: (0, 50)})
    x = m.x
    return finished(m, 0.01 * x[1] ** 2 + x[2] ** 2, x[1] * x[2] >= 25, x[1] ** 2 + x[2] ** 2 >= 25)


def hs21() -> Any:
    m = model([-1, -1], {1: (2, 50), 2: (-50, 50)})
    return finished(m, 0.01 * m.x[1] ** 2 + m.x[2] ** 2 - 100, 10 * m.x[1] - m.x[2] >= 10)


def hs22() -> Any:
    m = model([2, 2])
    x = m.x
    return finished(m, (x[1] - 2) ** 2 + (x[2] - 1) ** 2, x[1] + x[2] <= 2, x[2] >= x[1] ** 2)


def hs23() -> Any:
    m = model([3, 1], (-50, 50))
    x = m.x
    return finished(
        m,
        x[1] ** 2 + x[2] ** 2,
        x[1] + x[2] >= 1,
        x[1] ** 2 + x[2] ** 2 >= 1,
        9 * x[1] ** 2 + x[2] ** 2 >= 9,
        x[1] ** 2 - x[2] >= 0,
        x[2] ** 2 - x[1] >= 0,
    )


def hs24() -> Any:
    m = model([1, 0.5], (0, None))
    x = m.x
    return finished(
        m,
        ((x[1] - 3) ** 2 - 9) * x[2] ** 3 / (27 * sqrt(3)),
        x[1] / sqrt(3) - x[2] >= 0,
        x[1] + sqrt(3) * x[2] >= 0,
        x[1] + sqrt(3) * x[2] <= 6,
    )


def hs26() -> Any:
    m = model([-2.6, 2, 2])
    x = m.x
    return finished(m, (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4, (1 + x[2] ** 2) * x[1] + x[3] ** 4 == 3)


def hs27() -> Any:
    m = model([2, 2, 2])
    x = m.x
    return finished(m, 0.01 * (x[1] - 1) ** 2 + (x[2] - x[1] ** 2) ** 2, x[1] + x[3] ** 2 == -1)


def hs28() -> Any:
    m = model([-4, 1, 1])
    x = m.x
    return finished(m, (x[1] + x[2]) ** 2 + (x[2] + x[3]) ** 2, x[1] + 2 * x[2] + 3 * x[3] == 1)


def hs29() -> Any:
    m = model([1, 1, 1])
    x = m.x
    return finished(m, -x[1] * x[2] * x[3], x[1] ** 2 + 2 * x[2] ** 2 + 4 * x[3] ** 2 <= 48)


def hs30() -> Any:
    m = model([1, 1, 1], {1: (1, 10), 2: (-10, 10), 3: (-10, 10)})
    x = m.x
    return finished(m, x[1] ** 2 + x[2] ** 2 + x[3] ** 2, x[1] ** 2 + x[2] ** 2 >= 1)


def hs31() -> Any:
    m = model([1, 1, 1], {1: (-10, 10), 2: (1, 10), 3: (-10, 1)})
    x = m.x
    return finished(m, 9 * x[1] ** 2 + x[2] ** 2 + 9 * x[3] ** 2, x[1] * x[2] >= 1)


def hs32() -> Any:
    m = model([0.1, 0.7, 0.2], (0, None))
    x = m.x
    return finished(
        m,
        (x[1] + 3 * x[2] + x[3]) ** 2 + 4 * (x[1] - x[2]) ** 2,
        6 * x[2] + 4 * x[3] - x[1] ** 3 >= 3,
        x[1] + x[2] + x[3] == 1,
    )


def hs34() -> Any:
    m = model([0, 1.05, 2.9], {1: (0, 100), 2: (0, 100), 3: (0, 10)})
    return finished(m, -m.x[1], m.x[2] - exp(m.x[1]) >= 0, m.x[3] - exp(m.x[2]) >= 0)


def hs35() -> Any:
    m = model([0.5, 0.5, 0.5], (0, None))
    x = m.x
    objective = 9 - 8 * x[1] - 6 * x[2] - 4 * x[3] + 2 * x[1] ** 2 + 2 * x[2] ** 2 + x[3] ** 2
    return finished(m, objective + 2 * x[1] * x[2] + 2 * x[1] * x[3], x[1] + x[2] + 2 * x[3] <= 3)


def hs36() -> Any:
    m = model([10, 10, 10], {1: (0, 20), 2: (0, 11), 3: (0, 42)})
    x = m.x
    return finished(m, -x[1] * x[2] * x[3], x[1] + 2 * x[2] + 2 * x[3] <= 72)


def hs37() -> Any:
    m = model([10, 10, 10], (0, 42))
    x = m.x
    return finished(m, -x[1] * x[2] * x[3], (0, x[1] + 2 * x[2] + 2 * x[3], 72))


def hs38() -> Any:
    m = model([-3, -1, -3, -1], (-10, 10))
    x = m.x
    return finished(
        m,
        100 * (x[2] - x[1] ** 2) ** 2
        + (1 - x[1]) ** 2
        + 90 * (x[4] - x[3] ** 2) ** 2
        + (1 - x[3]) ** 2
        + 10.1 * ((x[2] - 1) ** 2 + (x[4] - 1) ** 2)
        + 19.8 * (x[2] - 1) * (x[4] - 1),
    )


def hs39() -> Any:
    m = model([2, 2, 2, 2])
    x = m.x
    return finished(m, -x[1], x[2] - x[1] ** 3 - x[3] ** 2 == 0, x[1] ** 2 - x[2] - x[4] ** 2 == 0)


def hs40() -> Any:
    m = model([0.8, 0.8, 0.8, 0.8])
    x = m.x
    return finished(
        m, -x[1] * x[2] * x[3] * x[4], x[1] ** 3 + x[2] ** 2 == 1, x[1] ** 2 * x[4] - x[3] == 0, x[4] ** 2 - x[2] == 0
    )


def hs41() -> Any:
    m = model([2, 2, 2, 2], {1: (0, 1), 2: (0, 1), 3: (0, 1), 4: (0, 2)})
    x = m.x
    return finished(m, 2 - x[1] * x[2] * x[3], x[1] + 2 * x[2] + 2 * x[3] - x[4] == 0)


def hs42() -> Any:
    m = model([1, 1, 1, 1])
    return finished(m, sum((m.x[i] - i) ** 2 for i in range(1, 5)), m.x[1] == 2, m.x[3] ** 2 + m.x[4] ** 2 == 2)


def hs43() -> Any:
    m = model([0, 0, 0, 0])
    x = m.x
    square = x[1] ** 2 + x[2] ** 2 + x[3] ** 2 + x[4] ** 2
    return finished(
        m,
        square + x[3] ** 2 - 5 * x[1] - 5 * x[2] - 21 * x[3] + 7 * x[4],
        8 - square - x[1] + x[2] - x[3] + x[4] >= 0,
        10 - square - x[2] ** 2 - x[4] ** 2 + x[1] + x[4] >= 0,
        5 - 2 * x[1] ** 2 - x[2] ** 2 - x[3] ** 2 - 2 * x[1] + x[2] + x[4] >= 0,
    )


def hs45() -> Any:
    m = model([2, 2, 2, 2, 2], {i: (0, i) for i in range(1, 6)})
    return finished(m, 2 - prod(m.x[i] for i in range(1, 6)) / 120)


def hs48() -> Any:
    m = model([3, 5, -3, 2, -2])
    x = m.x
    return finished(
        m,
        (x[1] - 1) ** 2 + (x[2] - x[3]) ** 2 + (x[4] - x[5]) ** 2,
        sum(x[i] for i in range(1, 6)) == 5,
        x[3] - 2 * (x[4] + x[5]) == -3,
    )


def hs52() -> Any:
    m = model([2, 2, 2, 2, 2])
    x = m.x
    return finished(
        m,
        (4 * x[1] - x[2]) ** 2 + (x[2] + x[3] - 2) ** 2 + (x[4] - 1) ** 2 + (x[5] - 1) ** 2,
        x[1] + 3 * x[2] == 0,
        x[3] + x[4] - 2 * x[5] == 0,
        x[2] - x[5] == 0,
    )


def hs53() -> Any:
    m = model([2, 2, 2, 2, 2], (-10, 10))
    x = m.x
    return finished(
        m,
        (x[1] - x[2]) ** 2 + (x[2] + x[3] - 2) ** 2 + (x[4] - 1) ** 2 + (x[5] - 1) ** 2,
        x[1] + 3 * x[2] == 0,
        x[3] + x[4] - 2 * x[5] == 0,
        x[2] - x[5] == 0,
    )


def hs60() -> Any:
    m = model([2, 2, 2], (-10, 10))
    x = m.x
    return finished(
        m,
        (x[1] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4,
        x[1] * (1 + x[2] ** 2) + x[3] ** 4 == 4 + 3 * sqrt(2),
    )


def hs61() -> Any:
    m = model([0, 0, 0])
    x = m.x
    return finished(
        m,
        4 * x[1] ** 2 + 2 * x[2] ** 2 + 2 * x[3] ** 2 - 33 * x[1] + 16 * x[2] - 24 * x[3],
        3 * x[1] - 2 * x[2] ** 2 == 7,
        4 * x[1] - x[3] ** 2 == 11,
    )


def hs63() -> Any:
    m = model([2, 2, 2], (0, None))
    x = m.x
    return finished(
        m,
        1000 - x[1] ** 2 - 2 * x[2] ** 2 - x[3] ** 2 - x[1] * x[2] - x[1] * x[3],
        8 * x[1] + 14 * x[2] + 7 * x[3] == 56,
        x[1] ** 2 + x[2] ** 2 + x[3] ** 2 == 25,
    )


def hs65() -> Any:
    m = model([-5, 5, 0], {1: (-4.5, 4.5), 2: (-4.5, 4.5), 3: (-5, 5)})
    x = m.x
    return finished(
        m,
        (x[1] - x[2]) ** 2 + (x[1] + x[2] - 10) ** 2 / 9 + (x[3] - 5) ** 2,
        x[1] ** 2 + x[2] ** 2 + x[3] ** 2 <= 48,
    )


def hs66() -> Any:
    m = model([0, 1.05, 2.9], {1: (0, 100), 2: (0, 100), 3: (0, 10)})
    return finished(m, 0.2 * m.x[3] - 0.8 * m.x[1], m.x[2] - exp(m.x[1]) >= 0, m.x[3] - exp(m.x[2]) >= 0)


def hs71() -> Any:
    m = model([1, 5, 5, 1], (1, 5))
    x = m.x
    return finished(
        m,
        x[1] * x[4] * (x[1] + x[2] + x[3]) + x[3],
        x[1] * x[2] * x[3] * x[4] >= 25,
        x[1] ** 2 + x[2] ** 2 + x[3] ** 2 + x[4] ** 2 == 40,
    )


def hs72() -> Any:
    m = model([1, 1, 1, 1], {i: (0.001, (5 - i) * 1e5) for i in range(1, 5)})
    x = m.x
    return finished(
        m,
        1 + x[1] + x[2] + x[3] + x[4],
        4 / x[1] + 2.25 / x[2] + 1 / x[3] + 0.25 / x[4] <= 0.0401,
        0.16 / x[1] + 0.36 / x[2] + 0.64 / x[3] + 0.64 / x[4] <= 0.010085,
    )


def hs76() -> Any:
    m = model([0.5, 0.5, 0.5, 0.5], (0, None))
    x = m.x
    objective = x[1] ** 2 + 0.5 * x[2] ** 2 + x[3] ** 2 + 0.5 * x[4] ** 2 - x[1] * x[3] + x[3] * x[4]
    return finished(
        m,
        objective - x[1] - 3 * x[2] + x[3] - x[4],
        x[1] + 2 * x[2] + x[3] + x[4] <= 5,
        3 * x[1] + x[2] + 2 * x[3] - x[4] <= 4,
        x[2] + 4 * x[3] >= 1.5,
    )


def hs77() -> Any:
    m = model([2, 2, 2, 2, 2])
    x = m.x
    return finished(
        m,
        (x[1] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[3] - 1) ** 2 + (x[4] - 1) ** 4 + (x[5] - 1) ** 6,
        x[1] ** 2 * x[4] + sin(x[4] - x[5]) == 2 * sqrt(2),
        x[2] + x[3] ** 4 * x[4] ** 2 == 8 + sqrt(2),
    )


def hs78() -> Any:
    m = model([-2, 1.5, 2, -1, -1])
    x = m.x
    return finished(
        m,
        x[1] * x[2] * x[3] * x[4] * x[5],
        sum(x[i] ** 2 for i in range(1, 6)) == 10,
        x[2] * x[3] - 5 * x[4] * x[5] == 0,
        x[1] ** 3 + x[2] ** 3 == -1,
    )


def hs79() -> Any:
    m = model([2, 2, 2, 2, 2])
    x = m.x
    return finished(
        m,
        (x[1] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 2 + (x[3] - x[4]) ** 4 + (x[4] - x[5]) ** 4,
        x[1] + x[2] ** 2 + x[3] ** 3 == 2 + 3 * sqrt(2),
        x[2] - x[3] ** 2 + x[4] == 2 * sqrt(2) - 2,
        x[1] * x[5] == 2,
    )


def hs80() -> Any:
    m = model([-2, 2, 2, -1, -1], {1: (-2.3, 2.3), 2: (-2.3, 2.3), 3: (-3.2, 3.2), 4: (-3.2, 3.2), 5: (-3.2, 3.2)})
    x = m.x
    return finished(
        m,
        exp(x[1] * x[2] * x[3] * x[4] * x[5]),
        sum(x[i] ** 2 for i in range(1, 6)) == 10,
        x[2] * x[3] - 5 * x[4] * x[5] == 0,
        x[1] ** 3 + x[2] ** 3 == -1,
    )


def hs100() -> Any:
    m = model([1, 2, 0, 4, 0, 1, 1])
    x = m.x
    return finished(
        m,
        (x[1] - 10) ** 2
        + 5 * (x[2] - 12) ** 2
        + x[3] ** 4
        + 3 * (x[4] - 11) ** 2
        + 10 * x[5] ** 6
        + 7 * x[6] ** 2
        + x[7] ** 4
        - 4 * x[6] * x[7]
        - 10 * x[6]
        - 8 * x[7],
        127 - 2 * x[1] ** 2 - 3 * x[2] ** 4 - x[3] - 4 * x[4] ** 2 - 5 * x[5] >= 0,
        282 - 7 * x[1] - 3 * x[2] - 10 * x[3] ** 2 - x[4] + x[5] >= 0,
        196 - 23 * x[1] - x[2] ** 2 - 6 * x[6] ** 2 + 8 * x[7] >= 0,
        -4 * x[1] ** 2 - x[2] ** 2 + 3 * x[1] * x[2] - 2 * x[3] ** 2 - 5 * x[6] + 11 * x[7] >= 0,
    )


def hs110() -> Any:
    m = model([9] * 10, (2.001, 9.999))
    every = range(1, 11)
    return finished(
        m, sum(ln(m.x[i] - 2) ** 2 + ln(10 - m.x[i]) ** 2 for i in every) - prod(m.x[i] for i in every) ** 0.2
    )


PROBLEMS: dict[str, tuple[Build, float]] = {
    "hs1": (hs1, 0.0),
    "hs3": (hs3, 0.0),
    "hs4": (hs4, 8 / 3),
    "hs5": (hs5, -sqrt(3) / 2 - pi / 3),
    "hs6": (hs6, 0.0),
    "hs7": (hs7, -sqrt(3)),
    "hs9": (hs9, -0.5),
    "hs10": (hs10, -1.0),
    "hs11": (hs11, -8.498464223),
    "hs12": (hs12, -30.0),
    "hs14": (hs14, 9 - 2.875 * sqrt(7)),
    "hs15": (hs15, 306.5),
    "hs18": (hs18, 5.0),
    "hs21": (hs21, -99.96),
    "hs22": (hs22, 1.0),
    "hs23": (hs23, 2.0),
    "hs24": (hs24, -1.0),
    "hs26": (hs26, 0.0),
    "hs27": (hs27, 0.04),
    "hs28": (hs28, 0.0),
    "hs29": (hs29, -16 * sqrt(2)),
    "hs30": (hs30, 1.0),
    "hs31": (hs31, 6.0),
    "hs32": (hs32, 1.0),
    "hs34": (hs34, -log(log(10))),
    "hs35": (hs35, 1 / 9),
    "hs36": (hs36, -3300.0),
    "hs37": (hs37, -3456.0),
    "hs38": (hs38, 0.0),
    "hs39": (hs39, -1.0),
    "hs40": (hs40, -0.25),
    "hs41": (hs41, 52 / 27),
    "hs42": (hs42, 28 - 10 * sqrt(2)),
    "hs43": (hs43, -44.0),
    "hs45": (hs45, 1.0),
    "hs48": (hs48, 0.0),
    "hs52": (hs52, 1859 / 349),
    "hs53": (hs53, 176 / 43),
    "hs60": (hs60, 0.03256820025),
    "hs61": (hs61, -143.6461422),
    "hs63": (hs63, 961.7151721),
    "hs65": (hs65, 0.9535288567),
    "hs66": (hs66, 0.5181632741),
    "hs71": (hs71, 17.0140173),
    "hs72": (hs72, 727.67937),
    "hs76": (hs76, -4.681818182),
    "hs77": (hs77, 0.24150513),
    "hs78": (hs78, -2.91970041),
    "hs79": (hs79, 0.0787768209),
    "hs80": (hs80, 0.0539498478),
    "hs100": (hs100, 680.6300573),
    "hs110": (hs110, -45.77846971),
}
