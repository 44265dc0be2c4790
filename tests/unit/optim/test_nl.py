"""The reader of .nl: what Pyomo writes means the same here; the binary form is the same problem; what is not linear is refused."""

import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.optim.nl import NlError, NotLinear, Problem, integer_variables, read_header, read_nl
from sirdar.optim.polynomial import Polynomial

pe = pytest.importorskip("pyomo.environ")

Model = Any


def bounds_of_all_kinds() -> Model:
    m = pe.ConcreteModel()
    m.free = pe.Var()
    m.low = pe.Var(bounds=(-2, None))
    m.high = pe.Var(bounds=(None, 7.25))
    m.both = pe.Var(bounds=(1e-3, 1e6))
    m.same = pe.Var(bounds=(4, 4))
    m.c = pe.ConstraintList()
    m.c.add(m.free + m.low <= 3)
    m.c.add(m.free - m.high >= -1.5)
    m.c.add((-4, m.both - m.low + 2 * m.same, 9))
    m.c.add(m.free + 1e-7 * m.both == 0.1)
    m.o = pe.Objective(expr=m.free - 3 * m.high + m.both)
    return m


def constant_and_maximise() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var([1, 2, 3], bounds=(0, 5))
    m.o = pe.Objective(expr=2 * m.x[1] + m.x[2] / 4 + 17.5, sense=pe.maximize)
    m.c = pe.Constraint(expr=m.x[1] + m.x[3] + 3 <= m.x[2] + 8)
    return m


def fixed_variables() -> Model:
    m = pe.ConcreteModel()
    m.x, m.y, m.z = pe.Var(bounds=(0, 9)), pe.Var(bounds=(0, 9)), pe.Var()
    m.o = pe.Objective(expr=m.x * m.z + m.y + m.z)
    m.c = pe.Constraint(expr=m.x + m.y * m.z >= m.z)
    m.z.fix(2.5)
    return m


def integers_and_binaries() -> Model:
    m = pe.ConcreteModel()
    m.real = pe.Var(bounds=(0, 3))
    m.many = pe.Var(domain=pe.Integers, bounds=(-5, 40))
    m.yes = pe.Var(range(4), domain=pe.Binary)
    m.o = pe.Objective(expr=m.real + m.many - sum((i + 1) * m.yes[i] for i in range(4)))
    m.c = pe.Constraint(expr=m.real + m.many + sum(m.yes.values()) >= 2)
    return m


def quadratic() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var(range(3), bounds=(-1, 4))
    target = [1.0, -0.5, 2.0]
    m.o = pe.Objective(expr=sum((m.x[i] - target[i]) ** 2 for i in range(3)) + 0.5 * m.x[0] * m.x[1] - m.x[2] / 4 + 3)
    m.c = pe.Constraint(expr=m.x[0] + m.x[1] + m.x[2] == 1)
    return m


def quadratic_with_integers() -> Model:
    m = quadratic()
    m.k = pe.Var(domain=pe.Integers, bounds=(0, 3))
    m.n = pe.Var(domain=pe.Binary)
    m.c2 = pe.Constraint(expr=m.k + m.n + m.x[0] <= 3)
    m.o.expr = m.o.expr + (m.k - 1) ** 2 + m.n
    return m


def no_objective() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var(bounds=(0, 1))
    m.c = pe.Constraint(expr=m.x >= 0.5)
    return m


def no_constraints() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var(bounds=(0, 1))
    m.o = pe.Objective(expr=3 * m.x + 1)
    return m


def common_expressions() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var(range(3), bounds=(-1, 4))
    m.shift = pe.Expression(expr=m.x[0] - 2 * m.x[1] + 1.5)
    m.square = pe.Expression(expr=m.shift**2 + m.x[2])
    m.o = pe.Objective(expr=m.square + m.shift * m.x[2] + 3 * m.square)
    m.c = pe.Constraint(expr=m.shift + m.x[2] <= 2)
    return m


def wide() -> Model:
    m = pe.ConcreteModel()
    m.x = pe.Var(range(300), bounds=(0, 1))
    m.o = pe.Objective(expr=sum(i * m.x[i] ** 2 for i in range(300)) + sum(m.x.values()))
    m.c = pe.Constraint(range(299), rule=lambda m, i: m.x[i] - m.x[i + 1] <= i / 10)
    return m


MODELS = [
    bounds_of_all_kinds, constant_and_maximise, fixed_variables, integers_and_binaries, quadratic, quadratic_with_integers,
    no_objective, no_constraints, common_expressions, wide,
]  # fmt: skip


def written(model: Model, folder: Path, **options: Any) -> tuple[Path, list[Any], list[Any]]:
    """The file, and Pyomo's variables and constraints in its order."""
    from pyomo.repn.plugins.nl_writer import NLWriter

    path = folder / "model.nl"
    with path.open("w") as file, (folder / "model.row").open("w") as rows, (folder / "model.col").open("w") as columns:
        found = NLWriter().write(model, file, rows, columns, linear_presolve=False, scale_model=False, **options)
    return path, list(found.variables), list(found.constraints)


