"""A thousand idle agents on one server, and two hundred that come back at once after its restart.

The agents are simulated by one process and speak the real protocol (``bench/agents.py``). CPU and memory are the server's alone.
"""

import time

from bench.agents import driven, simulated
from bench.bench_idle import cpu_ticks, pss_mib
from bench.product import Product, publish
from bench.report import Config, Row

AGENTS, AGENTS_QUICK = 1000, 200
WATCH_S, WATCH_QUICK_S = 60.0, 16.0
BACK = 200
GOAL_CPU_PERCENT, GOAL_BACK_S = 30.0, 10.0
TICKS_S = 0.01


def run(config: Config) -> list[Row]:
    """CPU, memory; the return after a restart."""
    return [*_idle(config), *_return(config)]


def _idle(config: Config) -> list[Row]:
    number, watch_s = (AGENTS_QUICK, WATCH_QUICK_S) if config.quick else (AGENTS, WATCH_S)
    product = _started(config, "idle")
    try:
        alone = pss_mib(product.server_pid)
        agents = simulated(product, number)
        with driven(agents) as until:
            until(lambda: all(agent.held for agent in agents), 120)
            before, began = cpu_ticks(product.server_pid), time.perf_counter()
            until(lambda: time.perf_counter() - began > watch_s, watch_s + 10)
            passed_s = time.perf_counter() - began
            spent_s = (cpu_ticks(product.server_pid) - before) * TICKS_S
            grown = pss_mib(product.server_pid) - alone
            greeted = sum(agent.greeted for agent in agents)
        assert greeted == number, f"{greeted} hellos of {number} agents: the server lost some on the way"
    finally:
        product.close()
    return [
        Row(
            f"{number} idle agents: CPU of the server over {passed_s:.0f} s",
            100 * spent_s / passed_s,
            "% of one core",
            at_most=GOAL_CPU_PERCENT,
            note="a heartbeat every 15 s and a held call of 50 s from each",
        ),
        Row(
            f"{number} idle agents: memory of the server for each",
            1024 * grown / number,
            "KiB",
            note=f"alone {alone:.0f} MiB",
        ),
    ]


def _return(config: Config) -> list[Row]:
    """Each agent has a task when the server ends. Afterwards each reports it, and gets one of another job."""
    product = _started(config, "back")
    try:
        http = product.http()
        publish(http, "true", command="/bin/true")
        agents = simulated(product, BACK, instant=False)
        with driven(agents) as until:
            until(lambda: all(agent.held for agent in agents), 120)
            first = http.json("POST", "/api/apps/me/true", {"foreach": [{}] * BACK})["id"]
            until(lambda: all(agent.owned for agent in agents), 60)
            http.close()
            product.stop()
            for agent in agents:
                agent.finish()
            ready_s = product.start()
            began = time.perf_counter()
            http = product.http()
            second = http.json("POST", "/api/apps/me/true", {"foreach": [{}] * BACK})["id"]
            until(lambda: all(agent.owned for agent in agents), 120)
            took_s = time.perf_counter() - began
            for agent in agents:
                agent.finish()
            until(lambda: all(agent.acked == 2 for agent in agents), 60)
            jobs = [http.json("GET", f"/api/jobs/{job}?wait=30") for job in (first, second)]
            tasks = list(http.pages(f"/api/jobs/{first}/tasks?limit=1000"))
        assert [job["state"] for job in jobs] == ["DONE", "DONE"], jobs
        assert len(tasks) == BACK and all(task["state"] == "DONE" for task in tasks)
        again = [task for task in tasks if task["attempts"] != 1]
        assert not again, f"{len(again)} tasks were tried again: their agents were taken for lost"
        http.close()
    finally:
        product.close()
    return [
        Row(
            f"{BACK} agents back at once after the server's restart: until each had claimed again",
            took_s,
            "s",
            at_most=GOAL_BACK_S,
            note=f"none lost, each task done once; the server itself took {ready_s:.1f} s to be ready",
        )
    ]


def _started(config: Config, name: str) -> Product:
    root = config.work / name
    root.mkdir()
    product = Product(root, slots=0)
    product.start()
    return product
