"""Jobs of many tasks, events, children, and what tasks may do with their own token: over REST, through the real product."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.product import Product, await_that, problem
from tests.system.test_jobs_api import walk

# Submits a child through the task's own token, and writes what the API answered into files.
CHILD = """\
import json, os, sys, urllib.request
def call(method, path, body=None):
    request = urllib.request.Request(os.environ["SIRDAR_URL"] + path, method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": "Bearer " + os.environ["EVEREST_TASK_TOKEN"], "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
made = call("POST", "/api/apps/" + sys.argv[1], json.loads(sys.argv[2]))
answers = {"made": made, "token": os.environ["EVEREST_TASK_TOKEN"], "me": call("GET", "/api/me"),
    "publish": call("POST", "/api/apps/publish", {"description": "x"}),
    "token_made": call("POST", "/api/tokens", {"label": "x"}),
    "users": call("GET", "/api/users")}
open("answers.json", "w").write(json.dumps(answers))
if len(sys.argv) > 3:
    print("waits", flush=True)
    import time; time.sleep(float(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def apps(sirdar: Product) -> Product:
    number = {"n": {"type": "integer", "required": True}, "base": {"type": "integer", "default": 100}}
    twice = {"twice": {"type": "number", "from": "out.txt"}}
    sirdar.publish(
        "twice", 'echo $((n * 2 + base)) > out.txt; echo "task $n"', shell=True, inputs=number, outputs=twice
    )
    sirdar.publish("odd", "echo $((n * 2)) > out.txt; test $((n % 2)) = 1", shell=True, inputs=number, outputs=twice)
    sirdar.publish("slow", "sleep ${n}", inputs={"n": {"type": "number", "required": True}})
    sirdar.publish("echo2", "echo ${text}", inputs={"text": {"type": "string", "default": "child"}})
    sirdar.publish(
        "parent",
        ["python3", "child.py", "${app}", "${body}", "${seconds}"],
        files={"child.py": CHILD},
        inputs={
            "app": {"type": "string", "default": "me/echo2"},
            "body": {"type": "string", "default": "{}"},
            "seconds": {"type": "string", "default": "0"},
        },
        outputs={"answers": {"type": "json", "from": "answers.json"}},
    )
    return sirdar


def foreach(n: int) -> list[dict[str, int]]:
    return [{"n": i} for i in range(n)]


# ---------------------------------------------------------------- foreach


def test_three_tasks_give_a_list_of_three_results(apps: Product) -> None:
    job = apps.run("me/twice", {"base": 1}, foreach=foreach(3))
    assert job["tasks"] == {"total": 3, "waiting": 0, "queued": 0, "running": 0, "done": 3, "failed": 0, "cancelled": 0}
    assert job["result"] == [{"twice": 1}, {"twice": 3}, {"twice": 5}]
    tasks = apps.admin.get(f"/api/jobs/{job['id']}/tasks").json()
    assert [(task["no"], task["state"], task["inputs"]) for task in tasks] == [
        (n, "DONE", {"n": n, "base": 1}) for n in range(3)
    ]
    needed = {
        *(
            "no",
            "name",
            "state",
            "resource",
            "submittedAt",
            "readyAt",
            "startedAt",
            "endedAt",
            "totalS",
            "waitS",
            "runS",
        ),
        *("stagedInBytes", "stagedOutBytes", "attempts", "outcome", "result", "inputs", "stats", "statusMessage"),
    }
    assert needed <= set(tasks[0])
    one = apps.admin.get(f"/api/jobs/{job['id']}/tasks/2").json()
    assert one["result"] == {"twice": 5}
    assert [attempt["state"] for attempt in one["tries"]] == ["ENDED"]
    assert apps.admin.get(f"/api/jobs/{job['id']}/stdout?task=1").text == "task 1\n"
    problem(apps.admin.get(f"/api/jobs/{job['id']}/stdout?task=3"), 404, "not_found", "task")
    problem(apps.admin.get(f"/api/jobs/{job['id']}/tasks/3"), 404, "not_found")
    log = apps.admin.get(f"/api/jobs/{job['id']}/log").text
    for n in range(3):
        assert f'["TASK_STATE", "{job["id"]}-{n}-0", "DONE"' in log


@pytest.mark.timeout(240)
def test_three_thousand_tasks(apps: Product) -> None:
    reply = apps.admin.post("/api/apps/me/twice", json={"inputs": {"base": 0}, "foreach": foreach(3000)})
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert made["tasks"]["total"] == 3000
    first = apps.admin.get(f"/api/jobs/{made['id']}/tasks?limit=1000&after=1999").json()
    assert [task["no"] for task in first] == list(range(2000, 3000)), "tasks not yet expanded are shown too"
    assert first[-1]["inputs"] == {"n": 2999, "base": 0}
    job = apps.ended(made["id"], wait=200)
    assert job["state"] == "DONE", job["info"]
    assert job["result"] == [{"twice": 2 * n} for n in range(3000)]
    assert apps.admin.get(f"/api/jobs/{made['id']}/results").json() == job["result"]
    pages = walk(apps.admin, f"/api/jobs/{made['id']}/tasks?limit=1000")
    assert [len(page) for page in pages] == [1000, 1000, 1000]
    assert [task["no"] for page in pages for task in page] == list(range(3000))
    walked = walk(apps.admin, f"/api/jobs/{made['id']}/tasks?state=DONE&limit=700")
    assert sum(len(page) for page in walked) == 3000
    lines = apps.admin.get(f"/api/jobs/{made['id']}/log").text.splitlines()
    assert sum('"DONE", {' in line for line in lines) == 3000


def test_input_sets_come_from_a_file_of_lines(apps: Product) -> None:
    lines = b'{"n": 1}\n\n{"n": 2, "base": 7}\n'
    uri = apps.upload("sets.jsonl", lines)
    job = apps.run("me/twice", {"base": 0}, foreach={"uri": uri})
    assert job["result"] == [{"twice": 2}, {"twice": 11}]


def test_files_of_tasks_have_uris_of_their_own(apps: Product) -> None:
    apps.publish("copy", "cp ${data} copy.csv", inputs={"data": "file"}, outputs={"copy": "copy.csv"})
    items = [{"data": apps.upload(f"{n}.csv", f"{n}\n".encode())} for n in range(3)]
    job = apps.run("me/copy", foreach=items)
    got = [apps.admin.get(result["copy"]).text for result in job["result"]]
    assert got == ["0\n", "1\n", "2\n"]
    assert len({result["copy"] for result in job["result"]}) == 3


@pytest.mark.parametrize(
    ("on_failure", "state", "done", "failed"),
    [("continue", "FAILED", 3, 3), ("ignore", "DONE", 3, 3), ("stop", "FAILED", None, None)],
)
def test_what_failures_do(apps: Product, on_failure: str, state: str, done: int | None, failed: int | None) -> None:
    job = apps.run("me/odd", foreach=foreach(6), onFailure=on_failure, state=state)
    tasks = job["tasks"]
    assert tasks["done"] + tasks["failed"] + tasks["cancelled"] == 6
    assert job["onFailure"] == on_failure
    if done is not None:
        assert (tasks["done"], tasks["failed"]) == (done, failed)
        # A failed task's outputs that it did produce stay; a task without any is null.
        assert [bool(result) for result in job["result"]] in ([True] * 6, [False, True] * 3)
    if state == "FAILED":
        assert re.search(r"\d", job["info"]), job["info"]
    listed = apps.admin.get(f"/api/jobs/{job['id']}/tasks?state=FAILED").json()
    assert len(listed) == tasks["failed"]
    assert all(task["outcome"]["reason"] == "exit_code" for task in listed)


def test_stop_ends_what_runs_and_what_waits(apps: Product) -> None:
    apps.publish("mixed", 'if [ "$n" = 0 ]; then exit 1; fi; sleep 60', shell=True, inputs={"n": "integer"})
    job = apps.run("me/mixed", foreach=foreach(40), onFailure="stop", state="FAILED", wait=30)
    assert job["tasks"]["failed"] == 1
    assert job["tasks"]["cancelled"] == 39
    assert job["result"] == [None] * 40 or all(not one for one in job["result"])


def test_results_hold_null_where_a_task_has_none(apps: Product) -> None:
    apps.publish(
        "maybe", 'if [ "$n" = 1 ]; then exit 1; fi; echo "$n" > out.txt', shell=True, inputs={"n": "integer"},
        outputs={"out": {"type": "number", "from": "out.txt"}},
    )  # fmt: skip
    job = apps.run("me/maybe", foreach=foreach(3), state="FAILED")
    assert job["result"] == [{"out": 0}, None, {"out": 2}]


def test_a_job_of_many_is_cancelled(apps: Product) -> None:
    job = apps.submit("me/slow", foreach=[{"n": 60}] * 50)
    await_that(lambda: apps.job(job["id"])["tasks"]["running"] > 0, what="the start")
    apps.admin.post(f"/api/jobs/{job['id']}/cancel")
    ended = apps.ended(job["id"], wait=30)
    assert ended["state"] == "CANCELLED"
    assert ended["tasks"]["cancelled"] == 50


def test_a_job_of_many_is_submitted_again(apps: Product) -> None:
    job = apps.run("me/twice", {"base": 0}, foreach=foreach(3))
    again = apps.admin.post(f"/api/jobs/{job['id']}/resubmit", json={"inputs": {"base": 1}})
    assert again.status_code == 201, again.text
    assert apps.ended(again.json()["id"])["result"] == [{"twice": 1}, {"twice": 3}, {"twice": 5}]


# ---------------------------------------------------------------- events


@dataclass
class Told:
    id: int | None
    event: str
    data: Any


def stream(client: httpx.Client, job_id: str, last: int | None = None, **query: Any) -> Iterator[Told]:
    headers = {"last-event-id": str(last)} if last is not None else {}
    with client.stream("GET", f"/api/jobs/{job_id}/events", headers=headers, params=query, timeout=30) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        number, event = None, "message"
        for line in reply.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                event = value
            elif name == "data":
                yield Told(number, event, json.loads(value))
                number, event = None, "message"


def test_events_tell_the_whole_story_and_end(apps: Product) -> None:
    job = apps.submit("me/slow", {"n": 0.5})
    told = list(stream(apps.admin, job["id"]))
    assert told[-1].event == "end"
    assert told[-1].data["state"] == "DONE"
    assert {one.event for one in told} <= {"job", "tasks", "message", "log", "end"}
    numbers = [one.id for one in told if one.id is not None]
    assert numbers == sorted(set(numbers))
    assert told[0].event == "job"
    assert told[0].data["kind"] == "submitted"


def test_events_are_resumed_after_the_last_one_seen(apps: Product) -> None:
    job = apps.run("me/twice", {"n": 1})
    whole = list(stream(apps.admin, job["id"]))
    numbers = [one.id for one in whole if one.id is not None]
    assert len(numbers) >= 3
    rest = list(stream(apps.admin, job["id"], last=numbers[0]))
    assert [one.id for one in rest if one.id is not None] == [n for n in numbers if n > numbers[0]]
    nothing = list(stream(apps.admin, job["id"], last=numbers[-1]))
    assert [one.event for one in nothing] == ["end"]
    far = list(stream(apps.admin, job["id"], last=999_999))
    assert [one.event for one in far] == ["end"]


def test_events_carry_logs_where_asked(apps: Product) -> None:
    job = apps.run("me/twice", {"n": 1})
    told = list(stream(apps.admin, job["id"], log="stdout"))
    assert "".join(one.data["text"] for one in told if one.event == "log") == "task 1\n"


def test_past_events_are_a_list_for_who_accepts_json(apps: Product) -> None:
    job = apps.run("me/twice", {"n": 1})
    reply = apps.admin.get(f"/api/jobs/{job['id']}/events", headers={"accept": "application/json"})
    listed = reply.json()
    assert reply.headers["content-type"] == "application/json"
    assert listed[0]["kind"] == "submitted"
    assert [event["id"] for event in listed] == sorted(event["id"] for event in listed)
    assert all(re.fullmatch(r".*T.*\.\d{3}Z", event["at"]) for event in listed)
    problem(apps.admin.get(f"/api/jobs/{job['id']}/events", headers={"last-event-id": "x"}), 422, "invalid_field")


def test_task_events_are_counts_at_most_four_times_a_second(apps: Product) -> None:
    job = apps.submit("me/twice", foreach=foreach(200))
    told = list(stream(apps.admin, job["id"]))
    counts = [one for one in told if one.event == "tasks"]
    took_s = max(1.0, apps.job(job["id"])["runS"])
    assert counts[-1].data["done"] == 200
    assert len(counts) <= 4 * took_s + 8


# ---------------------------------------------------------------- children, the task's token


def test_a_tasks_token_submits_children_and_no_more(apps: Product) -> None:
    job = apps.run("me/parent")
    answers = job["result"]["answers"]
    status, made = answers["made"]
    assert status == 201
    assert answers["me"][1]["name"] == "admin"
    for refused in ("publish", "token_made", "users"):
        assert answers[refused][0] == 403, (refused, answers[refused])
        assert answers[refused][1]["code"] == "forbidden"
    child = apps.ended(made["id"])
    assert child["parent"] == job["id"]
    assert child["owner"] == "admin"
    assert [one["id"] for one in apps.admin.get(f"/api/jobs/{job['id']}/children").json()] == [child["id"]]
    assert [one["id"] for one in apps.admin.get(f"/api/jobs?parent={job['id']}").json()] == [child["id"]]
    done = apps.admin.get(f"/api/jobs/{job['id']}/children?state=done,failed").json()
    assert [(one["id"], one["state"]) for one in done] == [(child["id"], "DONE")]
    assert apps.admin.get(f"/api/jobs/{job['id']}/children?state=running").json() == []
    # Its token has died with it.
    with apps.client(answers["token"]) as late:
        await_that(lambda: late.get("/api/me").status_code == 401, what="the token's death")
        problem(late.get("/api/me"), 401, "token_expired")
        problem(late.post("/api/apps/me/echo2", json={}), 401, "token_expired")


def test_cancelling_a_job_cancels_its_children(apps: Product) -> None:
    body = json.dumps({"inputs": {"n": 60}})
    job = apps.submit("me/parent", {"app": "me/slow", "body": body, "seconds": "60"})
    children = await_that(lambda: apps.admin.get(f"/api/jobs/{job['id']}/children").json(), what="a child")
    apps.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert apps.ended(job["id"])["state"] == "CANCELLED"
    assert apps.ended(children[0]["id"])["state"] == "CANCELLED"


# ---------------------------------------------------------------- what programs say


def test_status_progress_and_metrics_are_live(apps: Product) -> None:
    apps.publish(
        "says",
        'sirdar status "half way: да" --progress 0.5 --metric loss=0.25; while [ ! -e "$gate" ]; do sleep 0.02; done',
        shell=True,
        inputs={"gate": "string"},
    )
    gate = apps.root / "gate-of-says"
    job = apps.submit("me/says", {"gate": str(gate)})
    try:
        live = await_that(
            lambda: (seen := apps.job(job["id"]))["statusMessage"] and seen["metrics"] and seen, what="a message"
        )
        assert live["state"] == "RUNNING"
        assert live["statusMessage"] == "half way: да"
        assert live["progress"] == 0.5
        assert live["metrics"] == {"loss": 0.25}
    finally:
        gate.touch()
    ended = apps.ended(job["id"])
    gate.unlink()
    assert (ended["state"], ended["statusMessage"]) == ("DONE", "half way: да")
    assert '["TASK_MESSAGE", "' in apps.admin.get(f"/api/jobs/{job['id']}/log").text


def test_words_are_never_here_before_the_start(own_sirdar: Callable[..., Product], tmp_path: Path) -> None:
    """The agent keeps starts back for longer than this test takes: short tasks are told of by their ends alone."""
    product = own_sirdar(agent_started_delay_s=600)
    gate = tmp_path / "gate"
    app = product.publish(
        "says-at-once",
        'sirdar status half; while [ ! -e "$gate" ]; do sleep 0.02; done',
        shell=True,
        inputs={"gate": "string"},
    )
    job = product.submit(app, {"gate": str(gate)})
    try:
        live = await_that(lambda: (seen := product.job(job["id"]))["statusMessage"] and seen, what="a message")
        assert live["state"] == "RUNNING"
        assert live["startedAt"]
    finally:
        gate.touch()
    ended = product.ended(job["id"])
    assert (ended["state"], ended["statusMessage"]) == ("DONE", "half")


def test_a_waiting_job_says_why(apps: Product) -> None:
    blocking = apps.submit("me/slow", foreach=[{"n": 60}] * apps.slots)
    await_that(lambda: apps.job(blocking["id"])["tasks"]["running"] == apps.slots, what="a full machine")
    waiting = apps.submit("me/echo2")
    why = apps.admin.get(f"/api/jobs/{waiting['id']}/explain").json()
    assert why["state"] == "READY"
    assert why["summary"]
    assert all(one["code"] and one["text"] for one in why["why"])
    assert "local" in json.dumps(why)

    def held() -> str | None:
        reasons = apps.admin.get(f"/api/jobs/{waiting['id']}/explain").json()["why"]
        return next((one["text"] for one in reasons if one["code"] == "held"), None)

    await_that(held, what="the agent to have taken it into its own queue")
    assert held() == f"{apps.slots} of {apps.slots} slot(s) of local are held: by job {blocking['id']} {apps.slots}."
    apps.admin.post(f"/api/jobs/{blocking['id']}/cancel")
    assert apps.ended(waiting["id"])["state"] == "DONE"
    apps.ended(blocking["id"])


def test_a_job_that_no_machine_can_run_says_so(apps: Product) -> None:
    await_that(lambda: apps.admin.get("/api/resources").json()[0]["state"] == "online", what="the agent")
    apps.publish("huge", "true", resources={"cpus": 4000, "override": ["cpus"]})
    job = apps.submit("me/huge")
    (warning,) = job["warnings"]
    assert warning.startswith(
        "None of the resources that are attached now, and that it may use, can run it: local has "
    )
    assert "the task needs 4000" in warning
    again = apps.admin.post(f"/api/jobs/{job['id']}/resubmit", json={}).json()
    assert again["warnings"] == [warning]
    apps.admin.post(f"/api/jobs/{again['id']}/cancel")
    fits = apps.submit("me/huge", overrides={"cpus": 1})
    assert "warnings" not in fits
    apps.ended(fits["id"])
    why = apps.admin.get(f"/api/jobs/{job['id']}/explain").json()
    assert "4000" in json.dumps(why) or "cpu" in json.dumps(why)
    apps.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert apps.ended(job["id"])["state"] == "CANCELLED"
