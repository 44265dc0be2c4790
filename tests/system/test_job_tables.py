"""A job of many tasks as a table, over REST: sorted, filtered, as CSV, its failures, points of a plot, failed ones again."""

import csv
import io
import json
import subprocess
from typing import Any

import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import pytest
from own_server import BIN, surroundings
from tests.system.product import Product, await_that, problem
from tests.system.test_jobs_api import walk

N = 23
FAILING = (3, 11, 12)


@pytest.fixture(scope="module")
def fit(sirdar: Product) -> dict[str, Any]:
    """A job of which three tasks failed."""
    sirdar.publish(
        "fit",
        "case $n in 3) exit 7;; 11|12) exit 9;; esac\n"
        'echo "{\\"error\\": $((50 - n)).5, \\"even\\": $([ $((n % 2)) = 0 ] && echo true || echo false),'
        ' \\"label\\": \\"n is $n, $kind\\"}" > out.json',
        shell=True,
        inputs={
            "n": {"type": "integer", "required": True},
            "kind": {"type": "enum", "values": ["a", "b"], "default": "a"},
            "scale": {"type": "number", "default": 2},
        },
        outputs={
            "error": {"type": "number", "from": "out.json", "key": "error", "title": "Error"},
            "even": {"type": "boolean", "from": "out.json", "key": "even"},
            "label": {"type": "string", "from": "out.json", "key": "label"},
            "whole": {"type": "json", "from": "out.json"},
        },
    )
    items = [{"n": n, **({"kind": "b"} if n == 5 else {})} for n in range(N)]
    return sirdar.run("me/fit", {"scale": 3}, foreach=items, state="FAILED")


def numbers(sirdar: Product, job: str, query: str) -> list[int]:
    pages = walk(sirdar.admin, f"/api/jobs/{job}/tasks?limit=10&{query}")
    return [task["no"] for page in pages for task in page]


def test_tasks_are_sorted_by_values_and_filtered_page_by_page(sirdar: Product, fit: dict[str, Any]) -> None:
    job = fit["id"]
    done = [n for n in range(N) if n not in FAILING]
    assert numbers(sirdar, job, "sort=outputs.error") == [*reversed(done), *FAILING]
    assert numbers(sirdar, job, "sort=-inputs.n") == list(range(N - 1, -1, -1))
    assert numbers(sirdar, job, "state=failed") == list(FAILING)
    assert numbers(sirdar, job, "state=FAILED,DONE&reason=exit_code&sort=-no") == [12, 11, 3]
    assert numbers(sirdar, job, "text=is 7, a") == [7]
    assert numbers(sirdar, job, "resource=local") == list(range(N))
    assert numbers(sirdar, job, "resource=nowhere") == []
    listed = sirdar.admin.get(f"/api/jobs/{job}/tasks?sort=-runS").json()
    times = [task["runS"] for task in listed]
    assert times == sorted(times, reverse=True)
    for query, field in (
        ("sort=outputs.whole", "sort"),
        ("sort=nothing", "sort"),
        ("reason=laziness", "reason"),
        ("state=x", "state"),
    ):
        problem(sirdar.admin.get(f"/api/jobs/{job}/tasks?{query}"), 422, "invalid_field", field)


def test_the_table_as_json_and_as_csv(sirdar: Product, fit: dict[str, Any]) -> None:
    reply = sirdar.admin.get(f"/api/jobs/{fit['id']}/table").json()
    names = [column["name"] for column in reply["columns"]]
    assert names == [
        "no", "state", "resource", "waitS", "runS", "inputs.n", "inputs.kind", "outputs.error", "outputs.even", "outputs.label",
        "totalS", "stagedInBytes", "stagedOutBytes", "attempts", "reason", "createdAt", "startedAt", "endedAt",
    ]  # fmt: skip
    assert reply["columns"][7] == {"name": "outputs.error", "kind": "number", "title": "Error", "unit": ""}
    rows = [dict(zip(names, row, strict=True)) for row in reply["rows"]]
    assert [row["no"] for row in rows] == list(range(N))
    assert {name: rows[5][name] for name in names if name.startswith(("inputs", "outputs"))} == {
        "inputs.n": 5, "inputs.kind": "b", "outputs.error": 45.5, "outputs.even": False, "outputs.label": "n is 5, b"
    }  # fmt: skip
    assert rows[4]["inputs.kind"] == "a", "what a task does not give itself is what all have in common"
    assert rows[3]["outputs.error"] is None
    task = sirdar.admin.get(f"/api/jobs/{fit['id']}/tasks/5").json()
    assert (rows[5]["waitS"], rows[5]["runS"]) == (task["waitS"], task["runS"])
    facts = ("totalS", "stagedInBytes", "stagedOutBytes", "attempts")
    assert [rows[5][name] for name in facts] == [task[name] for name in facts]
    assert (rows[5]["reason"], rows[3]["reason"]) == ("ok", "exit_code")
    assert (rows[5]["startedAt"], rows[5]["endedAt"]) == (task["startedAt"], task["endedAt"])
    text = sirdar.admin.get(f"/api/jobs/{fit['id']}/table?format=csv&state=DONE")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(text.text)))
    assert len(lines) == N - len(FAILING)
    assert (lines[5]["no"], lines[5]["outputs.even"], lines[5]["outputs.label"]) == ("6", "true", "n is 6, a")


