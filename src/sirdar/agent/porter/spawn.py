# ruff: noqa: E402, PTH110, PTH112, PTH113, PTH118, PTH120
"""Starts one program: in its own session, with its directory and streams, default signals.

glibc's and musl's ``posix_spawn`` are called through ctypes, which lets go of the interpreter's lock and can change the
child's directory; that is three times as fast as ``subprocess.Popen``. Where the C library cannot, ``os.posix_spawn``
under a lock with ``chdir`` does.
"""

import sys

assert sys.platform != "win32"

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

from sirdar.agent.porter.task import Task

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80
OUT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
Given = dict[int, int]  # the program's file descriptor -> ours, which becomes it; not one of the first ten
ENTER = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1" || exit 125; shift; n=$((n - 1)); done; exec "$@"'
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class SpawnError(Exception):
    """The program was not started. ``what`` is ``program`` or ``directory``; ``number`` is the errno."""

    def __init__(self, number: int, what: str, path: str) -> None:
        super().__init__(f"{path}: {os.strerror(number)}")
        self.number = number
        self.what = what


class _CLibrary:
    """``posix_spawn`` of the C library; its attributes (shared by all spawners) never change after ``__init__``."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=False)
        libc.posix_spawn_file_actions_addchdir_np  # noqa: B018  (AttributeError where it is missing)
        self.libc = libc
        self.attributes = ctypes.create_string_buffer(1024)
        signals = ctypes.create_string_buffer(256)
        libc.posix_spawnattr_init(self.attributes)
        libc.sigemptyset(signals)
        libc.posix_spawnattr_setsigmask(self.attributes, signals)
        libc.sigfillset(signals)
        libc.posix_spawnattr_setsigdefault(self.attributes, signals)
        libc.posix_spawnattr_setflags(self.attributes, ctypes.c_short(SETSIGDEF | SETSIGMASK | SETSID))

    def spawn(self, path: str, argv: list[str], task: Task, given: Given) -> int:
        libc = self.libc
        actions = ctypes.create_string_buffer(512)
        libc.posix_spawn_file_actions_init(actions)
        try:
            libc.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(task.cwd))
            libc.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(task.inp), os.O_RDONLY, 0)
            for number, name in ((1, task.out), (2, task.err)):
                if number not in given:
                    libc.posix_spawn_file_actions_addopen(actions, number, os.fsencode(name), OUT_FLAGS, 0o600)
            for number, source in given.items():
                libc.posix_spawn_file_actions_adddup2(actions, source, number)
            pid = ctypes.c_int()
            words = _strings(argv)
            environment = _strings([f"{name}={value}" for name, value in task.env.items()])
            code: int = libc.posix_spawn(
                ctypes.byref(pid), os.fsencode(path), actions, self.attributes, words, environment
            )
        finally:
            libc.posix_spawn_file_actions_destroy(actions)
        if code:
            raise OSError(code, os.strerror(code), path)
        return pid.value


class _Interpreter:
    """``os.posix_spawn`` with ``chdir`` under a lock, for C libraries without ``addchdir_np``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def spawn(self, path: str, argv: list[str], task: Task, given: Given) -> int:
        opens: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, task.inp, os.O_RDONLY, 0)]
        for number, name in ((1, task.out), (2, task.err)):
            if number not in given:
                opens.append((os.POSIX_SPAWN_OPEN, number, name, OUT_FLAGS, 0o600))
        opens += [(os.POSIX_SPAWN_DUP2, source, number) for number, source in given.items()]
        signals = sorted(signal.valid_signals())
        with self.lock:
            os.chdir(task.cwd)
            try:
                return os.posix_spawn(
                    path, argv, task.env, file_actions=opens, setsid=True, setsigmask=[], setsigdef=signals
                )
            except NotImplementedError:
                return os.posix_spawn(
                    path, argv, task.env, file_actions=opens, setpgroup=0, setsigmask=[], setsigdef=signals
                )


