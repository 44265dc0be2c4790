"""Sets of optimisation problems through ``sirdar.optim``: a real server, machines, and a solver that does as it is told."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_server import BIN
from tests.system.attached import Machine, await_state, create, resource
from tests.system.product import Product, await_that

import sirdar.client
import sirdar.optim.plugin  # registers SolverFactory("sirdar")
from sirdar.client import Client
from sirdar.client.errors import InvalidRequest
from sirdar.client.retry import RetryPolicy
from sirdar.optim import Solved, Status, solve_all, solve_all_async
from sirdar.optim.pyomo_models import write_problem

pyo = pytest.importorskip("pyomo.environ")
SOLVER = Path(__file__).with_name("ampl_solver.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server, and two machines: ``left`` has the solvers ipopt and tests, ``right`` has ipopt."""
    root = tmp_path_factory.mktemp("optim")
    product = Product(root / "server", slots=0)
    product.root.mkdir()
    product.start()
    commands = root / "commands"
    commands.mkdir()
    for name in ("ipopt", "tests"):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} -I {SOLVER} "$@"\n')
        (commands / name).chmod(0o755)
    path = {"PATH": f"{BIN}:{commands}:/usr/bin:/bin"}
    machines = [Machine(product, root / name, path) for name in ("left", "right")]
    for machine, labels in zip(machines, (("ipopt", "tests"), ("ipopt",)), strict=True):
        name = machine.root.name
        machine.join(create(product, name)["join"]["command"])
        machine.start("--slots", "2", *[word for one in labels for word in ("--label", f"solver-{one}=1.0")])
        await_state(product, name, "online")
    yield product
    for machine in machines:
        machine.close()
    product.close()
    shutil.rmtree(root)


