"""The answer to whoever waited for a job: its tasks, and what they wrote."""

from typing import Any

import pytest
from tests.system.product import Product, problem

SCRIPT = 'echo out ${n}; echo err >&2; if [ ${n} = 9 ]; then exit 3; fi; printf "\\377${n}" > made; echo $((2 * n))'


@pytest.fixture(scope="module")
def app(sirdar: Product) -> str:
    return sirdar.publish(
        "written",
        SCRIPT,
        shell=True,
        inputs={"n": "integer"},
        outputs={"made": "made"},
    )


def post(server: Product, path: str, body: dict[str, Any], **params: Any) -> dict[str, Any]:
    reply = server.admin.post(path, json=body, params=params)
    assert reply.status_code in {200, 201}, reply.text
    return dict(reply.json())


def test_a_submission_is_answered_with_all_that_its_tasks_wrote(sirdar: Product, app: str) -> None:
    body = {"foreach": [{"n": 1}, {"n": 9}], "onFailure": "ignore"}
    job = post(sirdar, f"/api/apps/{app}", body, wait=30, files="stdout,stderr,made,none")
    good, bad = job["taskList"]
    listed = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks").json()
    assert [{name: value for name, value in one.items() if name != "files"} for one in (good, bad)] == listed
    assert good["files"] == {"stdout": {"text": "out 1\n2\n"}, "stderr": {"text": "err\n"}, "made": {"base64": "/zE="}}
    assert bad["files"] == {"stdout": {"text": "out 9\n"}, "stderr": {"text": "err\n"}}
    one = post(sirdar, f"/api/apps/{app}", {"inputs": {"n": 4}}, wait=30, files="made")
    assert [task["files"] for task in one["taskList"]] == [{"made": {"base64": "/zQ="}}]


def test_tasks_that_were_added_too(sirdar: Product, app: str) -> None:
    job = post(sirdar, f"/api/apps/{app}", {"foreach": [{"n": 1}], "open": True}, wait=0.2, files="stdout")
    assert "taskList" not in job, "it has not ended"
    body = {"foreach": [{"n": 2}], "first": 1, "last": True}
    ended = post(sirdar, f"/api/jobs/{job['id']}/tasks", body, wait=30, files="stdout")
    assert [task["files"]["stdout"]["text"] for task in ended["taskList"]] == ["out 1\n2\n", "out 2\n4\n"]


def test_nobody_gets_it_unasked_or_of_a_thousand(sirdar: Product, app: str) -> None:
    assert "taskList" not in post(sirdar, f"/api/apps/{app}", {"inputs": {"n": 1}}, wait=30)
    assert "taskList" not in post(sirdar, f"/api/apps/{app}", {"inputs": {"n": 1}}, files="stdout"), (
        "nor without waiting"
    )
    many = {"foreach": [{"n": 9}] * 201, "onFailure": "stop"}
    job = post(sirdar, f"/api/apps/{app}", many, wait=60, files="stdout")
    assert job["state"] == "FAILED" and "taskList" not in job
    refused = sirdar.admin.post(f"/api/apps/{app}", json={}, params={"files": ",".join(["a"] * 11)})
    problem(refused, 422, "invalid_field", "files")
