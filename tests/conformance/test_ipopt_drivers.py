"""One suite for all that is called ``ipopt``: the driver in C, the one on CasADi, and the real one where it is on PATH."""

import math
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyomo.environ import (
    Binary,
    ConcreteModel,
    Constraint,
    Expr_if,
    Integers,
    Objective,
    SolverFactory,
    Suffix,
    Var,
    asinh,
    maximize,
    value,
)
from tests.conformance.constant_problems import NO_VARIABLES, constant_row, ending, write_nl
from tests.conformance.ipopt.driving import Driver, Run, Written, casadi_driver, run, run_all, write
from tests.conformance.ipopt.hock_schittkowski import PROBLEMS, hs21, hs45, hs71
from tests.conformance.ipopt.other_problems import SOLVED, UNSOLVED, large, linear, maximum, quadratic
from tests.conftest import find_component, require

from sirdar.optim.build_ipopt import build_driver
from sirdar.optim.sol import read_sol

ALL_SOLVED = {**PROBLEMS, **SOLVED}
TO_THE_REFERENCE = 1e-6
BETWEEN_DRIVERS = 1e-7
ON_PATH = shutil.which("ipopt")
DRIVERS = ("native", "casadi", "path") if ON_PATH else ("native", "casadi")


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Driver]:
    found = {"casadi": casadi_driver()}
    if find_component("cc") and find_component("libamplsolver"):
        found["native"] = Driver("native", (str(build_driver(tmp_path_factory.mktemp("driver"))),))
    if ON_PATH:
        found["path"] = Driver("path", (ON_PATH,))
    return found


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, drivers: dict[str, Driver]) -> Driver:
    return one_of(drivers, request.param)


@pytest.fixture
def native(drivers: dict[str, Driver]) -> Driver:
    return one_of(drivers, "native")


def one_of(drivers: dict[str, Driver], name: str) -> Driver:
    if name not in drivers:
        require("cc"), require("libamplsolver")
    return drivers[name]


# ---------------------------------------------------------------- problems with known answers


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    condition: str
    message: str
    objective: float


@pytest.fixture(scope="session")
def answers(drivers: dict[str, Driver], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Answer]]:
    """By driver and problem; all solved with the same (no) options."""
    found: dict[str, dict[str, Answer]] = {}
    for name, driver in drivers.items():
        folder = tmp_path_factory.mktemp(name)
        written = {problem: write(build(), folder, problem) for problem, (build, _) in ALL_SOLVED.items()}
        run_all(driver, folder, written)
        found[name] = {problem: answer_of(one) for problem, one in written.items()}
    return found


def answer_of(written: Written) -> Answer:
    solver = written.load().solver
    return Answer(solver.id, str(solver.termination_condition), solver.message, float(value(written.model.obj)))


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize("problem", ALL_SOLVED)
def test_finds_the_known_answer(
    name: str, problem: str, drivers: dict[str, Driver], answers: dict[str, dict[str, Answer]]
) -> None:
    one_of(drivers, name)
    answer = answers[name][problem]
    expected = ALL_SOLVED[problem][1]

    assert (answer.code, answer.condition) == (0, "optimal")
    assert "Optimal Solution Found" in answer.message
    assert math.isclose(answer.objective, expected, rel_tol=TO_THE_REFERENCE, abs_tol=TO_THE_REFERENCE)


@pytest.mark.parametrize("problem", ALL_SOLVED)
def test_drivers_agree(problem: str, answers: dict[str, dict[str, Answer]]) -> None:
    values = [found[problem].objective for found in answers.values()]

    assert max(values) - min(values) <= BETWEEN_DRIVERS * max(1.0, *map(abs, values)), values


def test_is_a_suite_of_many_problems() -> None:
    assert len(ALL_SOLVED) >= 40


# ---------------------------------------------------------------- ends other than success


@pytest.mark.parametrize("problem", UNSOLVED)
def test_says_why_it_found_nothing(driver: Driver, problem: str, tmp_path: Path) -> None:
    build, code, message = UNSOLVED[problem]
    if driver.name == "path" and code == 502:
        pytest.skip("the real one does not say why")
    written = write(build(), tmp_path, problem)

    done = run(driver, tmp_path, problem, "-AMPL")

    results = written.results()
    assert done.exit_code == 0
    assert results.solver.id == code
    assert results.solver.message.replace("\\x3a", ":").endswith(message)
    conditions = {200: "infeasible", 300: "unbounded", 502: "internalSolverError"}
    assert str(results.solver.termination_condition) == conditions[code]


