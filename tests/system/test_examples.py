"""Every example, published and run through the real product: its state, its values, the very bytes of its files."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from own_server import BIN, MARKER, leave_nothing, running, surroundings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Product:
    """A running server, the environment of its command line, and an HTTP client with that profile's token."""

    environment: dict[str, str]
    http: httpx.Client

    def sirdar(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "sirdar", *words], env=self.environment, capture_output=True, text=True, check=False
        )

    def get(self, address: str) -> httpx.Response:
        reply = self.http.get(address)
        assert reply.status_code == 200, reply.text
        return reply


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home")
    environment = surroundings(home)
    with running(home, environment, slots=2) as server:
        profile = json.loads((Path(environment["SIRDAR_CONFIG_DIR"]) / "profile.json").read_text())
        token = profile["servers"][server.url]["token"]
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as http:
            yield Product(environment, http)
    assert leave_nothing(environment[MARKER], home) == []


@pytest.mark.parametrize("name", samples.names())
def test_example(product: Product, name: str) -> None:
    sample = samples.load(name)
    if why := sample.why_not():
        pytest.skip(why)
    sample.make()
    published = product.sirdar("publish", str(sample.folder))
    assert published.returncode == 0, published.stdout + published.stderr

    ran = product.sirdar("run", f"me/{name}", *sample.arguments(), "--wait", "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    job = json.loads(ran.stdout)
    assert job["state"] == "DONE"
    assert sample.faults(job["result"]) == []

    assert product.get(f"/api/jobs/{job['id']}").json()["result"] == job["result"]
    check_files(product, sample, job["result"])
    check_tasks(product, job["id"], expected=len(job["result"]) if sample.foreach else 1)


def check_files(product: Product, sample: samples.Sample, result: Any) -> None:
    """The bytes behind each file output."""
    for name, expected in sample.expect.items():
        if isinstance(expected, dict) and "file" in expected:
            content = product.get(result[name]).content
            assert content.startswith(bytes.fromhex(expected.get("begins", "")))
            assert len(content) >= expected["min_bytes"]


def check_tasks(product: Product, job: str, *, expected: int) -> None:
    tasks = product.get(f"/api/jobs/{job}/tasks").json()
    assert [task["state"] for task in tasks] == ["DONE"] * expected


def test_the_same_bytes_make_no_new_version(product: Product) -> None:
    folder = str(samples.load("logs").folder)
    first, second = (product.sirdar("publish", folder, "--json") for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert json.loads(first.stdout)["version"] == json.loads(second.stdout)["version"]


def test_a_program_tells_how_far_it_is(product: Product) -> None:
    anneal = samples.load("anneal")
    assert product.sirdar("publish", str(anneal.folder)).returncode == 0
    ran = product.sirdar("run", "me/anneal", *anneal.arguments(), "--wait", "--json")
    job = json.loads(ran.stdout)
    assert job["statusMessage"].startswith("sweep 4000 of 4000")
    assert job["progress"] == 1.0
    log = product.get(f"/api/jobs/{job['id']}/log").text
    assert re.search(r'"TASK_MESSAGE", "[^"]+", "sweep \d+ of 4000', log)
