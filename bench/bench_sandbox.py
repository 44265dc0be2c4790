"""(6) One short task in a sandbox of bubblewrap, from its hand-over to the executor to its end, against the command by hand."""

import asyncio
import statistics
import subprocess
import time
from pathlib import Path

from bench.executing import one_task
from bench.report import Config, Row, spread
from sirdar.agent.executors.base import Launch
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.wraps.bubblewrap import sandbox

TASKS, TASKS_QUICK = 100, 20
GOAL_MS = 5.0
PATH = "/usr/local/bin:/usr/bin:/bin"


class Place:
    """A home with an executor, and the directories of tasks."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.sandbox = sandbox(home)
        if self.sandbox.why_not:
            raise RuntimeError(f"no sandbox can be made here: {self.sandbox.why_not}")
        self.executor = ProcessExecutor(home, 2, idle_s=5.0)
        self.count = 0

    def launch(self, *, sandboxed: bool) -> Launch:
        self.count += 1
        folder = self.home / "work" / f"slot-{self.count % 8}"
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        return Launch(
            key=f"task-{self.count}", argv=["true"], env={}, base_env={"PATH": PATH}, cwd=f"{folder}/dir",
            stdout=f"{folder}/stdout", stderr=f"{folder}/stderr",
            wrap=self.sandbox.wrap(folder, read=(), network=True) if sandboxed else None,
        )  # fmt: skip

    def by_hand(self) -> float:
        """The same words, as a shell would start them; the filter of system calls comes from its file."""
        folder = self.home / "work" / "hand"
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        wrap = self.sandbox.wrap(folder, read=(), network=True)
        opens = "".join(f" {number}<'{path}'" for number, path in wrap.opens.items())
        words = ["/bin/sh", "-c", f'exec "$@" 8>/dev/null{opens}', "sh", *wrap.words, "/usr/bin/true"]
        began = time.perf_counter()
        subprocess.run(words, check=True)
        return 1000 * (time.perf_counter() - began)


async def measure(place: Place, tasks: int) -> dict[str, list[float]]:
    """One after the other, in turn, so that the machine's moods meet all alike."""
    await place.executor.recover({})
    figures: dict[str, list[float]] = {"sandbox": [], "bare": [], "hand": []}
    for _ in range(5):
        await one_task(place.executor, place.launch(sandboxed=True))
    for _ in range(tasks):
        figures["sandbox"].append(await one_task(place.executor, place.launch(sandboxed=True)))
        figures["bare"].append(await one_task(place.executor, place.launch(sandboxed=False)))
        figures["hand"].append(await asyncio.to_thread(place.by_hand))
    await place.executor.close(end_programs=True)
    return figures


def run(config: Config) -> list[Row]:
    """Milliseconds of one task beyond bubblewrap by hand."""
    tasks = (TASKS_QUICK if config.quick else TASKS) * (1 if config.quick else max(1, config.rounds // 2))
    figures = asyncio.run(measure(Place(config.work / "sandbox"), tasks))
    took = {name: statistics.median(values) for name, values in figures.items()}
    return [
        Row(
            "one task in a sandbox beyond bwrap by hand",
            took["sandbox"] - took["hand"],
            "ms",
            at_most=GOAL_MS,
            note=f"whole {took['sandbox']:.1f} ms, by hand {took['hand']:.1f} ms; without a sandbox {took['bare']:.1f} ms; "
            f"medians of {tasks} in turn; by hand {spread(figures['hand'])} ms",
        )
    ]
