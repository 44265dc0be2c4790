"""Jobs that take more tasks while they run: over REST, through the real product."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.product import Product, await_that, problem

TWICE = "echo task ${n} && echo $((2 * n + base)) > out.txt"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    made = Product(tmp_path_factory.mktemp("open"), {"open_s": 30})
    made.start()
    made.publish(
        "twice",
        TWICE,
        shell=True,
        inputs={"n": {"type": "integer", "required": True}, "base": "integer"},
        outputs={"twice": {"type": "number", "from": "out.txt"}},
    )
    made.publish("count", "wc -c < ${data}", shell=True, inputs={"data": "file"})
    yield made
    made.close()


def opened(product: Product, app: str = "me/twice", **more: Any) -> dict[str, Any]:
    body = {"inputs": {"base": 1}, "foreach": [{"n": 0}, {"n": 1}], "open": True, **more}
    reply = product.admin.post(f"/api/apps/{app}", json=body)
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def add(
    product: Product, job: dict[str, Any], *sets: Any, first: int, last: bool = False, key: str = "", wait: float = 0
) -> httpx.Response:
    return product.admin.post(
        f"/api/jobs/{job['id']}/tasks",
        params={"wait": wait},
        json={"foreach": list(sets), "first": first, "last": last},
        headers={"idempotency-key": key} if key else {},
    )


def all_done(product: Product, job: dict[str, Any], total: int) -> dict[str, Any]:
    def look() -> Any:
        found = product.job(job["id"])
        return found["tasks"]["done"] == total and found

    return dict(await_that(look, what=f"{total} tasks"))


def test_more_tasks_come_while_it_runs_and_the_last_word_ends_it(product: Product) -> None:
    job = opened(product, name="grows", criterion={"maximize": "twice"})
    assert job["open"] is True
    seen = all_done(product, job, 2)
    assert (seen["state"], seen["endedAt"], seen["open"], seen["leftS"]) == ("RUNNING", None, True, None)
    assert seen["info"] == "Waiting for more tasks from its client"
    assert seen["varying"] == ["n"]
    told = product.admin.get(f"/api/jobs/{job['id']}/explain").json()
    assert told["why"][0]["code"] == "open" and "if none come within" in told["summary"]
    page = product.admin.get(f"/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert "100" not in page or "more may come" in page

    found = add(product, job, {"n": 5}, {"n": 4, "base": 7}, first=2).json()
    assert (found["tasks"]["total"], found["open"]) == (4, True)
    all_done(product, job, 4)
    assert product.job(job["id"])["varying"] == ["base", "n"], "what differs is found anew while sets come"
    ended = add(product, job, {"n": 9}, first=4, last=True, wait=30).json()
    assert (ended["state"], ended["info"], ended.get("open")) == ("DONE", "5 of 5 tasks done", None)
    assert ended["result"] == [{"twice": n} for n in (1, 3, 11, 15, 19)]
    assert (ended["best"]["task"], ended["best"]["value"]) == (4, 19.0)
    sort = {"sort": "-outputs.twice", "where": "inputs.n>3"}
    tasks = product.admin.get(f"/api/jobs/{job['id']}/tasks", params=sort).json()
    assert [task["no"] for task in tasks] == [4, 3, 2]
    log = product.admin.get(f"/api/jobs/{job['id']}/log").text
    assert (
        "2 task(s) added, from number 2 on\n" in log and "1 task(s) added, from number 4 on. No more tasks come" in log
    )
    again = product.admin.post(f"/api/jobs/{job['id']}/resubmit", json={"inputs": {"base": 2}})
    assert "open" not in again.json()
    assert product.ended(again.json()["id"])["result"] == [{"twice": n} for n in (2, 4, 12, 15, 20)]


def test_a_request_that_comes_twice_adds_once(product: Product) -> None:
    job = opened(product)
    for _ in range(2):
        assert add(product, job, {"n": 2}, first=2, key="a").json()["tasks"]["total"] == 3
    problem(add(product, job, {"n": 3}, first=2, key="a"), 422, "idempotency_mismatch")
    refused = problem(add(product, job, {"n": 3}, first=2), 409, "conflict", "first")
    assert "the next one is number 3, not 2" in refused["detail"] and refused["expected"] == "3"
    for _ in range(2):
        ended = add(product, job, first=3, last=True, key="z", wait=30).json()
        assert (ended["state"], ended["tasks"]["total"]) == ("DONE", 3), (
            "said again after the end, it is answered as then"
        )
    refused = problem(add(product, job, {"n": 3}, first=3), 409, "conflict")
    assert "takes no more tasks: it is DONE (3 of 3 tasks done)" in refused["detail"]


def test_what_is_added_is_checked_as_what_is_submitted(product: Product) -> None:
    job = opened(product)
    problem(add(product, job, {"n": "two"}, first=2), 422, "invalid_input", "foreach[0].n")
    problem(add(product, job, {"n": 1}, {"m": 1}, first=2), 422, "invalid_input", "foreach[1].m")
    problem(add(product, job, {"base": 1}, first=2), 422, "invalid_input", "foreach[0].n")
    problem(add(product, job, *[{"n": 1}] * 20_000, first=2), 413, "too_large", "foreach")
    assert product.job(job["id"])["tasks"]["total"] == 2
    assert add(product, job, {"n": 1}, first=2, last=True, wait=30).json()["state"] == "DONE"
    body = {"inputs": {"base": 1, "n": 1}, "open": True}
    reply = product.admin.post("/api/apps/me/twice", json=body)
    assert reply.status_code == 422 and "goes with foreach, the first tasks" in reply.text


def test_files_of_added_tasks(product: Product) -> None:
    one, other = product.upload("1", b"1"), product.upload("22", b"22")
    job = opened(product, "me/count", inputs={}, foreach=[{"data": one}])
    digest = {"$file": {"name": "x", "sha256": "0" * 64, "size": 1}}
    problem(add(product, job, {"data": digest}, first=1), 422, "invalid_input", "foreach[0].data")
    problem(add(product, job, {"data": "http://93.184.215.14/x"}, first=1), 422, "invalid_field")
    ended = add(product, job, {"data": other}, first=1, last=True, wait=30).json()
    assert ended["state"] == "DONE", ended
    stdout = product.admin.get(f"/api/jobs/{job['id']}/stdout", params={"task": 1}).text
    assert stdout.strip() == "2"


def test_only_who_may_cancel_it_may_add(product: Product) -> None:
    job = opened(product)
    stranger, friend = product.user("stranger"), product.user("friend")
    product.admin.put(f"/api/jobs/{job['id']}/share/user:friend", json={})
    body = {"foreach": [{"n": 1}], "first": 2}
    problem(stranger.post(f"/api/jobs/{job['id']}/tasks", json=body), 404, "not_found")
    problem(friend.post(f"/api/jobs/{job['id']}/tasks", json=body), 403, "forbidden")
    assert product.admin.post(f"/api/jobs/{job['id']}/cancel").status_code == 200
    assert product.ended(job["id"])["state"] == "CANCELLED"
    refused = problem(add(product, job, {"n": 1}, first=2), 409, "conflict")
    assert "it is CANCELLED (Cancelled by admin" in refused["detail"]


def test_a_client_that_falls_silent_is_not_waited_for_and_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    made = Product(tmp_path, {"open_s": 2})
    made.start()
    try:
        made.publish("twice", TWICE, shell=True, inputs={"n": "integer", "base": "integer"})
        job = opened(made)
        assert add(made, job, {"n": 3}, first=2, key="k").status_code == 200
        assert made.process is not None
        made.process.send_signal(signal.SIGKILL)
        made.process.wait()
        assert made.process.stdout is not None
        made.process.stdout.close()
        made.close_clients()
        made.start()
        assert add(made, job, {"n": 3}, first=2, key="k").json()["tasks"]["total"] == 3, "said again, it adds nothing"
        ended = made.ended(job["id"])
        assert (ended["state"], ended["tasks"]["done"]) == ("DONE", 3)
        assert ended["info"] == "3 of 3 tasks done; no more tasks came within 2 s after the first 3"
        log = made.admin.get(f"/api/jobs/{job['id']}/log").text
        assert "No more tasks are taken: no more tasks came within 2 s after the first 3" in log
    finally:
        made.close()
