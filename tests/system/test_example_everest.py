"""The script of examples/everest-rest, as it stands, against a server whose machine has solvers by ``sirdar optim install``."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import samples
from own_server import BIN, surroundings
from tests.system.product import ADMIN_PASSWORD, PASSWORD, Product

from sirdar.wire.solvers import DIRECTORY_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.needs("highspy")]
SCRIPT = samples.EXAMPLES / "everest-rest/everest_script.py"
PRICES = (0.25, 0.5, 1, 2, 4)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    root = tmp_path_factory.mktemp("everest")
    solvers = {DIRECTORY_VARIABLE: str(tmp_path_factory.mktemp("solvers"))}
    subprocess.run(
        [BIN / "sirdar", "optim", "install"], env=surroundings(root) | solvers, check=True, capture_output=True
    )
    product = Product(root, environment=solvers)
    product.start()
    try:
        yield product
    finally:
        product.close()


def script(
    server: Product, *words: str, user: str = "vera", password: str = PASSWORD
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, server.url, user, *words],
        env={"EVEREST_PASSWORD": password},
        check=False,
        capture_output=True,
        text=True,
    )


def check_solutions(solutions: dict[str, Any]) -> None:
    """At each price the best corner; the last problem has no solution and says so."""
    assert sorted(solutions) == [f"mix_{number}" for number in range(6)]
    for number, price in enumerate(PRICES):
        found = solutions[f"mix_{number}"]
        assert 0 <= found["code"] < 100, found
        x, y = found["x"]
        assert price * x + 2 * y == pytest.approx(max(4, 3 * price + 2), rel=1e-6)
    assert 200 <= solutions["mix_5"]["code"] < 300


@pytest.mark.parametrize("solver", ["highs", "ipopt"])
def test_the_script_does_what_it_says(server: Product, solver: str) -> None:
    me = server.user("vera")
    before = {name: n for name, n in server.counts().items() if name in ("uploads", "jobs")}
    ran = script(server, "--solver", solver)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = json.loads(ran.stdout)
    assert told["set"]["state"] == "DONE", told["set"]
    check_solutions(told["set"]["solutions"])
    assert told["sweep"]["state"] == "DONE"
    assert told["sweep"]["squares"] == {f"{no}/values.txt": f"square = {x * x}" for no, x in enumerate((1, 2, 4, 5))}
    assert told["cancelled"]["state"] == "CANCELLED"
    for part in ("set", "sweep", "cancelled"):
        assert me.get(f"/api/jobs/{told[part]['job']}").status_code == 404
    assert me.get("/api/jobs").json() == []
    after = {name: n for name, n in server.counts().items() if name in before}
    assert after["uploads"] == before["uploads"]


def test_a_wrong_password_is_told(server: Product) -> None:
    ran = script(server, user="admin", password=ADMIN_PASSWORD + "x")
    assert ran.returncode == 1
    assert "401" in ran.stderr
    assert "Traceback" not in ran.stderr
