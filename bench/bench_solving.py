"""(l) Sets of optimisation problems through ``solve_all``, by the real Ipopt: 200 folds of an identification, and one problem.

A fold: an oscillator's x(t), x'(t) and x''(t) on a grid, and its two coefficients, from noisy samples of which every fifth is left
out, with a Tikhonov term on the second derivative: 309 variables, nonlinear. Next to it the same command started by
``xargs -P2`` as often. The set is new to the server in each round, as after a step of the outer search.
"""

import json
import math
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyomo.environ as pyo

import sirdar.client
from bench.product import Product, running
from bench.report import Config, Row, alternate, medians, percentile, spread
from sirdar.optim import Solved, Status, solve_all
from sirdar.optim.install import install
from sirdar.optim.sol_reader import read_sol

FOLDS, FOLDS_QUICK = 200, 40
SINGLE, SINGLE_QUICK = 15, 5
STEPS, SPAN_S, PARTS = 102, 10.0, 5
IDLE_S = 0.3
COLD_GOAL, WARM_GOAL, BEYOND_GOAL_MS = 1.25, 0.5, 40.0


def run(config: Config) -> list[Row]:
    """Times of the set and of one problem, and what the product spends for each."""
    folder = config.work / "by-hand"
    folder.mkdir()
    count = FOLDS_QUICK if config.quick else FOLDS
    problems = [write_fold(folder, number) for number in range(count)]
    solvers = {**os.environ, "SIRDAR_SOLVERS": str(config.work / "solvers")}
    ipopt = next(Path(one.path) for one in install(solvers).solvers if one.name == "ipopt")
    with running(config.work, SIRDAR_SOLVERS=solvers["SIRDAR_SOLVERS"]) as (product, _):
        fresh = new_each_time(config.work, problems)
        spent: dict[bool, list[float]] = {True: [], False: []}
        set_round(product, next(fresh)[:4], [], warm=True)
        figures = alternate(
            config.rounds,
            {
                "warm": lambda: set_round(product, next(fresh), spent[True], warm=True),
                "cold": lambda: set_round(product, next(fresh), spent[False], warm=False),
                "xargs": partial(xargs_round, ipopt, folder, count),
                "kept by hand": partial(kept_round, ipopt, folder, count),
            },
        )
        check_same(product, next(fresh)[:10], folder)
        beyond = single(product, fresh, ipopt, SINGLE_QUICK if config.quick else SINGLE)
    return [*set_rows(count, figures, spent), *single_rows(beyond)]


# ---------------------------------------------------------------- problems


