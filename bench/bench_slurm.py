"""(6) Short tasks through a real Slurm on loopback: in pilots, and each as a job, against ``sbatch`` by hand in one run.

By hand: jobs are submitted one after the other, until all have ended; and one ``sbatch --wait``. The settings are those of the
product.
"""

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.slurm_cluster import SlurmCluster

from bench.report import Config, Row, spread
from sirdar.agent.executors.base import Executor, Launch
from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.pilots import PilotExecutor
from sirdar.agent.executors.slurm.settings import PilotSettings, SlurmSettings

TASKS, TASKS_QUICK = 2000, 300
JOBS, JOBS_QUICK = 60, 10
ONES, ONES_QUICK = 3, 2
SIDE_BY_SIDE = 8  # cpus of the two nodes
GOAL_PER_S, GOAL_BEYOND_S = 100.0, 1.0
PATH = "/usr/local/bin:/usr/bin:/bin"


def run(config: Config) -> list[Row]:
    """Tasks a second in pilots and by hand; what one job costs through Sirdar and by hand."""
    place = config.work / "slurm"
    place.mkdir()
    cluster = SlurmCluster(place)
    cluster.start()
    before = dict(os.environ)
    os.environ.update(cluster.environment)
    try:
        return asyncio.run(measure(config, cluster))
    finally:
        os.environ.clear()
        os.environ.update(before)
        cluster.stop()


async def measure(config: Config, cluster: SlurmCluster) -> list[Row]:
    tasks, jobs, ones = (TASKS_QUICK, JOBS_QUICK, ONES_QUICK) if config.quick else (TASKS, JOBS, ONES)
    in_pilots, by_hand = [], []
    for number in range(config.rounds):
        in_pilots.append(await pilots_round(config.work / f"pilots-{number}", tasks))
        by_hand.append(await asyncio.to_thread(sbatch_round, cluster, jobs))
    through, hand = await single(config.work / "jobs", ones * config.rounds)
    beyond_s = statistics.median(through) - statistics.median(hand)
    return [
        Row(
            f"{tasks} short tasks in pilots",
            statistics.median(in_pilots),
            "tasks/s",
            limit=statistics.median(by_hand),
            limit_what=f"{jobs} separate sbatch jobs, jobs/s",
            at_least=GOAL_PER_S,
            note=f"{spread(in_pilots)}; by hand {spread(by_hand)}; from the hand-over to pilots that run",
        ),
        Row(
            "one job through Sirdar over sbatch --wait",
            beyond_s,
            "s",
            at_most=GOAL_BEYOND_S,
            note=f"medians {statistics.median(through):.2f} s and {statistics.median(hand):.2f} s by hand, "
            "which looks every 2 s whether its job has ended",
        ),
    ]


async def pilots_round(home: Path, count: int) -> float:
    """Tasks a second, from the hand-over to the last end; the pilots run already."""
    home.mkdir()  # noqa: ASYNC240
    own = PilotSettings(least=2, most=2, cpus=SIDE_BY_SIDE // 2, idle_s=60.0)
    executor = PilotExecutor(home, SIDE_BY_SIDE, SlurmSettings(mode="pilots", pilots=own), address="127.0.0.1")
    await executor.recover({})
    try:
        await ends(executor, [launch(home, f"warm-{number}") for number in range(2 * SIDE_BY_SIDE)])
        began = time.perf_counter()
        await ends(executor, [launch(home, f"task-{number}") for number in range(count)])
        return count / (time.perf_counter() - began)
    finally:
        await executor.close(end_programs=True)


def sbatch_round(cluster: SlurmCluster, count: int) -> float:
    """Jobs a second, from the first ``sbatch`` to the last end."""
    began = time.perf_counter()
    for _ in range(count):
        cluster.sbatch("true")
    while cluster.run("squeue", "-h", "-t", "pending,running,completing"):
        time.sleep(0.05)
    return count / (time.perf_counter() - began)


async def single(home: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds of one job through Sirdar, and by hand, in turn."""
    home.mkdir()  # noqa: ASYNC240
    executor = SlurmExecutor(home, SIDE_BY_SIDE, SlurmSettings())
    await executor.recover({})
    through, hand = [], []
    try:
        for number in range(count):
            began = time.perf_counter()
            await ends(executor, [launch(home, f"one-{number}")])
            through.append(time.perf_counter() - began)
            words = ["sbatch", "--wait", "--output=/dev/null", "--wrap=true"]
            began = time.perf_counter()
            await asyncio.to_thread(subprocess.run, words, check=True, stdout=subprocess.DEVNULL)
            hand.append(time.perf_counter() - began)
    finally:
        await executor.close(end_programs=True)
    return through, hand


def launch(home: Path, key: str) -> Launch:
    folder = home / "work" / key
    (folder / "dir").mkdir(parents=True)
    return Launch(
        key=key, argv=["true"], env={}, base_env={"PATH": PATH}, cwd=f"{folder}/dir",
        stdout=f"{folder}/stdout", stderr=f"{folder}/stderr",
    )  # fmt: skip


async def ends(executor: Executor, launches: Sequence[Launch]) -> None:
    """Returns when all have ended, each well."""
    left = {one.key for one in launches}
    await executor.start(launches)
    while left:
        facts = await executor.facts()
        ended = {end.key for end in facts.ended}
        assert all(end.exit_code == 0 for end in facts.ended), facts.ended
        left -= ended
        await executor.destroy(sorted(ended))
