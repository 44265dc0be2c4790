"""For programs that serve many tasks from one process (``keep_alive`` in ``sirdar.yaml``). Standard library only.

    from sirdar.worker import serve

    def main(argv):  # once for each task, in the task's directory
        ...
        return 0

    serve(main)

Started by hand, or for one task alone, the same program runs ``main`` once, with the words of its command line. One that is to run
where Sirdar is not installed may carry a copy of this file.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["serve"]

FD_VARIABLE = "SIRDAR_WORKER_FD"
Main = Callable[[Sequence[str]], int | str | None]


def serve(main: Main) -> NoReturn:
    """Calls ``main(argv)`` for each task and tells its exit code; ends the process when nothing is asked of it any more.

    ``argv`` holds the words after the program (``sys.argv[1:]``). What ``main`` returns, or raises, means what it would of
    ``sys.exit(main(argv))``: None is 0, a text is written to stderr and is 1, an exception is told on stderr and is 1.
    """
    number = os.environ.pop(FD_VARIABLE, "")
    if not number:
        sys.exit(main(sys.argv[1:]))
    fd = int(number)
    os.set_inheritable(fd, False)  # programs that a task starts must not hold the line
    own = _Own()
    with os.fdopen(fd, "rb", buffering=1 << 16) as lines:
        for line in lines:
            task = json.loads(line)
            code = _do(main, task, own)
            _write_all(fd, json.dumps({"task": task["task"], "exit_code": code}).encode() + b"\n")
    sys.exit(0)


class _Own:
    """What is the process's, and put back after each task."""

    def __init__(self) -> None:
        self.directory = os.getcwd()  # noqa: PTH109  (a copy of this file is to start fast)
        self.environment = dict(os.environ)
        self.argv = list(sys.argv)
        self.out, self.err = (os.dup(fd) for fd in (1, 2))  # not inherited by what is started

    def restore(self) -> None:
        os.dup2(self.out, 1)
        os.dup2(self.err, 2)
        os.chdir(self.directory)
        _set_environment(self.environment)
        sys.argv[:] = self.argv


def _do(main: Main, task: dict[str, Any], own: _Own) -> int:
    try:
        _enter(task, own)
        return _run(main, task["command"])
    finally:
        _flush()
        own.restore()


def _enter(task: dict[str, Any], own: _Own) -> None:
    os.chdir(task["directory"])
    _set_environment({**own.environment, **task["environment"]})
    sys.argv[1:] = task["command"]
    for fd, path in ((1, task["stdout"]), (2, task["stderr"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, fd)
        os.close(file)


def _run(main: Main, argv: Sequence[str]) -> int:
    try:
        return _exit_code(main(argv))
    except SystemExit as ending:
        return _exit_code(ending.code)
    except KeyboardInterrupt:
        raise
    except BaseException:
        traceback.print_exc()
        return 1


def _exit_code(ending: object) -> int:
    """As ``sys.exit`` makes it."""
    if ending is None:
        return 0
    if isinstance(ending, int):
        return int(ending) & 0xFF
    sys.stderr.write(f"{ending}\n")
    return 1


def _set_environment(wanted: dict[str, str]) -> None:
    """Only what differs is touched."""
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a full disk, or closed by the task
            continue


def _write_all(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]
