"""Signals to programs in sandboxes, also to one that bubblewrap has not come to start: by sandboxes held up in the making."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import wait_for
from test_porter import Porter

from sirdar.agent.porter import leftovers

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="there is no bubblewrap"),
    pytest.mark.needs("bwrap"),
]

STATUS_FD, GATE_FD = 8, 9
MOMENTS = ["--userns-block-fd", "--block-fd"]  # before the sandbox may begin, and before its program


@pytest.fixture
def porter(tmp_path: Path) -> Iterator[Porter]:
    found = Porter(tmp_path / "home")
    yield found
    found.close()


class Gate:
    """A sandbox waits at it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR)  # so that nobody waits for another to open it

    def wrap(self, *moment: str) -> dict[str, Any]:
        words = ["bwrap", "--json-status-fd", str(STATUS_FD), "--die-with-parent", "--unshare-user", "--unshare-pid"]
        words += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        words += ["--info-fd", "1"] if "--userns-block-fd" in moment else []
        words += [word for name in moment for word in (name, str(GATE_FD))]
        return {"kind": "bubblewrap", "words": [*words, "--"], "inside": False, "opens": {str(GATE_FD): str(self.path)}}

    def open(self) -> None:
        os.write(self.fd, b"x")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    found = Gate(tmp_path / "gate")
    yield found
    os.close(found.fd)


def test_a_stop_waits_for_the_program(porter: Porter, gate: Gate) -> None:
    porter.start("a", ["sleep", "60"], wrap=gate.wrap("--block-fd"))
    pid = porter.begin("a")["pid"]
    wait_for(lambda: leftovers.children_of(pid))
    porter.send(op="stop", ids=["a"], grace=30.0)
    porter.start("b", ["true"])
    porter.end("b")
    assert leftovers.is_alive(pid)
    assert "a" not in porter.ended
    gate.open()
    end = porter.end("a")
    assert (end["code"], end["by"]) == (-signal.SIGTERM, "stop")


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_its_dead_command_leaves_of_a_sandbox_is_ended(porter: Porter, gate: Gate, moment: str) -> None:
    porter.start("a", ["sleep", "60"], wrap=gate.wrap(moment))
    pid = porter.begin("a")["pid"]
    wait_for(lambda: leftovers.children_of(pid))
    (first,) = leftovers.children_of(pid)
    os.kill(pid, signal.SIGKILL)
    assert porter.end("a")["code"] == -signal.SIGKILL
    assert not leftovers.is_alive(first)


@pytest.mark.parametrize(
    "program", ["exec setsid sleep 60", "kill -STOP $$; exec sleep 60"], ids=["session", "stopped"]
)
def test_a_program_is_reached_in_whatever_state(porter: Porter, gate: Gate, program: str) -> None:
    porter.start("a", ["sh", "-c", f"echo ready; {program}"], wrap=gate.wrap())
    out = porter.home / "work" / "a" / "out"
    wait_for(lambda: out.exists() and "ready" in out.read_text())
    porter.send(op="stop", ids=["a"], grace=30.0)
    end = porter.end("a")
    assert (end["code"], end["by"]) == (-signal.SIGTERM, "stop")
