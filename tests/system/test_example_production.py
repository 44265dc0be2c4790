"""The production example as a plant would use it: versions, parameters as text, a chosen machine, live status, archives."""

import contextlib
import csv
import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from own_server import BIN, surroundings
from tests.system.attached import Machine, create
from tests.system.product import Product, await_that, problem

pytestmark = [pytest.mark.slow, pytest.mark.needs("git")]
QUICK = {"gap": 0.02, "time_limit_s": 60, "overtime_cost": 40}
ENDLESS = {"gap": 0, "time_limit_s": 600}


@dataclass(frozen=True)
class Plant:
    """The example, published on a server from its own folder by the command line; ``orders`` is its zip there."""

    product: Product
    folder: Path
    orders: str

    def inputs(self, **changes: Any) -> dict[str, Any]:
        return {"plant": self.orders, "parameters": QUICK, **changes}

    def run(self, state: str = "DONE", **changes: Any) -> dict[str, Any]:
        return self.product.run("me/production", self.inputs(**changes), state=state)

    def archive(self, job: Mapping[str, Any], name: str) -> zipfile.ZipFile:
        reply = self.product.admin.get(job["result"][name])
        assert reply.status_code == 200
        return zipfile.ZipFile(io.BytesIO(reply.content))

    def stderr(self, job: Mapping[str, Any]) -> str:
        return self.product.admin.get(f"/api/jobs/{job['id']}/stderr").text


@pytest.fixture(scope="module")
def plant(module_sirdar: Callable[..., Product], tmp_path_factory: pytest.TempPathFactory) -> Plant:
    product = module_sirdar()
    root = tmp_path_factory.mktemp("plant")
    folder = root / "production"
    shutil.copytree(samples.EXAMPLES / "production", folder, ignore=shutil.ignore_patterns("build", "repository.txt"))
    subprocess.run(["make", "--silent", "-C", folder], check=True, capture_output=True)
    profile = surroundings(root) | {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": product.token()}
    subprocess.run([BIN / "sirdar", "publish", folder], env=profile, check=True, capture_output=True)
    return Plant(product, folder, product.upload("plant.zip", (folder / "plant.zip").read_bytes()))


def plan_of(archive: zipfile.ZipFile) -> list[dict[str, str]]:
    return list(csv.DictReader(io.TextIOWrapper(archive.open("plan.csv"), encoding="utf-8")))


def test_only_what_fetches_the_source_is_published(plant: Plant) -> None:
    files = plant.product.admin.get("/api/apps/me/production").json()["files"]
    assert sorted(file["path"] for file in files) == ["bootstrap.sh", "repository.txt"]


def test_a_run_gives_all_that_was_promised(plant: Plant) -> None:
    job = plant.run(debug=True)
    result = job["result"]
    with plant.archive(job, "results") as results:
        assert sorted(results.namelist()) == ["costs.csv", "plan.csv", "summary.json"]
        summary = json.loads(results.read("summary.json"))
        check_plan(plan_of(results))
        costs = csv.DictReader(io.TextIOWrapper(results.open("costs.csv")))
        assert sum(float(row["EUR"]) for row in costs) == pytest.approx(summary["cost"], abs=0.05)
    assert (result["cost"], result["gap"]) == (summary["cost"], summary["gap_percent"])
    assert 0 <= result["gap"] <= 2.01
    assert re.fullmatch(r"main: v1\.1 \([0-9a-f]{7}\), 2026-11-20", result["version"])
    assert result["status"].startswith("within the gap: ")
    assert job["statusMessage"] == result["status"], "the job's last message is the model's last"
    assert result["cpu_s"] > 0
    assert result["wall_s"] > 0
    assert 10 < result["memory_mib"] < 2000
    with plant.archive(job, "debug") as debug:
        assert {"debug/highs.log", "debug/model.mps", "debug/memory.csv", "debug/arguments", "debug/VERSION"} <= set(
            debug.namelist()
        )
        assert debug.read("debug/arguments").decode().split() == [
            "--gap=0.02",
            "--time-limit-s=60",
            "--overtime-cost=40",
        ]
        assert b"within" not in debug.read("debug/highs.log")
        assert b"Optimal" in debug.read("debug/highs.log")


def check_plan(rows: list[dict[str, str]]) -> None:
    """In each week, for each product: what was there and what is made is what is wanted and what stays."""
    with zipfile.ZipFile(samples.EXAMPLES / "production/plant.zip") as archive:
        products = list(csv.DictReader(io.TextIOWrapper(archive.open("products.csv"))))
    have = {row["product"]: float(row["initial_stock"]) for row in products}
    assert len(rows) == 12 * len(have)
    for row in rows:
        made, wanted, after = (float(row[name]) for name in ("make", "demand", "stock"))
        after -= float(row.get("late", 0))
        assert have[row["product"]] + made == pytest.approx(wanted + after, abs=0.01), row
        have[row["product"]] = after
    assert all(float(row["late"]) == 0 for row in rows[-len(have) :]), "nothing is owed at the end"


def test_there_is_no_debug_archive_unless_asked_for(plant: Plant) -> None:
    assert plant.run()["result"].get("debug") is None


def test_another_version_is_other_code_and_says_so(plant: Plant) -> None:
    old, new = plant.run(version="v1.0"), plant.run(version="v1.1")
    assert re.fullmatch(r"v1\.0: v1\.0 \([0-9a-f]{7}\), 2026-09-14", old["result"]["version"])
    assert re.fullmatch(r"v1\.1: v1\.1 \([0-9a-f]{7}\), 2026-11-20", new["result"]["version"])
    with plant.archive(old, "results") as before, plant.archive(new, "results") as after:
        assert "late" not in plan_of(before)[0]
        assert "late" in plan_of(after)[0]
    commit = re.findall(r"\(([0-9a-f]{7})\)", old["result"]["version"])[0]
    assert plant.run(version=commit)["result"]["version"] == f"{commit}: v1.0 ({commit}), 2026-09-14"


def test_a_change_in_git_reaches_the_next_run_without_publishing(plant: Plant, tmp_path: Path) -> None:
    repository = plant.folder / "build/lot-sizing.git"
    work = tmp_path / "work"
    git = ["git", "-c", "user.name=P", "-c", "user.email=p@example.org", "-C", str(work)]
    subprocess.run(["git", "clone", "--quiet", repository, work], check=True, capture_output=True)
    plan = (work / "plan.py").read_text().replace("within the gap", "good enough")
    (work / "plan.py").write_text(plan)
    subprocess.run([*git, "commit", "--quiet", "-am", "Plainer words"], check=True)
    subprocess.run([*git, "push", "--quiet", "origin", "HEAD:refs/heads/words"], check=True, capture_output=True)
    job = plant.run(version="words")
    assert re.fullmatch(r"words: v1\.1-1-g[0-9a-f]{7} \([0-9a-f]{7}\), .*", job["result"]["version"])
    assert job["result"]["status"].startswith("good enough: ")


def test_a_version_that_is_not_there(plant: Plant) -> None:
    job = plant.run(state="FAILED", version="v9")
    assert job["outcome"]["reason"] == "exit_code"
    assert "the model has no version 'v9'; it has: v1.0 v1.1 and the branches main" in plant.stderr(job)
    refused = plant.product.admin.post("/api/apps/me/production", json={"inputs": plant.inputs(version="--exec=x")})
    problem(refused, 422, "invalid_input", "version")


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize("given", ["{gap: 0.01", '{"gap": 0.01,}', "gap = 0.01"])
def test_text_that_is_no_json_is_refused_at_its_field(plant: Plant, given: str) -> None:
    """The form sends what stands in the editor; so does a REST client that sends text."""
    before = plant.product.counts()["jobs"]
    refused = plant.product.admin.post("/api/apps/me/production", json={"inputs": plant.inputs(parameters=given)})
    problem(refused, 422, "invalid_input", "parameters")
    profile = surroundings(plant.folder.parent) | {
        "SIRDAR_URL": plant.product.url,
        "SIRDAR_TOKEN": plant.product.token(),
    }
    words = ["run", "me/production", "-i", f"plant=@{plant.folder}/plant.zip", "-i", f"parameters={given}", "--wait"]
    ran = subprocess.run([BIN / "sirdar", *words], env=profile, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stdout
    assert "parameters" in ran.stderr
    assert plant.product.counts()["jobs"] == before


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"gap": "small"}, "argument --gap: invalid float value: 'small'"),
        ({"gab": 0.01}, "unrecognized arguments: --gab=0.01"),
        ({"gap": [0.01]}, "parameters: gap shall be a number, a text, true or false, and not [0.01]"),
        ([1], "parameters: expected an object such as"),
    ],
)
def test_a_parameter_that_the_model_does_not_take_ends_with_its_words(plant: Plant, parameters: Any, said: str) -> None:
    job = plant.run(state="FAILED", parameters=parameters)
    assert job["outcome"]["reason"] == "exit_code"
    assert said in plant.stderr(job)
    assert job["result"]["version"].startswith("main: v1.1"), "the version is told of a failed run too"


