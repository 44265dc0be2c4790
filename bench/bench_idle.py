"""(f) ``sirdar up`` on a home with a past: how soon it is ready, and what it takes while nobody asks for anything. And ``--help``.

Memory is the proportional set size of all its processes (server, agent, porter), which counts shared pages once; CPU is what
the kernel has counted for them over a minute.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.bench_list import fill_home
from bench.product import Product
from bench.report import Config, Row, alternate, medians, percentile, spread

JOBS, JOBS_QUICK = 10_000, 2_000
IDLE_S, IDLE_QUICK_S = 60.0, 10.0
SETTLE_S = 5.0
HELPS, HELPS_QUICK = 20, 5
GOAL_READY_S, GOAL_MIB, GOAL_CPU_PERCENT, GOAL_HELP_MS = 2.0, 150.0, 1.0, 200.0
BIN = Path(sys.executable).parent
IMPORTS = "import fastapi, pydantic, sqlalchemy, uvicorn"
PROCESSES = 3  # server, agent, porter


def run(config: Config) -> list[Row]:
    """Readiness, memory, CPU, help."""
    folder = config.work / "product"
    folder.mkdir()
    product = Product(folder)
    try:
        fill_home(product, JOBS_QUICK if config.quick else JOBS)
        one_job(product)  # from here on the agent is known, and the home is as somebody left it
        starts = alternate(
            config.rounds,
            {"up": partial(start_and_stop, product), "imports": partial(python_s, IMPORTS)},
        )
        idle_rows = idle(product, IDLE_QUICK_S if config.quick else IDLE_S)
    finally:
        product.close()
    return [ready_row(starts), *idle_rows, help_row(HELPS_QUICK if config.quick else HELPS, folder.parent)]


def one_job(product: Product) -> None:
    product.start()
    http = product.http()
    job = http.json("POST", "/api/apps/me/true?wait=60", {})
    assert job["state"] == "DONE", job
    http.close()
    product.stop()


# ---------------------------------------------------------------- readiness


def start_and_stop(product: Product) -> float:
    """Seconds to ``ready``; the first page is asked for, so that the line is true."""
    took_s = product.start()
    http = product.http()
    assert len(http.json("GET", "/api/jobs")) > 0
    http.close()
    product.stop()
    return took_s


def python_s(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def ready_row(starts: dict[str, list[float]]) -> Row:
    took = medians(starts)
    return Row(
        "sirdar up on an existing home, to ready",
        took["up"],
        "s",
        limit=took["imports"],
        limit_what="python -c 'import fastapi, pydantic, sqlalchemy, uvicorn'",
        at_most=GOAL_READY_S,
        note=spread(starts["up"]),
    )


# ---------------------------------------------------------------- idle


def idle(product: Product, idle_s: float) -> list[Row]:
    """Memory and CPU of everything that runs, after a job has run and nothing is asked for any more."""
    product.start()
    http = product.http()
    assert http.json("POST", "/api/apps/me/true?wait=60", {})["state"] == "DONE"
    http.close()
    time.sleep(SETTLE_S)  # not synchronisation: the bench measures what passes while nothing happens
    before = {pid: cpu_ticks(pid) for pid in product.processes()}
    began = time.monotonic()
    time.sleep(idle_s)
    running = product.processes()
    spent_s = {pid: (cpu_ticks(pid) - before[pid]) / os.sysconf("SC_CLK_TCK") for pid in running}
    passed_s = time.monotonic() - began
    assert set(running) == set(before) and len(running) == PROCESSES, running
    sizes = {pid: pss_mib(pid) for pid in running}
    alone = alone_mib(list(running))
    names = {pid: name_of(command) for pid, command in running.items()}
    product.stop()
    return [
        Row(
            "idle: memory of all processes (PSS)",
            sum(sizes.values()),
            "MiB",
            at_most=GOAL_MIB,
            note=", ".join(f"{names[pid]} {size:.0f}" for pid, size in sizes.items()),
        ),
        Row(
            "idle: memory as it would be without other programs that share libraries",
            alone,
            "MiB",
            note="each mapped file counted once, at the largest part that one process has of it",
        ),
        Row(
            f"idle: CPU of all processes over {passed_s:.0f} s",
            100 * sum(spent_s.values()) / passed_s,
            "% of one core",
            at_most=GOAL_CPU_PERCENT,
            note=", ".join(f"{names[pid]} {100 * spent / passed_s:.2f}" for pid, spent in spent_s.items()),
        ),
    ]


def cpu_ticks(pid: int) -> int:
    """CPU time of the process and of the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def pss_mib(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.split("\nPss:")[1].split()[0]) / 1024


def alone_mib(pids: list[int]) -> float:
    """PSS flatters where other programs map the same files. This does not: memory of its own, and each file's pages once."""
    files: dict[str, int] = {}
    own_kib = 0
    for place, sizes in (mapping for pid in pids for mapping in mappings(pid)):
        if place:
            own_kib += sizes["Anonymous:"]
            files[place] = max(files.get(place, 0), sizes["Rss:"] - sizes["Anonymous:"])
        else:
            own_kib += sizes["Pss:"]
    return (own_kib + sum(files.values())) / 1024


def mappings(pid: int) -> Iterator[tuple[str, dict[str, int]]]:
    """What is mapped: which part of which file (empty: of none), and sizes in KiB by their names."""
    place, sizes = "", dict[str, int]()
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            if sizes:
                yield place, sizes
            place, sizes = (f"{words[2]} {words[4]}" if words[4] != "0" else ""), {}
        elif len(words) == 3 and words[2] == "kB":
            sizes[words[0]] = int(words[1])
    yield place, sizes


def name_of(command: str) -> str:
    if "sirdar.agent.porter" in command:
        return "porter"
    return "agent" if "sirdar.agent" in command else "server"


# ---------------------------------------------------------------- help


def help_row(times: int, folder: Path) -> Row:
    """``sirdar --help``, next to a Python that does nothing."""
    figures = alternate(times, {"help": partial(help_ms, folder), "python": lambda: 1000 * python_s("pass")})
    took = medians(figures)
    return Row(
        "sirdar --help",
        took["help"],
        "ms",
        limit=took["python"],
        limit_what="python -c pass",
        at_most=GOAL_HELP_MS,
        note=f"p95 {percentile(figures['help'], 0.95):.0f} of {times}",
    )


def help_ms(folder: Path) -> float:
    environment = {**os.environ, "SIRDAR_CONFIG_DIR": str(folder)}
    began = time.perf_counter()
    subprocess.run([BIN / "sirdar", "--help"], env=environment, stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - began)
