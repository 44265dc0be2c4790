"""examples/identification on a machine with Ipopt by ``sirdar optim install``: against a sweep one after another, and its jobs."""

import csv
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import samples
from own_server import BIN, surroundings
from tests.system.product import Product

import sirdar.client
from sirdar.optim import Solved, Status
from sirdar.optim.pyomo_models import load, write_problem
from sirdar.optim.sol_reader import read_sol
from sirdar.wire.solvers import DIRECTORY_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.needs("pyomo", "matplotlib")]
SCRIPT = samples.EXAMPLES / "identification" / "identify.py"
STEPS, FOLDS, INTERVALS, LOW, HIGH, SEED = 7, 3, 51, -7.0, 1.0, 1


@dataclass(frozen=True)
class Lab:
    product: Product
    profile: dict[str, str]
    ipopt: Path

    def solve(self, models: Sequence[Any], _: str) -> list[Solved]:
        """One after another, by the command alone."""
        return [self._solve_one(number, model) for number, model in enumerate(models)]

    def _solve_one(self, number: int, model: Any) -> Solved:
        problem, path = write_problem(number, model), self.product.root / "one.nl"
        path.write_bytes(problem.nl)
        subprocess.run([self.ipopt, path, "-AMPL"], check=True, capture_output=True)
        sol = read_sol(path.with_suffix(".sol").read_text())
        load(problem, sol)
        assert sol.code is not None and sol.code < 100
        return Solved(number, problem.name, Status.OPTIMAL)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root, place = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("solvers")
    solvers = {DIRECTORY_VARIABLE: str(place)}
    subprocess.run(
        [BIN / "sirdar", "optim", "install"], env=surroundings(root) | solvers, check=True, capture_output=True
    )
    product = Product(root, environment=solvers)
    product.start()
    try:
        profile = surroundings(root) | {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": product.token()}
        yield Lab(product, profile, place / "ipopt")
    finally:
        product.close()


def test_the_found_alpha_foretells_best_and_each_step_is_a_job(lab: Lab, tmp_path: Path) -> None:
    words = ["--steps", STEPS, "--folds", FOLDS, "--intervals", INTERVALS, "--range", LOW, HIGH, "--seed", SEED]
    ran = subprocess.run(
        [sys.executable, SCRIPT, "-o", tmp_path, *map(str, words)],
        env=lab.profile,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "identification.png").read_bytes().startswith(b"\x89PNG")
    steps = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert [int(one["step"]) for one in steps] == list(range(1, STEPS + 1))
    check_jobs(lab)
    points = [(float(one[f"{side}_error"]), float(one[side])) for one in steps for side in ("left", "right")]
    check_against_a_sweep(lab, *min(points))


def check_jobs(lab: Lab) -> None:
    """A job for each step, of all its problems, and the one of the fits by all samples."""
    with sirdar.client.connect(lab.profile["SIRDAR_URL"], lab.profile["SIRDAR_TOKEN"]) as client:
        jobs = [(job.name, len(list(job.tasks()))) for job in client.jobs()]
    steps = [(f"identification, step {number}", 2 * FOLDS) for number in range(1, STEPS + 1)]
    assert sorted(jobs) == sorted([*steps, ("identification, all samples", 3)])


def check_against_a_sweep(lab: Lab, error: float, found: float) -> None:
    example = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
    data = example.measured(INTERVALS, SEED)
    validation = example.Validation(data, FOLDS, lab.solve)
    sweep = {point: validation.errors([point], "sweep")[0] for point in range(int(LOW), int(HIGH) + 1)}
    assert error <= 1.02 * min(sweep.values())
    assert error < min(sweep[int(LOW)], sweep[int(HIGH)])
    assert validation.errors([found], "again")[0] == pytest.approx(error, rel=1e-4)
    (model,) = example.fits(data, [found], lab.solve)
    fit = [model.x[i].value for i in range(len(data.t))]
    assert example.rms(fit, data.truth) < 0.75 * example.rms(data.samples, data.truth)