@pytest.mark.parametrize("symbolic", [False, True], ids=["bare", "with names"])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_model_of_pyomos_means_the_same(make: Callable[[], Model], symbolic: bool, tmp_path: Path) -> None:
    model = make()
    path, variables, constraints = written(model, tmp_path, symbolic_solver_labels=symbolic)
    problem = read_nl(path)
    assert (problem.n_vars, problem.n_rows) == (len(variables), len(constraints))
    assert problem.integer == [not variable.is_continuous() for variable in variables]
    for number, variable in enumerate(variables):
        low, high = variable.bounds
        assert problem.lower[number] == (-math.inf if low is None else low)
        assert problem.upper[number] == (math.inf if high is None else high)
    chance = random.Random(5)
    for _ in range(5):
        x = [chance.uniform(-3, 3) for _ in variables]
        for variable, value in zip(variables, x, strict=True):
            variable.set_value(value, skip_validation=True)
        for goal in model.component_data_objects(pe.Objective):
            assert problem.objective(x) == pytest.approx(pe.value(goal.expr), rel=1e-12)
            assert problem.maximize == (goal.sense == pe.maximize)
        for row, constraint in enumerate(constraints):
            _same_row(problem, row, x, constraint)


def _same_row(problem: Problem, row: int, x: list[float], constraint: Any) -> None:
    """The distances to both sides are the same: constants may stand on either."""
    places = range(problem.starts[row], problem.starts[row + 1])
    ours = sum(problem.values[at] * x[problem.columns[at]] for at in places)
    theirs = pe.value(constraint.body)
    for side, other in (
        (problem.row_lower[row], constraint.lower),
        (problem.row_upper[row], constraint.upper),
    ):
        if other is None:
            assert math.isinf(side)
        else:
            assert ours - side == pytest.approx(theirs - pe.value(other), rel=1e-9, abs=1e-9)


BY_HAND = """g3 1 1 0
 2 1 1 0 1
 1 1
 0 0
 2 2 2
 0 0 0 1
 0 0 0 0 0
 1 1
 0 0
 0 0 0 1 0
V2 1 0
1 0.5
o0
n3
v0
C0
o54
3
n10
o2
n2
v0
o16
v2
O0 0
o1
v2
n7
r
0 1 20
b
3
1 5
k1
1
J0 1
0 4
G0 1
1 1
"""


def test_linear_terms_and_constants_within_expressions_count(tmp_path: Path) -> None:
    """As AMPL may write them, and Pyomo does not. v2 = 3 + x0 + x1/2; 10 + 2 x0 - v2 + 4 x0; v2 - 7 + x1."""
    path = tmp_path / "hand.nl"
    path.write_text(BY_HAND)
    problem = read_nl(path)
    assert (problem.row_lower, problem.row_upper) == ([1.0 - 7.0], [20.0 - 7.0])
    assert dict(zip(problem.columns, problem.values, strict=True)) == {0: 5.0, 1: -0.5}
    assert (problem.constant, problem.cost) == (-4.0, [1.0, 1.5])
    assert problem.objective([2.0, 4.0]) == 4.0


def test_where_to_begin_is_read(tmp_path: Path) -> None:
    model = integers_and_binaries()
    model.many.set_value(7)
    model.real.set_value(1.5)
    path, variables, _ = written(model, tmp_path)
    start = read_nl(path).start
    assert {variables[index].name: value for index, value in start.items()} == {"many": 7.0, "real": 1.5}


# ---------------------------------------------------------------- refused


def _with(expression: Callable[[Model], Any], where: str = "c") -> Model:
    m = pe.ConcreteModel()
    m.x, m.y = pe.Var(bounds=(0.1, 9), initialize=1), pe.Var(bounds=(0.1, 9), initialize=1)
    m.o = pe.Objective(expr=m.x + m.y if where == "c" else expression(m))
    m.c = pe.Constraint(expr=(expression(m) if where == "c" else m.x + m.y) <= 3)
    return m


