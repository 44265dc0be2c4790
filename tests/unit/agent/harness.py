"""Starts real agents against the fake server, and sees to it that nothing of them is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fake_server import wait_for

from sirdar.agent.porter.launch import held

FAST = {
    "retry_least_s": 0.02,
    "retry_most_s": 0.1,
    "started_delay_s": 0.05,
    "porter_idle_s": 1.0,
    "sample_first_s": 0.2,
    "message_poll_s": 0.05,
    "claim_wait_s": 5.0,
}


class AgentProcess:
    """An agent on a home directory; ``start`` may be called again after it has ended."""

    def __init__(self, home: Path, url: str, *, slots: int = 2, **settings: Any) -> None:
        self.home = home
        self.url = url
        self.slots = slots
        self.settings = {**FAST, **settings}
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, ready: bool = True) -> "AgentProcess":
        words = [sys.executable, "-m", "sirdar.agent", "--home", str(self.home), "--server", self.url]
        words += ["--join", "token", "--slots", str(self.slots), "--log-level", "debug"]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={value}"]
        with open(f"{self.home}.log", "ab") as errors:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
        if ready:
            assert self.read_line() == "agent ready here\n", Path(f"{self.home}.log").read_text()
        return self

    def read_line(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout.readline()

    def signal(self, number: int) -> str:
        """Sends a signal, waits for the end, returns what it printed."""
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(number)
        text = self.process.stdout.read()
        self.process.wait(20)
        self.process.stdout.close()
        return text

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    @property
    def porter_pid(self) -> int:
        pid: int = json.loads((self.home / "agent.json").read_text())["porter_pid"]
        return pid

    def close(self) -> None:
        """Ends agent, programs and porter; a porter that an agent left alone is ended by its pid."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGUSR1)
        elif self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        if held(self.home):
            pid = int((self.home / "porter.lock").read_text())
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not held(self.home), what="the porter's end")


def marked_processes(word: str) -> list[int]:
    """Live processes whose environment or command line holds the word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            raw = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word.encode() in raw and state != "Z" and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
