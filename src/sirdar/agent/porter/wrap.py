# ruff: noqa: E402
"""What a program is started inside of: a sandbox or a container, made by a command that stands before the program's own.

Its process is not the program: signals must reach what is inside, its exit code is a second-hand one, and it may fail where
the program did not. Standard library only.
"""

import sys

assert sys.platform != "win32"

import errno
import fcntl
import json
import os
import re
import signal
import time
from typing import Any

from sirdar.agent.porter import leftovers, reach

STATUS_FD = 8
END_PATIENCE_S = 20.0
MONITOR_PATIENCE_S = 5.0
SIGNALS_OVER = 128  # a shell's way to tell of a signal, which those commands have too
LAST_WORDS = 300
FATAL = "FATAL:   "  # how apptainer begins to say why it gives up
ENGINES = ("podman", "docker")  # what they start is no descendant of ours
# catatonit's word (podman), tini's (docker), and the runtime's own.
_INIT_FAILED = re.compile(r"failed to exec pid1|\[FATAL tini|exec .*(executable file not found|permission denied)")
# The engine's words where its runtime could not make the container; they begin no line of a shell's.
_NOT_MADE = re.compile(r"(?:Error|docker): .*(?:create failed|container init|OCI permission denied|OCI runtime error)")


class Wrap:
    """One task's. ``inside``: the program is looked up in there; ``opens``: files that the command reads, by descriptor.

    ``end_words``: a command that ends all that is inside, where killing the processes does not. ``status``: the descriptor on
    which a sandbox tells that the program started and how it ended.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.kind: str = given["kind"]
        self.words: list[str] = given["words"]
        self.inside: bool = given["inside"]
        self.end_words: list[str] = given.get("end", [])
        self.opens: dict[int, str] = {int(number): path for number, path in given.get("opens", {}).items()}
        self.status = -1
        self.teller: reach.Teller | None = None
        if self.kind == "docker" and "--name" in self.words:
            self.teller = reach.Teller(self.words[0], self.words[self.words.index("--name") + 1])
        self._said = b""
        self._given: list[int] = []

    # ------------------------------------------------------------ its start

    def descriptors(self) -> dict[int, int]:
        """Opens what the command is to get; ``started`` closes our side of it. Raises OSError."""
        found: dict[int, int] = {}
        try:
            for number, path in self.opens.items():
                found[number] = self._keep(_above_ten(os.open(path, os.O_RDONLY)))
            if self.kind == "bubblewrap":
                self.status, other = os.pipe()
                found[STATUS_FD] = self._keep(_above_ten(other))
        except OSError:
            self.started()
            self.close()
            raise
        return found

    def _keep(self, number: int) -> int:
        self._given.append(number)
        return number

    def started(self) -> None:
        for number in self._given:
            os.close(number)
        self._given.clear()

    def inner_pid(self) -> int:
        """The first process inside of a sandbox, which is waited for on its own: 0 where there is none.

        Whoever looks for orphans in the meantime leaves it alone. Blocks until the sandbox is made, or not.
        """
        if self.status < 0:
            return 0
        while b"\n" not in self._said and (part := os.read(self.status, 4096)):
            self._said += part
        line, whole, _ = self._said.partition(b"\n")
        pid = int(json.loads(line).get("child-pid", 0)) if whole else 0
        if pid:
            leftovers.kept.add(pid)
        return pid

    def close(self) -> None:
        if self.teller is not None:
            self.teller.close()
        if self.status >= 0:
            os.close(self.status)
            self.status = -1

    # ------------------------------------------------------------ signals

    def signal(self, pid: int, number: int, env: dict[str, str]) -> bool:
        """To the program and its group; False where it is to be tried again, since the program does not run yet.

        A sandbox's own processes are left alone: they would take the program along, or, while they make the sandbox, leave it
        without anybody who watches it. So are an engine's that makes a container.
        """
        if self.teller is not None:
            return self.teller.tell(number, env)
        if self.kind == "bubblewrap" and number != signal.SIGKILL:
            return _signal_inner(pid, number)
        if self.kind == "podman":
            try:
                return reach.signal_monitored(reach.monitor_of(self.words), number)
            except PermissionError:  # then podman may have to pass it on
                pass
        leftovers.signal_group(pid, number)
        return True

    def end(self, env: dict[str, str]) -> None:
        """Ends what is inside, where that is not a descendant of ours. Takes as long as the command does."""
        if self.end_words:
            nothing = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ]
            try:
                pid = os.posix_spawnp(self.end_words[0], self.end_words, env, file_actions=nothing)
            except OSError:
                return
            _await(pid, END_PATIENCE_S)

    # ------------------------------------------------------------ its end

    def read_end(self, code: int, err: str, *, signalled: bool) -> dict[str, Any]:
        """What belongs into the end record: the program's own exit code, or why it was never started.

        ``signalled``: we have ended it, so that a missing word from inside means nothing.
        """
        if self.kind == "bubblewrap":
            inner = self._inner_code()
            if inner is None and not signalled and code > 0:
                return self._failed(err, "bwrap: ", "the sandbox could not be made")
            code = code if inner is None else inner
        elif self.inside and not signalled and self._not_started(code, err):
            before = FATAL if self.kind == "apptainer" else "Error: "
            return self._failed(err, before, "the container could not be made")
        return {"code": SIGNALS_OVER - code if SIGNALS_OVER < code <= SIGNALS_OVER + 64 else code}

    def container_facts(self, code: int | None, *, signalled: bool) -> dict[str, Any]:
        """What belongs into the end record of a program that the engine has started, and not its command.

        A SIGKILL that we have not sent is taken for the kernel's, where the container has a limit of memory.
        """
        if self.kind not in ENGINES:
            return {}
        killed = code in {-signal.SIGKILL, SIGNALS_OVER + signal.SIGKILL} and not signalled and "--memory" in self.words
        monitor = reach.monitor_of(self.words)
        usage = _monitor_used(monitor) if monitor else None
        told = usage_fact(usage) if usage is not None else {"u": 0.0, "s": 0.0, "rss": 0}
        if self.kind == "podman" and not monitor and (code == 0 or (signalled and (code or 0) > 0)):
            told["code"] = -signal.SIGTERM  # no program has come to run, and podman, being ended, calls that a success
        return {**told, **({"oom": True} if killed else {})}

    def _not_started(self, code: int, err: str) -> bool:
        """125: the engine itself failed. Its init says in words only that there is no such program, and apptainer all."""
        last = "".join(_last_lines(err)[-1:])
        if self.kind == "apptainer":
            return code == 255 and last.startswith(FATAL)
        if code == 125 or (code in {126, 127} and _NOT_MADE.match(last)):
            return True
        return code in {1, 126, 127} and _INIT_FAILED.search(last) is not None

    def _inner_code(self) -> int | None:
        """What bubblewrap says of the program's end; None where it never started it, or was killed itself."""
        said = self._said
        os.set_blocking(self.status, False)
        try:
            while part := os.read(self.status, 4096):
                said += part
        except BlockingIOError:  # something of the task lives on and has inherited the descriptor
            pass
        for line in said.splitlines():
            found = json.loads(line).get("exit-code")
            if found is not None:
                return int(found)
        return None

    def _failed(self, err: str, before: str, sentence: str) -> dict[str, Any]:
        lines = _last_lines(err)
        words = next((line[len(before) :] for line in lines if line.startswith(before)), lines[-1] if lines else "")
        missing = "execvp" in words or "executable file" in words or _INIT_FAILED.search(words) is not None
        if missing and ("No such file" in words or "not found" in words):
            return {"code": None, "errno": errno.ENOENT, "what": "program", "error": _program(words)}
        if missing and "ermission denied" in words:
            return {"code": None, "errno": errno.EACCES, "what": "program", "error": _program(words)}
        said = f"{sentence}: {words[:LAST_WORDS]}" if words else sentence
        return {"code": None, "errno": errno.EIO, "what": "system", "error": said}


