"""Small files that travel in a submission itself."""

import base64
import hashlib
from typing import Any

import pytest
from tests.system.product import Product, problem

WORDS = "one two\n"
SHA256 = hashlib.sha256(WORDS.encode()).hexdigest()
BINARY = bytes(range(256))


@pytest.fixture(scope="module")
def count(sirdar: Product) -> str:
    return sirdar.publish(
        "sizes",
        "sh size.sh ${data} ${more}",
        files={"size.sh": 'cat "$@" | wc -c > size; cat "$1" > copy'},
        inputs={"data": {"type": "file", "suffixes": [".txt", ".bin"]}, "more": "files", "note": "string"},
        outputs={"size": {"type": "integer", "from": "size"}, "copy": "copy"},
    )


def sizes(server: Product, job: dict[str, Any]) -> list[int]:
    listed = server.admin.get(f"/api/jobs/{job['id']}/tasks").json()
    return [task["result"]["size"] for task in listed]


def test_a_file_and_a_list_of_them_stand_in_the_body(sirdar: Product, count: str) -> None:
    binary = {"filename": "b.bin", "base64": base64.b64encode(BINARY).decode()}
    more = [{"filename": "c", "text": ""}, {"filename": "d", "text": "жук"}]
    job = sirdar.run(count, {"data": binary, "more": more})
    assert (job["state"], job["result"]["size"]) == ("DONE", 256 + 6)
    assert sirdar.admin.get(job["result"]["copy"]).content == BINARY
    uri = job["inputs"]["data"]
    assert uri.endswith("/b.bin") and sirdar.admin.get(uri).content == BINARY


def test_each_set_of_many_has_its_own_and_what_they_share_comes_once(sirdar: Product, count: str) -> None:
    shared = {"filename": "s.txt", "text": "shared"}
    sets = [{"more": [{"filename": "m", "text": "x" * no}]} for no in range(3)]
    job = sirdar.run(count, {"data": shared}, foreach=sets)
    assert (job["state"], sizes(sirdar, job)) == ("DONE", [6, 7, 8])


def test_a_digest_is_enough_for_what_the_same_user_has_sent(sirdar: Product, count: str) -> None:
    known = {"filename": "w.txt", "sha256": SHA256}
    ines = sirdar.user("ines")
    count = count.replace("me/", "admin/")
    sirdar.admin.put(f"/api/apps/{count}/share/user:ines", json={"permission": "run"})
    for client in (sirdar.admin, ines):  # one's files are not the other's
        refused = problem(client.post(f"/api/apps/{count}", json={"inputs": {"data": known}}), 422, "invalid_input")
        assert refused["errors"][0]["field"] == "inputs.data"
        assert "does not have these bytes from you" in refused["detail"]
        for value in ({**known, "text": WORDS}, known):
            reply = client.post(f"/api/apps/{count}", json={"inputs": {"data": value}}, params={"wait": 30})
            assert reply.json()["result"]["size"] == len(WORDS), reply.text


def test_more_tasks_and_another_try_bring_files_too(sirdar: Product, count: str) -> None:
    first = [{"data": {"filename": "a.txt", "text": "a"}}]
    job = sirdar.admin.post(f"/api/apps/{count}", json={"foreach": first, "open": True}).json()
    more = {"foreach": [{"data": {"filename": "b.txt", "text": "bb"}}], "first": 1, "last": True}
    added = sirdar.admin.post(f"/api/jobs/{job['id']}/tasks", json=more)
    assert added.status_code == 200, added.text
    assert sirdar.ended(job["id"])["state"] == "DONE" and sizes(sirdar, job) == [1, 2]
    wrong = {"foreach": [{"data": {"filename": "b", "sha256": "0" * 64}}], "first": 2}
    job = sirdar.admin.post(f"/api/apps/{count}", json={"foreach": first, "open": True}).json()
    refused = sirdar.admin.post(f"/api/jobs/{job['id']}/tasks", json=wrong)
    problem(refused, 422, "invalid_input", "foreach[0].data")
    sirdar.admin.post(f"/api/jobs/{job['id']}/cancel")

    one = sirdar.run(count, {"data": {"filename": "a.txt", "text": "a"}})
    again = {"inputs": {"data": {"filename": "c.txt", "text": "ccc"}}}
    made = sirdar.admin.post(f"/api/jobs/{one['id']}/resubmit", json=again).json()
    assert sirdar.ended(made["id"])["result"]["size"] == 3


def test_the_same_call_again_is_the_same_job(sirdar: Product, count: str) -> None:
    body = {"inputs": {"data": {"filename": "a.txt", "text": "again"}}}
    jobs = [sirdar.admin.post(f"/api/apps/{count}", json=body, headers={"idempotency-key": "inline"}) for _ in range(2)]
    assert [job.status_code for job in jobs] == [201, 200]
    assert jobs[0].json()["id"] == jobs[1].json()["id"]


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        ({"filename": "a.txt"}, "invalid_field", "inputs.data"),
        ({"filename": "a.txt", "text": 1}, "invalid_field", "inputs.data"),
        ({"filename": "a.txt", "text": "a", "base64": "YQ=="}, "invalid_field", "inputs.data"),
        ({"filename": "a.txt", "text": "a", "size": 1}, "invalid_field", "inputs.data"),
        ({"filename": "a.txt", "base64": "%%%"}, "invalid_field", "inputs.data.base64"),
        ({"filename": "../a.txt", "text": "a"}, "invalid_field", "inputs.data.filename"),
        ({"filename": 1, "text": "a"}, "invalid_field", "inputs.data"),
        ({"filename": "a.txt", "sha256": "none"}, "invalid_field", "inputs.data.sha256"),
        ({"filename": "a.txt", "text": "a", "sha256": SHA256}, "invalid_field", "inputs.data.sha256"),
        ({"filename": "a.exe", "text": "a"}, "invalid_input", "inputs.data"),
        ({"text": "a"}, "invalid_input", "inputs.data"),
    ],
)
def test_what_is_wrong_with_one_is_said(sirdar: Product, count: str, value: Any, code: str, field: str) -> None:
    problem(sirdar.admin.post(f"/api/apps/{count}", json={"inputs": {"data": value}}), 422, code, field)


def test_where_no_file_is_taken_it_stays_what_it_is(sirdar: Product, count: str) -> None:
    value = {"filename": "a.txt", "text": "a"}
    reply = sirdar.admin.post(f"/api/apps/{count}", json={"inputs": {"data": value, "note": value}})
    problem(reply, 422, "invalid_input", "inputs.note")
    asis = sirdar.publish("asis", "echo ${any}", shell=True, inputs={"any": "json"})
    assert sirdar.run(asis, {"any": value})["inputs"]["any"] == value
