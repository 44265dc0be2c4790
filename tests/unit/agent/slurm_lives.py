"""Lives of a ``SlurmExecutor`` whose Slurm are scripts: what its tests share."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.slurm_answers import FIRST_JOB, Answers, Life, launch_of, run_on_node

from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.settings import SlurmSettings

QUICK = SlurmSettings(
    query_s=0.03, look_s=0.01, gather_s=0.01, record_patience_s=0.3, command_timeout_s=5.0, missed=2, query_times=1.0
)
RUNS = f"{FIRST_JOB}|RUNNING|n1|sirdar.a|None"
JOB = str(FIRST_JOB)

Body = Callable[[Life], Awaitable[None]]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers(tmp_path / "answers")
    made.queue(RUNS)
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def live(home: Path, body: Body, handles: dict[str, Any] | None = None, **changes: Any) -> Life:
    """One life of an executor over the home; it ends as an agent that dies does."""

    async def work() -> Life:
        life = Life(SlurmExecutor(home, 10, dataclasses.replace(QUICK, **changes)))
        assert await life.begin(handles) == set(handles or {})
        try:
            await body(life)
        finally:
            await life.close()
        return life

    return asyncio.run(work())


def status(life: Life) -> dict[str, Any]:
    assert isinstance(life.executor, SlurmExecutor)
    return life.executor.status()


async def submitted(life: Life, home: Path, answers: Answers, *keys: str, **more: Any) -> None:
    await life.executor.start([launch_of(home, key, **more) for key in keys])
    await life.until((home / "slurm" / "orders" / keys[0] / "job").exists, "that Slurm has it")


async def on_node(home: Path, key: str, job: str = JOB, index: int | None = None) -> int:
    return await asyncio.to_thread(run_on_node, home, key, job, index)
