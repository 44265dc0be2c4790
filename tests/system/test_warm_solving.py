"""Sets of problems by solvers that are kept: the real Ipopt, and one that crashes and hangs as it is told."""

import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN
from tests.conformance.ipopt.hock_schittkowski import hs71
from tests.system.attached import Machine, await_state, create, resource
from tests.system.product import Product, await_that

import sirdar.client
from sirdar.client import Client
from sirdar.optim import Solved, Status, solve_all
from sirdar.optim.build_ipopt import build_driver
from sirdar.optim.solvers import KINDS
from sirdar.optim.trial import serves
from sirdar.wire.solvers import LIST_NAME, Solver, dump_solvers

pyo = pytest.importorskip("pyomo.environ")
pytestmark = pytest.mark.needs("cc", "libamplsolver")
PEER = Path(__file__).with_name("ampl_solver.py")


def solvers(folder: Path) -> list[Solver]:
    """Ipopt by the driver in C, a peer that can be kept, and the same one said not to be."""
    made = [build_driver(folder)]
    for name in ("tests", "single"):
        made.append(folder / name)
        made[-1].write_text(f'#!/bin/sh\nexec {sys.executable} {PEER} "$@"\n')
        made[-1].chmod(0o755)
    found = [Solver(one.name, "1.0", str(one), "installed", kept=one.name != "single") for one in made]
    (folder / LIST_NAME).write_text(dump_solvers(found))
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server, and the machine ``left`` with these solvers and two slots."""
    root = tmp_path_factory.mktemp("warm")
    product = Product(root / "server", slots=0)
    product.root.mkdir()
    product.start()
    folder = root / "solvers"
    folder.mkdir()
    solvers(folder)
    left = Machine(product, root / "left", {"PATH": f"{BIN}:/usr/bin:/bin", "SIRDAR_SOLVERS": str(folder)})
    left.join(create(product, "left")["join"]["command"])
    left.start("--slots", "2")
    await_state(product, "left", "online")
    yield product
    left.close()
    product.close()
    shutil.rmtree(root)


@pytest.fixture
def client(server: Product) -> Iterator[Client]:
    with sirdar.client.connect(server.url, server.token()) as made:
        yield made


def models(count: int) -> list[Any]:
    made = [hs71() for _ in range(count)]
    for number, one in enumerate(made):
        one.name = f"hs71_{number}"
        next(one.component_data_objects(pyo.Var)).set_value(1.0 + number / count)
    return made


def peers(count: int) -> list[Any]:
    made = []
    for number in range(count):
        made.append(pyo.ConcreteModel(name=f"m{number}"))
        made[-1].x = pyo.Var(initialize=float(number))
        made[-1].cost = pyo.Objective(expr=made[-1].x)
        made[-1].line = pyo.Constraint(expr=made[-1].x >= -1)
    return made


def solutions(server: Product, records: list[Solved]) -> list[bytes]:
    tasks = server.admin.get(f"/api/jobs/{records[0].job_id}/tasks?limit=1000").json()
    return [server.admin.get(task["result"]["solution"]).content for task in tasks]


def pid(record: Solved) -> int:
    found = re.search(r"^pid (\d+)$", record.log, re.MULTILINE)
    assert found, record
    return int(found[1])


def test_warm_solutions_are_the_cold_ones_byte_by_byte(server: Product, client: Client) -> None:
    options = [{"max_iter": 2} if number == 3 else {"print_level": number % 6} for number in range(12)]
    both = [solve_all(models(12), options=options, client=client, progress=False, warm=warm) for warm in (True, False)]
    warm, cold = both
    assert [one.status for one in warm] == [Status.LIMIT if n == 3 else Status.OPTIMAL for n in range(12)]
    assert solutions(server, warm) == solutions(server, cold)
    assert [(one.x, one.y, one.objective, one.iterations) for one in warm] == [
        (one.x, one.y, one.objective, one.iterations) for one in cold
    ]
    apps = [server.job(records[0].job_id)["app"] for records in both]
    assert apps == ["sirdar/solve-kept", "sirdar/solve"]


@pytest.mark.parametrize("warm", [False, True])
def test_ipopts_refusals_name_the_option(client: Client, warm: bool) -> None:
    options = ["no_such=1", "linear_solver=ma99", "max_iter=5"]
    wrong, value, fine = solve_all(models(3), options=options, client=client, progress=False, warm=warm)
    assert (wrong.status, wrong.reason) == (Status.FAILED, "exit_code")
    assert wrong.message == 'the program ended with exit code 1: ipopt: there is no option "no_such"'
    assert value.message.endswith('the option linear_solver does not take the value "ma99"')
    assert fine.status is Status.LIMIT


def test_the_process_stays_between_problems_and_between_calls(client: Client) -> None:
    first, second = (solve_all(peers(6), "tests", options="pid=1", client=client, warm=True) for _ in range(2))
    assert all(one.ok for one in [*first, *second])
    assert len({pid(one) for one in [*first, *second]}) <= 2
    cold = solve_all(peers(6), "tests", options="pid=1", client=client)
    assert len({pid(one) for one in cold}) == 6


def test_a_problem_that_kills_its_solver_fails_alone(client: Client) -> None:
    options = ["die=1" if number in (2, 5) else "crash=badly" if number == 7 else "step=1" for number in range(12)]
    records = solve_all(peers(12), "tests", options=options, client=client, warm=True)
    assert [one.index for one in records if not one.ok] == [2, 5, 7]
    assert {one.status for one in records if not one.ok} == {Status.FAILED}
    assert [records[number].reason for number in (2, 5, 7)] == ["signal", "signal", "exit_code"]
    assert "crash: badly" in records[7].stderr
    assert all(list(one.x) == [number + 1.0] for number, one in enumerate(records) if one.ok)


def test_a_time_limit_ends_one_problem_and_no_other(client: Client, tmp_path: Path) -> None:
    options = [f"gate={tmp_path}/never" if number == 1 else "step=1" for number in range(8)]
    records = solve_all(peers(8), "tests", options=options, client=client, warm=True, time_limit_s=1.5)
    assert [one.index for one in records if not one.ok] == [1]
    assert (records[1].status, records[1].reason) == (Status.LIMIT, "time_limit")


def test_a_set_that_is_cancelled_leaves_another_alone(server: Product, client: Client, tmp_path: Path) -> None:
    """Both have a problem in a kept process; one of these is ended, and the other one answers."""
    options = {name: f"gate={tmp_path}/{name}" for name in ("stopped", "going")}
    ends: dict[str, Solved] = {}

    def solve(name: str) -> None:
        with sirdar.client.connect(server.url, server.token()) as own:
            ends[name] = solve_all(peers(1), "tests", options=options[name], client=own, warm=True, name=name)[0]

    threads = [threading.Thread(target=solve, args=(name,)) for name in options]
    for thread in threads:
        thread.start()
    begun = tmp_path / "begun"
    await_that(lambda: begun.exists() and len(begun.read_text().splitlines()) == 2, what="both solvers")
    job = server.admin.get("/api/jobs", params={"text": "stopped"}).json()[0]["id"]
    assert server.admin.post(f"/api/jobs/{job}/cancel").status_code < 300
    threads[0].join()
    (tmp_path / "going").touch()
    threads[1].join()
    assert (ends["stopped"].status, ends["going"].status) == (Status.CANCELLED, Status.OPTIMAL)
    assert all(one.ok for one in solve_all(peers(4), "tests", client=client, warm=True))


def test_machines_say_what_they_can_keep_and_explain_says_what_is_missing(server: Product) -> None:
    labels = await_that(lambda: resource(server, "left")["capabilities"].get("labels"), what="labels")
    assert {name for name in labels if name.startswith("kept-")} == {"kept-ipopt", "kept-tests"}
    assert "solver-single" in labels
    uri = server.admin.post("/api/files/temp", files={"file": ("p.nl", b"g3 1 1 0")}).json()["uri"]
    job = server.admin.post("/api/apps/sirdar/solve-kept", json={"inputs": {"problem": uri, "solver": "single"}}).json()
    why = server.admin.get(f"/api/jobs/{job['id']}/explain").text
    assert "kept-single" in why, why
    server.admin.post(f"/api/jobs/{job['id']}/cancel")


def test_a_solver_that_is_started_for_each_is_refused_before_anything_is_sent() -> None:
    for name in {kind.name for kind in KINDS} - {"ipopt"}:
        with pytest.raises(ValueError, match=f"warm: {name} cannot be kept"):
            solve_all(peers(1), name, warm=True, client=None)


def test_pyomos_factory_keeps_its_solver(server: Product, client: Client) -> None:
    import sirdar.optim.plugin

    solver = pyo.SolverFactory("sirdar", solver="ipopt", client=client, warm=True)
    for one in models(2):
        pyo.assert_optimal_termination(solver.solve(one))
    job = server.admin.get("/api/jobs", params={"limit": 1}).json()[0]
    assert (job["app"], job["state"]) == ("sirdar/solve-kept", "DONE")
    assert "sirdar" in sirdar.optim.plugin.__name__


def test_only_what_serves_two_problems_counts_as_kept(tmp_path: Path) -> None:
    found = {one.name: one.path for one in solvers(tmp_path)}
    assert serves(found["ipopt"])
    assert not serves("/bin/true") and not serves(tmp_path / "nothing") and not serves("/bin/sh")
    assert not serves(shutil.which("sleep") or "sleep", patience_s=1.0)
