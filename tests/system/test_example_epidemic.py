"""The epidemic as its README tells it: one sweep of a compiled program, by the command line and by Everest's plan."""

import csv
import io
import json
import math
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import samples
from own_server import BIN, surroundings
from tests.system.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.needs("cc", "make")]
SWEEP = ("-i", "beta=1.2..2.2:0.1", "-i", "gamma=0.3..0.6:0.05", "--where", "beta > 2.9 * gamma")
COLUMNS = ("inputs.beta", "inputs.gamma", "outputs.error", "outputs.peak", "outputs.peak_day", "outputs.reproduction")


@dataclass(frozen=True)
class School:
    """The example in a folder of its own, published."""

    product: Product
    folder: Path
    profile: dict[str, str]

    def sirdar(self, *words: str | Path) -> str:
        ran = subprocess.run(
            [BIN / "sirdar", *words], env=self.profile, cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def values(self, job: str) -> list[tuple[float, ...]]:
        """The table as the command line prints it."""
        rows = csv.DictReader(io.StringIO(self.sirdar("job", "table", job)))
        return [tuple(float(row[name]) for name in COLUMNS) for row in rows]


@pytest.fixture(scope="module")
def school(module_sirdar: Callable[..., Product], tmp_path_factory: pytest.TempPathFactory) -> School:
    product = module_sirdar()
    folder = tmp_path_factory.mktemp("school") / "epidemic"
    shutil.copytree(samples.EXAMPLES / "epidemic", folder)
    subprocess.run(["make", "--silent", "-B"], cwd=folder, check=True, capture_output=True)
    profile = surroundings(folder) | {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": product.token()}
    made = School(product, folder, profile)
    made.sirdar("publish", ".")
    return made


@pytest.fixture(scope="module")
def swept(school: School) -> dict[str, Any]:
    words = ("sweep", "me/epidemic", "-i", "cases=@cases.csv", *SWEEP, "--minimize", "error", "--wait", "--json")
    job: dict[str, Any] = json.loads(school.sirdar(*words))
    return job


def combinations() -> list[tuple[float, float]]:
    """In whole hundredths, where nothing is rounded."""
    pairs = [(beta, gamma) for beta in range(120, 221, 10) for gamma in range(30, 61, 5) if 10 * beta > 29 * gamma]
    return [(beta / 100, gamma / 100) for beta, gamma in pairs]


def infected(beta: float, gamma: float) -> list[float]:
    """The same equations by another way than the program's: Euler's small steps, extrapolated."""
    coarse, fine = (_euler(beta, gamma, steps) for steps in (400, 800))
    return [2 * b - a for a, b in zip(coarse, fine, strict=True)]


def _euler(beta: float, gamma: float, steps: int) -> list[float]:
    s, i, found = 760.0, 3.0, [3.0]
    for _ in range(13):
        for _ in range(steps):
            caught = beta * s * i / 763
            s, i = s - caught / steps, i + (caught - gamma * i) / steps
        found.append(i)
    return found


def test_the_sweep_finds_the_rates_of_the_school(school: School, swept: dict[str, Any]) -> None:
    assert swept["state"] == "DONE"
    values = school.values(swept["id"])
    assert [row[:2] for row in values] == combinations()
    least = min(values, key=lambda row: row[2])
    assert least[:2] == (1.7, 0.45)
    assert swept["best"]["task"] == values.index(least)
    assert swept["best"]["value"] == least[2]
    assert (swept["best"]["inputs"]["beta"], swept["best"]["inputs"]["gamma"]) == (1.7, 0.45)
    cases = (school.folder / "cases.csv").read_text().splitlines()
    counted = [int(row["in_bed"]) for row in csv.DictReader(cases)]
    curve = infected(1.7, 0.45)
    error = math.sqrt(sum((a - b) ** 2 for a, b in zip(curve, counted, strict=True)) / len(counted))
    assert least[2] == pytest.approx(error, rel=1e-4)


def test_everests_plan_gives_the_same_table(school: School, swept: dict[str, Any]) -> None:
    words = ("run", "sirdar/parameter-sweep", "-i", "plan=@epidemic.plan", "-i", "files=@epidemic.zip", "--wait")
    job = json.loads(school.sirdar(*words, "--json"))
    assert (job["state"], job["tasks"]["done"]) == ("DONE", len(combinations()))
    assert school.values(job["id"]) == school.values(swept["id"])
    assert (job["best"]["task"], job["best"]["value"]) == (swept["best"]["task"], swept["best"]["value"])
    reply = school.product.admin.get(job["result"]["results"])
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        best = f"{job['best']['task']}/"
        assert archive.read(best + "parameters.txt") == b"beta = 1.7\ngamma = 0.45\n"
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(best + "curve.csv"))))
    assert [float(row["infected"]) for row in rows] == pytest.approx(infected(1.7, 0.45), rel=1e-3)


@pytest.mark.needs("matplotlib")
def test_the_picture_marks_the_best(school: School, swept: dict[str, Any]) -> None:
    words = ("--x", "beta", "--by", "gamma", "--y", "error", "--best", "min", "-o", "map.svg", "--json")
    told = json.loads(school.sirdar("plot", swept["id"], *words))
    assert told["shown"] == len(combinations())
    assert told["best"]["no"] == swept["best"]["task"]
    assert "<svg" in (school.folder / "map.svg").read_text()
