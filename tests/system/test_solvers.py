"""Solvers as a user gets them: installed into a fresh home, told by the agent, used by jobs. The real command line and server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.attached import Machine, create, resource
from tests.system.product import Product, await_that
from tests.system.test_parameter_sweep import unzipped

from sirdar.optim.trial import PROBLEM

pytestmark = pytest.mark.needs("highspy", "pyscipopt", "cbc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("solvers"), {"heartbeat_s": 0.3}, slots=0)
    product.start()
    yield product
    product.close()


@pytest.fixture
def machine(server: Product, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def attach(name: str, *, installed: bool = False, **environment: str) -> Machine:
        home = tmp_path / f"home-{name}"
        home.mkdir()
        here = Machine(server, tmp_path / name, {"HOME": str(home), "SIRDAR_SOLVERS": "", **environment})
        made.append(here)
        if installed:
            assert here.run("optim", "install").code == 0
        here.join(create(server, name)["join"]["command"])
        here.start()
        return here

    yield attach
    for one in made:
        one.close()
    for row in server.admin.get("/api/resources").json():
        if row["embedded"]:
            continue
        assert server.admin.delete(f"/api/resources/{row['id']}").status_code == 204


def labels(server: Product, name: str) -> dict[str, str]:
    found: dict[str, str] = resource(server, name)["capabilities"]["labels"]
    return {key: value for key, value in found.items() if key.startswith("solver-")}


def job_of(server: Product, app: str, **more: Any) -> str:
    reply = server.admin.post(f"/api/apps/me/{app}", json={"inputs": {}, **more})
    assert reply.status_code in (201, 202), reply.text
    return str(reply.json()["id"])


def solving(server: Product, alias: str, solver: str, **more: Any) -> str:
    """An application that solves the small problem with a solver, and fails where it does not."""
    script = f"set -e\ncat > x.nl <<'END'\n{PROBLEM}END\n{solver} x.nl -AMPL && grep -q 'objno 0 0' x.sol\n"
    return str(server.publish(alias, "sh solve.sh", files={"solve.sh": script}, **more))


def test_install_in_a_fresh_home_and_again(tmp_path: Path, server: Product) -> None:
    home = tmp_path / "home"
    home.mkdir()
    here = Machine(server, tmp_path / "machine", {"HOME": str(home), "SIRDAR_SOLVERS": ""})
    before = here.run("optim", "solvers", "--json")
    assert before.code == 1
    assert {one["name"]: one["state"] for one in json.loads(before.out)}["highs"] == "missing"
    ran = here.run("optim", "install", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    folder = home / ".local/share/sirdar/solvers"
    assert document["directory"] == str(folder)
    made = {one["name"]: one for one in document["solvers"]}
    assert {"highs", "scip", "cbc"} <= set(made)
    assert made["highs"]["path"] == str(folder / "highs")
    assert made["cbc"]["path"] == str(folder / "before/cbc"), "the machine's own cbc does not speak AMPL"
    assert all(one["get"] for one in document["missing"])
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = here.run("optim", "install", "--json")
    assert json.loads(again.out) == document
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    tried = here.run("optim", "solvers", "--json")
    states = {one["name"]: one for one in json.loads(tried.out)}
    for name in ("highs", "scip", "cbc"):
        assert states[name]["state"] == "works" and states[name]["version"] and 0 < states[name]["seconds"] < 60
    shown = here.run("optim", "solvers")
    assert "works" in shown.out and "ms" in shown.out


def test_a_solver_that_fails_is_told_with_a_nonzero_exit_code(tmp_path: Path, server: Product) -> None:
    home = tmp_path / "home"
    home.mkdir()
    here = Machine(server, tmp_path / "machine", {"HOME": str(home), "SIRDAR_SOLVERS": ""})
    assert here.run("optim", "install").code == 0
    (home / ".local/share/sirdar/solvers/highs").write_text("#!/bin/sh\necho it broke\nexit 3\n")
    ran = here.run("optim", "solvers")
    assert ran.code == 1
    assert "highs failed: it ended with exit code 3: it broke" in ran.out
    named = here.run("optim", "solvers", "--json", SIRDAR_HIGHS="/nowhere/highs")
    found = {one["name"]: one for one in json.loads(named.out)}["highs"]
    assert found["why"] == "SIRDAR_HIGHS names /nowhere/highs, and there is no such program"


def test_a_command_named_by_a_setting_or_on_path_comes_first(tmp_path: Path, server: Product) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    own.mkdir()
    here = Machine(server, tmp_path / "machine", {"HOME": str(home), "SIRDAR_SOLVERS": ""})
    assert here.run("optim", "install").code == 0
    script = (home / ".local/share/sirdar/solvers/highs").read_text()
    (own / "ipopt").write_text(script)
    (own / "ipopt").chmod(0o755)
    path = f"{own}:{here._environment()['PATH']}"
    found = {one["name"]: one for one in json.loads(here.run("optim", "install", "--json", PATH=path).out)["solvers"]}
    assert (found["ipopt"]["how"], found["ipopt"]["path"]) == ("path", str(own / "ipopt"))
    ran = here.run("optim", "install", "--json", SIRDAR_IPOPT=str(own / "ipopt"))
    found = {one["name"]: one for one in json.loads(ran.out)["solvers"]}
    assert (found["ipopt"]["how"], found["ipopt"]["what"]) == ("setting", str(own / "ipopt"))
    assert found["ipopt"]["path"].endswith("solvers/before/ipopt"), "programs say just `ipopt`"


def test_jobs_run_solvers_by_their_names_and_go_where_they_are(
    server: Product, machine: Callable[..., Machine]
) -> None:
    machine("bare")
    machine("solvers", installed=True)
    assert labels(server, "solvers").keys() >= {"solver-highs", "solver-scip", "solver-cbc"}
    assert labels(server, "solvers")["solver-scip"][0].isdigit()
    version = labels(server, "solvers")["solver-highs"]
    for solver in ("highs", "scip", "cbc"):
        wanted = {"resources": {"labels": {"solver-highs": version}}}
        app = solving(server, f"by-{solver}", solver, **wanted)
        job = server.run(app)
        assert job["state"] == "DONE", job
        (task,) = server.admin.get(f"/api/jobs/{job['id']}/tasks").json()
        assert task["resource"]["name"] == "solvers"


def test_the_agent_of_sirdar_up_has_the_solvers_of_the_setting(tmp_path: Path) -> None:
    place = tmp_path / "up"
    place.mkdir()
    product = Product(place, slots=1, environment={"SIRDAR_SOLVERS": str(tmp_path / "solvers")})
    product.start()
    try:
        here = Machine(product, tmp_path / "shell", {"SIRDAR_SOLVERS": str(tmp_path / "solvers")})
        assert here.run("optim", "install").code == 0
        assert product.run(solving(product, "small", "scip"))["state"] == "DONE"
    finally:
        product.close()


def test_solvers_installed_while_the_agent_runs_are_told_and_found(
    server: Product, machine: Callable[..., Machine]
) -> None:
    here = machine("late")
    assert "solver-highs" not in labels(server, "late")
    app = solving(server, "later", "highs", resources={"labels": {"solver-highs": "1.15.1"}})
    waiting = job_of(server, "later")
    why = server.admin.get(f"/api/jobs/{waiting}/explain").json()["why"]
    assert any("late has no label solver-highs" in one["text"] for one in why), (app, why)
    assert here.run("optim", "install").code == 0
    await_that(lambda: "solver-highs" in labels(server, "late"), what="the label of the new solver")
    if labels(server, "late")["solver-highs"] == "1.15.1":
        await_that(lambda: server.admin.get(f"/api/jobs/{waiting}").json()["state"] == "DONE", what="the job's end")


def test_who_uses_rest_learns_per_problem_what_ipopt_refused(server: Product, machine: Callable[..., Machine]) -> None:
    """By the application of one problem and by that of sets, where the scripts of Everest's resources stand between."""
    machine("refusing", installed=True)
    names = ("small", "other")
    problems = [server.upload(f"{name}.nl", PROBLEM.encode()) for name in names]
    reason = 'the program ended with exit code 1: ipopt: there is no option "no_such"'
    inputs = {"problems": problems, "solver": "ipopt", "options": ["no_such=1"]}
    for given in (inputs, {**inputs, "problems": problems[:1]}):
        reply = server.admin.post("/api/apps/sirdar/solve-set-opt-probs", json={"inputs": given})
        job = server.ended(reply.json()["id"])
        assert job["state"] == "DONE" and 'no option "no_such"' in job["info"], job
        tasks = server.admin.get(f"/api/jobs/{job['id']}/tasks").json()
        assert [(task["state"], task["outcome"]["message"]) for task in tasks] == [("FAILED", reason)] * len(
            given["problems"]
        )
        (kind,) = server.admin.get(f"/api/jobs/{job['id']}/failures").json()
        assert (kind["message"], kind["count"]) == (reason, len(tasks))
        found = unzipped(server, job["result"]["results"])
        assert found["0/small.err.txt"] == 'ipopt: there is no option "no_such"\n'
    alone = {"problem": problems[0], "solver": "ipopt", "options": ["linear_solver=ma99"]}
    job = server.ended(server.admin.post("/api/apps/sirdar/solve", json={"inputs": alone}).json()["id"])
    assert job["state"] == "FAILED"
    assert job["outcome"]["message"].endswith('the option linear_solver does not take the value "ma99"')
