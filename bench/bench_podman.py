"""(6) One short task in a container of podman, from its hand-over to the executor to its end, against the same command by hand."""

import asyncio
import os
import statistics
import subprocess
import time
from pathlib import Path

from tests.containers import BASE, add_base, room

from bench.executing import one_task
from bench.report import Config, Row, spread
from sirdar.agent.environments.engines import Engine, find_engine
from sirdar.agent.executors.base import Launch
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.wraps.containers import contain

TASKS, TASKS_QUICK = 30, 8
WARMING = 3
GOAL = 1.15


class Place:
    """A home with an executor, and the directories of tasks."""

    def __init__(self, home: Path, engine: Engine) -> None:
        home.mkdir()
        self.home = home
        self.engine = engine
        self.executor = ProcessExecutor(home, 2, idle_s=5.0)
        self.count = 0

    def launch(self) -> Launch:
        self.count += 1
        folder = self.home / "work" / f"slot-{self.count % 8}"
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        plain = Launch(
            key=f"task-{self.count}", argv=["true"], env={"SIRDAR_TASK_ID": "x"}, base_env={}, cwd=f"{folder}/dir",
            stdout=f"{folder}/stdout", stderr=f"{folder}/stderr", memory_bytes=256 << 20,
        )  # fmt: skip
        return contain(plain, self.engine, self.home, image=BASE, network=False)

    def by_hand(self) -> float:
        """The same words, as a shell would start them."""
        launch = self.launch()
        assert launch.wrap is not None
        words = [*launch.wrap.words, *launch.argv]
        began = time.perf_counter()
        subprocess.run(words, check=True, env=dict(launch.base_env), stdin=subprocess.DEVNULL)
        return 1000 * (time.perf_counter() - began)

    def plain(self, *options: str) -> float:
        """As whoever wants nothing of it types it."""
        began = time.perf_counter()
        words = [self.engine.command, "run", "--rm", *options, BASE, "true"]
        subprocess.run(words, check=True, env=dict(self.engine.env), stdin=subprocess.DEVNULL, capture_output=True)
        return 1000 * (time.perf_counter() - began)


async def measure(place: Place, tasks: int) -> dict[str, list[float]]:
    """One after the other, in turn, so that the machine's moods meet both alike."""
    await place.executor.recover({})
    figures: dict[str, list[float]] = {"task": [], "hand": [], "plain": [], "alone": []}
    for number in range(WARMING + tasks):
        took = {"task": await one_task(place.executor, place.launch()), "hand": await asyncio.to_thread(place.by_hand)}
        took["plain"] = await asyncio.to_thread(place.plain)
        took["alone"] = await asyncio.to_thread(place.plain, "--network", "none")
        for name, one in took.items() if number >= WARMING else ():
            figures[name].append(one)
    await place.executor.close(end_programs=True)
    return figures


def run(config: Config) -> list[Row]:
    """Milliseconds of one task, against the same words by hand."""
    tasks = (TASKS_QUICK if config.quick else TASKS) * (1 if config.quick else max(1, config.rounds // 2))
    here = config.work / "engine"
    here.mkdir()
    before = dict(os.environ)
    with room(here) as found:
        add_base(found)
        os.environ.update(found.variables)
        try:
            figures = asyncio.run(measure(Place(config.work / "podman", find_engine("podman")), tasks))
        finally:
            os.environ.clear()
            os.environ.update(before)
    took = {name: statistics.median(values) for name, values in figures.items()}

    def beside(name: str, what: str, note: str) -> Row:
        return Row("the same task", took["task"], "ms", limit=took[name], limit_what=what, note=note)

    return [
        Row(
            "one task in a container",
            took["task"],
            "ms",
            limit=took["hand"],
            limit_what="podman run by hand",
            ratio_at_most=GOAL,
            note=f"with the same options; medians of {tasks} in turn; by hand {spread(figures['hand'])} ms",
        ),
        beside("plain", "podman run --rm IMAGE true", "another thing: with a network of podman's own and more rights"),
        beside(
            "alone",
            "podman run --rm --network none IMAGE true",
            "without limits, an init, a directory and a filter of ours",
        ),
    ]