def write_fold(folder: Path, number: int) -> Path:
    """The fold ``number``: one of five parts is left out, and the regularisation grows from five to five."""
    path = folder / f"f{number}.nl"
    fold(number % PARTS, 10 ** (-6 + number // PARTS * 0.1)).write(str(path), format="nl")
    return path


def fold(left_out: int, weight: float) -> Any:
    step, noise = SPAN_S / STEPS, random.Random(1)
    grid, inner = range(STEPS + 1), range(STEPS - 1)
    seen = [math.exp(-0.1 * i * step) * math.cos(2 * i * step) + noise.gauss(0, 0.05) for i in grid]
    m = pyo.ConcreteModel()
    m.x, m.v, m.a = pyo.Var(grid, initialize=0.0), pyo.Var(grid, initialize=0.0), pyo.Var(inner, initialize=0.0)
    m.k, m.c = pyo.Var(initialize=1.0, bounds=(0, 100)), pyo.Var(initialize=0.0, bounds=(-10, 10))
    x, v = m.x, m.v
    m.dx = pyo.Constraint(range(STEPS), rule=lambda m, i: x[i + 1] - x[i] == step * (v[i] + v[i + 1]) / 2)
    m.dv = pyo.Constraint(
        range(STEPS),
        rule=lambda m, i: v[i + 1] - v[i] == -step * (m.k * (x[i] + x[i + 1]) / 2 + m.c * (v[i] + v[i + 1]) / 2),
    )
    m.bend = pyo.Constraint(inner, rule=lambda m, i: m.a[i] == (x[i + 2] - 2 * x[i + 1] + x[i]) / step**2)
    error = sum((x[i] - seen[i]) ** 2 for i in grid if i % PARTS != left_out) / STEPS
    m.cost = pyo.Objective(expr=error + weight * step * sum(m.a[i] ** 2 for i in inner))
    return m


def new_each_time(work: Path, problems: Sequence[Path]) -> Iterator[list[Path]]:
    """The problems, each time as other bytes: a word in the comment of the first line."""
    turn = 0
    while True:
        turn += 1
        folder = work / f"turn{turn}"
        folder.mkdir()
        for path in problems:
            head, rest = path.read_text().split("\n", 1)
            (folder / path.name).write_text(f"{head} {turn}\n{rest}")
        yield [folder / path.name for path in problems]


# ---------------------------------------------------------------- the set


def set_round(product: Product, problems: Sequence[Path], spent: list[float], *, warm: bool) -> float:
    """Seconds from the paths to all solutions; CPU seconds a problem of server, agent and porter go to ``spent``."""
    with sirdar.client.connect(product.url, product.token) as client:
        before = own_cpu_s(product)
        began = time.perf_counter()
        records = solve_all(problems, client=client, progress=False, warm=warm)
        took_s = time.perf_counter() - began
        spent.append((own_cpu_s(product) - before) / len(problems))
    check(records)
    return took_s


def check(records: Sequence[Solved]) -> None:
    for record in records:
        assert record.status is Status.OPTIMAL and len(record.x) == 3 * STEPS + 3, (record.name, record.message)


def own_cpu_s(product: Product) -> float:
    """CPU seconds of the product's own processes, without solvers."""
    ticks = 0
    for pid, command in product.processes().items():
        if Path(command.split()[0]).name != "ipopt":
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def xargs_round(ipopt: Path, folder: Path, count: int) -> float:
    """The same command by hand, two at once."""
    lines = "\n".join(f"f{number}.nl" for number in range(count))
    words = ["xargs", "-P2", "-I{}", str(ipopt), "{}", "-AMPL"]
    began = time.perf_counter()
    subprocess.run(words, input=lines, text=True, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def kept_round(ipopt: Path, folder: Path, count: int) -> float:
    """Two kept processes and nothing around them: what no product can be faster than."""
    left = iter(range(count))
    threads = [threading.Thread(target=kept_alone, args=(ipopt, folder, left)) for _ in range(2)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def kept_alone(ipopt: Path, folder: Path, left: Iterator[int]) -> None:
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("r") as answers:
        environment = {**os.environ, "SIRDAR_WORKER_FD": str(theirs.fileno())}
        process = subprocess.Popen([ipopt], env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        for number in left:
            task = {"task": str(number), "directory": str(folder), "command": [f"f{number}.nl", "-AMPL"]}
            streams = {"stdout": os.devnull, "stderr": os.devnull, "environment": {}}
            ours.sendall(json.dumps(task | streams).encode() + b"\n")
            assert json.loads(answers.readline())["exit_code"] == 0
        ours.shutdown(socket.SHUT_RDWR)
        process.wait()


def check_same(product: Product, problems: Sequence[Path], folder: Path) -> None:
    """Warm, cold and by hand the numbers are the same, to the last bit."""
    with sirdar.client.connect(product.url, product.token) as client:
        warm, cold = (solve_all(problems, client=client, progress=False, warm=way) for way in (True, False))
    for one, other in zip(warm, cold, strict=True):
        by_hand = read_sol((folder / f"{one.name}.sol").read_text())
        assert (one.x, one.y) == (other.x, other.y) == (by_hand.x, by_hand.y), one.name


def set_rows(count: int, figures: dict[str, list[float]], spent: dict[bool, list[float]]) -> list[Row]:
    took, by_hand = medians(figures), "the same command by xargs -P2"
    floor = f"two kept processes by hand {took['kept by hand']:.2f} s ({took['kept by hand'] / took['xargs']:.2f})"
    return [
        Row(
            f"a set of {count} folds, {name}",
            took[name],
            "s",
            limit=took["xargs"],
            limit_what=by_hand,
            ratio_at_most=goal,
            note=f"{spread(figures[name])}; xargs {spread(figures['xargs'])}; {floor}; CPU of server, agent and porter"
            f" {1000 * percentile(spent[name == 'warm'], 0.5):.1f} ms a fold",
        )
        for name, goal in (("cold", COLD_GOAL), ("warm", WARM_GOAL))
    ]


# ---------------------------------------------------------------- one problem


def single(product: Product, fresh: Iterator[list[Path]], ipopt: Path, turns: int) -> dict[str, list[float]]:
    """Milliseconds of one problem after another, the product idle before each: by ``solve_all``, warm too, and by the command."""
    took: dict[str, list[float]] = {"cold": [], "warm": [], "alone": []}
    with sirdar.client.connect(product.url, product.token) as client:
        client.me()
        for path in next(fresh)[:turns]:
            for name, way in took.items():
                time.sleep(IDLE_S)
                began = time.perf_counter()
                if name == "alone":
                    subprocess.run([ipopt, path, "-AMPL"], check=True, stdout=subprocess.DEVNULL)
                else:
                    check(solve_all([path], client=client, progress=False, warm=name == "warm"))
                way.append(1000 * (time.perf_counter() - began))
    return took


def single_rows(took: dict[str, list[float]]) -> list[Row]:
    alone = percentile(took["alone"], 0.5)
    return [
        Row(
            f"one problem beyond the solver's own process, {name}",
            percentile(took[name], 0.5) - alone,
            "ms",
            at_most=BEYOND_GOAL_MS if name == "cold" else None,
            note=f"whole {spread(took[name])} ms; the process alone {spread(took['alone'])} ms, median {alone:.1f} ms",
        )
        for name in ("cold", "warm")
    ]
