# ruff: noqa: E501  (a script)
"""Everest's SSOP through the real product: a set of problems, as its clients send it and as a form does; the solver is a script."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.product import Product, problem
from tests.system.test_parameter_sweep import unzipped

from sirdar.wire.solvers import DIRECTORY_VARIABLE, LIST_NAME, Solver, dump_solvers

SSOP = "sirdar/solve-set-opt-probs"
SCRIPT = """#!/bin/sh
# Stands for the script of a resource: solves what holds a number, crashes on the rest.
number=$(cat "$1.nl")
echo "options: $(cat "${2:-/dev/null}") $3 $4" > "$1.log.txt"
echo "Objective...............:   ${number}.0e+00    ${number}.0e+00" >> "$1.log.txt"
: > "$1.err.txt"
case $number in
  [0-9]*) printf '\\nfake 1.0: Optimal Solution Found\\n\\nOptions\\n3\\n1\\n1\\n0\\n0\\n0\\n1\\n1\\n0.5\\nobjno 0 0\\n' > "$1.sol";;
  *) echo "no number" > "$1.err.txt"; echo crashed >&2; exit 7;;
esac
"""


@pytest.fixture(scope="module")
def ssop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A server whose own resource has two solvers: they and their scripts stand where `sirdar optim install` puts such things."""
    place = tmp_path_factory.mktemp("solvers")
    for name in ("fake", "ipopt"):
        for path in (place / name, place / f"run-{name}.sh"):
            path.write_text(SCRIPT)
            path.chmod(0o755)
    solvers = [Solver(name, "1.0", str(place / name), "installed") for name in ("fake", "ipopt")]
    (place / LIST_NAME).write_text(dump_solvers(solvers))
    product = Product(tmp_path_factory.mktemp("ssop"), environment={DIRECTORY_VARIABLE: str(place)})
    product.start()
    try:
        yield product
    finally:
        product.close()


