"""Slurm's commands as scripts before the real ones: they say what a healthy Slurm does not, and count how often they are asked.

Each is a shell script that a test may replace at any moment. As they come, ``sbatch`` gives numbers and runs nothing, the queue is
the file ``queue``, there is no accounting, and the controller knows no job.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sirdar.agent.executors.base import Executor, Launch, ProgramEnd, ProgramStart

FIRST_JOB = 17
USUAL = {
    "sbatch": f'n=$(($(cat "$here/last" 2>/dev/null || echo {FIRST_JOB - 1}) + 1)); echo $n > "$here/last"; echo $n',
    "squeue": 'cat "$here/queue"',
    "sacct": 'echo "Slurm accounting storage is disabled" >&2; exit 1',
    "scancel": ":",
    "scontrol": 'if [ "$2" = config ]; then echo "MaxArraySize = 1001"; else '
    'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; fi',
    "sinfo": 'echo "4|4000"',
}
ON = 'exec "$real" "$@"'  # what follows is the real command
BARRED = 'while [ -e "$here/bar" ]; do /bin/sleep 0.02; done'  # until ``lift`` is called


class Answers:
    """``folder`` goes before all others in PATH."""

    def __init__(self, place: Path, *, real: bool = False) -> None:
        """``real``: what a test does not replace is the real command."""
        self.place = place
        self.folder = place / "bin"
        self.folder.mkdir(parents=True)
        (place / "queue").touch()
        (place / "calls").touch()
        for name, usual in USUAL.items():
            self.says(name, ON if real else usual)
            script = self.folder / name
            script.write_text(
                f'#!/bin/sh\nhere="{place}"\nreal="/usr/bin/{name}"\necho "{name} $*" >> "$here/calls"\n. "$here/{name}.sh"\n'
            )
            script.chmod(0o755)

    def says(self, name: str, script: str = "") -> None:
        """From now on; without a script, the usual."""
        new = self.place / f"{name}.new"
        new.write_text((script or USUAL[name]) + "\n")
        new.rename(self.place / f"{name}.sh")

    def fails(self, name: str, words: str) -> None:
        self.says(name, f"echo '{words}' >&2; exit 1")

    def bar(self) -> None:
        (self.place / "bar").touch()

    def lift(self) -> None:
        (self.place / "bar").unlink(missing_ok=True)

    def queue(self, *lines: str) -> None:
        """As ``squeue`` is asked to write them: id, state, node, name, reason."""
        new = self.place / "queue.new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.place / "queue")

    def calls(self, name: str) -> list[str]:
        lines = (self.place / "calls").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == name]


class Life:
    """One life of an executor, and what it has told."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.started: dict[str, ProgramStart] = {}
        self.ended: dict[str, ProgramEnd] = {}
        self.notes: dict[str, list[str]] = {}
        self._listener: asyncio.Task[None] | None = None

    async def begin(self, handles: dict[str, Any] | None = None) -> set[str]:
        known = await self.executor.recover(handles or {})
        self._listener = asyncio.create_task(self._listen())
        return known

    async def close(self) -> None:
        """As an agent that dies: nothing is ended. Raises what broke the executor."""
        assert self._listener is not None
        if not self._listener.done():
            self._listener.cancel()
        await self.executor.close(end_programs=False)
        (found,) = await asyncio.gather(self._listener, return_exceptions=True)
        if isinstance(found, Exception):
            raise found

    async def until(self, holds: Callable[[], object], what: str, within_s: float = 20.0) -> None:
        last = time.monotonic() + within_s
        while not holds():
            assert self._listener is not None
            if self._listener.done():
                self._listener.result()
            assert time.monotonic() < last, f"{what} did not happen within {within_s} s; ended: {self.ended}"
            await asyncio.sleep(0.005)

    async def end_of(self, key: str) -> ProgramEnd:
        await self.until(lambda: key in self.ended, f"the end of {key}")
        return self.ended[key]

    async def _listen(self) -> None:
        while True:
            facts = await self.executor.facts()
            self.started.update({start.key: start for start in facts.started})
            for end in facts.ended:
                assert end.key not in self.ended, "a program ends once"
                self.ended[end.key] = end
            for key, note in facts.notes.items():
                self.notes.setdefault(key, []).append(note)


def launch_of(home: Path, key: str, script: str = "echo ran >> ../ran", **more: Any) -> Launch:
    """A shell script in a directory of its own; ``ran`` beside it counts."""
    folder = home / "work" / key
    (folder / "dir").mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"grace_s": 0.5, **more}
    return Launch(
        key=key, argv=["sh", "-c", script], env={}, base_env={"PATH": "/usr/bin:/bin"}, cwd=f"{folder}/dir",
        stdout=f"{folder}/stdout", stderr=f"{folder}/stderr", **given,
    )  # fmt: skip


def times_run(home: Path, key: str) -> int:
    path = home / "work" / key / "ran"
    return path.read_text().count("ran") if path.exists() else 0


def run_on_node(home: Path, order: str, job: str, index: int | None = None) -> int:
    """What Slurm would do with the job ``job`` on a node; returns when its script has ended, with its code."""
    array = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(index)} if index is not None else {}
    words = ["sh", str(home / "slurm" / "run-one.sh"), str(home / "slurm" / "orders" / order)]
    environment = {**os.environ, "SLURM_JOB_ID": job, **array}
    return subprocess.run(words, env=environment, check=False, timeout=30, stdin=subprocess.DEVNULL).returncode