def test_the_table_as_parquet_has_types(sirdar: Product, fit: dict[str, Any]) -> None:
    address = f"/api/jobs/{fit['id']}/table"
    reply = sirdar.admin.get(address, headers={"accept": "application/vnd.apache.parquet"})
    assert reply.headers["content-type"] == "application/vnd.apache.parquet"
    read = parquet.read_table(io.BytesIO(reply.content))
    types = {field.name: str(field.type) for field in read.schema}
    assert [types[name] for name in ("no", "inputs.n", "outputs.error", "outputs.even", "state", "endedAt")] == [
        "int64", "int64", "double", "bool", "string", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    rows = read.to_pylist()
    assert [row["no"] for row in rows] == list(range(N))
    plain = sirdar.admin.get(address).json()
    for name in ("runS", "inputs.kind", "outputs.error", "outputs.even", "outputs.label", "reason", "attempts"):
        place = [column["name"] for column in plain["columns"]].index(name)
        assert [row[name] for row in rows] == [row[place] for row in plain["rows"]], name
    few = sirdar.admin.get(f"{address}", params={"format": "parquet", "where": "outputs.error<50"})
    assert [row["no"] for row in parquet.read_table(io.BytesIO(few.content)).to_pylist()] == [
        row["no"] for row in rows if row["outputs.error"] is not None and row["outputs.error"] < 50
    ]
    none = sirdar.admin.get(f"{address}", params={"format": "parquet", "where": "outputs.error<-1e9"})
    assert parquet.read_table(io.BytesIO(none.content)).num_rows == 0
    by_accept = sirdar.admin.get(address, headers={"accept": "text/csv;q=0.9, */*;q=0.1"})
    assert by_accept.headers["content-type"] == "text/csv; charset=utf-8"


def test_tasks_by_conditions_on_their_values(sirdar: Product, fit: dict[str, Any]) -> None:
    address = f"/api/jobs/{fit['id']}/tasks"
    every = [task for task in sirdar.admin.get(f"{address}?limit=100").json() if task["result"]]
    fitting = [task["no"] for task in every if task["result"]["error"] < 100 and task["result"]["even"]]
    where = ["outputs.error<100", "outputs.even=true"]
    found = sirdar.admin.get(address, params={"where": where, "sort": "-inputs.n", "limit": 100}).json()
    assert [task["no"] for task in found] == fitting[::-1]
    by_kind = sirdar.admin.get(address, params={"where": "inputs.kind=b"}).json()
    assert {task["inputs"]["kind"] for task in by_kind} == {"b"}
    for wrong in ("outputs.error", "outputs.error<high", "outputs.none=1"):
        problem(sirdar.admin.get(address, params={"where": wrong}), 422, "invalid_field", "where")


def test_failures_are_grouped_by_why(sirdar: Product, fit: dict[str, Any]) -> None:
    found = sirdar.admin.get(f"/api/jobs/{fit['id']}/failures").json()
    assert [(group["exitCode"], group["count"], group["example"]) for group in found] == [(9, 2, 11), (7, 1, 3)]
    assert {(group["reason"], group["fault"]) for group in found} == {("exit_code", "program")}


def test_points_of_a_plot(sirdar: Product, fit: dict[str, Any]) -> None:
    found = sirdar.admin.get(f"/api/jobs/{fit['id']}/points?color=inputs.kind").json()
    assert (found["x"]["name"], found["y"]["name"], found["sampled"]) == ("inputs.n", "outputs.error", False)
    assert found["points"][5 - 1] == [5, 5, 45.5, "b"]
    assert found["of"] == len(found["points"]) == N - len(FAILING)
    assert found["best"] is None  # nobody seeks one
    other = sirdar.admin.get(f"/api/jobs/{fit['id']}/points?x=no&y=runS").json()
    assert len(other["points"]) == N
    problem(sirdar.admin.get(f"/api/jobs/{fit['id']}/points?x=inputs.scale"), 422, "invalid_field", "x")
    sought = sirdar.run("me/fit", {}, foreach=[{"n": 20}, {"n": 22}, {"n": 21}], criterion={"minimize": "error"})
    assert sirdar.admin.get(f"/api/jobs/{sought['id']}/points").json()["best"] == 1
    assert sirdar.admin.get(f"/api/jobs/{sought['id']}/points?y=runS").json()["best"] is None


def test_failed_tasks_alone_are_submitted_again(sirdar: Product, fit: dict[str, Any]) -> None:
    job = fit["id"]

    def again(status: int = 201, **body: Any) -> Any:
        reply = sirdar.admin.post(f"/api/jobs/{job}/resubmit", json=body)
        return reply.json() if reply.status_code == status == 201 else reply

    made = again(only="failed")
    assert (made["againOf"], made["tasks"]["total"], made["name"]) == (job, len(FAILING), fit["name"])
    ended = sirdar.ended(made["id"])
    assert ended["tasks"]["failed"] == len(FAILING)
    listed = sirdar.admin.get(f"/api/jobs/{made['id']}/tasks").json()
    assert [(task["inputs"]["n"], task["inputs"]["scale"]) for task in listed] == [(n, 3) for n in FAILING]
    some = sirdar.ended(again(tasks=[20, 5, 5])["id"])
    assert [result["label"] for result in some["result"]] == ["n is 5, b", "n is 20, a"]
    problem(again(422, tasks=[N]), 422, "invalid_field", "tasks")
    problem(again(422, tasks=[-1]), 422, "invalid_field", "tasks[0]")
    problem(again(422, tasks=[]), 422, "invalid_field", "tasks")
    problem(again(409, only="failed", tasks=[1, 2]), 409, "conflict", "only")
    well = sirdar.admin.post(f"/api/jobs/{some['id']}/resubmit", json={"only": "failed"})
    problem(well, 409, "conflict", "only")


def test_a_job_of_many_says_how_long_it_takes_once_that_can_be_known(sirdar: Product) -> None:
    sirdar.publish("naps", "sleep ${n}", inputs={"n": {"type": "number"}})
    job = sirdar.submit("me/naps", foreach=[{"n": 0.05}] * 6 + [{"n": 60}] * 4 + [{"n": 0}])["id"]
    assert sirdar.job(job)["leftS"] is None or sirdar.job(job)["tasks"]["done"] >= 3
    left = await_that(lambda: sirdar.job(job)["leftS"], what="a guess")
    assert 0 < left < 600
    sirdar.admin.post(f"/api/jobs/{job}/cancel")
    assert "leftS" not in sirdar.ended(job)


# ---------------------------------------------------------------- many jobs at once


def test_jobs_are_cancelled_and_deleted_by_ids_and_by_a_filter(sirdar: Product) -> None:
    sirdar.publish("sleepy", "sleep ${n}", inputs={"n": {"type": "number", "default": 60}})
    stranger = sirdar.user("someone")
    over = sirdar.run("me/sleepy", {"n": 0}, name="bulk a")["id"]
    jobs = [sirdar.submit("me/sleepy", name=f"bulk {kind}")["id"] for kind in "aabbb"]
    admin = sirdar.admin

    def post(what: str, who: Any = admin, **body: Any) -> Any:
        reply = who.post(f"/api/jobs/{what}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    assert [one["code"] for one in post("cancel", stranger, ids=jobs[:1])["refused"]] == ["not_found"]
    assert post("cancel", stranger, filter={"text": "bulk"}) == {
        "cancelled": 0,
        "ids": [],
        "refused": [],
        "more": False,
    }
    told = post("cancel", ids=[jobs[0], jobs[0], over, "nosuchjob0000000"])
    assert (told["cancelled"], told["ids"], told["more"]) == (1, [jobs[0]], False)
    assert {one["id"]: one["code"] for one in told["refused"]} == {over: "conflict", "nosuchjob0000000": "not_found"}
    told = post("cancel", filter={"name": "bulk b", "app": "me/sleepy", "state": ["ready", "running"]})
    assert sorted(told["ids"]) == sorted(jobs[2:])
    for job in (jobs[0], *jobs[2:]):
        assert sirdar.ended(job)["state"] == "CANCELLED"
    assert sirdar.job(jobs[1])["state"] in ("READY", "RUNNING")
    told = post("delete", filter={"text": "bulk"})
    assert (told["deleted"], told["later"]) == (5, 1)
    await_that(lambda: not admin.get("/api/jobs?text=bulk").json(), what="the last one's going")
    for body in ({}, {"ids": [], "filter": {"text": "x"}}, {"filter": {}}, {"filter": {"text": ""}}):
        problem(admin.post("/api/jobs/delete", json=body), 422, "invalid_field")
    problem(admin.post("/api/jobs/cancel", json={"filter": {"state": "DONE"}}), 422, "invalid_field", "filter.state")
    problem(admin.post("/api/jobs/cancel", json={"filter": {"color": "red"}}), 422, "invalid_field", "filter.color")
    problem(admin.post("/api/jobs/cancel", json={"filter": {"since": "soon"}}), 422, "invalid_field", "since")


def test_the_command_line_sorts_tells_failures_and_submits_failed_ones_again(
    sirdar: Product, fit: dict[str, Any]
) -> None:
    job = fit["id"]

    def say(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [BIN / "sirdar", *words],
            env=surroundings(sirdar.root),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    assert say("job", "tasks", job, "--sort=-inputs.n", "--limit", "2", "--quiet").split() == ["22", "21"]
    assert "exit_code" in say("job", "failures", job)
    assert "none of the suffixes .csv, .json, .parquet" in say("job", "table", job, "-o", "k.xyz", code=2)
    assert say("job", "table", job).splitlines()[0].startswith("no,state,resource,waitS,runS,inputs.n")
    made = json.loads(say("job", "resubmit", job, "--failed", "--detach", "--json"))
    assert made["tasks"]["total"] == len(FAILING)
    sirdar.ended(made["id"])
    assert say("job", "delete", "--app", "me/fit", "--state", "failed", "--text", fit["name"], "--json")
    assert sirdar.admin.get(f"/api/jobs/{job}").status_code == 404


def test_a_late_text_among_numbers_stands_in_parquet_too(sirdar: Product) -> None:
    """Beyond the results in which a page looks for columns."""
    say = 'echo "a = $n" > v; if [ "$n" = 59 ]; then echo "a = none found" > v; echo "late = 1" >> v; fi'
    outputs = {"found": {"type": "values", "from": "v"}}
    sirdar.publish("late", say, shell=True, inputs={"n": {"type": "integer", "required": True}}, outputs=outputs)
    job = sirdar.run("me/late", foreach=[{"n": n} for n in range(60)])
    content = sirdar.admin.get(f"/api/jobs/{job['id']}/table", params={"format": "parquet"}).content
    rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [rows[no]["outputs.a"] for no in (0, 58, 59)] == ["0", "58", "none found"]
    assert [rows[no]["outputs.late"] for no in (58, 59)] == [None, 1]
