"""Machines of the tests' own, attached through the real command line."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from own_server import BIN, surroundings
from tests.system.product import Product, await_that

FAST = {
    "SIRDAR_AGENT_RETRY_LEAST_S": "0.05",
    "SIRDAR_AGENT_RETRY_MOST_S": "0.2",
    "SIRDAR_AGENT_PORTER_IDLE_S": "1",
    "SIRDAR_AGENT_STARTED_DELAY_S": "0.02",
}


@dataclass
class Ran:
    code: int
    out: str
    err: str


@dataclass
class Machine:
    """A machine beside the server: its own home, its own environment, the real ``sirdar`` command (``program``)."""

    product: Product
    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    agent: "subprocess.Popen[bytes] | None" = None
    program: tuple[str, ...] = (str(BIN / "sirdar"),)

    @property
    def home(self) -> Path:
        return self.root / "agent"

    @property
    def said(self) -> Path:
        return self.root / "agent.said"

    def __post_init__(self) -> None:
        self.root.mkdir()

    def _environment(self) -> dict[str, str]:
        home = {"SIRDAR_AGENT_HOME": str(self.home), "XDG_CONFIG_HOME": str(self.root / "config")}
        whole = surroundings(self.root) | FAST | home | self.environment
        return {name: value for name, value in whole.items() if value}

    def run(self, *words: str, within_s: float = 60.0, **more: str) -> Ran:
        """``sirdar WORDS`` on this machine."""
        done = subprocess.run(
            [*self.program, *words],
            env=self._environment() | more,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=within_s,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def join(self, command: str) -> Ran:
        """The command that ``sirdar resource create`` printed."""
        words = command.split()
        assert words[:3] == ["sirdar", "agent", "join"], command
        ran = self.run(*words[1:])
        assert ran.code == 0, ran.err
        return ran

    def start(self, *words: str, ready: bool = True, **more: str) -> "subprocess.Popen[bytes]":
        with self.said.open("ab") as said:
            self.agent = subprocess.Popen(
                [*self.program, "agent", "start", *words],
                env=self._environment() | more,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        if ready:
            self.await_said("agent ready")
        return self.agent

    def await_said(self, text: str, within_s: float = 20.0) -> str:
        return str(await_that(lambda: self.words() if text in self.words() else "", within_s, f"{text!r} of the agent"))

    def words(self) -> str:
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def end(self, number: int = signal.SIGTERM, within_s: float = 30.0) -> int:
        """Ends the agent and returns its exit code."""
        assert self.agent is not None
        with contextlib.suppress(ProcessLookupError):
            self.agent.send_signal(number)
        code = self.agent.wait(within_s)
        self.agent = None
        return code

    def close(self) -> None:
        """Ends it with its programs and its porter."""
        if self.agent is not None:
            self.end(signal.SIGUSR1)
        lock = self.home / "porter.lock"
        if lock.exists():
            pid = lock.read_text().strip()
            if pid.isdecimal() and b"porter" in _command(int(pid)):
                os.kill(int(pid), signal.SIGTERM)
                last = time.monotonic() + 15
                while _command(int(pid)) and time.monotonic() < last:
                    time.sleep(0.02)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def create(product: Product, name: str, **more: Any) -> dict[str, Any]:
    """A resource; the reply, with its join."""
    reply = product.admin.post("/api/resources", json={"name": name, **more})
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def resource(product: Product, name: str) -> dict[str, Any]:
    reply = product.admin.get(f"/api/resources/{name}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def await_state(product: Product, name: str, state: str) -> dict[str, Any]:
    await_that(lambda: resource(product, name)["state"] == state, what=f"{name} {state}")
    return resource(product, name)


def status(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.run("agent", "status", "--json").out))
