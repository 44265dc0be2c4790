"""(m) Two levels: the whole search of examples/identification, 21 steps of 8 problems, each step a call of ``solve_all``.

Next to it a script by hand for one machine: it writes each .nl by Pyomo in the same way, starts the same driver for it on one of
two threads as soon as it is written, and reads each .sol in the same way. The models are built before the clock starts; both make
the same steps.
"""

import contextlib
import io
import os
import runpy
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sirdar.client
from bench.product import running
from bench.report import Config, Row, alternate, medians, spread
from sirdar.client import Client
from sirdar.optim import Solved, Status, solve_all
from sirdar.optim.install import install
from sirdar.optim.pyomo_models import Problem, load, write_problem
from sirdar.optim.sol_reader import Sol, read_sol

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "identification" / "identify.py"
STEPS, STEPS_QUICK = 21, 4
FOLDS, INTERVALS, LOW, HIGH, SEED = 4, 102, -7.0, 1.0, 1
GOAL = 1.3

Solve = Callable[[Sequence[Any], str], Sequence[Solved]]


def run(config: Config) -> list[Row]:
    """Seconds of the search by ``solve_all``, cold and warm, and by hand."""
    steps = STEPS_QUICK if config.quick else STEPS
    folder = config.work / "by-hand"
    folder.mkdir()
    solvers = {**os.environ, "SIRDAR_SOLVERS": str(config.work / "solvers")}
    ipopt = next(Path(one.path) for one in install(solvers).solvers if one.name == "ipopt")
    found: dict[str, list[tuple[float, float]]] = {}
    with (
        running(config.work, SIRDAR_SOLVERS=solvers["SIRDAR_SOLVERS"]) as (product, _),
        sirdar.client.connect(product.url, product.token) as client,
    ):
        ways = {
            "warm": partial(by_product, client, warm=True),
            "cold": partial(by_product, client, warm=False),
            "by hand": partial(by_hand, ipopt, folder),
        }
        search_round("warm", ways["warm"], 2, {})
        figures = alternate(
            config.rounds, {name: partial(search_round, name, way, steps, found) for name, way in ways.items()}
        )
    assert found["warm"] == found["cold"] == found["by hand"], found
    return rows_of(steps, figures)


def search_round(name: str, solve: Solve, steps: int, found: dict[str, list[tuple[float, float]]]) -> float:
    """Seconds of the search; its points and errors go to ``found``."""
    example = SimpleNamespace(**runpy.run_path(str(EXAMPLE)))
    validation = example.Validation(example.measured(INTERVALS, SEED), FOLDS, solve)
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        made = example.search(validation, LOW, HIGH, steps)
        took_s = time.perf_counter() - began
    found[name] = example.tried(made)
    return took_s


def by_product(client: Client, models: Sequence[Any], what: str, *, warm: bool) -> Sequence[Solved]:
    return solve_all(models, client=client, name=what, progress=False, warm=warm)


def by_hand(ipopt: Path, folder: Path, models: Sequence[Any], _: str) -> Sequence[Solved]:
    """The next .nl is written while drivers run; solutions go into the models when all are written, as they come."""
    with ThreadPoolExecutor(2) as pool:
        running = {}
        for number, model in enumerate(models):
            problem = write_problem(number, model)
            running[pool.submit(drive, ipopt, folder, problem)] = problem
        records = []
        for future in as_completed(running):
            problem, sol = running[future], future.result()
            load(problem, sol)
            records.append(Solved(problem.index, problem.name, Status.OPTIMAL))
    return records


def drive(ipopt: Path, folder: Path, problem: Problem) -> Sol:
    path = folder / f"{problem.index}.nl"
    path.write_bytes(problem.nl)
    subprocess.run([ipopt, path, "-AMPL"], check=True, stdout=subprocess.DEVNULL)
    sol = read_sol(path.with_suffix(".sol").read_text())
    assert sol.code is not None and sol.code < 100, sol.code
    return sol


def rows_of(steps: int, figures: dict[str, list[float]]) -> list[Row]:
    took, load_1 = medians(figures), os.getloadavg()[0]
    return [
        Row(
            f"a search of {steps} steps of {2 * FOLDS} problems, {name}",
            took[name],
            "s",
            limit=took["by hand"],
            limit_what="a script by hand, two drivers at once",
            ratio_at_most=GOAL,
            note=f"{spread(figures[name])}; by hand {spread(figures['by hand'])}; load of the machine at the end {load_1:.1f}",
        )
        for name in ("cold", "warm")
    ]
