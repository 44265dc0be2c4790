# ruff: noqa: E402
"""How a signal reaches the program in a container, also where it comes before the program has been started.

The engine's command is not signalled for it: one that is still making the container would end of that, or lose the signal,
and its exit code would say nothing of a program that has never run. Standard library only.
"""

import sys

assert sys.platform != "win32"

import os
import signal
import time
from collections.abc import Sequence

from sirdar.agent.porter import leftovers

AGAIN_S = 0.02  # until the next try, where nothing runs in there yet
REACH_PATIENCE_S = 10.0  # for a container to be made, so that its program can be told to end
READY_PATIENCE_S = 1.0  # for a container's init, once it runs, to start its program
FORCED = {signal.SIGKILL, signal.SIGSTOP}  # nobody handles these


def monitor_of(words: Sequence[str]) -> int:
    """The process by which podman watches a container (``conmon``); 0 where none has been started."""
    try:
        with open(words[words.index("--conmon-pidfile") + 1]) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def signal_monitored(monitor: int, number: int) -> bool:
    """To the program below the container's init, and its group. False where it does not run: not yet, or no more.

    Raises PermissionError.
    """
    for init in leftovers.children_of(monitor) if monitor else []:
        programs = leftovers.children_of(init) if _is_first(init) else []
        for program in programs[:1]:  # what is adopted in there comes after it
            _signal_led(program, number)
            return True
    return False


def _is_first(pid: int) -> bool:
    """Whether it is the first process of a namespace: a runtime that makes the container has children as well."""
    try:
        with open(f"/proc/{pid}/status") as file:
            line = next((line for line in file if line.startswith("NSpid:")), "")
    except OSError:
        return False
    return len(line.split()) > 2 and line.split()[-1] == "1"


def _signal_led(pid: int, number: int) -> None:
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:  # it was started this moment
            os.kill(pid, number)
    except ProcessLookupError:
        return
    if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        leftovers.signal_group(pid, signal.SIGCONT)  # a stopped one is woken, so that it can act on it


def listens(pid: int) -> bool:
    """Whether a container's init has started its program, before which it has seen to the signals that it passes on.

    The kernel drops what the first process of a namespace neither blocks nor handles, and so whatever comes before its first steps.
    True also where that is not to be seen: the engine has a machine of its own, or its pid is another's here.
    """
    return not _is_first(pid) or bool(leftovers.children_of(pid))


class Teller:
    """Asks an engine whose containers are no processes of ours (docker) to signal one, as often as it takes; nobody waits.

    ``doing``: the engine's command that is under way.
    """

    def __init__(self, command: str, name: str) -> None:
        self.command = command
        self.name = name
        self.doing: _Command | None = None
        self._number = 0  # the signal that is passed on; 0: the engine is asked for the container's init
        self._init = 0
        self._late_at = 0.0  # when an init without a program is told all the same

    def tell(self, number: int, env: dict[str, str]) -> bool:
        """True when the engine has passed it on. It refuses for a container that does not run yet."""
        if self.doing is None:
            self._begin(number, env)
            return False
        if self._number not in {0, number} or (code := self.doing.code()) is None:
            return False
        said = self.doing.said()
        self.close()
        if self._number:
            return code == 0
        self._init = int(said) if said.isdecimal() else 0
        self._late_at = time.monotonic() + READY_PATIENCE_S
        return False

    def _begin(self, number: int, env: dict[str, str]) -> None:
        if number in FORCED or (self._init and (listens(self._init) or time.monotonic() > self._late_at)):
            self._number, words = number, ["kill", "--signal", str(number), self.name]
        elif not self._init:
            self._number, words = 0, ["inspect", "--type", "container", "--format", "{{.State.Pid}}", self.name]
        else:
            return
        try:
            self.doing = _Command([self.command, *words], env)
        except OSError:
            return

    def close(self) -> None:
        """The container is gone, or the command has ended."""
        if self.doing is not None:
            self.doing.close()
            self.doing = None


class _Command:
    """One that runs beside us. Raises OSError where it cannot be started."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self._out, into = os.pipe()
        os.set_blocking(self._out, False)
        nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 2)]
        try:
            self.pid = os.posix_spawnp(words[0], words, env, file_actions=[*nothing, (os.POSIX_SPAWN_DUP2, into, 1)])
        except OSError:
            os.close(self._out)
            raise
        finally:
            os.close(into)
        leftovers.kept.add(self.pid)
        self._code: int | None = None

    def code(self) -> int | None:
        """How it ended; None while it has not."""
        if self._code is None:
            try:
                found, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                found, status = self.pid, 1
            self._code = os.waitstatus_to_exitcode(status) if found else None
        return self._code

    def said(self) -> str:
        """The first it wrote to its standard output."""
        try:
            return os.read(self._out, 1000).decode(errors="replace").strip()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        """Ends it where it still runs."""
        if self.code() is None:
            leftovers.kill_pids([self.pid], signal.SIGKILL)
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
        leftovers.kept.discard(self.pid)
        os.close(self._out)
