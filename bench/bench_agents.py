"""20,000 tasks ``/bin/true`` over four agent processes on this machine, on SQLite and PostgreSQL, against the embedded agent alone.

Alternated, each as one job of all tasks. The embedded agent has two slots, each of the four has one.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import cluster
from bench.agents import processes
from bench.bench_idle import cpu_ticks
from bench.bench_many_tasks import INPUTS, check_records, submit_round
from bench.product import Product, publish
from bench.report import Config, Row, alternate, medians, spread

TASKS, TASKS_QUICK = 20_000, 2_000
AGENTS = 4
GOAL = 0.9
TICKS_S = 0.01


def run(config: Config) -> list[Row]:
    """Tasks per second of each, and the server's CPU for each task."""
    tasks = TASKS_QUICK if config.quick else TASKS
    spent: dict[str, list[float]] = {}
    with ExitStack() as stack:
        database = stack.enter_context(cluster.running())
        servers = {
            "embedded": _server(stack, config.work / "embedded", slots=2),
            "sqlite": _server(stack, config.work / "sqlite", agents=AGENTS),
            "postgresql": _server(
                stack, config.work / "postgresql", agents=AGENTS, database=database.url(database.new_database())
            ),
        }
        for product in servers.values():
            _round(product, tasks // 10, [])
        runs = {name: partial(_round, product, tasks, spent.setdefault(name, [])) for name, product in servers.items()}
        figures = alternate(config.rounds, runs)
    rates = medians(figures)
    rows = [
        Row(
            f"{tasks} tasks over {AGENTS} agent processes, {title}",
            rates[name],
            "tasks/s",
            limit=rates["embedded"],
            limit_what="the embedded agent alone, on SQLite",
            ratio_at_least=goal,
            note=f"{spread(figures[name])}; alone {spread(figures['embedded'])}",
        )
        for name, title, goal in (("sqlite", "SQLite", GOAL), ("postgresql", "PostgreSQL", None))
    ]
    cpu = medians(spent)
    rows += [
        Row(
            f"CPU of the server, {title}", 1000 * cpu[name], "ms/task", limit=1000 * cpu["embedded"], limit_what="alone"
        )
        for name, title in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL, without PostgreSQL's own"))
    ]
    return rows


def _server(stack: ExitStack, root: Path, *, slots: int = 0, agents: int = 0, database: str = "") -> Product:
    root.mkdir()
    product = Product(root, slots=slots, settings={"SIRDAR_DATABASE": database} if database else {})
    stack.callback(product.close)
    product.start()
    http = product.http()
    publish(http, "numbered", command="/bin/true ${n}", inputs=INPUTS)
    http.close()
    if agents:
        stack.enter_context(processes(product, [root / f"agent{n}" for n in range(agents)], slots=1))
    return product


def _round(product: Product, tasks: int, spent: list[float]) -> float:
    http = product.http()  # a new one: while the others had their turn, the server would have closed it
    before = cpu_ticks(product.server_pid)
    rate, job = submit_round(http, tasks)
    spent.append((cpu_ticks(product.server_pid) - before) * TICKS_S / tasks)
    check_records(http, job, tasks)
    http.close()
    return rate
