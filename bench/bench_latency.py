"""(c) One job on an idle system: from the POST to the answer that it is DONE, at a client that waits.

Three ways to wait, one after the other in every round, with short pauses between so that nothing is queued: ``POST ?wait``;
POST, then ``GET ?wait``; POST, then the stream of events. Beside them, what no system can go below here: one HTTP reply of a
bare server that has run ``/bin/true`` and brought three small facts to the disk.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from bench import bare
from bench.product import Http, Product, running
from bench.report import Config, Row, percentile

JOBS, JOBS_QUICK = 200, 30
PAUSE_S = (0.005, 0.03)
GOAL_MS, GOAL_WAIT_MS = 20, 10
APP = "/api/apps/me/true"
BODY = json.dumps({"inputs": {}}).encode()
JSON = {"content-type": "application/json"}


def run(config: Config) -> list[Row]:
    """Medians and 95th percentiles of each way, in milliseconds."""
    jobs = JOBS_QUICK if config.quick else JOBS
    with running(config.work) as (product, http), bare.running(config.work) as bare_url:
        bare_http = Http(bare_url)
        ways = {
            "bare": partial(ask_bare, bare_http),
            "post_wait": partial(post_wait, http),
            "get_wait": partial(post_then_wait, http),
            "events": partial(post_then_events, http, product),
        }
        took_ms = measure(ways, jobs)
        bare_http.close()
    return [row for name, way in WAYS.items() for row in rows(way, took_ms[name], took_ms["bare"], GOALS[name])]


WAYS = {
    "post_wait": "POST ?wait to DONE",
    "get_wait": "POST, then GET ?wait, to DONE",
    "events": "POST, then GET events, to the event of the end",
}
GOALS = {"post_wait": GOAL_WAIT_MS, "get_wait": GOAL_MS, "events": GOAL_MS}


def measure(ways: Mapping[str, Callable[[], None]], jobs: int) -> dict[str, list[float]]:
    """Milliseconds of each way, one of each in turn."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    chance = random.Random(1)
    for turn in range(jobs + jobs // 10):
        for name, way in ways.items():
            time.sleep(chance.uniform(*PAUSE_S))
            began = time.perf_counter()
            way()
            if turn >= jobs // 10:  # the first ones warm up
                took[name].append(1000 * (time.perf_counter() - began))
    return took


def rows(what: str, took_ms: list[float], bare_ms: list[float], goal_ms: float) -> list[Row]:
    limit_what = "bare reply + posix_spawn + 3 fdatasync"
    return [
        Row(
            f"{what}, {name}",
            percentile(took_ms, part),
            "ms",
            limit=percentile(bare_ms, part),
            limit_what=limit_what,
            at_most=goal_ms if part == 0.5 else None,
            note=f"of {len(took_ms)}",
        )
        for name, part in (("median", 0.5), ("p95", 0.95))
    ]


# ---------------------------------------------------------------- ways to wait


def ask_bare(http: Http) -> None:
    assert http.call("POST", "/spawn", BODY, **JSON)[0] == 201


def post_wait(http: Http) -> None:
    status, content = http.call("POST", f"{APP}?wait=30", BODY, **JSON)
    job = json.loads(content)
    assert status == 201 and job["state"] == "DONE", job


def post_then_wait(http: Http) -> None:
    job_id = submit(http)
    status, content = http.call("GET", f"/api/jobs/{job_id}?wait=30")
    assert status == 200 and json.loads(content)["state"] == "DONE", content


def post_then_events(http: Http, product: Product) -> None:
    """The events come on a connection of their own, as in a browser; opening it is part of the time."""
    job_id = submit(http)
    watcher = product.http()
    reply = watcher.stream(f"/api/jobs/{job_id}/events")
    assert any(line.startswith(b"event: end") for line in reply)
    reply.close()
    watcher.close()


def submit(http: Http) -> str:
    status, content = http.call("POST", APP, BODY, **JSON)
    job = json.loads(content)
    assert status == 201, job
    return str(job["id"])
