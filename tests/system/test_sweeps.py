# ruff: noqa: E501  (tables)
"""Sweeps of an application, through the real product: REST, command line, Python."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from own_server import BIN, surroundings
from tests.system.product import Product, problem

import sirdar as sdk
from sirdar.client import JobFailed


@pytest.fixture(scope="module")
def loss(sirdar: Product) -> str:
    return sirdar.publish(
        "loss",
        'case "$b" in broken) echo "no such b" >&2; exit 3;; esac\n'
        '[ -z "$data" ] || more=$(cat "$data")\n'
        'echo "{\\"loss\\": $((a * a + ${more:-0})), \\"said\\": \\"$b\\"}" > out.json',
        shell=True,
        inputs={
            "a": {"type": "integer", "required": True, "minimum": 0, "maximum": 1000},
            "b": {"type": "string", "default": "x"},
            "rate": {"type": "number", "default": 1},
            "on": {"type": "boolean", "default": False},
            "data": {"type": "file"},
            "key": {"type": "secret"},
        },
        outputs={
            "loss": {"type": "number", "from": "out.json", "key": "loss", "unit": "m"},
            "said": {"type": "string", "from": "out.json", "key": "said"},
        },
    )


def rows(sirdar: Product, job: str, *names: str) -> list[tuple[Any, ...]]:
    table = sirdar.admin.get(f"/api/jobs/{job}/table").json()
    at = [[column["name"] for column in table["columns"]].index(name) for name in names]
    return [tuple(row[place] for place in at) for row in table["rows"]]


def test_each_combination_that_meets_the_conditions_is_a_task(sirdar: Product, loss: str) -> None:
    sweep = {"parameters": {"a": "1..10:1", "b": ["x", "y"]}, "where": "a*2 < 15"}
    job = sirdar.run(loss, {"rate": 0.5}, sweep=sweep)
    assert job["tasks"]["total"] == 14
    assert job["onFailure"] == "ignore"
    assert rows(sirdar, job["id"], "inputs.a", "inputs.b", "outputs.loss") == [
        (a, b, a * a) for a in range(1, 8) for b in "xy"
    ]


def test_values_go_together(sirdar: Product, loss: str) -> None:
    sweep = {"parameters": {"a": [1, 2, 3], "b": "p,'q,r',s", "rate": [7]}, "mode": "zip", "where": ["a != 2"]}
    job = sirdar.run(loss, sweep=sweep)
    assert rows(sirdar, job["id"], "inputs.a", "inputs.b") == [(1, "p"), (3, "s")]


def test_failed_tasks_are_counted_and_rerun_alone(sirdar: Product, loss: str) -> None:
    job = sirdar.run(loss, sweep={"parameters": {"a": [1, 2], "b": "x,broken"}})
    assert (job["tasks"]["done"], job["tasks"]["failed"]) == (2, 2)
    reply = sirdar.admin.post(f"/api/jobs/{job['id']}/resubmit", json={"only": "failed"})
    again = sirdar.ended(reply.json()["id"])
    assert (again["tasks"]["total"], again["tasks"]["failed"]) == (2, 2)
    assert again["againOf"] == job["id"] and "repeatedBy" not in again
    assert sirdar.job(job["id"])["repeatedBy"] == [again["id"]]
    assert [task["againOf"] for task in sirdar.admin.get(f"/api/jobs/{again['id']}/tasks").json()] == [1, 3]
    assert sirdar.admin.get(f"/api/jobs/{again['id']}/tasks/1").json()["againOf"] == 3
    assert rows(sirdar, again["id"], "no", "againOf", "inputs.a") == [(0, 1, 1), (1, 3, 2)]
    lines = sirdar.admin.get(f"/api/jobs/{again['id']}/table?format=csv").text.splitlines()
    assert lines[1].split(",")[lines[0].split(",").index("againOf")] == "1"
    whole = sirdar.ended(sirdar.admin.post(f"/api/jobs/{job['id']}/resubmit", json={}).json()["id"])
    assert "againOf" not in sirdar.admin.get(f"/api/jobs/{whole['id']}/tasks/3").json(), "the same numbers"
    assert sirdar.job(job["id"])["repeatedBy"] == [whole["id"], again["id"]]
    stopped = sirdar.run(
        loss, sweep={"parameters": {"b": ["broken", "x"]}}, inputs={"a": 1}, onFailure="continue", state="FAILED"
    )
    assert stopped["tasks"]["done"] == 1


def test_files_and_secrets_are_parameters_too(sirdar: Product, loss: str) -> None:
    files = [sirdar.upload(f"{number}.txt", str(number).encode()) for number in (100, 200)]
    job = sirdar.run(loss, sweep={"parameters": {"a": [1, 2], "data": files, "key": ["open", "sesame"]}})
    found = rows(sirdar, job["id"], "inputs.a", "inputs.data", "outputs.loss")
    assert sorted(set(found)) == [(a, f"{n}.txt", a * a + n) for a in (1, 2) for n in (100, 200)]
    assert not sirdar.files_with("sesame")


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("no such input", {"parameters": {"aa": [1]}}, "sweep.parameters.aa", "no such input"),
    ("a wrong value", {"parameters": {"a": [1, 2000]}}, "sweep.parameters.a[1]", "1000"),
    ("a wrong type", {"parameters": {"a": [1, "2"]}}, "sweep.parameters.a[1]", "2"),
    ("no text of a number", {"parameters": {"a": "1..x"}}, "sweep.parameters.a", "1..x"),
    ("no number in a list of texts", {"parameters": {"rate": "1,nan"}}, "sweep.parameters.rate[1]", "nan"),
    ("no values", {"parameters": {"a": []}}, "sweep.parameters.a", "no values"),
    ("a null", {"parameters": {"a": [None]}}, "sweep.parameters.a[0]", "empty"),
    ("a file of somebody", {"parameters": {"a": [1], "data": [{"$file": {"name": "x", "sha256": "0" * 64, "size": 1}}]}}, "sweep.parameters.data[0]", "file"),
    ("a step that leads away", {"parameters": {"a": "1..10:-1"}}, "sweep.parameters.a", "away"),
    ("too many values", {"parameters": {"rate": "0..1:0.0000001"}}, "sweep.parameters.rate", "values"),
    ("too many combinations", {"parameters": {"a": "0..999", "rate": "0..999"}}, "sweep", "too many"),
    ("too many, whatever they are", {"parameters": {"a": [2000] * 1000, "rate": "0..9999"}}, "sweep", "10000000 combinations are too many"),
    ("too many to ask about", {"parameters": {"a": [1], "rate": "0..9999", "b": ["x"] * 1001}, "where": "a > 1"}, "sweep", "10010000 combinations are too many"),
    ("too many conditions", {"parameters": {"a": [1]}, "where": ["a > 0"] * 101}, "sweep", "at most 100 conditions"),
    ("a number that takes long", {"parameters": {"a": "1e500000..1e500000"}}, "sweep.parameters.a", "1e500000"),
    ("a factor that leads far", {"parameters": {"rate": "1..1e6000:*10"}}, "sweep.parameters.rate", "1e6000"),
    ("a condition that takes long", {"parameters": {"a": [9]}, "where": "((a**999)**999)**6 > 1"}, "sweep", "too large"),
    ("a condition of nothing", {"parameters": {"a": [1]}, "where": "c < 2"}, "sweep.where", "no parameter c"),
    ("a condition on a file", {"parameters": {"a": [1], "key": ["k"]}, "where": ["a<2", "key < 2"]}, "sweep.where[1]", "no condition can compare"),
    ("a condition that calls", {"parameters": {"a": [1]}, "where": "__import__('os')"}, "sweep.where", "no function"),
    ("a condition without a value", {"parameters": {"a": [0]}, "where": "1/a < 2"}, "sweep", "1/a < 2: a division by zero, where a is 0"),
    ("a condition that counts with a text", {"parameters": {"a": [1], "b": ["x"]}, "where": "b*2 < 3"}, "sweep.where", "b is a text"),
    ("nothing is left", {"parameters": {"a": [1, 2]}, "where": "a > 5"}, "sweep", "none of the 2"),
    ("pairs that do not pair", {"parameters": {"a": [1, 2], "rate": [1, 2, 3]}, "mode": "zip"}, "sweep", "here are 2 (a) and 3 (rate)"),
    ("something required is missing", {"parameters": {"b": ["x", "y"]}}, "inputs.a", "required"),
    ("a quote that stays open", {"parameters": {"a": [1], "b": "x,'y"}}, "sweep.parameters.b", "quote"),
]  # fmt: skip


@pytest.mark.parametrize(("sweep", "field", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_told_at_its_place(
    sirdar: Product, loss: str, sweep: dict[str, Any], field: str, says: str
) -> None:
    before = sirdar.counts()["jobs"]
    found = problem(
        sirdar.admin.post(f"/api/apps/{loss}", json={"inputs": {}, "sweep": sweep}), 422, "invalid_input", field
    )
    assert says in json.dumps(found)
    assert sirdar.counts()["jobs"] == before


def test_an_input_is_given_once(sirdar: Product, loss: str) -> None:
    body = {"inputs": {"a": 1}, "sweep": {"parameters": {"a": [1, 2]}}}
    found = problem(sirdar.admin.post(f"/api/apps/{loss}", json=body), 422, "invalid_input", "inputs.a")
    assert "has values in the sweep, too" in json.dumps(found)


def test_sweep_and_foreach_exclude_one_another(sirdar: Product, loss: str) -> None:
    body = {"inputs": {}, "sweep": {"parameters": {"a": [1]}}, "foreach": [{"a": 1}]}
    found = problem(sirdar.admin.post(f"/api/apps/{loss}", json=body), 400, "invalid_request")
    assert "exclude" in found["detail"]


def test_the_command_line_sweeps(sirdar: Product, loss: str, tmp_path: Path) -> None:
    for number in (10, 20):
        (tmp_path / f"{number}.txt").write_text(str(number))
    words = ["-i", "a=1..4", "-i", "b=z", "-i", f"data=@{tmp_path}/10.txt,@{tmp_path}/20.txt", "--where", "a > 2"]
    done = subprocess.run(
        [BIN / "sirdar", "sweep", loss, *words, "--wait", "--json"],
        check=False,
        env={**surroundings(tmp_path), "SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert rows(sirdar, job["id"], "inputs.a", "inputs.data", "outputs.loss") == [
        (a, f"{n}.txt", a * a + n) for a in (3, 4) for n in (10, 20)
    ]


def test_the_command_line_shows_what_is_run_again(sirdar: Product, loss: str, tmp_path: Path) -> None:
    job = sirdar.run(loss, sweep={"parameters": {"a": [1, 2], "b": "x,broken"}})

    def told(*words: str) -> str:
        surrounded = {**surroundings(tmp_path), "SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
        done = subprocess.run(
            [BIN / "sirdar", "job", *words], check=False, env=surrounded, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    again = json.loads(told("resubmit", job["id"], "--failed", "--json"))["id"]
    sirdar.ended(again)
    assert ["repeats", job["id"]] in [line.split() for line in told("show", again).splitlines()]
    assert ["repeated", "by", again] in [line.split() for line in told("show", job["id"]).splitlines()]
    head, *lines = told("tasks", again).splitlines()
    assert head.split()[:3] == ["NO", "AGAIN", "OF"]
    assert [line.split()[:2] for line in lines if line] == [["0", "1"], ["1", "3"]]


def test_the_command_line_names_the_value_that_is_none(sirdar: Product, loss: str, tmp_path: Path) -> None:
    surrounded = {**surroundings(tmp_path), "SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
    for word, says in (("rate=1,nan,inf", "value 2 of rate: rate is a number, and 'nan'"), ("rate=inf", "]: rate is")):
        done = subprocess.run(
            [BIN / "sirdar", "sweep", loss, "-i", "a=1..4", "-i", word],
            check=False,
            env=surrounded,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 2
        assert says in done.stderr


def test_a_number_that_is_not_finite_takes_no_other_value_with_it(sirdar: Product) -> None:
    app = sirdar.publish(
        "not-finite",
        'printf "loss = $loss\\nsteps = 7\\n" > v.txt; echo "{\\"last\\": $last, \\"first\\": 1, \\"gap\\": NaN}" > r.json',
        shell=True,
        inputs={"loss": {"type": "string", "required": True}, "last": {"type": "string", "default": "2"}},
        outputs={
            "named": {"type": "values", "from": "v.txt"},
            "first": {"type": "number", "from": "r.json", "key": "first"},
            "last": {"type": "number", "from": "r.json", "key": "last"},
        },
    )
    job = sirdar.run(app, sweep={"parameters": {"loss": ["nan", "0.5", "-inf"]}}, criterion={"minimize": "loss"})
    assert [(task["loss"], task["steps"], task["first"], task["last"]) for task in job["result"]] == [
        (None, 7, 1, 2), (0.5, 7, 1, 2), (None, 7, 1, 2),
    ]  # fmt: skip
    assert job["best"]["task"] == 1
    columns = {
        column["name"]: column["kind"] for column in sirdar.admin.get(f"/api/jobs/{job['id']}/table").json()["columns"]
    }
    assert columns["outputs.loss"] == "number", "not a column of texts"
    told = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()["outcome"]
    assert told["message"] == "output named: in v.txt loss is NaN; no JSON has such a number, so null is kept"
    failed = sirdar.run(app, {"loss": "1", "last": "-Infinity"}, state="FAILED")
    assert failed["outcome"]["message"] == (
        "output last: last of r.json: -Infinity is not a finite number, and JSON can carry no other"
    )
    assert failed["result"] == {"loss": 1, "steps": 7, "first": 1}


def test_python_gets_a_table_for_pandas(sirdar: Product, loss: str) -> None:
    with sdk.connect(sirdar.url, sirdar.token()) as client:
        job = client.app(loss).sweep(a=range(1, 4), b=("x", "y"), rate=2, _where=["a != 2"], _name="from Python")
        assert job.name == "from Python"
        job.wait(60)
        table = job.table()
        assert table.units["loss"] == "m"
        frame = pd.DataFrame(table)
        assert list(frame["loss"]) == [1, 1, 9, 9]
        assert list(table.to_pandas().index) == [0, 1, 2, 3]
        assert table.column("b") == ["x", "y", "x", "y"]
        assert "<th>loss</th>" in table._repr_html_()
        pairs = client.app(loss).sweep(a=(number for number in (5, 6)), b=["x", "y"], _zip=True)
        pairs.wait(60)
        assert [(row["a"], row["said"]) for row in pairs.table()] == [(5, "x"), (6, "y")]
        with pytest.raises(ValueError, match="several values"):
            client.app(loss).sweep(a=1)


def test_tasks_and_the_table_are_filtered_on_the_command_line(sirdar: Product, loss: str, tmp_path: Path) -> None:
    def cli(*words: str) -> str:
        env = {**surroundings(tmp_path), "SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
        done = subprocess.run(
            [BIN / "sirdar", *words], check=False, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    job = sirdar.run(loss, sweep={"parameters": {"a": "1..6", "b": ["x", "y"]}})["id"]
    few = ["--where", "outputs.loss<20", "--where", "inputs.a>=3", "--where", "inputs.b=y"]
    assert cli("job", "tasks", job, *few, "-q") == "5\n7\n"
    assert [line.split(",")[0] for line in cli("job", "table", job, *few).splitlines()[1:]] == ["5", "7"]
    assert cli("job", "tasks", job, "--where", "outputs.loss<20", "--limit", "3", "-q") == "0\n1\n2\n"


def test_a_map_is_done_though_a_task_fails(sirdar: Product, loss: str) -> None:
    with sdk.connect(sirdar.url, sirdar.token()) as client:
        given: list[dict[str, Any]] = [{"a": 1}, {"a": 2, "b": "broken"}, {"a": 3}]
        found = client.app(loss).map(given).result(timeout=100)
        assert [row and row["loss"] for row in found] == [1, None, 9]
        with pytest.raises(JobFailed):
            client.app(loss).map(given, _on_failure="continue").result(timeout=100)


def test_what_varies_stands_in_the_lines_of_tasks_and_of_the_job(sirdar: Product, loss: str, tmp_path: Path) -> None:
    def cli(*words: str) -> list[str]:
        env = {**surroundings(tmp_path), "SIRDAR_URL": sirdar.url, "SIRDAR_TOKEN": sirdar.token()}
        done = subprocess.run(
            [BIN / "sirdar", *words], check=False, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    sweep = {"parameters": {"a": [1, 2, 3], "b": ["x", "y"]}}
    job = sirdar.run(loss, {"rate": 0.5}, sweep=sweep, stopWhen="loss > 0.5")
    shown = cli("job", "show", job["id"])
    assert "2 inputs vary: a, b" in shown
    inputs = shown[shown.index("Inputs of all tasks") + 1 :]
    assert sorted(line.split()[0] for line in inputs[: inputs.index("")]) == ["on", "rate"]
    assert not [line for line in shown if line.endswith("  –")]
    lines = cli("job", "tasks", job["id"], "--sort=-outputs.loss", "--state", "done")
    assert lines[0].split()[:5] == ["NO", "STATE", "LOSS", "A", "B"]
    no, _, _, found, a, _ = lines[1].split()[:6]
    assert (int(found), int(a) ** 2) == (job["result"][int(no)]["loss"], int(found))


def test_an_application_without_its_owner_is_guessed_at(sirdar: Product) -> None:
    said = sirdar.admin.get("/api/apps/fit").json()
    assert (said["code"], said["try"]) == ("not_found", "Did you mean me/fit?")