LIMITS = {
    "max_iter=2": (400, "Maximum Number of Iterations Exceeded."),
    "max_cpu_time=1e-4": (401, "Maximum CPU Time Exceeded."),
    "max_wall_time=1e-9": (402, "Maximum Wallclock Time Exceeded."),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_stops_at_a_limit(driver: Driver, limit: str, tmp_path: Path) -> None:
    build = large if "time" in limit else hs71  # the clock of the process counts in milliseconds
    written = write(build(), tmp_path, "p")

    run(driver, tmp_path, "p", "-AMPL", limit)

    results = written.results()
    code, message = LIMITS[limit]
    assert (results.solver.id, results.solver.message.split("\\x3a ")[1]) == (code, message)


# ---------------------------------------------------------------- options


@pytest.fixture
def hs71_files(tmp_path: Path) -> Written:
    return write(hs71(), tmp_path, "p")


def iterations(driver: Driver, written: Written, *words: str, **environment: str) -> int:
    done = run(driver, written.stub.parent, "p", "-AMPL", *words, environment=environment)
    assert done.exit_code == 0, done
    return done.iterations


def test_options_come_from_the_environment_the_command_line_and_the_file_in_rising_order(
    driver: Driver, hs71_files: Written
) -> None:
    file = hs71_files.stub.parent / "ipopt.opt"

    assert iterations(driver, hs71_files, ipopt_options="max_iter=1") == 1
    assert iterations(driver, hs71_files, "max_iter=2", ipopt_options="max_iter 1 tol=1e-3") == 2
    file.write_text("# a remark\nmax_iter 3\n")
    assert iterations(driver, hs71_files, "max_iter=2", ipopt_options="max_iter=1") == 3


def test_another_options_file_takes_the_place_of_the_usual_one(driver: Driver, hs71_files: Written) -> None:
    folder = hs71_files.stub.parent
    (folder / "ipopt.opt").write_text("max_iter 3\n")
    (folder / "other file.opt").write_text("max_iter 4\n")

    assert iterations(driver, hs71_files, 'option_file_name="other file.opt"') == 4
    assert iterations(driver, hs71_files, ipopt_options="option_file_name='other file.opt'") == 4


def test_a_later_word_wins_and_aliases_are_known(driver: Driver, hs71_files: Written) -> None:
    assert iterations(driver, hs71_files, "max_iter=1", "maxit=2") == 2


@pytest.mark.parametrize(
    ("word", "told"),
    [("no_such_option=1", '"no_such_option"'), ("max_iter=-3", "max_iter"), ("tol=x", "x")],
)
def test_a_wrong_option_ends_it_before_it_solves(driver: Driver, hs71_files: Written, word: str, told: str) -> None:
    done = run(driver, hs71_files.stub.parent, "p", "-AMPL", word)

    assert done.exit_code != 0
    assert told in done.stdout + done.stderr
    assert not hs71_files.stub.with_suffix(".sol").exists()


def test_a_wrong_word_in_the_options_file_ends_it(driver: Driver, hs71_files: Written) -> None:
    (hs71_files.stub.parent / "ipopt.opt").write_text("no_such_option 1\n")

    done = run(driver, hs71_files.stub.parent, "p", "-AMPL")

    assert done.exit_code == 155
    assert "no_such_option" in done.stdout + done.stderr
    assert not hs71_files.stub.with_suffix(".sol").exists()


REFUSALS = {
    "no_such=1": 'there is no option "no_such"',
    "word": 'there is no option "word"',
    "max_iter=-3": 'the option max_iter does not take the value "-3"',
    "maxit=-3": 'the option max_iter does not take the value "-3"',
    "tol=x": 'the option tol does not take the value "x"',
    "linear_solver=ma99": 'the option linear_solver does not take the value "ma99"',
    "pardisolib=/nowhere.so linear_solver=pardiso": "the option linear_solver",
    "halt_on_ampl_error=perhaps": "the option halt_on_ampl_error must be yes or no",
}


@pytest.mark.parametrize("by", ["words", "environment"])
@pytest.mark.parametrize("words", REFUSALS)
def test_what_it_refuses_stands_in_the_last_line_on_stderr(
    driver: Driver, hs71_files: Written, words: str, by: str
) -> None:
    """That line is what becomes of it in the message of a job's task."""
    if driver.name == "path":
        pytest.skip("the real one says it on standard output")
    given = (words.split(), {}) if by == "words" else ((), {"ipopt_options": words})
    done = run(driver, hs71_files.stub.parent, "p", "-AMPL", *given[0], environment=given[1])

    assert done.exit_code != 0
    assert done.stderr.splitlines()[-1].startswith(f"ipopt: {REFUSALS[words]}")
    assert not hs71_files.stub.with_suffix(".sol").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no_such 1", 'there is no option "no_such"'),
        ("max_iter -3", 'the option max_iter does not take the value "-3"'),
        ("mu_strategy blue", 'the option mu_strategy does not take the value "blue"'),
        ("tol x", "tol"),
        ("linear_solver ma57", "the option linear_solver"),
    ],
)
def test_what_it_refuses_of_the_options_file_too(driver: Driver, hs71_files: Written, line: str, told: str) -> None:
    if driver.name == "path":
        pytest.skip("the real one says it on standard output")
    (hs71_files.stub.parent / "ipopt.opt").write_text(line + "\n")
    done = run(driver, hs71_files.stub.parent, "p", "-AMPL", environment={"LD_LIBRARY_PATH": ""})

    assert done.exit_code != 0
    assert told in done.stderr.splitlines()[-1]


