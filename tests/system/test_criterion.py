"""A job that seeks the best of its tasks and stops early: over REST, the client and the command line, through the real product."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN, surroundings
from tests.system.product import Product, await_that, problem

FIT = """
echo "{\\"loss\\": $a}" > r.json
if [ -n "$hold" ] && [ "$a" != 0 ]; then sleep 600; fi
"""


@pytest.fixture(scope="module")
def apps(sirdar: Product) -> Product:
    inputs = {"a": {"type": "number", "required": True}, "hold": {"type": "string", "default": ""}}
    loss = {"loss": {"type": "number", "from": "r.json", "key": "loss"}}
    sirdar.publish("fit", FIT, shell=True, inputs=inputs, outputs=loss)
    says = 'echo "{\\"metrics\\": {\\"gap\\": $a}}" >> "$SIRDAR_MESSAGE_FILE"; test "$a" != 3'
    sirdar.publish("says", says, shell=True, inputs=inputs)
    return sirdar


def sets(*values: float) -> list[dict[str, float]]:
    return [{"a": value} for value in values]


def test_the_best_task_is_told_with_its_value_and_inputs(apps: Product) -> None:
    job = apps.run("me/fit", foreach=sets(3, 1.5, 7, 1.5), criterion={"minimize": "loss"})
    assert job["criterion"] == {"minimize": "loss"}
    assert job["best"] == {"task": 1, "value": 1.5, "inputs": {"a": 1.5}}
    listed = apps.admin.get("/api/jobs", params={"limit": 1}).json()[0]
    assert listed["best"] == {"task": 1, "value": 1.5}
    most = apps.run("me/fit", foreach=sets(3, 1.5, 7), criterion={"maximize": "loss"})
    assert most["best"] == {"task": 2, "value": 7, "inputs": {"a": 7}}
    again = apps.admin.post(f"/api/jobs/{most['id']}/resubmit", json={}).json()
    assert again["criterion"] == {"maximize": "loss"}


def test_it_stops_early_and_is_done(apps: Product) -> None:
    """What runs is ended though it would take ten minutes; what waits is not begun."""
    given: dict[str, Any] = {"criterion": {"minimize": "loss"}, "stopWhen": "loss < 0.5", "onFailure": "ignore"}
    job = apps.run("me/fit", {"hold": "y"}, foreach=sets(5, 0, *range(10, 108)), **given)
    assert (job["state"], job["metBy"], job["best"]["task"]) == ("DONE", 1, 1)
    assert job["outcome"]["reason"] == "ok"
    assert job["outcome"]["message"] == "Stopped early: task 1 met loss < 0.5; 1 of 100 tasks done, 99 not needed"
    assert (job["notNeeded"], job["tasks"]["cancelled"], job["tasks"]["running"]) == (99, 99, 0)
    last = apps.admin.get(f"/api/jobs/{job['id']}/tasks/99").json()
    assert (last["state"], last["outcome"]["message"]) == ("CANCELLED", "Not needed: task 1 met loss < 0.5")


def test_a_number_that_tasks_report_may_be_sought_and_failures_are_told_by_kind(apps: Product) -> None:
    job = apps.run("me/says", foreach=sets(4, 2, 3), criterion={"minimize": "gap"}, onFailure="ignore")
    assert (job["state"], job["best"]) == ("DONE", {"task": 1, "value": 2, "inputs": {"a": 2}})
    assert [(one["reason"], one["count"], one["example"]) for one in job["failures"]] == [("exit_code", 1, 2)]
    assert job["outcome"]["message"].startswith("2 of 3 tasks done, 1 failed: 1 by exit_code (task 2: ")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"criterion": {"minimize": "los"}}, "criterion.minimize"),
        ({"criterion": {"minimize": "loss", "maximize": "loss"}}, "criterion"),
        ({"criterion": {}}, "criterion"),
        ({"stopWhen": "loss <"}, "stopWhen"),
        ({"stopWhen": "loss"}, "stopWhen"),
        ({"stopWhen": "loss < 1", "foreach": None, "inputs": {"a": 1}}, "stopWhen"),
    ],
)
def test_what_cannot_be_sought_is_refused(apps: Product, given: dict[str, Any], field: str) -> None:
    reply = apps.admin.post("/api/apps/me/fit", json={"foreach": sets(1, 2), **given})
    problem(reply, 422, "invalid_field", field)


def test_while_it_runs_the_best_so_far_is_told(apps: Product) -> None:
    body = {"inputs": {"hold": "y"}, "foreach": sets(0, 9), "criterion": {"minimize": "loss"}}
    job_id = apps.admin.post("/api/apps/me/fit", json=body).json()["id"]

    def seen() -> dict[str, Any]:
        shown: dict[str, Any] = apps.admin.get(f"/api/jobs/{job_id}").json()
        return shown

    await_that(lambda: seen()["best"] is not None)
    shown = seen()
    assert (shown["state"], shown["best"]["task"]) == ("RUNNING", 0)
    apps.admin.post(f"/api/jobs/{job_id}/cancel")
    await_that(lambda: seen()["state"] == "CANCELLED")


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_the_command_line_ends_with_the_best_task(apps: Product, tmp_path: Path, command: str) -> None:
    (tmp_path / "sets.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in sets(3, 1.5, 7)))
    given = ["-i", "a=3,1.5,7"] if command == "sweep" else ["--foreach", "sets.jsonl"]
    words = [str(BIN / "sirdar"), command, "me/fit", *given, "--minimize", "loss", "--wait"]
    env = surroundings(apps.root)
    told = subprocess.run(words, check=False, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert "best  loss 1.5 in task 1: a 1.5" in told.stdout.splitlines()


def test_where_there_is_no_best_it_is_said_why(apps: Product) -> None:
    def best(app: str, value: str) -> tuple[str, str]:
        sought = ["--minimize", "nothing", "--stop-when", "nothing < 1"]
        words = [str(BIN / "sirdar"), "sweep", app, "-i", value, *sought, "--wait"]
        subprocess.run(words, check=False, env=surroundings(apps.root), capture_output=True, timeout=60)
        words = [str(BIN / "sirdar"), "job", "show", "last"]
        told = subprocess.run(
            words, check=False, env=surroundings(apps.root), capture_output=True, text=True, timeout=60
        )
        lines = told.stdout.splitlines()
        of_best = next(line for line in lines if line.startswith("best ")).partition("none")[2]
        return of_best, next(line for line in lines if line.startswith("stops when ")).removeprefix(
            "stops when"
        ).strip()

    assert best("me/fit", "a=1,2") == (
        " (minimize nothing): no task gave a number nothing (2 done)",
        "nothing < 1: no task met it (2 done)",
    )
    assert best("me/says", "a=3,3") == (
        " (minimize nothing): no task is done",
        "nothing < 1: no task met it (0 done)",
    )
