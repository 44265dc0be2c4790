"""HiGHS, SCIP and CBC behind one door: problems with known answers, through Pyomo, as AMPL solvers are called."""

import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.constant_problems import NO_VARIABLES, constant_row, ending, write_nl

from sirdar.optim.install import Report, install
from sirdar.optim.sol import read_sol

pe = pytest.importorskip("pyomo.environ")
pytestmark = pytest.mark.needs("pyomo", "highspy", "pyscipopt", "cbc")

Model = Any
ALL = ("highs", "scip", "cbc")
INFEASIBLE, UNBOUNDED = 200, 300


@pytest.fixture(scope="module")
def solvers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """Commands as `sirdar optim install` makes them."""
    place = tmp_path_factory.mktemp("solvers")
    report: Report = install({"PATH": os.environ["PATH"], "SIRDAR_SOLVERS": str(place)})
    made = {one.name: Path(one.path) for one in report.solvers}
    assert set(ALL) <= set(made), report.missing
    yield made


def run(command: Path, stub: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "TMPDIR": os.environ["TMPDIR"], **variables}
    return subprocess.run(
        [str(command), str(stub), "-AMPL", *words],
        cwd=stub.parent, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def model(*, maximize: bool = False, **variables: Any) -> Model:
    m = pe.ConcreteModel()
    for name, kind in variables.items():
        setattr(m, name, kind)
    m.c = pe.ConstraintList()
    m.sense = pe.maximize if maximize else pe.minimize
    return m


def goal(m: Model, expression: Any) -> Model:
    sense = m.sense
    m.o = pe.Objective(expr=expression, sense=sense)
    return m


# ---------------------------------------------------------------- linear problems: values, duals, reduced costs


@dataclass(frozen=True)
class Known:
    """``duals``: by the number of the constraint, the change of the objective for one more on its right side."""

    make: Callable[[], Model]
    objective: float
    values: Mapping[str, float] = field(default_factory=dict)
    duals: Mapping[int, float] = field(default_factory=dict)
    reduced: Mapping[str, float] = field(default_factory=dict)


def diet() -> Model:
    m = model(x=pe.Var(bounds=(0, None)), y=pe.Var(bounds=(0, None)))
    m.c.add(2 * m.x + m.y >= 8)
    m.c.add(m.x + 3 * m.y >= 9)
    return goal(m, 3 * m.x + 4 * m.y)


def production() -> Model:
    m = model(maximize=True, x=pe.Var(bounds=(0, None)), y=pe.Var(bounds=(0, None)))
    m.c.add(m.x <= 4)
    m.c.add(2 * m.y <= 12)
    m.c.add(3 * m.x + 2 * m.y <= 18)
    return goal(m, 3 * m.x + 5 * m.y + 100)


def ranges() -> Model:
    m = model(maximize=True, x=pe.Var(bounds=(0, 4)), y=pe.Var(bounds=(0, None)))
    m.c.add((1, m.x - m.y, 3))
    return goal(m, 3 * m.x + 2 * m.y)


def equalities() -> Model:
    m = model(x=pe.Var(), y=pe.Var(), z=pe.Var(bounds=(0, None)))
    m.c.add(m.x + m.y + m.z == 6)
    m.c.add(m.x - m.y == 2)
    return goal(m, m.x + 2 * m.y + 3 * m.z)


def below_zero() -> Model:
    m = model(x=pe.Var(bounds=(None, -1.5)), y=pe.Var(bounds=(-8, -2)))
    m.c.add(m.x + m.y >= -9)
    return goal(m, 2 * m.x + m.y)


def fixed() -> Model:
    m = model(x=pe.Var(bounds=(0, 9)), y=pe.Var(bounds=(0, 9)), z=pe.Var(bounds=(3, 3)))
    m.w = pe.Var()
    m.w.fix(2)
    m.c.add(m.x + m.y + m.z + m.w >= 10)
    return goal(m, m.x * m.w + 3 * m.y + m.z + m.w)


def no_constraints() -> Model:
    m = model(maximize=True, x=pe.Var(bounds=(-1, 2)), y=pe.Var(bounds=(-3, 5)))
    return goal(m, m.x - 2 * m.y + 1)


def feasible_only() -> Model:
    m = model(x=pe.Var(bounds=(0, 1)))
    m.c.add(4 * m.x == 1)
    m.o = pe.Objective(expr=0)
    return m


def tiny_numbers() -> Model:
    m = model(x=pe.Var(bounds=(0, None)), y=pe.Var(bounds=(0, 1e6)))
    m.c.add(m.x * 1e-3 + m.y * 1e-5 >= 0.123456789012345)
    return goal(m, m.x + 0.02 * m.y)


def transport() -> Model:
    supply, demand = [20, 30, 25], [10, 25, 15, 25]
    cost = [[2, 3, 1, 7], [4, 1, 6, 2], [5, 8, 3, 4]]
    m = model(x=pe.Var(range(3), range(4), bounds=(0, None)))
    for i in range(3):
        m.c.add(sum(m.x[i, j] for j in range(4)) <= supply[i])
    for j in range(4):
        m.c.add(sum(m.x[i, j] for i in range(3)) >= demand[j])
    return goal(m, sum(cost[i][j] * m.x[i, j] for i in range(3) for j in range(4)))


LINEAR = {
    "diet": Known(diet, 17.0, {"x": 3, "y": 2}, {1: 1.0, 2: 1.0}, {}),
    "production": Known(production, 136.0, {"x": 2, "y": 6}, {1: 0.0, 2: 1.5, 3: 1.0}, {}),
    "ranges": Known(ranges, 18.0, {"x": 4, "y": 3}, {1: -2.0}, {"x": 5.0}),
    "equalities": Known(equalities, 8.0, {"x": 4, "y": 2, "z": 0}, {1: 1.5, 2: -0.5}, {"z": 1.5}),
    "below zero": Known(below_zero, -16.0, {"x": -7, "y": -2}, {1: 2.0}, {"y": -1.0}),
    "fixed": Known(fixed, 15.0, {"x": 5, "y": 0, "z": 3}, {1: 2.0}, {"y": 1.0}),
    "no constraints": Known(no_constraints, 9.0, {"x": 2, "y": -3}, {}, {"x": 1.0, "y": -2.0}),
    "feasible only": Known(feasible_only, 0.0, {"x": 0.25}),
    "tiny numbers": Known(tiny_numbers, 123.456789012345, {"x": 123.456789012345, "y": 0}, {1: 1000.0}, {"y": 0.01}),
    "transport": Known(transport, 160.0),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("solver", ALL)
def test_linear_problems(solver: str, name: str, solvers: Mapping[str, Path]) -> None:
    known = LINEAR[name]
    m = known.make()
    m.dual, m.rc = pe.Suffix(direction=pe.Suffix.IMPORT), pe.Suffix(direction=pe.Suffix.IMPORT)
    result = pe.SolverFactory(f"asl:{solvers[solver]}").solve(m)
    assert result.solver.termination_condition == pe.TerminationCondition.optimal
    assert pe.value(m.o) == pytest.approx(known.objective, rel=1e-6, abs=1e-6)
    for variable, value in known.values.items():
        assert pe.value(getattr(m, variable)) == pytest.approx(value, rel=1e-6, abs=1e-6), variable
    for number, value in known.duals.items():
        assert m.dual[m.c[number]] == pytest.approx(value, abs=1e-6), f"dual of constraint {number}"
    for variable, value in known.reduced.items():
        assert m.rc[getattr(m, variable)] == pytest.approx(value, abs=1e-6), f"reduced cost of {variable}"


# ---------------------------------------------------------------- integers, quadratic and nonlinear ones


def knapsack() -> Model:
    weights, values = [12, 2, 1, 4, 1], [4, 2, 1, 10, 2]
    m = model(maximize=True, x=pe.Var(range(5), domain=pe.Binary))
    m.c.add(sum(weights[i] * m.x[i] for i in range(5)) <= 15)
    return goal(m, sum(values[i] * m.x[i] for i in range(5)))


def negative_integers() -> Model:
    m = model(x=pe.Var(domain=pe.Integers), y=pe.Var(domain=pe.Integers, bounds=(-7, None)), z=pe.Var(bounds=(0, 1)))
    m.c.add(2 * m.x + m.y + m.z >= -20.5)
    m.c.add(m.x - m.y <= 3.5)
    return goal(m, 3 * m.x + 2 * m.y + m.z)


def assignment() -> Model:
    cost = [[9, 2, 7, 8], [6, 4, 3, 7], [5, 8, 1, 8], [7, 6, 9, 4]]
    m = model(x=pe.Var(range(4), range(4), domain=pe.Binary))
    for i in range(4):
        m.c.add(sum(m.x[i, j] for j in range(4)) == 1)
        m.c.add(sum(m.x[j, i] for j in range(4)) == 1)
    return goal(m, sum(cost[i][j] * m.x[i, j] for i in range(4) for j in range(4)))


def least_squares() -> Model:
    m = model(x=pe.Var(), y=pe.Var(bounds=(0, None)))
    m.c.add(m.x + m.y == 1)
    return goal(m, (m.x - 2) ** 2 + (m.y - 1) ** 2 + m.x * m.y)


def portfolio() -> Model:
    m = model(maximize=True, x=pe.Var(range(3), bounds=(0, 1)))
    m.c.add(sum(m.x.values()) == 1)
    returns, risk = [0.1, 0.2, 0.15], [0.1, 0.4, 0.2]
    return goal(m, sum(returns[i] * m.x[i] - risk[i] * m.x[i] ** 2 for i in range(3)))


def quadratic_integers() -> Model:
    m = model(k=pe.Var(domain=pe.Integers, bounds=(0, 9)), x=pe.Var(bounds=(0, 9)))
    m.c.add(m.k + m.x >= 3.25)
    return goal(m, (m.k - 2.6) ** 2 + m.x)


def nonconvex() -> Model:
    m = model(x=pe.Var(bounds=(-2, 2)), y=pe.Var(bounds=(-2, 2)))
    m.c.add(m.x**2 + m.y**2 <= 2)
    return goal(m, m.x * m.y + pe.exp(m.x - 1))


MORE: list[tuple[str, Callable[[], Model], float, tuple[str, ...]]] = [
    ("knapsack", knapsack, 15.0, ALL),
    ("negative integers", negative_integers, -34.5, ALL),
    ("assignment", assignment, 13.0, ALL),
    ("least squares", least_squares, 2.0, ("highs", "scip")),
    ("portfolio", portfolio, 0.0772321428571429, ("highs", "scip")),
    ("quadratic with integers", quadratic_integers, 0.41, ("scip",)),
    ("nonconvex", nonconvex, -0.8668120, ("scip",)),
]


@pytest.mark.parametrize(
    ("solver", "make", "objective"),
    [pytest.param(solver, make, value, id=f"{solver} {name}") for name, make, value, by in MORE for solver in by],
)
def test_integers_quadratic_and_nonlinear_problems(
    solver: str, make: Callable[[], Model], objective: float, solvers: Mapping[str, Path]
) -> None:
    m = make()
    result = pe.SolverFactory(f"asl:{solvers[solver]}").solve(m)
    assert result.solver.termination_condition == pe.TerminationCondition.optimal
    assert pe.value(m.o) == pytest.approx(objective, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("solver", "make", "words"),
    [
        (
            "highs",
            nonconvex,
            "constraint 0 is quadratic; highs solves linear problems, with integers or without, and convex",
        ),
        ("highs", quadratic_integers, "it is quadratic and has integer variables (scip solves such problems)"),
        ("cbc", least_squares, "its objective is quadratic; cbc solves linear problems"),
        ("cbc", nonconvex, "constraint 0 is quadratic"),
    ],
)
def test_what_a_solver_cannot_solve_is_refused_with_the_reason(
    solver: str, make: Callable[[], Model], words: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    make().write(str(tmp_path / "p.nl"))
    done = run(solvers[solver], tmp_path / "p")
    assert done.returncode == 1
    assert words in done.stderr
    answer = read_sol(tmp_path / "p.sol")
    assert answer.code == 500 and words in answer.message and not answer.x


def test_a_nonconvex_objective_is_no_answer_of_highs(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    m = model(x=pe.Var(bounds=(-1, 2)))
    goal(m, -(m.x**2)).write(str(tmp_path / "p.nl"))
    done = run(solvers["highs"], tmp_path / "p")
    assert done.returncode == 1 and "HiGHS" in done.stderr
    assert read_sol(tmp_path / "p.sol").code == 500


# ---------------------------------------------------------------- several objectives


def two_goals(tmp_path: Path) -> Path:
    m = model(x=pe.Var(bounds=(1, 4)))
    m.c.add(m.x <= 3)
    goal(m, m.x)
    m.other = pe.Objective(expr=2 * m.x + 1, sense=pe.maximize)
    m.write(str(tmp_path / "p.nl"))
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("words", "objective", "told"),
    [
        ([], 1, "(no. 1 of 2 objectives)"),
        (["objno=1"], 1, "(no. 1 of 2 objectives)"),
        (["objno=2"], 7, "(no. 2 of 2 objectives)"),
        (["objno=0"], 0, "(none of 2 objectives)"),
    ],
)
@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_of_several_objectives_the_first_is_taken_or_that_of_objno_and_the_solution_says_so(
    solver: str, words: list[str], objective: float, told: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    """As AMPL's solvers do, which say nothing of it."""
    stub = two_goals(tmp_path)
    done = run(solvers[solver], stub, *words)
    assert done.returncode == 0, done
    first = read_sol(tmp_path / "p.sol").message.splitlines()[0]
    assert first.endswith(f"objective {objective} {told}") and first in done.stdout


@pytest.mark.parametrize(
    ("solver", "words", "told"),
    [
        ("highs", ["objno=3"], "there is no objective 3: it has 2"),
        ("cbc", ["objno=3"], "there is no objective 3: it has 2"),
        ("scip", [], "it has 2 objectives, and SCIP reads problems with one"),
        ("scip", ["objno=2"], "it has 2 objectives, and SCIP reads problems with one"),
    ],
)
def test_an_objective_that_cannot_be_had_is_refused(
    solver: str, words: list[str], told: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    done = run(solvers[solver], two_goals(tmp_path), *words)
    assert done.returncode == 1 and told in done.stderr.splitlines()[-1]
    assert read_sol(tmp_path / "p.sol").code == 500


def test_scip_does_not_pass_over_objno(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    diet().write(str(tmp_path / "p.nl"))
    assert "objno=0" in run(solvers["scip"], tmp_path / "p", "objno=0").stderr


# ---------------------------------------------------------------- ends that are no solution


def without_a_point(*, whole: bool) -> Model:
    domain = pe.Integers if whole else pe.Reals
    m = model(x=pe.Var(bounds=(0, None), domain=domain), y=pe.Var(bounds=(0, None), domain=domain))
    m.c.add(m.x + m.y <= 1)
    m.c.add(m.x + m.y >= 2)
    return goal(m, m.x)


def without_a_bound(*, whole: bool) -> Model:
    domain = pe.Integers if whole else pe.Reals
    m = model(maximize=True, x=pe.Var(bounds=(0, None), domain=domain), y=pe.Var(bounds=(0, None), domain=domain))
    m.c.add(m.x - m.y <= 1)
    return goal(m, m.x + m.y)


@pytest.mark.parametrize("whole", [False, True], ids=["LP", "MIP"])
@pytest.mark.parametrize("solver", ALL)
def test_infeasible_and_unbounded_are_told_apart(
    solver: str, whole: bool, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    for make, code, condition in (
        (without_a_point, INFEASIBLE, pe.TerminationCondition.infeasible),
        (without_a_bound, UNBOUNDED, pe.TerminationCondition.unbounded),
    ):
        m = make(whole=whole)
        m.write(str(tmp_path / "p.nl"))
        done = run(solvers[solver], tmp_path / "p")
        assert (done.returncode, read_sol(tmp_path / "p.sol").code) == (0, code), done.stdout
        result = pe.SolverFactory(f"asl:{solvers[solver]}").solve(m, load_solutions=False)
        assert result.solver.termination_condition == condition


def hard(*, soft: bool) -> Model:
    """A market split problem: no solver finds out within a second."""
    chance = random.Random(1)
    rows, columns = 6, 45
    m = model(x=pe.Var(range(columns), domain=pe.Binary), s=pe.Var(range(2 * rows), bounds=(0, None)))
    for i in range(rows):
        a = [chance.randint(0, 99) for _ in range(columns)]
        m.c.add(sum(a[j] * m.x[j] for j in range(columns)) + m.s[2 * i] - m.s[2 * i + 1] == sum(a) // 2)
    goal(m, sum(m.s.values()))
    if not soft:
        for i in range(2 * rows):
            m.s[i].fix(0)
    return m


@pytest.mark.parametrize("solver", ALL)
def test_a_time_limit_is_told_with_and_without_a_solution(
    solver: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    for soft, code in ((True, 402), (False, 472)):
        hard(soft=soft).write(str(tmp_path / "p.nl"))
        done = run(solvers[solver], tmp_path / "p", "timelim=1")
        answer = read_sol(tmp_path / "p.sol")
        assert (done.returncode, answer.code, bool(answer.x)) == (0, code, soft), done.stdout
        assert ("without a solution" in answer.message) is not soft
        assert "time limit" in answer.message


@pytest.mark.parametrize("solver", ALL)
def test_a_node_limit_is_a_limit(solver: str, solvers: Mapping[str, Path], tmp_path: Path) -> None:
    hard(soft=True).write(str(tmp_path / "p.nl"))
    run(solvers[solver], tmp_path / "p", "maxnodes=3", "timelim=60")
    answer = read_sol(tmp_path / "p.sol")
    assert answer.code == 404 and answer.x, answer.message


# ---------------------------------------------------------------- options, and what goes wrong


OPTIONS = {
    "highs": ("time_limit", "presolve", "nonsense"),
    "scip": ("limits/time", "display/verblevel", 7.5),
    "cbc": ("seconds", "log", None),
}


@pytest.mark.parametrize(("solver", "name"), [("highs", "time_limit"), ("scip", "limits/time"), ("cbc", "seconds")])
def test_options_from_a_file_the_environment_and_the_command_line_in_this_order(
    solver: str, name: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    """Whoever comes later wins: a limit of a hundredth of a second stops it, or one of a minute and few nodes does."""
    hard(soft=True).write(str(tmp_path / "p.nl"))
    command, variable = solvers[solver], f"{solver}_options"

    def limited_by(*words: str, **environment: str) -> int:
        run(command, tmp_path / "p", *words, **environment)
        return read_sol(tmp_path / "p.sol").code % 70

    (tmp_path / "o.opt").write_text(f"# a comment\n{name} 0.3\n\nmaxnodes = 2 # few\n")
    by_time, by_nodes = 402 % 70, 404 % 70
    assert limited_by("option_file_name=o.opt", "maxnodes=1000000") == by_time
    assert limited_by("option_file_name=o.opt", **{variable: f"{name}=60"}) == by_nodes
    assert limited_by(**{variable: f"{name}=60 maxnodes 2 option_file_name = o.opt"}) == by_nodes
    assert limited_by("maxnodes=1000000", f"{name}=0.3", **{variable: f"maxnodes=2 {name}=60"}) == by_time
    (tmp_path / f"{solver}.opt").write_text(f"{name} 60\nmaxnodes 2\n")
    assert limited_by() == by_nodes


@pytest.mark.parametrize("solver", ALL)
def test_faults_are_told_and_the_exit_code_says_so(solver: str, solvers: Mapping[str, Path], tmp_path: Path) -> None:
    diet().write(str(tmp_path / "p.nl"))
    done = run(solvers[solver], tmp_path / "p", "no_such_option=1")
    assert done.returncode == 1 and "no_such_option" in done.stderr
    assert read_sol(tmp_path / "p.sol").code == 500
    done = run(solvers[solver], tmp_path / "p", "words")
    assert done.returncode == 2 and "option=value is expected" in done.stderr
    done = run(solvers[solver], tmp_path / "absent")
    assert done.returncode == 1 and f"there is no file {tmp_path / 'absent.nl'}" in done.stderr
    (tmp_path / "broken.nl").write_text("g3 1 1 0\n 1 1\n")
    done = run(solvers[solver], tmp_path / "broken")
    assert done.returncode == 1 and "it is no .nl file" in done.stderr
    done = run(solvers[solver], tmp_path / "p", "option_file_name=absent.opt")
    assert done.returncode != 0 and "absent.opt" in done.stderr


@pytest.mark.parametrize(("solver", "name"), [("highs", "HiGHS 1."), ("scip", "SCIP 10."), ("cbc", "CBC 2.")])
def test_the_version_is_told(solver: str, name: str, solvers: Mapping[str, Path]) -> None:
    path = solvers[solver].parent.parent / solver if solvers[solver].parent.name == "before" else solvers[solver]
    done = subprocess.run([path, "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(name)


def test_an_mps_file_is_taken_as_it_is(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    from sirdar.optim.mps import mps_lines
    from sirdar.optim.nl import read_nl

    diet().write(str(tmp_path / "p.nl"))
    (tmp_path / "q.mps").write_text("\n".join(mps_lines(read_nl(tmp_path / "p.nl"))) + "\n")
    done = run(solvers["highs"], tmp_path / "q.mps")
    answer = read_sol(tmp_path / "q.sol")
    assert (done.returncode, answer.code, list(answer.x)) == (0, 0, pytest.approx([3.0, 2.0]))
    plain = subprocess.run(
        [solvers["cbc"], "q.mps", "-solve", "-quit"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Optimal - objective value 17" in plain.stdout, "calls that are not AMPL's go to the machine's own cbc"


def test_a_start_is_used(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    m = hard(soft=True)
    for i in range(45):
        m.x[i].set_value(0)
    for i in range(6):
        m.s[2 * i].set_value(pe.value(m.c[i + 1].upper))
        m.s[2 * i + 1].set_value(0)
    m.write(str(tmp_path / "p.nl"))
    done = run(solvers["highs"], tmp_path / "p", "maxnodes=1")
    assert "MIP start solution is feasible" in done.stdout


def test_commands_start_without_what_is_slow(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    code = (
        "import sys; import sirdar.optim.doors.highs, sirdar.optim.doors.scip, sirdar.optim.doors.cbc;"
        "print([name for name in ('numpy', 'pyomo', 'pydantic', 'httpx', 'highspy', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_solutions_are_exact(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    """No digit is lost on the way through MPS and CBC's text."""
    tiny_numbers().write(str(tmp_path / "p.nl"))
    for solver in ALL:
        run(solvers[solver], tmp_path / "p")
        assert math.isclose(read_sol(tmp_path / "p.sol").x[0], 123.456789012345, rel_tol=1e-14)


def random_lp(number: int) -> Model:
    """Feasible and bounded: around a point, in a box."""
    chance = random.Random(number)
    n, rows = chance.randint(2, 8), chance.randint(1, 8)
    m = model(
        maximize=number % 2 == 1, x=pe.Var(range(n), bounds=(-chance.randint(1, 5), chance.randint(6, 9)), initialize=0)
    )
    point = [chance.uniform(-1, 6) for _ in range(n)]
    for _ in range(rows):
        a = [chance.choice((0, 0, 1, -1, 2, 0.5, -3)) for _ in range(n)]
        if not any(a):
            a[chance.randrange(n)] = 2
        if chance.random() < 0.3:  # a row of one variable
            a = [value if index == a.index(next(filter(None, a))) else 0 for index, value in enumerate(a)]
        body, side = sum(a[j] * m.x[j] for j in range(n)), sum(a[j] * point[j] for j in range(n))
        kind = chance.choice("<>=r")
        m.c.add(
            body <= side + 1 if kind == "<" else body >= side - 1 if kind == ">" else body == side
            if kind == "=" else (side - 1, body, side + 2)
        )  # fmt: skip
    return goal(m, sum(chance.randint(-5, 5) * m.x[j] for j in range(n)) + 3)


@pytest.mark.parametrize("solver", ALL)
def test_duals_and_reduced_costs_prove_the_optimum(solver: str, solvers: Mapping[str, Path]) -> None:
    """Signs, complementarity and the stationarity of the Lagrangian, on problems with rows of every kind."""
    told = 0
    for number in range(12):
        m = random_lp(number)
        m.dual, m.rc = pe.Suffix(direction=pe.Suffix.IMPORT), pe.Suffix(direction=pe.Suffix.IMPORT)
        pe.SolverFactory(f"asl:{solvers[solver]}").solve(m)
        if not len(m.dual):  # SCIP may have none to tell
            continue
        told += 1
        sign = -1 if m.sense == pe.maximize else 1
        left = {index: pe.value(m.x[index]) for index in m.x}
        costs = gradient(m.o.expr, m)
        for constraint in m.c.values():
            y, value = m.dual[constraint], pe.value(constraint.body)
            if sign * y > 1e-7:
                assert value == pytest.approx(pe.value(constraint.lower), abs=1e-6)
            if sign * y < -1e-7:
                assert value == pytest.approx(pe.value(constraint.upper), abs=1e-6)
            for index, factor in gradient(constraint.body, m).items():
                costs[index] -= y * factor
        for index, cost in costs.items():
            assert m.rc.get(m.x[index], 0.0) == pytest.approx(cost, abs=1e-6)
            if sign * cost > 1e-7:
                assert left[index] == pytest.approx(m.x[index].lb, abs=1e-6)
            if sign * cost < -1e-7:
                assert left[index] == pytest.approx(m.x[index].ub, abs=1e-6)
    assert told >= 10


def gradient(expression: Any, m: Model) -> dict[int, float]:
    from pyomo.repn import generate_standard_repn

    found = generate_standard_repn(expression)
    factors = {id(variable): value for variable, value in zip(found.linear_vars, found.linear_coefs, strict=True)}
    return {index: factors.get(id(m.x[index]), 0.0) for index in m.x}


# ---------------------------------------------------------------- no variables


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("problem", NO_VARIABLES)
def test_without_variables_the_constants_decide(
    solver: str, problem: str, solvers: Mapping[str, Path], tmp_path: Path
) -> None:
    make, words = NO_VARIABLES[problem]
    write_nl(make(), tmp_path / "p.nl")
    done = run(solvers[solver], tmp_path / "p")
    answer = read_sol(tmp_path / "p.sol")
    code = 0 if words.startswith("optimal") else INFEASIBLE
    assert (done.returncode, answer.code, done.stderr) == (0, code, "")
    assert answer.message.endswith(f": {words}") and words in done.stdout
    assert ending(tmp_path / "p.sol") == ("infeasible" if code else "optimal")


@pytest.mark.parametrize("solver", ALL)
def test_a_constraint_without_variables_counts(solver: str, solvers: Mapping[str, Path], tmp_path: Path) -> None:
    for side, code in ((3, 0), (3.5, INFEASIBLE)):
        constant_row(side).write(str(tmp_path / "p.nl"))
        assert run(solvers[solver], tmp_path / "p").returncode == 0
        assert read_sol(tmp_path / "p.sol").code == code


def test_highs_does_not_judge_rows_without_columns_in_mps(solvers: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "q.mps").write_text("NAME q\nROWS\n N obj\n G row\nCOLUMNS\nRHS\n    RHS row 8\nENDATA\n")
    done = run(solvers["highs"], tmp_path / "q.mps")
    assert done.returncode == 1 and "it has no variables" in done.stderr