def two_goals() -> Any:
    m = hs71()
    m.other = Objective(expr=m.x[1])
    return m


def test_a_problem_with_two_objectives_is_refused(driver: Driver, tmp_path: Path) -> None:
    write(two_goals(), tmp_path, "p")
    done = run(driver, tmp_path, "p", "-AMPL")

    assert done.exit_code != 0
    assert "more than one objective function" in done.stdout + done.stderr
    assert not (tmp_path / "p.sol").exists()
    if driver.name != "path":
        assert done.stderr.startswith("ipopt: There is more than one objective function")


def test_integers_are_taken_as_continuous_and_the_solution_says_so(driver: Driver, tmp_path: Path) -> None:
    m = ConcreteModel()
    m.x = Var(bounds=(0, 3), domain=Integers, initialize=1)
    m.y = Var(domain=Binary, initialize=0)
    m.obj = Objective(expr=(m.x - 1.5) ** 2 + m.y)
    written = write(m, tmp_path, "p")
    done = run(driver, tmp_path, "p", "-AMPL")

    assert "==> Warning: Treating 1 binary and 1 integer variables as continuous." in done.stdout
    said = written.load().solver.message
    assert m.x.value == pytest.approx(1.5)
    if driver.name != "path":
        assert said.endswith("Optimal Solution Found (2 integer variables taken as continuous)")


def test_writes_an_output_file(driver: Driver, hs71_files: Written) -> None:
    run(driver, hs71_files.stub.parent, "p", "-AMPL", "output_file=log.txt", "file_print_level=4", "print_level=0")

    assert "EXIT: Optimal Solution Found." in (hs71_files.stub.parent / "log.txt").read_text()


def test_without_ampl_it_writes_a_solution_only_where_it_is_asked_to(driver: Driver, hs71_files: Written) -> None:
    solution = hs71_files.stub.with_suffix(".sol")

    quiet = run(driver, hs71_files.stub.parent, "p.nl")
    assert ("Optimal Solution Found" in quiet.stdout, solution.exists()) == (True, False)
    run(driver, hs71_files.stub.parent, "p", "wantsol=1")
    assert solution.exists()


def test_says_its_version_and_lists_its_options(driver: Driver, tmp_path: Path) -> None:
    versions = [run(driver, tmp_path, word).stdout for word in ("-v", "--version")]
    options = run(driver, tmp_path, "-=")

    assert all(version.startswith("Ipopt 3.") for version in versions)
    assert {"max_iter", "tol", "linear_solver"} <= {
        line.split()[0] for line in options.stdout.splitlines() if line.strip()
    }


@pytest.mark.parametrize("words", [(), ("none", "-AMPL")], ids=["no file named", "no such file"])
def test_says_that_there_is_no_problem(driver: Driver, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(driver, tmp_path, *words)

    assert done.exit_code != 0
    assert "nl" in done.stdout + done.stderr


def test_a_file_that_is_cut_off_is_an_error(driver: Driver, hs71_files: Written) -> None:
    path = hs71_files.stub.with_suffix(".nl")
    path.write_text(path.read_text()[:400])

    done = run(driver, hs71_files.stub.parent, "p", "-AMPL")

    assert done.exit_code != 0
    assert not hs71_files.stub.with_suffix(".sol").exists()


# ---------------------------------------------------------------- multipliers and suffixes


def with_suffixes(m: Any) -> Any:
    """In and out, as Pyomo's users write them for warm starts."""
    m.dual = Suffix(direction=Suffix.IMPORT_EXPORT)
    m.ipopt_zL_out = Suffix(direction=Suffix.IMPORT)
    m.ipopt_zU_out = Suffix(direction=Suffix.IMPORT)
    m.ipopt_zL_in = Suffix(direction=Suffix.EXPORT)
    m.ipopt_zU_in = Suffix(direction=Suffix.EXPORT)
    return m


def solved(driver: Driver, m: Any, folder: Path, *words: str) -> tuple[Run, Any]:
    written = write(m, folder, "p")
    done = run(driver, folder, "p", "-AMPL", *words)
    written.load()
    return done, m


def test_multipliers_have_the_signs_of_the_objective_as_it_is_written(driver: Driver, tmp_path: Path) -> None:
    _, least = solved(driver, with_suffixes(quadratic()), tmp_path)
    assert least.dual[least.c1] == pytest.approx(-2, abs=1e-5)  # a looser bound lowers a minimum

    _, most = solved(driver, with_suffixes(linear()), tmp_path)
    assert [most.dual[c] for c in (most.c1, most.c2, most.c3)] == pytest.approx([0, 1.5, 1], abs=1e-5)


def test_multipliers_of_bounds_come_as_suffixes(driver: Driver, tmp_path: Path) -> None:
    _, m = solved(driver, with_suffixes(hs21()), tmp_path)
    assert m.ipopt_zL_out[m.x[1]] == pytest.approx(0.04, abs=1e-5)
    assert m.ipopt_zU_out.get(m.x[1], 0.0) == pytest.approx(0, abs=1e-5)

    _, m = solved(driver, with_suffixes(hs45()), tmp_path)
    assert [m.ipopt_zU_out[m.x[i]] for i in range(1, 6)] == pytest.approx([-1 / i for i in range(1, 6)], abs=1e-5)


def test_multipliers_of_bounds_of_a_maximum(driver: Driver, tmp_path: Path) -> None:
    m = with_suffixes(ConcreteModel())
    m.x = Var(bounds=(0, 3), initialize=1)
    m.y = Var(bounds=(1, 8), initialize=2)
    m.obj = Objective(expr=2 * m.x - 5 * m.y, sense=maximize)
    solved(driver, m, tmp_path)

    assert m.ipopt_zU_out[m.x] == pytest.approx(2, abs=1e-5)
    assert m.ipopt_zL_out[m.y] == pytest.approx(-5, abs=1e-5)


WARM = ("warm_start_init_point=yes", "mu_init=1e-6", "warm_start_bound_push=1e-8", "warm_start_mult_bound_push=1e-8")


@pytest.mark.parametrize("build", [hs71, maximum, linear])
def test_a_warm_start_takes_fewer_iterations(driver: Driver, build: Any, tmp_path: Path) -> None:
    cold, m = solved(driver, with_suffixes(build()), tmp_path)
    m.ipopt_zL_in.update(m.ipopt_zL_out)
    m.ipopt_zU_in.update(m.ipopt_zU_out)
    best = value(m.obj)

    warm, m = solved(driver, m, tmp_path, *WARM)

    assert warm.iterations < cold.iterations
    assert warm.iterations <= 3
    assert value(m.obj) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("build", [hs71, maximum])
def test_multipliers_go_in_as_they_came_out(driver: Driver, build: Any, tmp_path: Path) -> None:
    _, m = solved(driver, with_suffixes(build()), tmp_path)
    m.ipopt_zL_in.update(m.ipopt_zL_out)
    m.ipopt_zU_in.update(m.ipopt_zU_out)
    duals, lower = list(m.dual.items()), list(m.ipopt_zL_out.items())

    solved(driver, m, tmp_path, *WARM, "max_iter=0")

    assert [m.dual[c] for c, _ in duals] == pytest.approx([given for _, given in duals], rel=1e-3, abs=1e-6)
    assert [m.ipopt_zL_out.get(x, 0.0) for x, _ in lower] == pytest.approx([z for _, z in lower], rel=1e-3, abs=1e-5)


def badly_scaled() -> Any:
    m = ConcreteModel()
    m.x = Var(initialize=1.0)
    m.y = Var(initialize=1.0)
    m.obj = Objective(expr=1e4 * (m.x - 1) ** 2 + 1e-2 * (m.y - 3e3) ** 2)
    m.c = Constraint(expr=1e3 * m.x - 1e-3 * m.y >= 2)
    m.scaling_factor = Suffix(direction=Suffix.EXPORT)
    m.scaling_factor[m.obj] = 1e-2
    m.scaling_factor[m.y] = 1e-3
    m.scaling_factor[m.c] = 1e-3
    return m


def test_scaling_factors_are_used_or_refused(driver: Driver, tmp_path: Path) -> None:
    write(badly_scaled(), tmp_path, "p")

    plain = run(driver, tmp_path, "p", "-AMPL", "print_level=5")
    scaled = run(driver, tmp_path, "p", "-AMPL", "nlp_scaling_method=user-scaling", "print_level=5")

    assert plain.exit_code == 0
    if driver.name == "casadi":
        assert scaled.exit_code == 1
        assert "`sirdar optim install` builds a driver that can" in scaled.stderr
        return
    objective = next(line.split()[1:] for line in scaled.stdout.splitlines() if line.startswith("Objective....."))
    assert float(objective[0]) == pytest.approx(float(objective[1]) * 1e-2, rel=1e-9, abs=1e-12)


def test_expressions_are_solved_or_refused(driver: Driver, tmp_path: Path) -> None:
    m = ConcreteModel()
    m.x = Var(initialize=2.0, bounds=(0.5, 9))
    m.obj = Objective(expr=Expr_if(m.x >= 1, (m.x - 3) ** 2, m.x**2) + (asinh(m.x) - asinh(3)) ** 2)
    write(m, tmp_path, "p")

    done = run(driver, tmp_path, "p", "-AMPL")

    if driver.name == "casadi":
        assert (done.exit_code, (tmp_path / "p.sol").exists()) == (1, False)
        assert "not supported. Where there is a C compiler" in done.stderr
    else:
        assert "EXIT: Optimal Solution Found." in done.stdout


# ---------------------------------------------------------------- behind Pyomo's own doors


@pytest.fixture
def executable(driver: Driver, tmp_path: Path) -> Iterator[str]:
    """One file that is the command, as Pyomo wants it."""
    if len(driver.command) == 1:
        yield driver.command[0]
        return
    script = tmp_path / "ipopt"
    script.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in driver.command) + ' "$@"\n')
    script.chmod(0o755)
    yield str(script)


def test_is_an_ipopt_to_pyomo(executable: str) -> None:
    solver = SolverFactory("ipopt", executable=executable)
    solver.options["tol"] = 1e-9
    solver.options["OF_max_iter"] = 50
    m = with_suffixes(hs71())

    results = solver.solve(m)

    assert solver.available()
    assert solver.version()[:2] == (3, 14)
    assert str(results.solver.termination_condition) == "optimal"
    assert value(m.obj) == pytest.approx(17.0140173, rel=1e-6)
    assert m.dual[m.c1] == pytest.approx(0.5522936, rel=1e-4)


def test_is_an_ampl_solver_to_pyomo(executable: str) -> None:
    m = hs71()

    results = SolverFactory(f"asl:{executable}").solve(m, options={"max_iter": 100})

    assert str(results.solver.termination_condition) == "optimal"
    assert value(m.obj) == pytest.approx(17.0140173, rel=1e-6)


def test_pyomo_is_told_of_a_limit(executable: str) -> None:
    results = SolverFactory("ipopt", executable=executable).solve(hs71(), options={"max_iter": 2})

    assert str(results.solver.termination_condition) == "maxIterations"


# ---------------------------------------------------------------- the driver in C alone


def test_stops_at_a_failed_evaluation_where_it_is_asked_to(native: Driver, tmp_path: Path) -> None:
    write(UNSOLVED["nan_at_start"][0](), tmp_path, "p")

    done = run(native, tmp_path, "p", "-AMPL", "halt_on_ampl_error=yes")

    assert done.exit_code == 1
    assert "log" in done.stdout + done.stderr
    assert not (tmp_path / "p.sol").exists()