def test_a_plant_without_a_file(plant: Plant) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("products.csv", "product\n")
    job = plant.run(state="FAILED", plant=plant.product.upload("plant.zip", content.getvalue()), debug=True)
    assert "products.csv has no column setup_cost; it has: product" in plant.stderr(job)
    with plant.archive(job, "debug") as debug:
        assert "debug/inputs.json" in debug.namelist(), "what a failure needs most"


# ---------------------------------------------------------------- while it runs


@dataclass(frozen=True)
class Two:
    """The server's own machine and another one, ``lab``."""

    plant: Plant
    lab: Machine


@pytest.fixture
def two(plant: Plant, tmp_path: Path) -> Iterator[Two]:
    lab = Machine(plant.product, tmp_path / "lab")
    lab.join(create(plant.product, "lab")["join"]["command"])
    lab.start("--slots", "2")
    try:
        yield Two(plant, lab)
    finally:
        lab.close()
        assert plant.product.admin.delete("/api/resources/lab").status_code == 204


def test_it_runs_where_it_was_told_to_and_says_how_it_goes(two: Two) -> None:
    product = two.plant.product
    job = product.submit("me/production", two.plant.inputs(parameters=ENDLESS), resources=["lab"])
    try:
        seen = await_that(lambda: gap_told(product.admin, job["id"]), 60, "a message of the solver's")
        assert seen["state"] == "RUNNING"
        task = product.admin.get(f"/api/jobs/{job['id']}/tasks").json()[0]
        assert task["resource"]["name"] == "lab"
        running = str(programs(two.lab))
        assert "watch.py" in running, "the auxiliary process runs beside the model"
        assert "plan.py" in running
    finally:
        product.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert product.ended(job["id"])["state"] == "CANCELLED"
    await_that(lambda: not programs(two.lab), 10, "the end of the model and the auxiliary process")


def programs(machine: Machine) -> list[str]:
    """Command lines of what runs in the machine's task directories."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(machine.home / "work"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def gap_told(client: httpx.Client, job: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
    message = found.get("statusMessage") or ""
    return found if re.search(r"[\d,]+ EUR found, [\d,]+ at least, gap", message) else None