def archive_of(files: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return raw.getvalue()


def table(product: Product, job: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    found = product.admin.get(f"/api/jobs/{job['id']}/table").json()
    columns = [column["name"] for column in found["columns"]]
    return [tuple(row[columns.index(name)] for name in names) for row in found["rows"]]


@pytest.mark.parametrize("app", ["vladimirv/SSOP", "vladimirv/solve-set-opt-probs", SSOP])
def test_what_everests_clients_send(ssop: Product, app: str) -> None:
    names = [f"tmp_{number:05}" for number in range(4)]
    plan = (
        f"parameter nlname {' '.join(names)} \nparameter options peipopt.opt \nparameter solver ipopt \n"
        "input_files ${nlname}.nl ${options}\ncommand run-ipopt.sh ${nlname} ${options}\n"
        "output_files ${nlname}.sol ${nlname}.log.txt ${nlname}.err.txt stderr\n"
    )
    files = {f"{name}.nl": str(no) if no != 2 else "x" for no, name in enumerate(names)} | {"peipopt.opt": "tol 1e-9"}
    inputs = {
        "plan": ssop.upload("problem.plan", plan.encode()),
        "files": ssop.upload("problem.zip", archive_of(files)),
    }
    job = ssop.admin.post(f"/api/apps/{app}", json={"name": "problem-ipopt-1", "inputs": inputs}).json()
    job = ssop.ended(job["id"])
    assert job["state"] == "DONE"
    assert job["info"].startswith("3 of 4 tasks done, 1 failed")
    found = unzipped(ssop, job["result"]["results"])
    assert {name.rpartition("/")[2] for name in found if name.endswith(".sol")} == {
        f"{name}.sol" for no, name in enumerate(names) if no != 2
    }
    assert found["2/tmp_00002.err.txt"] == "no number\n"
    assert found["2/stderr"] == "crashed\n"
    assert found["0/tmp_00000.log.txt"].startswith("options: tol 1e-9")
    values = table(ssop, job, "inputs.nlname", "outputs.status", "outputs.solve_code", "outputs.objective", "state")
    assert values[1] == ("tmp_00001", "fake 1.0: Optimal Solution Found", 0, 1.0, "DONE")
    assert values[2] == ("tmp_00002", None, None, None, "FAILED") or values[2][4] == "FAILED"


def test_problems_as_files_with_options(ssop: Product) -> None:
    inputs = {
        "problems": [ssop.upload(f"p{number}.nl", str(number).encode()) for number in (5, 6)],
        "solver": "fake",
        "options": ["max_iter=7", "print_level=it's so"],
        "options_file": ssop.upload("my options.opt", b"tol 1"),
    }
    job = ssop.run(SSOP, inputs)
    assert table(ssop, job, "inputs.nlname", "outputs.objective") == [("p5", 5.0), ("p6", 6.0)]
    found = unzipped(ssop, job["result"]["results"])
    assert found["1/p6.log.txt"].startswith("options: tol 1 max_iter=7 print_level=it's so\n")
    assert found["1/parameters.txt"] == "nlname = p6\n"


def test_an_archive_of_problems(ssop: Product) -> None:
    files = ssop.upload("set.zip", archive_of({"a.nl": "1", "b.nl": "2", "readme.txt": "x"}))
    job = ssop.run(SSOP, {"files": files})
    assert table(ssop, job, "inputs.nlname", "outputs.objective") == [("a", 1.0), ("b", 2.0)]


def test_a_solver_that_no_resource_has_is_waited_for_and_told(ssop: Product) -> None:
    job = ssop.submit(SSOP, {"problems": [ssop.upload("p.nl", b"1")], "solver": "nosuch"})
    told = ssop.admin.get(f"/api/jobs/{job['id']}/explain").text
    assert "solver-nosuch" in told
    ssop.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert ssop.ended(job["id"])["state"] == "CANCELLED"


@pytest.mark.parametrize(
    ("files", "inputs", "field", "says"),
    [
        ({}, {}, "inputs.problems", "no problems"),
        ({"a.txt": "x"}, {}, "inputs.problems[0]", "nl"),
        ({"a.nl": "x"}, {"solver": "ip opt"}, "inputs.solver", "ip opt"),
        ({"a.nl": "x"}, {"options": ["-AMPL"]}, "inputs.options[0]", "AMPL"),
    ],
)
def test_what_is_no_set_of_problems(
    ssop: Product, files: dict[str, str], inputs: dict[str, Any], field: str, says: str
) -> None:
    given = {"problems": [ssop.upload(name, text.encode()) for name, text in files.items()], **inputs}
    reply = ssop.admin.post(f"/api/apps/{SSOP}", json={"inputs": given})
    assert says in json.dumps(problem(reply, 422, "invalid_input", field))


def test_two_problems_of_one_name(ssop: Product) -> None:
    given = {"problems": [ssop.upload("a.nl", b"1"), ssop.upload("a.nl", b"2")]}
    assert (
        "two problems"
        in problem(ssop.admin.post(f"/api/apps/{SSOP}", json={"inputs": given}), 422, "invalid_input")["detail"]
    )


def test_a_set_of_one_is_solved_again_with_another_solver(ssop: Product) -> None:
    job = ssop.run(SSOP, {"problems": [ssop.upload("p.nl", b"4")]})
    reply = ssop.admin.post(f"/api/jobs/{job['id']}/resubmit", json={"inputs": {"solver": "fake"}})
    assert reply.status_code in (200, 201), reply.text
    again = ssop.ended(reply.json()["id"])
    assert (again["state"], again["inputs"]["solver"]) == ("DONE", "fake")
    assert table(ssop, again, "outputs.objective") == [(4.0,)]


def test_options_named_like_a_problem(ssop: Product) -> None:
    given = {"problems": [ssop.upload("a.nl", b"1")], "options_file": ssop.upload("a.nl", b"tol 1")}
    problem(ssop.admin.post(f"/api/apps/{SSOP}", json={"inputs": given}), 422, "invalid_input", "inputs.options_file")


def test_everests_id_of_the_parameter_sweep(ssop: Product) -> None:
    plan = ssop.upload("a.plan", b"parameter x 1 2\ncommand echo ${x}\noutput_files stdout")
    job = ssop.run("530f36d73d00002d04548b0e", {"plan": plan})
    assert unzipped(ssop, job["result"]["results"])["1/stdout"] == "2\n"
    assert Path(job["result"]["results"]).name == "results.zip"
