"""Runs a tool that makes environments: its lines are heard while it works, and kept for whoever asks why it failed."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed

LOG_BYTES = 16 << 10  # the end of what a tool wrote; goes into each waiting task's stderr
LINE_BYTES = 1 << 16
# Of the agent's variables, those that are none of a tool's business, or would lead it elsewhere.
HIDDEN = ("SIRDAR_", "EVEREST_", "VIRTUAL_ENV", "CONDA_", "PYTHON", "PIP_REQUIRE_VIRTUALENV")


class ToolLog:
    """What tools wrote, its end only."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, line: str) -> None:
        self.text = (self.text + line + "\n")[-LOG_BYTES:]


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The agent's variables for a tool: without our tokens and addresses, and without what points to another environment."""
    return {name: value for name, value in environment.items() if not name.startswith(HIDDEN)}


async def run_tool(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: ToolLog,
    hear: Callable[[str], Awaitable[None]],
    started: Callable[[int], None],
    within_s: float,
) -> int:
    """Its exit code. It runs in a process group of its own, which ends with this call however that ends.

    ``started`` hears its pid. Raises EnvironmentFailed where it takes too long, OSError where it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=LINE_BYTES,
    )
    try:
        started(process.pid)
        async with asyncio.timeout(within_s):
            await _listen(process, log, hear)
            return await process.wait()
    except TimeoutError:
        raise EnvironmentFailed(
            f"the environment was not ready within {within_s:g} s, when its making was ended", log=log.text
        ) from None
    finally:
        end_group(process.pid)
        await process.wait()


def end_group(pid: int) -> None:
    """Ends all processes of the group that a tool leads."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


async def _listen(process: asyncio.subprocess.Process, log: ToolLog, hear: Callable[[str], Awaitable[None]]) -> None:
    assert process.stdout is not None
    while True:
        try:
            raw = await process.stdout.readline()
        except ValueError:  # a line longer than the limit was dropped
            continue
        if not raw:
            return
        line = raw.decode(errors="replace").rstrip()
        log.add(line)
        await hear(line)