class Counting(httpx.BaseTransport):
    """The client's own way to the server, which notes what goes over it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append((f"{request.method} {request.url.path}", len(request.read())))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()

    def sent_to(self, path: str) -> list[int]:
        return [size for call, size in self.calls if call.endswith(path)]

    @property
    def sent(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.calls)


@pytest.fixture
def client(server: Product) -> Iterator[Client]:
    with sirdar.client.connect(server.url, server.token()) as made:
        yield made


@pytest.fixture
def counted(client: Client) -> Counting:
    counting = Counting()
    for transport in (client._http._transport, *client._http._mounts.values()):
        if transport is not None:
            transport.close()
    client._http._transport = counting
    client._http._mounts = {}
    return counting


def model(name: str = "m", start: float = 1.0, sense: Any = None) -> Any:
    """Two variables, a nonlinear constraint, a linear one; suffixes in and out."""
    made = pyo.ConcreteModel(name=name)
    made.x = pyo.Var(initialize=start, bounds=(0, 100))
    made.y = pyo.Var(initialize=2.0)
    made.circle = pyo.Constraint(expr=made.x**2 + made.y**2 <= 1000)
    made.line = pyo.Constraint(expr=made.x + made.y >= 0)
    made.cost = pyo.Objective(expr=made.x + 10 * made.y, sense=sense or pyo.minimize)
    made.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    made.ipopt_zL_in = pyo.Suffix(direction=pyo.Suffix.EXPORT)
    made.ipopt_zL_out = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    return made


# ---------------------------------------------------------------- solutions


def test_a_set_is_one_job_whose_solutions_are_loaded(server: Product, client: Client) -> None:
    models = [model(f"m{number}", start=float(number)) for number in range(5)]
    records = solve_all(models, options={"step": 0.5, "tol": None, "check": True}, client=client, progress=False)
    assert [(record.index, record.name, record.status) for record in records] == [
        (number, f"m{number}", Status.OPTIMAL) for number in range(5)
    ]
    for number, (record, solved) in enumerate(zip(records, models, strict=True)):
        assert (solved.x.value, solved.y.value) == (number + 0.5, 2.5)
        assert record.ok and record.objective == number + 0.5 + 25.0 and record.code == 0
        assert (record.iterations, record.solver_s, record.message) == (7, 0.25, "tests 1.0: solved")
        assert record.run_s is not None and record.resource in ("left", "right") and record.task == number
        assert "check=yes" in record.log and "step=0.5" in record.log and "tol" not in record.log
        assert [solved.dual[solved.circle], solved.dual[solved.line]] == [0.5, 1.5]
        assert str(record.results.solver.termination_condition) == "optimal"
    job = server.job(records[0].job_id)
    assert (job["state"], job["tasks"]["total"], job["app"]) == ("DONE", 5, "sirdar/solve")
    assert len({record.job_id for record in records}) == 1
    assert job["name"] == "5 problems, ipopt"


def test_start_values_and_suffixes_go_and_come_back(client: Client) -> None:
    made = model(start=7.0)
    made.ipopt_zL_in[made.x] = 0.125
    made.ipopt_zL_in[made.y] = -3.5
    made.ipopt_zL_out[made.x] = 99.0  # of an earlier solution: not kept
    solve_all([made], client=client, progress=False)
    assert made.x.value == 7.0
    assert {str(member): value for member, value in made.ipopt_zL_out.items()} == {"x": 0.125, "y": -3.5}


def test_files_are_solved_too_and_options_may_differ(client: Client, tmp_path: Path) -> None:
    model("one", 3.0, pyo.maximize).write(str(tmp_path / "one.nl"))
    (tmp_path / "opt").write_text("step 2\n")
    one, two = solve_all(
        [tmp_path / "one.nl", str(tmp_path / "one.nl")],
        options=["first=1", {"code": 401}],
        options_file=tmp_path / "opt",
        client=client,
        progress=False,
    )
    assert (one.name, one.status, one.x, one.y, one.results) == ("one", Status.OPTIMAL, [5.0, 4.0], [0.5, 1.5], None)
    assert one.objective == -9.0, "what a solver minimised is turned for a problem that is maximised"
    assert "first=1" in one.log and "first=1" not in two.log
    assert (two.status, two.code) == (Status.LIMIT, 401)


def test_the_asynchronous_twin(server: Product) -> None:
    async def run() -> list[Solved]:
        async with sirdar.client.connect_async(server.url, server.token()) as client:
            return await solve_all_async(models, client=client, options="step=1")

    models = [model(f"a{number}") for number in range(3)]
    assert [record.status for record in asyncio.run(run())] == [Status.OPTIMAL] * 3
    assert [made.x.value for made in models] == [2.0] * 3


# ---------------------------------------------------------------- what is not solved


def test_ends_are_told_apart_one_by_one(server: Product, client: Client) -> None:
    trivial = model("trivial")
    trivial.never = pyo.Constraint(expr=pyo.Param(initialize=1.0, mutable=True) * 0 + trivial.x * 0 == 1)
    asked = {
        "fine": ("code=0", Status.OPTIMAL),
        "doubtful": ("code=100", Status.OPTIMAL),
        "infeasible": ("code=200 step=1", Status.INFEASIBLE),
        "unbounded": ("code=300", Status.UNBOUNDED),
        "limit": ("code=400", Status.LIMIT),
        "gave up": ("code=502", Status.FAILED),
        "crashed": ("crash=out-of-oxygen", Status.FAILED),
        "mute": ("mute=1", Status.FAILED),
    }
    models = [model(name) for name in asked]
    options = [words for words, _ in asked.values()]
    records = {record.name: record for record in solve_all(models, options=options, client=client, progress=False)}
    assert {name: record.status for name, record in records.items()} == {name: end for name, (_, end) in asked.items()}
    assert models[2].x.value == 2.0, "what the solver gave is loaded, also where it is not feasible"
    assert [str(record.results.solver.termination_condition) for record in records.values()] == [
        *("optimal", "optimal", "infeasible", "unbounded", "maxIterations"),
        *["internalSolverError"] * 3,
    ]
    assert str(records["doubtful"].results.solver.status) == "warning"
    assert (records["gave up"].reason, records["gave up"].code) == ("solver", 502)
    crashed = records["crashed"]
    assert (crashed.reason, crashed.stderr, crashed.code) == ("exit_code", "crash: out-of-oxygen\n", None)
    assert "exit code 3" in crashed.message and "exit code 3" in str(crashed)
    assert records["mute"].reason == "output_missing" and "problem.sol" in records["mute"].message
    tasks = server.admin.get(f"/api/jobs/{crashed.job_id}/tasks").json()
    assert [task["state"] for task in tasks] == ["DONE"] * 6 + ["FAILED"] * 2
    assert tasks[2]["result"]["solve_code"] == 200 and tasks[2]["result"]["status"] == "tests 1.0: solved"
    assert server.job(crashed.job_id)["state"] == "DONE", "the set is done; its record says what failed"


def test_a_problem_that_ran_out_of_time_came_to_a_limit(server: Product, client: Client, tmp_path: Path) -> None:
    options = [{}, {"gate": tmp_path / "never"}]
    made = [model("quick"), model("slow")]
    quick, slow = solve_all(made, options=options, client=client, time_limit_s=1.0, progress=False)
    assert (quick.status, slow.status, slow.reason) == (Status.OPTIMAL, Status.LIMIT, "time_limit")
    assert slow.message == "the program ran longer than 1 s and was ended" and slow.message in str(slow)
    assert str(slow.results.solver.termination_condition) == "maxTimeLimit"
    assert str(slow.results.solver.status) == "warning"
    assert server.admin.get(f"/api/jobs/{slow.job_id}/tasks").json()[1]["state"] == "FAILED"
    solver = pyo.SolverFactory("sirdar", solver="tests", client=client, options={"gate": tmp_path / "never"})
    results = solver.solve(model("slow"), timelimit=1)
    assert str(results.solver.termination_condition) == "maxTimeLimit"


def test_a_model_whose_variables_are_all_fixed_has_its_objective(client: Client) -> None:
    fixed = model("fixed")
    fixed.x.fix(2), fixed.y.fix(3)
    (record,) = solve_all([fixed], client=client, progress=False)
    assert (record.status, record.objective, record.x) == (Status.OPTIMAL, 32.0, [])


def test_a_set_of_one_is_done_though_it_fails(server: Product, client: Client) -> None:
    (record,) = solve_all([model()], options="crash=alone", client=client, progress=False)
    assert (record.status, record.reason) == (Status.FAILED, "exit_code")
    job = server.job(record.job_id)
    assert (job["state"], job["tasks"]["failed"]) == ("DONE", 1)
    assert job["info"].startswith("0 of 1 tasks done, 1 failed") and "crash: alone" in job["info"]


def test_the_reason_of_a_refusal_stands_in_the_message(client: Client) -> None:
    """Also where the solver says it on standard output only, as Ipopt's own command does."""
    said, printed = solve_all([model(), model()], options=["crash=it-is-so", "refuse=tool"], client=client)
    assert said.message == "the program ended with exit code 3: crash: it-is-so"
    assert printed.message == 'the program ended with exit code 1: Unknown keyword "tool"'
    assert printed.message in str(printed)


