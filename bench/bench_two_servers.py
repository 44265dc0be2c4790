"""(k) Two ``sirdar serve`` on one PostgreSQL against one, on the same machine, with the same agents: tasks per second.

The cores are saturated in both cases, so two cannot be quicker here: the question is what the second one costs. Beside it stand
the servers' CPU for each task, and what a third server would be limited by: how the machine's CPU is shared out while two run, and
what PostgreSQL's connections wait for.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import cluster
from bench.cluster import Postgres, cpu_s
from bench.product import BIN, MARKER, PASSWORD, Http, leave_nothing, processes, publish, surroundings
from bench.report import Config, Row, alternate, medians, percentile, spread

AGENTS, SLOTS = 4, 2
TASKS, TASKS_QUICK = 2000, 300
JOBS = 4  # of which each has an equal part of the tasks: agents of both servers report to all of them
GOAL = 0.9
QUICK_PERIODS = {"SIRDAR_AGENT_PORTER_IDLE_S": "1"}


@dataclass
class Site:
    """So many servers over one database, and agents that are shared out between them."""

    root: Path
    database: Postgres
    name: str
    servers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    agents: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def serve(self) -> None:
        words = [BIN / "sirdar", "serve", "--home", self.root / "home", "--database", self.database.url(self.name)]
        with (self.root / "server.err").open("ab") as errors:
            process = subprocess.Popen(
                [*words, "--port", "0"], env=self.environment, cwd=self.root, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.servers.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"ready "):
                self.urls.append(line.split()[1].decode())
                return
        raise RuntimeError((self.root / "server.err").read_text()[-2000:])

    def attach(self, http: Http, url: str) -> None:
        name = f"agent{len(self.agents)}"
        http.json("POST", "/api/resources", {"name": name})
        token = http.json("POST", f"/api/resources/{name}/tokens", {})["token"]
        (self.root / "tmp").mkdir(exist_ok=True)  # below the root, so that porters and programs are found and counted
        given = {
            "TMPDIR": str(self.root / "tmp"),
            "SIRDAR_URL": url,
            "SIRDAR_TOKEN": token,
            "MAX_TASKS": str(SLOTS),
            **QUICK_PERIODS,
        }
        with (self.root / "agents.err").open("ab") as errors:
            agent = subprocess.Popen(
                [BIN / "sirdar", "agent", "start"], env=self.environment | given, cwd=self.root,
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.agents.append(agent)

    def others(self) -> list[int]:
        """Agents, porters, programs."""
        ours = {process.pid for process in self.servers}
        return [pid for pid in processes(self.environment[MARKER], self.root) if pid not in ours]

    def close(self) -> None:
        for process, number in [(a, signal.SIGUSR1) for a in self.agents] + [(s, signal.SIGTERM) for s in self.servers]:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()
        leave_nothing(self.environment[MARKER], self.root)


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of one run, and what PostgreSQL's connections waited for."""

    took_s: float
    servers_s: float
    database_s: float
    agents_s: float
    idle_s: float  # of the machine's cores, whoever else uses them
    waits: "Counter[str]"
    deadlocks: int


@contextlib.contextmanager
def site(work: Path, database: Postgres, n: int) -> Iterator[tuple[Site, Http]]:
    """``n`` servers and all agents, warm."""
    root = work / f"site-{time.monotonic_ns()}"
    root.mkdir()
    made = Site(root, database, database.new_database())
    made.environment = {**surroundings(root), "SIRDAR_ADMIN_PASSWORD": PASSWORD}
    http: Http | None = None
    try:
        for _ in range(n):
            made.serve()
        sign_in = Http(made.urls[0])
        token = sign_in.json(
            "POST", "/api/auth/access_token", {"username": "admin", "password": PASSWORD, "label": "b"}
        )
        sign_in.close()
        http = Http(made.urls[0], token["access_token"])
        for number in range(AGENTS):
            made.attach(http, made.urls[number % n])
        publish(http, "numbered", command="/bin/true ${n}", inputs={"n": {"type": "integer", "required": True}})
        await_agents(http)
        tasks_round(http, 10 * AGENTS * SLOTS)
        yield made, http
    finally:
        if http is not None:
            http.close()
        made.close()


def await_agents(http: Http) -> None:
    deadline = time.monotonic() + 120
    while sum(one["state"] == "online" for one in http.json("GET", "/api/resources")) < AGENTS:
        if time.monotonic() > deadline:
            raise RuntimeError("the agents did not come")
        time.sleep(0.05)


def tasks_round(http: Http, tasks: int) -> float:
    """Seconds from the first submission to the last end."""
    part = tasks // JOBS
    body = {"foreach": [{"n": number} for number in range(part)]}
    began = time.perf_counter()
    jobs = [http.json("POST", "/api/apps/me/numbered", body)["id"] for _ in range(JOBS)]
    for job_id in jobs:
        job = http.json("GET", f"/api/jobs/{job_id}?wait=600")
        assert job["state"] == "DONE", json.dumps(job)
    return time.perf_counter() - began


