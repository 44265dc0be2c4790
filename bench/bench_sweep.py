"""A sweep of 100,000 combinations is accepted at once, and runs as fast as the same input sets given one by one.

Accepted: from sending the request to the answer with the job's id; the job is cancelled then. Run: a smaller sweep and the same
tasks by ``foreach``, alternated, from the submission to the answer that all are done.
"""

import time
from functools import partial

from bench.product import Http, publish, running
from bench.report import Config, Row, alternate, medians, spread

COMBINATIONS = 100_000
RUN, RUN_QUICK = 2000, 400
INPUTS = {
    "a": {"type": "number", "required": True},
    "b": {"type": "integer", "required": True},
    "c": {"type": "string", "default": ""},
}
ACCEPT_S = 1.0
GOAL = 0.9


def run(config: Config) -> list[Row]:
    """Seconds to accept, and both rates."""
    tasks = RUN_QUICK if config.quick else RUN
    with running(config.work) as (_product, http):
        publish(http, "swept", command="/bin/true ${a} ${b}", inputs=INPUTS)
        by_sweep(http, tasks // 4)
        accepted = sorted(accept(http) for _ in range(max(3, config.rounds)))
        figures = alternate(
            config.rounds, {"sweep": partial(by_sweep, http, tasks), "foreach": partial(by_sets, http, tasks)}
        )
    rates = medians(figures)
    return [
        Row(
            f"a sweep of {COMBINATIONS} combinations, with a condition: sent to accepted",
            accepted[len(accepted) // 2],
            "s",
            at_most=ACCEPT_S,
            note=f"{accepted[0]:.2f} to {accepted[-1]:.2f} of {len(accepted)}",
        ),
        Row(
            f"a sweep of {tasks} tasks, submitted to all done",
            rates["sweep"],
            "tasks/s",
            limit=rates["foreach"],
            limit_what="the same input sets by foreach",
            ratio_at_least=GOAL,
            note=f"{spread(figures['sweep'])}; foreach {spread(figures['foreach'])}",
        ),
    ]


def accept(http: Http) -> float:
    parameters = {"a": "0..99.9:0.1", "b": "1..200", "c": ["x"]}
    body = {"sweep": {"parameters": parameters, "where": "b <= 100 && a >= 0"}}
    began = time.perf_counter()
    job = http.json("POST", "/api/apps/me/swept", body)
    took_s = time.perf_counter() - began
    assert job["tasks"]["total"] == COMBINATIONS, job["tasks"]
    http.json("POST", f"/api/jobs/{job['id']}/cancel", {})
    ended = http.json("GET", f"/api/jobs/{job['id']}?wait=60")
    assert ended["state"] == "CANCELLED", ended["state"]
    return took_s


def by_sweep(http: Http, tasks: int) -> float:
    """Tasks per second."""
    return rate_of(http, {"sweep": {"parameters": {"a": f"1..{tasks // 10}", "b": "1..10", "c": ["x"]}}}, tasks)


def by_sets(http: Http, tasks: int) -> float:
    sets = [{"a": a, "b": b, "c": "x"} for a in range(1, tasks // 10 + 1) for b in range(1, 11)]
    return rate_of(http, {"foreach": sets}, tasks)


def rate_of(http: Http, body: dict[str, object], tasks: int) -> float:
    began = time.perf_counter()
    job = http.json("POST", "/api/apps/me/swept?wait=300", body)
    took_s = time.perf_counter() - began
    assert (job["state"], job["tasks"]["done"]) == ("DONE", tasks), job.get("info")
    return tasks / took_s
