"""(a) One job of 2,000 tasks ``/bin/true``: from the submission to the answer that all are done and durable.

Alternated with ``xargs -P2 -n1 true`` over as many lines, which keeps nothing of what it ran. Each of our tasks has its own
directory and streams, and leaves exit code, rusage and times in the ledger; that is checked on every round's job.
"""

import os
import subprocess
import time
from functools import partial
from typing import Any

from bench.product import Http, Product, publish, running
from bench.report import Config, Row, alternate, medians, spread

TASKS, TASKS_QUICK = 2000, 400
CHECKED = 64
GOAL = 0.5
INPUTS = {"n": {"type": "integer", "required": True}}
# Says where it is, leaves a file behind, fails where another task's file is there.
WITNESS = 'test -z "$(ls -A)" && pwd && echo "said $n" >&2 && touch mine'


def run(config: Config) -> list[Row]:
    """Tasks per second of both, and what each task costs the machine."""
    tasks = TASKS_QUICK if config.quick else TASKS
    with running(config.work) as (product, http):
        publish(http, "numbered", command="/bin/true ${n}", inputs=INPUTS)
        publish(http, "witness", shell=WITNESS, inputs=INPUTS)
        check_own_directories(http)
        submit_round(http, tasks // 4)  # what is only slow once: parsing, imports, the first pooled directories
        spent: list[float] = []
        figures = alternate(
            config.rounds,
            {"sirdar": partial(measured_round, product, http, tasks, spent), "xargs": partial(xargs_round, tasks)},
        )
    rates = medians(figures)
    return [
        Row(
            f"one job of {tasks} tasks, submitted to all done",
            rates["sirdar"],
            "tasks/s",
            limit=rates["xargs"],
            limit_what="xargs -P2 -n1 true",
            ratio_at_least=GOAL,
            note=f"{spread(figures['sirdar'])}; xargs {spread(figures['xargs'])}",
        ),
        Row(
            "CPU of server, agent and porter",
            1000 * sorted(spent)[len(spent) // 2],
            "ms/task",
            note="without the programs themselves",
        ),
    ]


def measured_round(product: Product, http: Http, tasks: int, spent: list[float]) -> float:
    before = cpu_s(product)
    rate, job = submit_round(http, tasks)
    spent.append((cpu_s(product) - before) / tasks)
    check_records(http, job, tasks)
    return rate


def submit_round(http: Http, tasks: int) -> tuple[float, dict[str, Any]]:
    """Tasks per second as seen by whoever submitted, and the job."""
    body = {"foreach": [{"n": number} for number in range(tasks)]}
    began = time.perf_counter()
    job = http.json("POST", "/api/apps/me/numbered?wait=300", body)
    took_s = time.perf_counter() - began
    assert job["state"] == "DONE", job.get("info")
    return tasks / took_s, job


def xargs_round(tasks: int) -> float:
    lines = "\n".join(map(str, range(tasks)))
    began = time.perf_counter()
    subprocess.run(["xargs", "-P2", "-n1", "true"], input=lines, text=True, check=True)
    return tasks / (time.perf_counter() - began)


def cpu_s(product: Product) -> float:
    """CPU seconds of the product's own processes; the programs that they waited for are not in it."""
    ticks = 0
    for pid in product.processes():
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- what each task must have


def check_records(http: Http, job: dict[str, Any], tasks: int) -> None:
    """Every task has a record of its own: exit code, rusage, times, input and streams."""
    listed = list(http.pages(f"/api/jobs/{job['id']}/tasks?limit=1000"))
    assert [task["no"] for task in listed] == list(range(tasks)), "tasks are missing"
    for task in listed:
        assert task["state"] == "DONE" and task["outcome"]["exitCode"] == 0, task
        assert task["stats"]["maxRssBytes"] > 0 and task["stats"]["cpuUserS"] + task["stats"]["cpuSystemS"] > 0, task
        assert task["startedAt"] and task["endedAt"] and task["inputs"] == {"n": task["no"]}, task
    for task in listed[:: max(1, tasks // 20)]:
        assert http.call("GET", task["stdout"]) == (200, b"")


def check_own_directories(http: Http) -> None:
    """Each task finds an empty directory, and both its streams are kept."""
    body = {"foreach": [{"n": number} for number in range(CHECKED)]}
    job = http.json("POST", "/api/apps/me/witness?wait=120", body)
    assert job["state"] == "DONE", job
    for task in http.pages(f"/api/jobs/{job['id']}/tasks?limit=1000"):
        out, err = http.call("GET", task["stdout"])[1], http.call("GET", task["stderr"])[1]
        assert out.startswith(b"/") and err == b"said %d\n" % task["no"], (out, err)