def _strings(values: list[str]) -> "ctypes.Array[ctypes.c_char_p]":
    return (ctypes.c_char_p * (len(values) + 1))(*[os.fsencode(value) for value in values], None)


def _engine() -> "_CLibrary | _Interpreter":
    try:
        return _CLibrary()
    except (AttributeError, OSError):
        return _Interpreter()


_ENGINE = _engine()


def spawn(task: Task, *, limit_address_space: bool, given: Given | None = None, doors: Sequence[str] = ()) -> int:
    """Starts the task's program and returns its pid, which is also its session and process group.

    ``limit_address_space``: put RLIMIT_AS in force from the first instruction on, through a shell that execs the
    program. ``given``: descriptors that it gets from us; in place of files, where these are its streams.
    ``doors``: files of control groups by which it moves itself in, before its first instruction. Raises SpawnError.
    """
    if any("\0" in text for text in (*task.argv, *task.env.values())):
        raise SpawnError(errno.EINVAL, "program", task.argv[0])
    path, argv = _command(task)
    if limit_address_space and task.memory_bytes:
        script = f'ulimit -v {max(1, task.memory_bytes // 1024)} && exec "$@"'
        path, argv = "/bin/sh", ["/bin/sh", "-c", script, "sh", path, *argv[1:]]
    if doors:
        path, argv = "/bin/sh", ["/bin/sh", "-c", ENTER, "sh", str(len(doors)), *doors, path, *argv[1:]]
    try:
        return _ENGINE.spawn(path, argv, task, given or {})
    except OSError as error:
        if error.errno == errno.ENOEXEC and task.wrap is None:  # a script without `#!`: a shell runs it, as execvp does
            return _spawn_by_shell(path, task, given or {})
        raise _explain(error.errno or errno.EIO, path, task) from None


def _command(task: Task) -> "tuple[str, list[str]]":
    """What to execute, and its words: the task's own, or those of what it is started inside of before them."""
    wrap = task.wrap
    if wrap is None:
        return find_program(task), task.argv
    inner = task.argv if wrap.inside else [find_program(task), *task.argv[1:]]
    return wrap.words[0], [*wrap.words, *inner]


def _spawn_by_shell(path: str, task: Task, given: Given) -> int:
    try:
        return _ENGINE.spawn("/bin/sh", ["/bin/sh", path, *task.argv[1:]], task, given)
    except OSError as error:
        raise _explain(error.errno or errno.EIO, path, task) from None


def _explain(number: int, path: str, task: Task) -> SpawnError:
    """Tells a program that cannot be executed from a directory or stream that cannot be used."""
    if not os.path.isdir(task.cwd) or not os.path.isdir(os.path.dirname(task.out)):
        return SpawnError(number, "directory", task.cwd)
    if number in {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP, errno.E2BIG, errno.EINVAL}:
        return SpawnError(number, "program", path)
    return SpawnError(number, "system", path)


_found: dict[tuple[str, str, str], str] = {}


def find_program(task: Task) -> str:
    """The path that the task's command word means, in the task's own PATH and directory. Raises SpawnError."""
    word = task.argv[0] if task.argv else ""
    if "/" in word:
        full = os.path.join(task.cwd, word)
        if not os.access(full, os.X_OK) or os.path.isdir(full):
            raise SpawnError(errno.EACCES if os.path.exists(full) else errno.ENOENT, "program", word)
        return full
    search = task.env.get("PATH", DEFAULT_PATH)
    key = (word, search, "" if search.startswith("/") and "/:" not in search and ":." not in search else task.cwd)
    known = _found.get(key)
    if known is not None and os.access(known, os.X_OK):
        return known
    denied = False
    for folder in search.split(":") if word else []:
        full = os.path.join(task.cwd, folder, word)
        if os.path.isfile(full):
            if os.access(full, os.X_OK):
                if len(_found) > 200:
                    _found.clear()
                _found[key] = full
                return full
            denied = True
    raise SpawnError(errno.EACCES if denied else errno.ENOENT, "program", word)
