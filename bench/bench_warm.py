"""(k) A set of small problems: 200 tasks of one small input file and one small output file, by a kept program and by one for each.

The program takes 60 ms to start (it sleeps: an import, say, or a licence) and no time for a task, so that what is seen is what the
product adds. Next to it the same program started by ``xargs -P2`` as often.
"""

import hashlib
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.bench_many_tasks import cpu_s
from bench.product import Http, Product, running
from bench.report import Config, Row, alternate, medians, spread

TASKS, TASKS_QUICK = 200, 100
START_S = 0.06
GOAL_MS = 5.0
GOAL = 0.5
# Speaks the protocol itself: so does a program in any language. Without SIRDAR_WORKER_FD it does one task.
PROGRAM = """\
import json, os, sys, time
time.sleep(%(start_s)r)

def solve(source, target):
    with open(source) as file: number = int(file.read())
    with open(target, "w") as file: file.write(str(number * number))

if "SIRDAR_WORKER_FD" not in os.environ:
    solve(*sys.argv[1:])
    sys.exit()
fd = int(os.environ["SIRDAR_WORKER_FD"])
with os.fdopen(fd, "rb") as lines:
    for line in lines:
        task = json.loads(line)
        os.chdir(task["directory"])
        solve(*task["command"])
        os.write(fd, json.dumps({"task": task["task"], "exit_code": 0}).encode() + b"\\n")
"""


def run(config: Config) -> list[Row]:
    """CPU of the product for each task, and the time of the set."""
    tasks = TASKS_QUICK if config.quick else TASKS
    program = config.work / "solve.py"
    program.write_text(PROGRAM % {"start_s": START_S})
    with running(config.work) as (product, http):
        publish_solver(http, program)
        numbers = [upload(http, number) for number in range(tasks)]
        measured_round(product, http, numbers[:20], [], keep=True)
        spent: dict[bool, list[float]] = {True: [], False: []}
        figures = alternate(
            config.rounds,
            {
                "warm": partial(measured_round, product, http, numbers, spent[True], keep=True),
                "spawned": partial(measured_round, product, http, numbers, spent[False], keep=False),
                "xargs": partial(xargs_round, config.work, program, tasks),
            },
        )
    took = medians(figures)
    return [
        Row(
            f"a set of {tasks} small problems, kept program",
            took["warm"],
            "s",
            limit=took["xargs"],
            limit_what="xargs -P2, a process of 60 ms for each",
            ratio_at_most=GOAL,
            note=f"{spread(figures['warm'])}; xargs {spread(figures['xargs'])}; spawned {spread(figures['spawned'])}",
        ),
        Row(
            "CPU of server, agent and porter for a warm task",
            1000 * _median(spent[True]),
            "ms/task",
            limit=GOAL_MS,
            limit_what="the goal",
            ratio_at_most=1.0,
            note=f"spawned {1000 * _median(spent[False]):.2f} ms",
        ),
    ]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def publish_solver(http: Http, program: Path) -> None:
    """``me/small``: one input file, one output file, a program that can be kept."""
    content = program.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    status, text = http.call("PUT", f"/api/apps/publish/blobs/{sha256}", content)
    assert status == 204, text
    description = {
        "sirdar": 1,
        "alias": "small",
        "inputs": {"problem": {"type": "file", "required": True}},
        "command": [sys.executable, "-S", "-I", "solve.py", "${problem}", "answer.txt"],
        "keep_alive": True,
        "outputs": {"answer": {"type": "file", "from": "answer.txt"}},
    }
    entry = {"path": "solve.py", "sha256": sha256, "size": len(content), "mode": 0o644}
    http.json("POST", "/api/apps/publish", {"description": json.dumps(description), "files": [entry]})


def upload(http: Http, number: int) -> str:
    """The uri of a stored file with the number in it."""
    border = "border"
    head = f'content-disposition: form-data; name="file"; filename="p{number}.txt"'
    body = f"--{border}\r\n{head}\r\n\r\n{number}\r\n--{border}--\r\n"
    headers = {"content-type": f"multipart/form-data; boundary={border}"}
    status, text = http.call("POST", "/api/files/temp", body.encode(), **headers)
    assert status < 300, text
    return str(json.loads(text)["uri"])


def measured_round(product: Product, http: Http, problems: list[str], spent: list[float], *, keep: bool) -> float:
    """Seconds from the submission to the answer that all are done; CPU seconds a task go to ``spent``."""
    before = cpu_s(product)
    body = {"foreach": [{"problem": uri} for uri in problems], "overrides": {"keepAlive": keep}}
    began = time.perf_counter()
    job = http.json("POST", "/api/apps/me/small?wait=300", body)
    took_s = time.perf_counter() - began
    spent.append((cpu_s(product) - before) / len(problems))
    assert job["state"] == "DONE", job.get("info")
    check(http, job, len(problems))
    return took_s


def check(http: Http, job: dict[str, Any], count: int) -> None:
    """Every task has its own answer."""
    tasks = list(http.pages(f"/api/jobs/{job['id']}/tasks?limit=1000"))
    assert len(tasks) == count
    for task in tasks[:: max(1, count // 10)]:
        answer = http.call("GET", task["result"]["answer"])
        assert answer == (200, str(task["no"] ** 2).encode()), (task, answer)


def xargs_round(work: Path, program: Path, tasks: int) -> float:
    """The same by hand."""
    folder = work / "by-hand"
    folder.mkdir(exist_ok=True)
    for number in range(tasks):
        (folder / f"p{number}.txt").write_text(str(number))
    lines = "\n".join(f"p{number}.txt a{number}.txt" for number in range(tasks))
    words = ["xargs", "-P2", "-L1", sys.executable, "-S", "-I", str(program)]
    began = time.perf_counter()
    subprocess.run(words, input=lines, text=True, check=True, cwd=folder)
    return time.perf_counter() - began