def test_prints_the_documentation_of_all_options(native: Driver, tmp_path: Path) -> None:
    assert "Desired convergence tolerance" in run(native, tmp_path, "--print-options").stdout
    assert "\\anchor OPT_tol" in run(native, tmp_path, "--print-options=doxygen").stdout


def test_says_where_its_library_was(native: Driver, tmp_path: Path) -> None:
    done = run(native, tmp_path, "-v", environment={"SIRDAR_IPOPT_LIBRARY": str(tmp_path / "libipopt.so.3")})

    assert done.exit_code == 127
    assert "sirdar optim install" in done.stderr


# ---------------------------------------------------------------- no variables

OWN = ("native", "casadi")  # other commands refuse such problems


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("problem", NO_VARIABLES)
def test_without_variables_the_constants_decide(
    name: str, problem: str, drivers: dict[str, Driver], tmp_path: Path
) -> None:
    make, words = NO_VARIABLES[problem]
    write_nl(make(), tmp_path / "p.nl")
    done = run(one_of(drivers, name), tmp_path, "p", "-AMPL", "max_iter=5")
    assert (done.exit_code, done.stderr) == (0, "")
    answer, optimal = read_sol(tmp_path / "p.sol"), words.startswith("optimal")
    assert (answer.code, ending(tmp_path / "p.sol")) == ((0, "optimal") if optimal else (200, "infeasible"))
    assert answer.message.startswith("Ipopt 3.") and answer.message.endswith(f": {words}")
    assert not any(answer.duals)


@pytest.mark.parametrize("name", OWN)
def test_without_variables_options_are_read_and_a_solution_is_written_for_ampl_only(
    name: str, drivers: dict[str, Driver], tmp_path: Path
) -> None:
    write_nl(NO_VARIABLES["fixed"][0](), tmp_path / "p.nl")
    driver = one_of(drivers, name)
    refused = run(driver, tmp_path, "p", "-AMPL", "nonsense=1")
    assert refused.exit_code == 1 and 'there is no option "nonsense"' in refused.stderr
    assert run(driver, tmp_path, "p").exit_code == 0 and not (tmp_path / "p.sol").exists()
    assert run(driver, tmp_path, "p", "wantsol=1").exit_code == 0 and (tmp_path / "p.sol").exists()


def test_the_driver_in_c_reads_constants_in_binary(native: Driver, tmp_path: Path) -> None:
    """As AMPL writes files unless it is told to write text."""
    write_nl(NO_VARIABLES["infeasible"][0](), tmp_path / "p.nl")
    text = (tmp_path / "p.nl").read_bytes()
    header = b"b3 1 1 0\n" + b"\n".join(text.split(b"\n")[1:10]) + b"\n"
    segments = [
        b"S" + struct.pack("=iii4s", 1, 1, 4, b"kind") + struct.pack("=ii", 0, 3),
        b"C" + struct.pack("=i", 0) + b"s" + struct.pack("=h", -2),
        b"O" + struct.pack("=ii", 0, 1) + b"n" + struct.pack("=d", 2.5),
        b"x" + struct.pack("=i", 0) + b"r4" + struct.pack("=d", 1.5) + b"b" + b"k" + struct.pack("=i", 0),
    ]
    (tmp_path / "p.nl").write_bytes(header + b"".join(segments))
    assert "constraint 0 is missed by 3.5" in run(native, tmp_path, "p", "-AMPL").stdout
    assert run(native, tmp_path, "p", "-AMPL").exit_code == 0
    (tmp_path / "p.nl").write_bytes(header + b"".join(segments)[:-9])
    torn = run(native, tmp_path, "p", "-AMPL")
    assert torn.exit_code == 1 and "its constants cannot be read" in torn.stderr


@pytest.mark.parametrize("side", [3.0, 3.5])
def test_a_constraint_without_variables_counts(side: float, driver: Driver, tmp_path: Path) -> None:
    written = write(constant_row(side), tmp_path, "p")
    assert run(driver, tmp_path, "p", "-AMPL").exit_code == 0
    assert written.results().solver.id == (0 if side <= 3 else 200)
