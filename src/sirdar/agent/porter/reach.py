# ruff: noqa: E402
"""How a signal reaches the program in a container, also where it comes before the program has been started.

The engine's command is not signalled for it: one that is still making the container would end of that, or lose the signal,
and its exit code would say nothing of a program that has never run. Standard library only.
"""

import sys

assert sys.platform != "win32"

import os
import signal
from collections.abc import Sequence

from sirdar.agent.porter import leftovers

AGAIN_S = 0.02  # until the next try, where nothing runs in there yet
REACH_PATIENCE_S = 10.0  # for a container to be made, so that its program can be told to end


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


class Teller:
    """Asks an engine whose containers are no processes of ours (docker) to signal one, as often as it takes; nobody waits."""

    def __init__(self, command: str, name: str) -> None:
        self.command = command
        self.name = name
        self.pid = 0
        self.number = 0

    def tell(self, number: int, env: dict[str, str]) -> bool:
        """True when the engine has passed it on. It refuses for a container that does not run yet."""
        if self.pid:
            return self.number == number and self._told()
        nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        nothing += [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        words = [self.command, "kill", "--signal", str(number), self.name]
        try:
            self.pid = os.posix_spawnp(self.command, words, env, file_actions=nothing)
        except OSError:
            return False
        self.number = number
        leftovers.kept.add(self.pid)
        return False

    def _told(self) -> bool:
        try:
            found, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            found, status = self.pid, 1
        if not found:
            return False
        self._forget()
        return os.waitstatus_to_exitcode(status) == 0

    def _forget(self) -> None:
        leftovers.kept.discard(self.pid)
        self.pid = 0

    def close(self) -> None:
        """The container is gone: there is nothing to tell any more."""
        if self.pid:
            leftovers.kill_pids([self.pid], signal.SIGKILL)
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
            self._forget()