@pytest.mark.parametrize(
    ("where", "expression", "words"),
    [
        ("c", lambda m: m.x**2 + m.y, "constraint 0 is quadratic"),
        ("c", lambda m: pe.exp(m.x), "constraint 0 has exp"),
        ("c", lambda m: m.x**3, "constraint 0 has a power of 3"),
        ("o", lambda m: pe.log(m.x) + m.y, "the objective has log"),
        ("o", lambda m: m.x * m.y * m.x, "the objective has a product of degree 3"),
        ("o", lambda m: m.x / m.y, "the objective has a division by a variable"),
        ("o", lambda m: m.x**m.y, "the objective has a variable as an exponent"),
    ],
)
def test_what_is_not_linear_is_named(
    where: str, expression: Callable[[Model], Any], words: str, tmp_path: Path
) -> None:
    path, _, _ = written(_with(expression, where), tmp_path)
    with pytest.raises(NotLinear) as caught:
        read_nl(path)
    assert words in str(caught.value)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path, _, _ = written(constant_and_maximise(), tmp_path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"no problem\n" * 20,
        whole[: len(whole) // 2],
        whole + b"Q1 2\n",
        whole.replace(b"n17.5", b"nx"),
    ):
        path.write_bytes(content)
        with pytest.raises(NlError):
            read_nl(path)
    path.write_bytes(whole)
    with pytest.raises(NlError, match="no objective 3"):
        read_nl(path, objective=3)


# ---------------------------------------------------------------- the binary form


def as_bytes(path: Path, problem: Problem, order: str) -> bytes:
    """The problem in AMPL's binary form: the header as it was, but for its letter and its arithmetic."""
    *lines, _ = path.read_bytes().split(b"\n", 10)
    lines[0] = b"b" + lines[0][1:]
    words = lines[5].split()
    words[2] = b"1" if order == "<" else b"2"
    lines[5] = b" ".join(words)
    pack = struct.pack
    body = b""
    for row in range(problem.n_rows):
        body += b"C" + pack(order + "i", row) + b"n" + pack(order + "d", 0.0)
    body += b"O" + pack(order + "ii", 0, int(problem.maximize))
    terms = [(i, j, value) for (i, j), value in problem.quadratic.items()]
    body += b"o" + pack(order + "ii", 54, len(terms) + 1) + b"n" + pack(order + "d", problem.constant)
    for i, j, value in terms:  # value * (i * j)
        body += (
            b"o" + pack(order + "i", 2) + b"s" + pack(order + "h", int(value))
            if value == int(value)
            else (b"o" + pack(order + "i", 2) + b"n" + pack(order + "d", value))
        )
        body += b"o" + pack(order + "i", 2) + b"".join(b"v" + pack(order + "i", index) for index in (i, j))
    for letter, lows, highs in (
        (b"r", problem.row_lower, problem.row_upper), (b"b", problem.lower, problem.upper),
    ):  # fmt: skip
        body += letter + b"".join(_bounds(order, low, high) for low, high in zip(lows, highs, strict=True))
    for row in range(problem.n_rows):
        places = range(problem.starts[row], problem.starts[row + 1])
        body += b"J" + pack(order + "ii", row, len(places))
        body += b"".join(pack(order + "id", problem.columns[at], problem.values[at]) for at in places)
    body += b"G" + pack(order + "ii", 0, problem.n_vars)
    body += b"".join(pack(order + "id", index, value) for index, value in enumerate(problem.cost))
    body += b"S" + pack(order + "iii", 0, 1, 4) + b"prio" + pack(order + "ii", 0, 3)
    return b"\n".join(lines) + b"\n" + body


def _bounds(order: str, low: float, high: float) -> bytes:
    if low == high:
        return b"4" + struct.pack(order + "d", low)
    if math.isinf(low):
        return b"3" if math.isinf(high) else b"1" + struct.pack(order + "d", high)
    return b"2" + struct.pack(order + "d", low) if math.isinf(high) else b"0" + struct.pack(order + "dd", low, high)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "make", [bounds_of_all_kinds, quadratic, integers_and_binaries], ids=lambda make: make.__name__
)
def test_the_binary_form_is_the_same_problem(make: Callable[[], Model], order: str, tmp_path: Path) -> None:
    path, _, _ = written(make(), tmp_path)
    problem = read_nl(path)
    path.write_bytes(as_bytes(path, problem, order))
    again = read_nl(path)
    again.start = problem.start
    assert again == problem


# ---------------------------------------------------------------- parts


def test_integers_are_told_by_their_place() -> None:
    lines = [
        "g3 1 1 0", " 12 0 1 0 0 0", " 0 1", " 0 0", " 4 6 3", " 0 0 0 1", " 1 2 1 1 1", " 0 0", " 0 0", " 0 0 0 0 0", "",
    ]  # fmt: skip
    header, _ = read_header("\n".join(lines).encode())
    of_both, of_rows, of_goals = [False, False, True], [True], [False, True]
    assert integer_variables(header) == [*of_both, *of_rows, *of_goals, *[False] * 3, *[True] * 3]


def test_products_of_polynomials() -> None:
    left, right = Polynomial(1.0, {0: 2.0}), Polynomial(-3.0, {0: 1.0, 1: 4.0})
    product = left.times(right)
    assert product == Polynomial(-3.0, {0: -5.0, 1: 4.0}, {(0, 0): 2.0, (1, 0): 8.0})
