"""(b) 1,000 jobs of one task, submitted over REST on 16 connections by ``wrk`` while the agent runs them on the same cores.

Two figures: submissions per second, next to a bare ASGI route that group-commits one row under the same load; and jobs per
second from the first submission to the end of the last.
"""

import json
import time
from collections import Counter
from functools import partial
from pathlib import Path

from bench import bare, wrk
from bench.product import Http, Product, running
from bench.report import Config, Row, alternate, medians, percentile, spread

JOBS, JOBS_QUICK = 1000, 200
CONNECTIONS = 16
GOAL_RATIO = 0.25
GOAL_JOBS = 400
APP = "/api/apps/me/true"


def run(config: Config) -> list[Row]:
    """Submissions and jobs per second, and wrk's own CPU."""
    jobs = JOBS_QUICK if config.quick else JOBS
    ends: list[float] = []
    client: list[float] = []
    with running(config.work) as (product, http), bare.running(config.work) as bare_url:
        sirdar_round(product, http, jobs // 4, config.work, [], [])
        bare_round(bare_url, jobs // 4, config.work)
        figures = alternate(
            config.rounds,
            {
                "sirdar": partial(sirdar_round, product, http, jobs, config.work, ends, client),
                "bare": partial(bare_round, bare_url, jobs, config.work),
            },
        )
    rates = medians(figures)
    cpu_ms = 1000 * percentile(client, 0.5) / jobs
    return [
        Row(
            f"submissions of {jobs} jobs on {CONNECTIONS} connections",
            rates["sirdar"],
            "jobs/s",
            limit=rates["bare"],
            limit_what="bare ASGI route that group-commits one row",
            ratio_at_least=GOAL_RATIO,
            note=f"{spread(figures['sirdar'])}; bare {spread(figures['bare'])}; jobs run meanwhile",
        ),
        Row(
            f"first submission to the last end of {jobs} jobs",
            percentile(ends, 0.5),
            "jobs/s",
            at_least=GOAL_JOBS,
            note=spread(ends),
        ),
        Row("wrk's own CPU", cpu_ms, "ms/job", note="of the same two cores"),
    ]


def sirdar_round(product: Product, http: Http, jobs: int, work: Path, ends: list[float], client: list[float]) -> float:
    """Submissions per second; adds jobs per second up to the last end, and wrk's CPU seconds."""
    name = f"bench-{time.monotonic_ns()}"
    body = json.dumps({"name": name, "inputs": {}})
    sent = wrk.submit(product.url, APP, n=jobs, connections=CONNECTIONS, work=work, token=product.token, body=body)
    assert len(sent.ids) == jobs and sent.refused == 0, f"{len(sent.ids)} accepted, {sent.refused} refused"
    ended_at = last_end(http, sent.ids)
    check_all_done(http, name, sent.ids)
    ends.append(jobs / (ended_at - sent.began_at))
    client.append(sent.cpu_s)
    return sent.per_second


def last_end(http: Http, ids: tuple[str, ...]) -> float:
    """When a client knows that all have ended: it waits for each of the youngest, then looks at the others."""
    for job_id in ids[-CONNECTIONS * 2 :]:
        http.json("GET", f"/api/jobs/{job_id}?wait=120")
    seen_at = time.time()
    for job_id in running_still(http):
        http.json("GET", f"/api/jobs/{job_id}?wait=120")
        seen_at = time.time()
    return seen_at


def running_still(http: Http) -> list[str]:
    return [job["id"] for job in http.pages("/api/jobs?state=SUBMITTED,READY,RUNNING&limit=1000")]


def check_all_done(http: Http, name: str, ids: tuple[str, ...]) -> None:
    """Each accepted submission is one job, which ended well, and there are no others."""
    states = {job["id"]: job["state"] for job in http.pages(f"/api/jobs?name={name}&limit=1000")}
    assert set(states) == set(ids), "there are other jobs than wrk was told of"
    assert set(states.values()) == {"DONE"}, Counter(states.values())


def bare_round(url: str, jobs: int, work: Path) -> float:
    body = json.dumps({"name": "bench", "inputs": {}})
    sent = wrk.submit(url, "/row", n=jobs, connections=CONNECTIONS, work=work, body=body)
    assert len(sent.ids) == jobs and sent.refused == 0, f"{len(sent.ids)} accepted, {sent.refused} refused"
    return sent.per_second
