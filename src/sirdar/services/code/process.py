"""Running git: without a terminal, capped in output and disk, ended with its children when it is not wanted any more."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from sirdar.domain.problems import Problem

STDERR_BYTES = 16 * 1024
STDOUT_BYTES = 16 * 2**20
WATCH_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. ``stdout`` is empty where it went to a file; ``stderr`` is its last part."""

    exit_code: int
    stdout: bytes
    stderr: str


async def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdout_path: Path | None = None,
    watched: Path | None = None,
    max_bytes: int,
) -> Ended:
    """Runs a command to its end and gives its exit code and output.

    ``watched`` is a directory that it fills; when that, or the file ``stdout_path``, grows beyond ``max_bytes``, the
    process is ended: Problem ``too_large``. Cancelling ends it too.
    """
    process = await anyio.open_process(
        command, stdin=subprocess.DEVNULL, env=dict(env), start_new_session=sys.platform != "win32"
    )
    collected = _Collected(stdout_path, max_bytes)
    try:
        async with anyio.create_task_group() as group:
            if watched is not None:
                group.start_soon(_watch, watched, max_bytes)
            async with anyio.create_task_group() as readers:
                readers.start_soon(collected.read_stdout, process)
                readers.start_soon(collected.read_stderr, process)
            await process.wait()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    finally:
        with anyio.CancelScope(shield=True):
            _kill(process)
            await process.aclose()
            collected.close()
    return Ended(process.returncode or 0, bytes(collected.stdout), collected.stderr.decode("utf-8", "replace"))


class _Collected:
    """Output of a process: kept, or written to a file."""

    def __init__(self, path: Path | None, max_bytes: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._file = path.open("wb") if path is not None else None
        self._left = max_bytes if path is not None else STDOUT_BYTES

    async def read_stdout(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None  # a pipe was asked for
        async for chunk in process.stdout:
            self._left -= len(chunk)
            if self._left < 0:
                raise too_large()
            if self._file is not None:
                await anyio.to_thread.run_sync(self._file.write, chunk)
            else:
                self.stdout += chunk

    async def read_stderr(self, process: anyio.abc.Process) -> None:
        assert process.stderr is not None  # a pipe was asked for
        async for chunk in process.stderr:
            self.stderr += chunk
            del self.stderr[:-STDERR_BYTES]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def too_large() -> Problem:
    """The Problem of code that exceeds the server's limit."""
    return Problem(
        "too_large", "The code is larger than what this server takes.", hint="Publish a sub-folder, or less."
    )


async def _watch(directory: Path, max_bytes: int) -> None:
    while True:
        if await anyio.to_thread.run_sync(_size, directory) > max_bytes:
            raise too_large()
        await anyio.sleep(WATCH_EVERY_S)


def _size(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # git renames its files when they are whole
                pass
    return total


def _kill(process: anyio.abc.Process) -> None:
    """Ends a process that still runs, with all that it started: git leaves helpers behind when only itself is killed."""
    if process.returncode is not None:
        return
    try:
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
