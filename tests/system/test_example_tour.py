"""The branch and bound of examples/tour on two machines: what is found on the one cuts the search on the other."""

import csv
import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import samples
from own_server import BIN, surroundings
from tests.system.attached import Machine, await_state, create
from tests.system.product import Product

pytestmark = pytest.mark.slow
FOLDER = samples.EXAMPLES / "tour"
CITIES = 12


@dataclass(frozen=True)
class Field:
    product: Product
    profile: dict[str, str]

    def sirdar(self, *words: str | Path) -> str:
        ran = subprocess.run([BIN / "sirdar", *words], env=self.profile, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def search(self, share: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The job of one whole search, and its tasks."""
        subtrees = ("-i", f"first=1..{CITIES - 1}", "-i", f"second=1..{CITIES - 1}", "--where", "first != second")
        given = ("-i", f"cities=@{FOLDER / 'cities.csv'}", "-i", f"share={share}")
        words = ("sweep", "me/tour", *given, *subtrees, "--minimize", "length", "--wait", "--json")
        job = json.loads(self.sirdar(*words))
        assert (job["state"], job["tasks"]["done"]) == ("DONE", (CITIES - 1) * (CITIES - 2)), job["info"]
        return job, self.product.admin.get(f"/api/jobs/{job['id']}/tasks?limit=1000").json()


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """A server with a slot of its own, and a second machine with another."""
    root = tmp_path_factory.mktemp("tour")
    (root / "product").mkdir()
    product = Product(root / "product", slots=1)
    product.start()
    create(product, "second")
    token = product.admin.post("/api/resources/second/tokens", json={}).json()["token"]
    environment = {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": token, "MAX_TASKS": "1"}
    machine = Machine(product, root / "second", environment)
    try:
        machine.start()
        await_state(product, "second", "online")
        field = Field(product, surroundings(root) | {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": product.token()})
        field.sirdar("publish", FOLDER)
        yield field
    finally:
        machine.close()
        product.close()


def shortest() -> float:
    """By Held and Karp's dynamic programme: the shortest way from city 0 through a set to a city."""
    with (FOLDER / "cities.csv").open() as file:
        places = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    road = [[math.dist(a, b) for b in places] for a in places]
    others = range(1, len(places))
    ways = {(1 << city, city): road[0][city] for city in others}
    for _ in range(len(places) - 2):
        longer: dict[tuple[int, int], float] = {}
        for (visited, last), length in ways.items():
            for city in others:
                if not visited >> city & 1:
                    key = (visited | 1 << city, city)
                    longer[key] = min(longer.get(key, math.inf), length + road[last][city])
        ways = longer
    return min(length + road[last][0] for (_, last), length in ways.items())


def test_what_is_found_on_one_machine_cuts_on_the_other(two_machines: Field) -> None:
    together, tasks = two_machines.search("yes")
    ran_on = {task["no"]: task["resource"]["name"] for task in tasks}
    assert len(set(ran_on.values())) == 2, "both machines have worked"
    assert together["best"]["value"] == pytest.approx(shortest(), abs=1e-6)
    tour = tasks[together["best"]["task"]]["result"]["tour"]
    assert sorted(tour) == list(range(CITIES))

    crossed = dict.fromkeys(ran_on.values(), 0)
    for task in tasks:
        for finder, branches in task["result"]["cut_by"].items():
            if finder and ran_on[int(finder.split("-")[1])] != ran_on[task["no"]]:
                crossed[ran_on[task["no"]]] += branches
    assert sum(crossed.values()) > 1000, crossed

    alone, tasks_alone = two_machines.search("no")
    assert alone["best"]["value"] == together["best"]["value"]
    finders = {finder for task in tasks_alone for finder in task["result"]["cut_by"] if finder}
    assert finders <= {task["id"] for task in tasks_alone}
    assert all(set(task["result"]["cut_by"]) <= {"", task["id"]} for task in tasks_alone), "nobody hears of others"
    nodes, nodes_alone = (sum(task["result"]["nodes"] for task in each) for each in (tasks, tasks_alone))
    assert nodes < nodes_alone / 2, (nodes, nodes_alone)