def usage_fact(usage: Any) -> dict[str, Any]:
    """As the end records have it."""
    return {
        "u": round(usage.ru_utime, 4),
        "s": round(usage.ru_stime, 4),
        "rss": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def _monitor_used(pid: int) -> Any:
    """What the container's monitor has used, with all that it waited for: the program, and the engine's own part.

    It is our orphan (podman's ``conmon``), and ends before the engine's command does. None where nobody knows.
    """
    leftovers.kept.add(pid)
    try:
        return leftovers.used.pop(pid, None) or _usage_within(pid, MONITOR_PATIENCE_S)
    except ChildProcessError:
        return leftovers.used.pop(pid, None)
    finally:
        leftovers.kept.discard(pid)


def reap_inner(pid: int) -> Any:
    """Ends what is in a sandbox whose command has ended, and says what it used; None where nobody knows.

    A command that died while it made the sandbox may leave one that lives on without it, and heeds no SIGTERM.
    """
    try:
        found, _, usage = os.wait4(pid, os.WNOHANG)
        if found == pid:
            return usage
        os.kill(pid, signal.SIGKILL)  # still ours to reap, so it is no other's number
        return os.wait4(pid, 0)[2]
    except ChildProcessError:
        return None
    finally:
        leftovers.kept.discard(pid)


def _usage_within(pid: int, within_s: float) -> Any:
    """What a child has used that is about to end; None where it does not. Raises ChildProcessError."""
    last = time.monotonic() + within_s
    while time.monotonic() < last:
        found, _, usage = os.wait4(pid, os.WNOHANG)
        if found == pid:
            return usage
        time.sleep(0.005)
    return None


def _await(pid: int, within_s: float) -> None:
    """Reaps a process, which is killed where it takes too long."""
    leftovers.kept.add(pid)
    last = time.monotonic() + within_s
    try:
        while os.waitpid(pid, os.WNOHANG)[0] != pid:
            if time.monotonic() > last:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
    except ChildProcessError:
        return
    finally:
        leftovers.kept.discard(pid)


def _program(words: str) -> str:
    """``NAME: ...`` as the end records have it, from ``execvp NAME: why``."""
    return words.partition("execvp ")[2] or words


def _signal_inner(pid: int, number: int) -> bool:
    """To the program of a sandbox, and the processes of its group. False where there is none: not yet, or no more."""
    reapers = leftovers.children_of(pid)
    programs = [child for reaper in reapers for child in leftovers.children_of(reaper)]
    if not programs:
        return False
    groups = {pid, _group(programs[0])}  # its own, where it has made one
    found = programs[:1]
    fresh = programs
    while fresh:
        found += [one for one in fresh if one not in found and _group(one) in groups]
        fresh = [child for one in fresh for child in leftovers.children_of(one)]
    leftovers.kill_pids(found, number)
    if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        leftovers.kill_pids(found, signal.SIGCONT)  # a stopped one is woken, so that it can act on it
    return True


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _above_ten(number: int) -> int:
    """The same descriptor where it cannot be in the way of those that a program gets."""
    if number > 10:
        return number
    higher = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 11)
    os.close(number)
    return higher


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            return file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []
