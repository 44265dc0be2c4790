"""``cbc``: a CBC that reads no .nl (Debian's is built so), as an AMPL solver for linear and mixed-integer linear problems."""

import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sirdar.optim import sol
from sirdar.optim.doors.call import Door, Given, OptionFault, Solved, SolverFault, problem_of, serve
from sirdar.optim.mps import mps_lines
from sirdar.optim.nl import Problem
from sirdar.optim.sol import Answer

ALIAS = {
    "timelim": "seconds",
    "timelimit": "seconds",
    "time_limit": "seconds",
    "mipgap": "ratioGap",
    "mipgapabs": "allowableGap",
    "maxnodes": "maxNodes",
    "outlev": "log",
    "max_iter": "maxIterations",
}
# How the first line of CBC's solution file begins, and what that is to AMPL; the longer ones first.
ENDS = (
    ("Optimal", sol.SOLVED, "optimal solution"),
    ("Integer infeasible", sol.INFEASIBLE, "infeasible problem"),
    ("Infeasible", sol.INFEASIBLE, "infeasible problem"),
    ("Unbounded", sol.UNBOUNDED, "unbounded problem"),
    ("Stopped on time", sol.LIMIT_BY_TIME, "stopped at the time limit"),
    ("Stopped on iterations", sol.LIMIT_BY_ITERATIONS, "stopped at the iteration limit"),
    ("Stopped on nodes", sol.LIMIT_BY_NODES, "stopped at the node limit"),
    ("Stopped on ctrl-c", sol.LIMIT, "interrupted"),
    ("Stopped", sol.LIMIT, "stopped"),
)
NO_POINT = "no integer solution"
NODE_LIMIT = "Exiting on maximum nodes"


def main(words: Sequence[str], program: str) -> int:
    """The command. ``program``: the CBC that does the work."""
    return serve(Door("cbc", partial(version, program), partial(solve, program), ALIAS), words)


def version(program: str) -> str:
    """As the command tells it. Raises SolverFault."""
    try:
        done = subprocess.run([program, "-quit"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise SolverFault(f"{program} cannot be started: {error}") from None
    return _version_said(done.stdout) or "CBC of unknown version"


def _version_said(text: str) -> str:
    found = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Version:"))
    return next((f"CBC {version}" for version in found), "")


def solve(program: str, given: Given) -> Solved:
    """Solve the problem of one call."""
    if not given.is_nl:
        raise SolverFault(f"{given.problem}: AMPL's manner is for .nl files; {program} reads this one itself")
    problem = problem_of(given)
    with tempfile.TemporaryDirectory(prefix="sirdar-cbc-") as place:
        folder = Path(place)
        with (folder / "problem.mps").open("w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in mps_lines(problem))
        said = _run(program, folder, given, problem)
        answer = _answer(folder, problem, said, _version_said(said) or version(program))
    return Solved(answer, problem.n_vars, problem.n_rows, problem.options)


def _run(program: str, folder: Path, given: Given, problem: Problem) -> str:
    """Solves it in the directory; what it said, which is passed on as well."""
    words = [program, "problem.mps"]
    if problem.start and any(problem.integer):
        _write_start(folder / "start.txt", problem)
        words += ["-mipStart", "start.txt"]
    for name, value in given.options:
        words += [f"-{name}", value]
    words += [
        "-solve",
        "-printingOptions",
        "all",
        "-solution",
        "solution.txt",
        "-saveSolution",
        "solution.bin",
        "-quit",
    ]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise SolverFault(f"{program} cannot be started: {error}") from None
    print(done.stdout, end="", flush=True)  # noqa: T201
    unknown = [line for line in done.stdout.splitlines() if line.startswith("No match for")]
    if unknown:
        raise OptionFault(f"CBC has no such option: {unknown[0].removeprefix('No match for').split(' - ')[0].strip()}")
    if done.returncode < 0:
        raise SolverFault(f"CBC was ended by signal {-done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _write_start(path: Path, problem: Problem) -> None:
    lines = [f"{i} C{i} {problem.start.get(i, 0.0)!r}\n" for i in range(problem.n_vars)]
    path.write_text("start\n" + "".join(lines), encoding="ascii")


def _answer(folder: Path, problem: Problem, said: str, name: str) -> Answer:
    told = folder / "solution.txt"
    first = told.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0] if told.is_file() else ""
    ended = next(((code, words) for begin, code, words in ENDS if first.startswith(begin)), None)
    if ended is None:
        raise SolverFault(f"CBC ended without an answer{f' ({first})' if first else ''}; what it said stands above")
    code, words = ended
    if code == sol.LIMIT_BY_ITERATIONS and NODE_LIMIT in said:  # its file does not tell the two limits apart
        code, words = sol.LIMIT_BY_NODES, "stopped at the node limit"
    has_point = NO_POINT not in first and code // 100 in (0, 4)
    if not has_point:
        missing = ", without a solution" if code >= sol.LIMIT else ""
        code += sol.WITHOUT_POINT if code >= sol.LIMIT else 0
        return Answer(code, f"{name}: {words}{missing}")
    x, duals, reduced = _numbers(folder / "solution.bin", problem)
    message = f"{name}: {words}; objective {problem.objective(x):.15g}"
    if any(problem.integer):
        return Answer(code, message, x)
    return Answer(code, message, x, duals, {"rc": reduced})


def _numbers(path: Path, problem: Problem) -> tuple[list[float], list[float], list[float]]:
    """Values, duals of the rows and reduced costs, exactly: its text has eight digits only. Raises SolverFault."""
    n, m = problem.n_vars, problem.n_rows
    form = struct.Struct(f"=iid{m}d{m}d{n}d{n}d")
    content = path.read_bytes() if path.is_file() else b""
    if len(content) != form.size:
        raise SolverFault("CBC wrote no solution; what it said stands above")
    rows, columns, _, *numbers = form.unpack(content)
    if (rows, columns) != (m, n):
        raise SolverFault(f"CBC's solution is of another problem: {rows} rows, {columns} columns")
    sign = -1.0 if problem.maximize else 1.0
    duals = [sign * value for value in numbers[m : 2 * m]]
    x = numbers[2 * m : 2 * m + n]
    return x, duals, [sign * value for value in numbers[2 * m + n :]]