def measured_round(work: Path, database: Postgres, tasks: int, n: int, spent: list[Spent]) -> float:
    """Tasks per second."""
    with site(work, database, n) as (made, http):
        groups = [[process.pid for process in made.servers], database.pids(), made.others()]
        before = [cpu_s(pids) for pids in groups]
        locked, idle = database.deadlocks(made.name), cluster.idle_s()
        with cluster.waits(database, made.name) as seen:
            took_s = tasks_round(http, tasks)
            idle = cluster.idle_s() - idle
        servers, base, agents = (cpu_s(pids) - was for pids, was in zip(groups, before, strict=True))
        spent.append(Spent(took_s, servers, base, agents, idle, seen, database.deadlocks(made.name) - locked))
    return tasks / took_s


def run(config: Config) -> list[Row]:
    tasks = int(config.options.get("tasks", TASKS_QUICK if config.quick else TASKS))
    spent: dict[str, list[Spent]] = {"one": [], "two": []}
    with cluster.running() as database:
        figures = alternate(
            config.rounds,
            {
                name: partial(measured_round, config.work, database, tasks, n, spent[name])
                for name, n in (("one", 1), ("two", 2))
            },
        )
    rates = medians(figures)
    return [
        Row(
            f"two servers: {JOBS} jobs of {tasks // JOBS} tasks, {AGENTS} agents",
            rates["two"],
            "tasks/s",
            limit=rates["one"],
            limit_what="one server, the same agents",
            ratio_at_least=GOAL,
            note=f"{spread(figures['two'])}; one {spread(figures['one'])}; PostgreSQL with fsync",
        ),
        *(
            cost_row(what, name, spent, tasks)
            for what, name in (("servers", "servers_s"), ("PostgreSQL", "database_s"))
        ),
        *third(spent["two"], tasks),
    ]


def cost_row(what: str, name: str, spent: dict[str, list[Spent]], tasks: int) -> Row:
    two, one = (percentile([1000 * getattr(run, name) / tasks for run in spent[n]], 0.5) for n in ("two", "one"))
    return Row(f"CPU of {what}, of two servers", two, "ms/task", limit=one, limit_what="one server")


def third(runs: list[Spent], tasks: int) -> list[Row]:
    """What the machine did while two served, in figures from which follows what a third one could gain."""
    cores = os.cpu_count() or 1
    took_s = sum(run.took_s for run in runs)
    shares = {
        name: 100 * sum(getattr(run, f"{name}_s") for run in runs) / took_s
        for name in ("servers", "database", "agents", "idle")
    }
    waits: Counter[str] = sum((run.waits for run in runs), Counter())
    looks = max(1, sum(waits.values()))
    most = ", ".join(f"{name} {100 * n / looks:.0f}%" for name, n in waits.most_common(5))
    locks = 100 * sum(n for name, n in waits.items() if name.startswith("Lock ")) / looks
    idle = shares.pop("idle")
    limit = verdict(shares, idle / cores, locks, waits, looks)
    return [
        Row(
            "CPU of both servers meanwhile", shares["servers"], "% of one core",
            note=f"PostgreSQL {shares['database']:.0f}, agents, porters and programs {shares['agents']:.0f}, idle {idle:.0f},"
            f" of {100 * cores} in all; the rest is other programs'",
        ),
        Row(
            "connections at work that wait for another's lock", locks, "% of looks",
            note=f"{looks} looks: {most}; deadlocks {sum(run.deadlocks for run in runs)}",
        ),
        Row("a third server would be limited by: see the note", idle, "% of one core idle", note=limit),
    ]  # fmt: skip


def verdict(shares: dict[str, float], idle: float, locks: float, waits: "Counter[str]", looks: int) -> str:
    """In words, from the figures alone. ``idle``: percent of the machine."""
    disk = 100 * sum(n for name, n in waits.items() if "Wal" in name or name.startswith("IO ")) / looks
    words = []
    if idle < 15:
        largest = max(shares, key=lambda name: shares[name])
        words.append(f"here the machine's cores, {idle:.0f}% idle, most of them in the {largest}")
    if locks > 30:
        words.append(
            f"on more cores, rows of jobs that all servers lock ({locks:.0f}% of the looks at busy connections)"
        )
    elif disk > 30:
        words.append(f"on more cores, PostgreSQL's writing to the disk ({disk:.0f}% of the looks at busy connections)")
    return "; ".join(words) or f"neither cores ({idle:.0f}% idle) nor locks ({locks:.0f}%): how fast agents come back"