def test_two_objectives_are_refused_before_anything_is_sent(client: Client, tmp_path: Path) -> None:
    several = model("several")
    several.gain = pyo.Objective(expr=several.x, sense=pyo.maximize)
    for solver in ("ipopt", "tests"):
        fine, refused = solve_all([model("fine"), several], solver, client=client, progress=False)
        assert fine.ok and (refused.status, refused.reason, refused.job_id) == (Status.FAILED, "model", "")
        assert refused.message == "not sent: it has 2 active objectives (cost, gain); deactivate all but one"
    several.cost.deactivate()
    assert solve_all([several], client=client)[0].ok


def test_integers_for_ipopt_are_warned_of(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    whole = [model(f"whole{number}") for number in range(5)]
    for one in whole:
        one.x.domain = pyo.Integers
    records = solve_all([model("smooth"), *whole], client=client, progress=False)
    assert [len(record.warnings) for record in records] == [0, *[1] * 5]
    assert "takes integer variables as continuous" in records[1].warnings[0] and records[1].ok
    assert "continuous" in str(records[1]) and "continuous" in str(records)
    said = capsys.readouterr().err
    assert said.count("takes integer variables as continuous") == 1
    assert "whole0, whole1, whole2 and 2 more: Ipopt takes" in said
    assert solve_all(whole, "tests", client=client)[0].warnings == []
    assert capsys.readouterr().err == ""


def test_a_model_that_cannot_be_written_is_a_record_of_its_own(client: Client) -> None:
    odd = model("odd")
    odd.complex = pyo.Objective(expr=odd.x)
    odd.cost.deactivate()
    odd.complex.deactivate()
    odd.x.fix(None)
    fine, broken = solve_all([model("fine"), odd], client=client, progress=False)
    assert fine.status is Status.OPTIMAL
    assert (broken.status, broken.reason, broken.job_id) == (Status.FAILED, "model", "")
    assert broken.message.startswith("not sent: ")
    with pytest.raises(TypeError, match=r"models\[0\] is a int"):
        solve_all([7], client=client)
    with pytest.raises(ValueError, match="2 members for 1 problems"):
        solve_all([model()], options=["a=1", "b=1"], client=client)
    assert solve_all([], client=client) == []


def test_what_the_server_refuses_is_raised(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="There is no resource 'moon'"):
        solve_all([model()], resources="moon", client=client)
    with pytest.raises(InvalidRequest, match="solver"):
        solve_all([model()], solver="rm -rf", client=client)


# ---------------------------------------------------------------- where


def test_problems_go_to_the_resources_that_were_chosen(client: Client) -> None:
    for name in ("left", "right"):
        records = solve_all([model(f"m{n}") for n in range(4)], resources=[name], client=client, progress=False)
        assert {record.resource for record in records} == {name}


def test_two_machines_share_a_set(client: Client, tmp_path: Path) -> None:
    """Each has two slots; all four solvers wait at the gate at once."""
    begun = tmp_path / "begun"
    opener = subprocess.Popen(
        ["sh", "-c", f'until [ "$(wc -l < {begun} 2>/dev/null)" = 4 ]; do sleep 0.02; done; touch {tmp_path}/gate']
    )
    try:
        models = [model(f"m{n}") for n in range(4)]
        records = solve_all(models, options={"gate": tmp_path / "gate"}, client=client, progress=False)
    finally:
        opener.kill()
        opener.wait()
    assert sorted(str(record.resource) for record in records) == ["left", "left", "right", "right"]


def test_a_job_goes_only_where_its_solver_is_and_says_why_it_waits(server: Product, client: Client) -> None:
    records = solve_all([model(f"m{n}") for n in range(4)], solver="tests", client=client, progress=False)
    assert {record.resource for record in records} == {"left"}
    job = client.app("sirdar/solve").run(
        problem=client.upload(SOLVER, "p.nl"), solver="gurobi", _overrides={"time": 60}
    )
    assert "no label solver-gurobi" in job.warnings[0]
    explained = str(await_that(lambda: "solver-gurobi" in str(said := job.explain()) and said, what="a reason"))
    assert "left has no label solver-gurobi; the application asks for it" in explained
    assert job.cancel()
    with pytest.raises(InvalidRequest, match="where a resource has the label solver-tests only, not on right"):
        solve_all([model()], solver="tests", resources="right", client=client)


# ---------------------------------------------------------------- sent once


def test_unchanged_models_are_not_sent_twice(client: Client, counted: Counting) -> None:
    models = [model(f"m{number}", start=10.0 + number) for number in range(6)]

    def solve() -> None:
        counted.calls.clear()
        assert all(record.ok for record in solve_all(models, client=client, progress=False))

    solve()
    first = counted.sent
    assert first > 3000
    solve()
    assert counted.sent < first / 2, "this process knows that the server has them"
    assert len(counted.calls) <= 5, counted.calls
    again = counted.sent
    models[3].x.value = 44.0
    solve()
    assert again < counted.sent < again + first / 4, "one of six"


def test_another_process_asks_before_it_sends_much(
    client: Client, counted: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sirdar.client.flows.batches.ASK_FIRST_BYTES", 1000)
    models = [model(f"m{number}", start=20.0 + number) for number in range(6)]
    solve_all(models, client=client, progress=False)
    sent = sum(counted.sent_to("/api/files/batch"))
    client.known_files.clear()
    counted.calls.clear()
    solve_all(models, client=client, progress=False)
    assert sum(counted.sent_to("/api/files/batch")) < sent / 2


@pytest.mark.parametrize("most", [1 << 20, 0], ids=["in the submission", "before it"])
def test_files_that_the_server_lost_are_sent_again(
    server: Product, client: Client, counted: Counting, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("sirdar.client.flows.batches.ASK_FIRST_BYTES", most)
    made = model(start=33.0 + most)
    assert solve_all([made], client=client, progress=False)[0].ok
    ((sha256, name),) = client.known_files
    asked = server.admin.post("/api/files/batch", json={"files": [{"filename": name, "sha256": sha256}]})
    assert server.admin.delete(asked.json()["files"][0]["uri"]).status_code == 200
    counted.calls.clear()
    made.x.value = 33.0 + most
    assert solve_all([made], client=client, progress=False)[0].ok
    refused, taken = counted.sent_to("/api/apps/sirdar/solve")
    assert most == 0 or refused < taken


def test_large_problems_go_up_by_themselves(client: Client, counted: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = model("small", start=55.0), model("large", start=56.0)
    monkeypatch.setattr("sirdar.client.flows.batches.LARGE_BYTES", len(write_problem(0, small).nl) + 1)
    large.more = pyo.ConstraintList()
    for number in range(20):
        large.more.add(large.x * number <= 1e6)
    assert all(record.ok for record in solve_all([small, large], client=client, progress=False))
    assert len(counted.sent_to("/api/files/temp/large.nl")) == 1


# ---------------------------------------------------------------- solved while others are written


def test_the_first_are_solved_while_others_are_built(server: Product, client: Client, tmp_path: Path) -> None:
    """The generator goes on only when the first problem has been solved; the job is open meanwhile, and one job."""
    found: list[Any] = []

    def building() -> Iterator[Any]:
        yield model("g0", start=1.0)
        time.sleep(0.05)  # longer than a call takes: what is there is sent
        yield model("g1", start=2.0)
        found.append(await_that(lambda: _open_job(server, "built late"), 30, "a solved problem of an open job"))
        for number in range(2, 5):
            yield model(f"g{number}", start=1.0 + number)

    records = solve_all(building(), options="step=1", client=client, name="built late", progress=False)
    (before,) = found
    assert (
        before["open"]
        and before["state"] in ("READY", "RUNNING")
        and before["tasks"]["done"] == before["tasks"]["total"]
    )
    assert [(record.name, record.status, record.x[0]) for record in records] == [
        (f"g{number}", Status.OPTIMAL, number + 2.0) for number in range(5)
    ]
    job = server.job(records[0].job_id)
    assert (job["state"], job["tasks"]["total"], "open" in job) == ("DONE", 5, False)
    assert {record.job_id for record in records} == {before["id"]}


def _open_job(server: Product, name: str) -> Any:
    found = server.admin.get("/api/jobs", params={"text": name}).json()
    return found and found[0]["tasks"]["done"] == found[0]["tasks"]["total"] and found[0]


def test_a_model_that_is_changed_between_problems_is_sent_as_the_caller_made_it(client: Client) -> None:
    """One model, built anew at each step: what a solver has given of an earlier step does not come between."""
    made = model("one")

    def steps() -> Iterator[Any]:
        for number in range(4):
            time.sleep(0.1)
            made.x.value = 10.0 * number
            yield made

    records = solve_all(steps(), options="step=1", client=client, progress=False)
    assert [record.x for record in records] == [[10.0 * number + 1.0, 3.0] for number in range(4)]


def test_what_a_generator_raises_cancels_the_job(server: Product, client: Client, tmp_path: Path) -> None:
    def breaking() -> Iterator[Any]:
        yield model()
        time.sleep(0.1)
        yield model()
        await_that(lambda: server.admin.get("/api/jobs", params={"text": "breaks"}).json(), what="the job")
        raise LookupError("no more data")

    with pytest.raises(LookupError, match="no more data"):
        solve_all(breaking(), options={"gate": tmp_path / "gate"}, client=client, name="breaks", progress=False)
    job = server.ended(server.admin.get("/api/jobs", params={"text": "breaks"}).json()[0]["id"])
    assert job["state"] == "CANCELLED" and job["info"].endswith("; it was open for more tasks")
    assert not [thread for thread in threading.enumerate() if thread.name == "sirdar-open"]


def test_a_job_that_is_called_off_while_problems_are_built(server: Product, client: Client, tmp_path: Path) -> None:
    def building() -> Iterator[Any]:
        yield model("c0")
        time.sleep(0.1)
        yield model("c1")
        job = await_that(lambda: server.admin.get("/api/jobs", params={"text": "called off"}).json(), what="it")[0][
            "id"
        ]
        assert server.admin.post(f"/api/jobs/{job}/cancel").status_code < 300
        time.sleep(0.1)
        yield model("c2")
        yield model("c3")

    options = {"gate": tmp_path / "gate"}
    records = solve_all(building(), options=options, client=client, name="called off", progress=False)
    assert [(record.name, record.status) for record in records] == [(f"c{n}", Status.CANCELLED) for n in range(4)]


# ---------------------------------------------------------------- real solvers


def lp(name: str, sense: Any, bound: float = 4.0) -> Any:
    made = pyo.ConcreteModel(name=name)
    made.x, made.y = pyo.Var(bounds=(0, bound)), pyo.Var(bounds=(0, None), domain=pyo.NonNegativeReals)
    made.rope = pyo.Constraint(expr=made.x + 2 * made.y <= 10)
    made.gain = pyo.Objective(expr=3 * made.x + 2 * made.y, sense=sense)
    made.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    return made


@pytest.mark.slow
def test_installed_solvers_are_found_by_their_labels_and_solve(server: Product, client: Client, tmp_path: Path) -> None:
    """Through ``sirdar optim install`` on the machine: its agent tells what it has, and nothing else is said."""
    machine = Machine(server, tmp_path / "real", {"SIRDAR_SOLVERS": str(tmp_path / "solvers")})
    try:
        assert "highs" in machine.run("optim", "install").out
        machine.join(create(server, "real")["join"]["command"])
        machine.start("--slots", "2")
        await_state(server, "real", "online")
        solvers = [label.removeprefix("solver-") for label in labels_of(server, "real")]
        assert "highs" in solvers
        for solver in sorted({"highs", "scip", "cbc", "ipopt"} & set(solvers)):
            steep, flat, torn = lp("steep", pyo.maximize), lp("flat", pyo.minimize), lp("torn", pyo.maximize)
            torn.never = pyo.Constraint(expr=torn.x + torn.y >= 100)
            records = solve_all([steep, flat, torn], solver=solver, resources=["real"], client=client, progress=False)
            assert [record.status for record in records] == [*[Status.OPTIMAL] * 2, Status.INFEASIBLE], solver
            assert (steep.x.value, steep.y.value) == pytest.approx((4.0, 3.0), abs=1e-5), solver
            assert [record.objective for record in records[:2]] == pytest.approx([18.0, 0.0], abs=1e-5), solver
    finally:
        machine.close()
        assert server.admin.delete("/api/resources/real").status_code == 204


def labels_of(server: Product, name: str) -> list[str]:
    return list(await_that(lambda: resource(server, name)["capabilities"].get("labels"), what="labels"))


# ---------------------------------------------------------------- stopped

SCRIPT = """
import signal, sys
import pyomo.environ as pyo
from sirdar.optim import solve_all
def ring(*ignored):
    raise TimeoutError("my own clock")
signal.signal(signal.SIGALRM, ring)
model = pyo.ConcreteModel()
model.x = pyo.Var(initialize=1.0)
model.o = pyo.Objective(expr=model.x)
print("begins", flush=True)
solve_all([model] * 6, options={"gate": sys.argv[1]}, name=sys.argv[2])
"""
STOPS = {
    signal.SIGINT: (-signal.SIGINT, "KeyboardInterrupt"),
    signal.SIGTERM: (128 + signal.SIGTERM, ""),
    signal.SIGALRM: (1, "TimeoutError: my own clock"),
}


@pytest.mark.parametrize("number", STOPS, ids=["ctrl-C", "SIGTERM", "the user's own TimeoutError"])
@pytest.mark.parametrize("early", [False, True], ids=["while it runs", "before the answer to the submission"])
def test_what_leaves_the_wait_cancels_the_job(
    server: Product, tmp_path: Path, early: bool, number: signal.Signals
) -> None:
    """Early: the first answer is held for a second, so the process does not know the job's id yet."""
    environment = {**os.environ, "SIRDAR_URL": server.url, "SIRDAR_TOKEN": server.token()}
    name = f"to be stopped by {number.name}{' early' if early else ''}."
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "gate"), name]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        begun = tmp_path / "begun"
        await_that(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 1, what="a solver")
        if not early:
            await_that(lambda: len(begun.read_text().splitlines()) == 4, what="four solvers")
            job = server.admin.get("/api/jobs", params={"text": name}).json()[0]["id"]
            await_that(lambda: _age_s(server, job) > 1.5, what="the second call")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    code, words_told = STOPS[number]
    assert process.returncode == code and words_told in said, said
    job = server.admin.get("/api/jobs", params={"text": name}).json()[0]
    assert server.ended(job["id"])["state"] == "CANCELLED"


WAITING = """
import signal, sys
import pyomo.environ as pyo
import sirdar.optim.plugin
from sirdar.optim import solve_all
model = pyo.ConcreteModel(name="waiting")
model.x = pyo.Var(initialize=1.0)
model.o = pyo.Objective(expr=model.x)
try:
    if sys.argv[1] == "all":
        solve_all([model], "baron", name="nobody has it", progress=False)
    else:
        pyo.SolverFactory("sirdar", solver="baron").solve(model)
finally:
    print("handler:", signal.getsignal(signal.SIGTERM).name, flush=True)
"""


@pytest.mark.parametrize("by", ["all", "factory"])
def test_a_solver_that_nobody_has_is_told_at_once_and_waited_for(server: Product, tmp_path: Path, by: str) -> None:
    environment = {**os.environ, "SIRDAR_URL": server.url, "SIRDAR_TOKEN": server.token()}
    told = tmp_path / "stderr"
    with told.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITING, by], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        await_that(lambda: "no label solver-baron" in told.read_text() or process.poll(), what="a word")
        assert process.poll() is None, "it waits: somebody may come"
        job = server.admin.get("/api/jobs", params={"limit": 1}).json()[0]
        assert job["state"] == "READY"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (128 + signal.SIGTERM, "handler: SIG_DFL\n")
    assert told.read_text().count("It waits until one can.") == 1
    assert server.ended(job["id"])["state"] == "CANCELLED"


def test_what_does_not_begin_is_explained_once(
    server: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A resource has the solver, so the submission is not warned of; but all its slots are taken."""
    monkeypatch.setattr("sirdar.optim.solving.QUIET_S", 1.0)
    app = server.publish("holds", "sleep 600")
    held = [server.submit(app, resources=["left"])["id"] for _ in range(2)]
    await_that(lambda: all(server.job(one)["state"] == "RUNNING" for one in held), what="both slots")
    said: list[str] = []

    def make_room() -> None:
        await_that(lambda: said.append(capsys.readouterr().err) or any(said), within_s=60, what="an explanation")
        asked = server.admin.get("/api/jobs", params={"text": "held up"}).json()[0]["id"]
        await_that(lambda: _age_s(server, asked) > 4, what="further looks")
        for one in held:
            server.admin.post(f"/api/jobs/{one}/cancel")

    maker = threading.Thread(target=make_room)
    maker.start()
    with sirdar.client.connect(server.url, server.token()) as client:
        (record,) = solve_all([model()], "tests", resources="left", client=client, name="held up", progress=False)
    maker.join()
    assert record.ok
    lines = ("".join(said) + capsys.readouterr().err).splitlines()
    assert [line for line in lines if line.startswith("held up: ")] == lines[:1], lines
    assert "left" in " ".join(lines)


def _age_s(server: Product, job: str) -> float:
    submitted = datetime.fromisoformat(server.job(job)["submittedAt"])
    return (datetime.now(UTC) - submitted).total_seconds()


def test_a_job_that_somebody_else_cancels_is_told_as_it_stands(server: Product, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def stop() -> None:
        await_that(lambda: begun.exists() and len(begun.read_text().splitlines()) == 2, 45, "two solvers")
        job = server.admin.get("/api/jobs", params={"text": "stopped by others"}).json()[0]["id"]
        assert server.admin.post(f"/api/jobs/{job}/cancel").status_code < 300

    stopper = threading.Thread(target=stop)
    stopper.start()
    with sirdar.client.connect(server.url, server.token()) as client:
        options = ["code=0", *[f"gate={tmp_path}/gate"] * 7]
        models = [model(f"m{n}") for n in range(8)]
        name = "stopped by others"
        records = solve_all(models, options=options, resources="left", client=client, progress=False, name=name)
    stopper.join()
    assert [record.status for record in records] == [Status.OPTIMAL] + [Status.CANCELLED] * 7
    assert str(records[-1].results.solver.termination_condition) == "userInterrupt"


# ---------------------------------------------------------------- SolverFactory


def test_pyomos_factory_gives_a_solver_as_pyomos_users_know_it(
    client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import sirdar.optim.plugin

    solver = pyo.SolverFactory("sirdar", solver="ipopt", resources=["left"], client=client)
    assert solver.available()
    solver.options["step"] = 2
    made = model()
    results = solver.solve(made, tee=True, options={"tol": 1e-9})
    pyo.assert_optimal_termination(results)
    assert made.x.value == 3.0 and "step=2 tol=1e-09" in capfd.readouterr().out
    assert results.problem.number_of_variables == 2

    results = solver.solve(model("tight"), options="code=201")
    assert str(results.solver.termination_condition) == "infeasible"
    assert 'warning status into model.name="tight"' in caplog.text

    made = model()
    results = solver.solve(made, load_solutions=False)
    assert made.x.value == 1.0
    made.solutions.load_from(results)
    assert made.x.value == 3.0 and made.dual[made.line] == 1.5

    with pytest.raises(ValueError, match="bad status: error"):
        solver.solve(made, options="code=500")
    from pyomo.common.errors import ApplicationError

    with pytest.raises(ApplicationError, match=r"did not exit normally(.|\n)*crash: the-rope"):
        solver.solve(made, options="crash=the-rope")
    with pytest.raises(TypeError, match="no option is named keepfiles"):
        sirdar.optim.plugin.SirdarSolver(keepfiles=True)


def test_the_bar_says_how_it_stands(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["code=0", "code=200"]
    solve_all([model("p1"), model("p2")], options=options, client=client, progress=True, name="two")
    said = capsys.readouterr().err
    assert "two: 2/2 1 optimal, 1 infeasible; p" in said and "objective 21" in said


# ---------------------------------------------------------------- a restart of the server


@pytest.mark.slow
def test_a_set_survives_a_server_that_is_killed_and_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At its submission, and in its midst. The client's own patience is made short: what is borne is the set's."""
    product = Product(tmp_path / "killed", slots=0)
    product.root.mkdir()
    product.start()
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "tests").write_text(f'#!/bin/sh\nexec {sys.executable} -I {SOLVER} "$@"\n')
    (commands / "tests").chmod(0o755)
    machine = Machine(product, tmp_path / "solo", {"PATH": f"{BIN}:{commands}:/usr/bin:/bin"})
    client = Client(product.url, product.token(), policy=RetryPolicy(retries=1, first_s=0.05))
    said: list[str] = []

    def nobody_answered(job: str) -> bool:
        said.append(capsys.readouterr().err)
        return f"{job}: no server answers" in "".join(said)

    with client, ThreadPoolExecutor() as pool:
        try:
            machine.join(create(product, "solo")["join"]["command"])
            machine.start("--slots", "2", "--label", "solver-tests=1.0")
            await_state(product, "solo", "online")
            assert solve_all([model()], "tests", client=client)[0].ok
            port = product.port
            _kill(product)
            early = pool.submit(solve_all, [model("a", 5.0)], "tests", client=client, name="early")
            await_that(lambda: nobody_answered("early"), what="a word of it")
            product.start(port)
            assert early.result(90)[0].ok
            words = {"gate": tmp_path / "gate"}
            late = pool.submit(
                solve_all, [model(f"m{n}") for n in range(3)], "tests", client=client, name="late", options=words
            )
            begun = tmp_path / "begun"
            await_that(lambda: begun.exists() and len(begun.read_text().splitlines()) == 2, what="two solvers")
            _kill(product)
            await_that(lambda: nobody_answered("late"), what="a word of it")
            product.start(port)
            (tmp_path / "gate").touch()
            assert [record.status for record in late.result(90)] == [Status.OPTIMAL] * 3
        finally:
            (tmp_path / "gate").touch()
            machine.close()
            product.close()
    assert "".join(said).count("no server answers") == 2


def _kill(product: Product) -> None:
    process = product.process
    assert process is not None and process.stdout is not None
    process.kill()
    process.wait()
    process.stdout.close()
    product.process = None
    product.close_clients()
