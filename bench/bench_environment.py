"""(6) A prepared environment of packages, found and used again, against the same command by hand in it; and its first making.

The agent's part: finding the environment by the application's files, and a short program from its hand-over to its end. The
product's part: a whole job in it, against the same job with the resource as it is.
"""

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.wheels import make_wheel

from bench.product import Http, running
from bench.report import Config, Row, spread
from sirdar.agent.environments.python import PythonEnvironments
from sirdar.agent.environments.store import EnvironmentStore
from sirdar.agent.executors.base import Launch, ProgramEnd
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.domain.environment import Environment

PACKAGES = 10
TASKS, TASKS_QUICK = 100, 20
GOAL_MS = 10.0
PROGRAM = "import sirdarbench0"
WANTED = Environment(requirements="requirements.txt")


class Place:
    """A home with an executor and environments, and an application's file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for number in range(PACKAGES):
            make_wheel(root / "wheels", f"sirdarbench{number}")
        self.config = root / "machine.toml"
        self.config.write_text(f'no-index = true\nfind-links = ["{root / "wheels"}"]\n')
        os.environ["UV_CONFIG_FILE"] = str(self.config)
        (root / "requirements").write_text("".join(f"sirdarbench{number}\n" for number in range(PACKAGES)))
        self.files = {"requirements.txt": root / "requirements"}
        (root / "home").mkdir()
        self.provider = PythonEnvironments(EnvironmentStore(root / "home" / "environments", 1 << 30))
        self.executor = ProcessExecutor(root / "home", 2, idle_s=5.0)
        self.count = 0

    async def first(self) -> float:
        """Seconds of its making, with uv's look at the machine's interpreters."""
        began = time.perf_counter()
        await self.provider.ensure(WANTED, self.files, lambda text: None, trusted=True)
        return time.perf_counter() - began

    def found_us(self) -> float:
        began = time.perf_counter()
        for _ in range(100):
            assert self.provider.known(WANTED, self.files) is not None
        return 1e6 * (time.perf_counter() - began) / 100

    async def one(self) -> float:
        """Milliseconds of one task, from the question whether its environment is here to its end."""
        began = time.perf_counter()
        self.count += 1
        folder = self.root / "home" / "work" / f"slot-{self.count % 8}"
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        ready = self.provider.known(WANTED, self.files)
        assert ready is not None
        launch = Launch(
            key=f"task-{self.count}", argv=["python", "-c", PROGRAM], cwd=f"{folder}/dir",
            env={**ready.env, "PATH": f"{ready.path[0]}:/usr/bin:/bin"}, base_env={},
            stdout=f"{folder}/stdout", stderr=f"{folder}/stderr",
        )  # fmt: skip
        await self.executor.start([launch])
        ended: list[ProgramEnd] = []
        while not ended:
            ended = [end for end in (await self.executor.facts()).ended if end.key == launch.key]
        assert ended[0].exit_code == 0, ended
        took = time.perf_counter() - began
        await self.executor.destroy([launch.key])
        return 1000 * took

    def by_hand(self) -> float:
        ready = self.provider.known(WANTED, self.files)
        assert ready is not None
        env = {**ready.env, "PATH": f"{ready.path[0]}:/usr/bin:/bin"}
        began = time.perf_counter()
        subprocess.run([f"{ready.path[0]}/python", "-c", PROGRAM], env=env, check=True)
        return 1000 * (time.perf_counter() - began)


async def measure(place: Place, tasks: int) -> tuple[float, float, dict[str, list[float]]]:
    """Seconds of the making, microseconds of finding it, and milliseconds of tasks in turn."""
    await place.executor.recover({})
    made_s = await place.first()
    await place.provider.collect()
    figures: dict[str, list[float]] = {"task": [], "hand": []}
    for _ in range(5):
        await place.one()
    for _ in range(tasks):
        figures["task"].append(await place.one())
        figures["hand"].append(await asyncio.to_thread(place.by_hand))
    await place.executor.close(end_programs=True)
    return made_s, place.found_us(), figures


def whole_jobs(config: Config, place: Place, tasks: int) -> tuple[float, dict[str, list[float]]]:
    """Seconds of the first job, and milliseconds of whole jobs over REST, with the environment and with its interpreter by path."""
    figures: dict[str, list[float]] = {"environment": [], "bare": []}
    with running(config.work, UV_CONFIG_FILE=str(place.config)) as (product, http):
        publish(http, "prepared", ["python", "-c", PROGRAM], {"requirements": "requirements.txt"}, place)
        first_s = job_ms(http, "prepared") / 1000
        python = next((product.home / "agent" / "environments").glob("*/bin/python"))
        publish(http, "bare", [str(python), "-c", PROGRAM], None, place)
        for alias in ("bare", "prepared", "bare"):
            job_ms(http, alias)
        for _ in range(tasks):
            figures["environment"].append(job_ms(http, "prepared"))
            figures["bare"].append(job_ms(http, "bare"))
    return first_s, figures


def publish(http: Http, alias: str, command: list[str], environment: dict[str, Any] | None, place: Place) -> None:
    content = place.files["requirements.txt"].read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    status, text = http.call("PUT", f"/api/apps/publish/blobs/{sha256}", content)
    assert status == 204, text
    description: dict[str, Any] = {"sirdar": 1, "alias": alias, "command": command}
    if environment is not None:
        description["environment"] = environment
    entry = {"path": "requirements.txt", "sha256": sha256, "size": len(content), "mode": 0o644}
    http.json("POST", "/api/apps/publish", {"description": json.dumps(description), "files": [entry]})


def job_ms(http: Http, alias: str) -> float:
    began = time.perf_counter()
    job = http.json("POST", f"/api/apps/me/{alias}?wait=120", {"inputs": {}})
    assert job["state"] == "DONE", job
    return 1000 * (time.perf_counter() - began)


def run(config: Config) -> list[Row]:
    """Milliseconds beyond the command by hand."""
    tasks = (TASKS_QUICK if config.quick else TASKS) * (1 if config.quick else max(1, config.rounds // 2))
    place = Place(config.work)
    made_s, found_us, figures = asyncio.run(measure(place, tasks))
    first_s, jobs = whole_jobs(config, place, max(10, tasks // 4))
    took = {name: statistics.median(values) for name, values in {**figures, **jobs}.items()}
    return [
        Row(
            "second start in a prepared environment beyond the command by hand",
            took["task"] - took["hand"],
            "ms",
            at_most=GOAL_MS,
            note=f"whole {took['task']:.1f} ms, by hand {took['hand']:.1f} ms; found in {found_us:.0f} us; medians of {tasks} "
            f"in turn; by hand {spread(figures['hand'])} ms",
        ),
        Row(
            "a whole job over REST in it, beyond one that names its interpreter",
            took["environment"] - took["bare"],
            "ms",
            at_most=GOAL_MS,
            note=f"whole {took['environment']:.1f} ms, by path {took['bare']:.1f} ms; medians of {len(jobs['bare'])} in turn",
        ),
        Row(
            f"first making, {PACKAGES} small packages from a folder",
            made_s,
            "s",
            note=f"the whole first job {first_s:.2f} s",
        ),
    ]
