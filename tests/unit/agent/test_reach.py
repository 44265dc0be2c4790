"""Signals to programs in containers, by stand-ins for the engines: a program that has not come to run is no success."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import wait_for
from test_porter import Porter

from sirdar.agent.porter import leftovers, reach
from sirdar.agent.porter.wrap import Wrap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# `run` makes the container when the file `make` is there, and answers when `release` is. As old podmans do, it calls a signal
# that it gets meanwhile a success. `kill` fails for what does not run; `inspect` says 0 then.
DOCKER = """
here=$(dirname "$0")
echo "$*" >> "$here/calls"
case $1 in
run)
    trap 'exit 0' TERM
    until [ -e "$here/make" ]; do sleep 0.01; done
    while [ "$1" != image ]; do shift; done
    shift
    setsid "$@" & echo $! > "$here/draft"; mv "$here/draft" "$here/pid"
    wait $!; code=$?
    until [ -e "$here/release" ]; do sleep 0.01; done
    exit $code ;;
inspect) cat "$here/pid" 2>/dev/null || echo 0 ;;
kill) kill -s "$3" "$(cat "$here/pid")" ;;
rm) [ ! -e "$here/pid" ] || kill -9 "$(cat "$here/pid")" ;;
esac
"""
ENV = {"PATH": "/usr/bin:/bin"}


class Engine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "docker").write_text(f"#!/bin/sh\n{DOCKER}")
        (folder / "docker").chmod(0o755)

    def wrap(self) -> dict[str, Any]:
        command = str(self.folder / "docker")
        words = [command, "run", "--rm", "--name", "sirdar-a", "image"]
        return {"kind": "docker", "words": words, "inside": True, "end": [command, "rm", "--force", "sirdar-a"]}

    def let(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def calls(self, first: str) -> int:
        path = self.folder / "calls"
        return sum(line.startswith(first) for line in path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def docker(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "bin")


@pytest.fixture
def porter(tmp_path: Path) -> Iterator[Porter]:
    found = Porter(tmp_path / "home")
    yield found
    found.close()


def test_a_time_limit_waits_for_the_program_that_it_ends(docker: Engine, porter: Porter) -> None:
    porter.start("a", ["sh", "-c", "exec sleep 60"], wrap=docker.wrap(), time=0.05, grace=30.0)
    wait_for(lambda: docker.calls("inspect") >= 2)
    assert "a" not in porter.ended and not docker.calls("kill")
    docker.let("make", "release")
    end = porter.end("a")
    assert (end["code"], end["by"]) == (-signal.SIGTERM, "time")
    assert docker.calls("kill --signal 15 sirdar-a") == 1
    assert docker.calls("rm --force sirdar-a") == 1


def test_a_program_that_ended_before_the_signal_stays_a_success(docker: Engine, porter: Porter) -> None:
    docker.let("make")
    porter.start("a", ["true"], wrap=docker.wrap())
    porter.begin("a")
    wait_for((docker.folder / "pid").exists)
    pid = int((docker.folder / "pid").read_text())
    wait_for(lambda: not leftovers.is_alive(pid))
    porter.send(op="stop", ids=["a"], grace=30.0)
    wait_for(lambda: docker.calls("kill") >= 1)
    docker.let("release")
    end = porter.end("a")
    assert (end["code"], end["by"]) == (0, "stop")


def test_a_program_that_is_told_may_tidy_up(docker: Engine, porter: Porter) -> None:
    docker.let("make", "release")
    script = "trap 'echo tidy; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    porter.start("a", ["sh", "-c", script], wrap=docker.wrap())
    porter.begin("a")
    out = porter.home / "work" / "a" / "out"
    wait_for(lambda: out.exists() and "ready" in out.read_text())
    porter.send(op="stop", ids=["a"], grace=30.0)
    end = porter.end("a")
    assert (end["code"], end["by"]) == (7, "stop")
    assert out.read_text() == "ready\ntidy\n"


@pytest.mark.slow
def test_a_container_that_is_never_made_is_killed_after_the_grace(docker: Engine, porter: Porter) -> None:
    porter.start("a", ["true"], wrap=docker.wrap())
    porter.begin("a")
    porter.send(op="stop", ids=["a"], grace=0.3)
    end = porter.end("a")
    assert (end["code"], end["by"]) == (-signal.SIGKILL, "stop")
    assert docker.calls("rm --force sirdar-a") == 1


@pytest.mark.parametrize(
    ("code", "signalled", "found"), [(0, True, -15), (0, False, -15), (2, True, -15), (2, False, None)]
)
def test_podman_that_has_made_no_container_is_no_success(
    tmp_path: Path, code: int, signalled: bool, found: int | None
) -> None:
    words = ["podman", "run", "--conmon-pidfile", f"{tmp_path}/monitor", "image"]
    wrap = Wrap({"kind": "podman", "words": words, "inside": True})
    assert wrap.container_facts(code, signalled=signalled).get("code") == found
    (tmp_path / "monitor").write_text("999999999")
    assert "code" not in wrap.container_facts(code, signalled=signalled), "the container's own"


def test_only_what_a_containers_init_has_started_is_signalled(tmp_path: Path) -> None:
    """A runtime that is still making the container has children too, which are not the program."""
    words = ["sh", "-c", "sh -c 'sleep 60 & echo $!; wait' & wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as monitor:
        assert monitor.stdout is not None
        pid = int(monitor.stdout.readline())
        try:
            assert not reach.signal_monitored(monitor.pid, signal.SIGTERM)
            assert not reach.signal_monitored(0, signal.SIGTERM)
            assert leftovers.is_alive(pid)
        finally:
            leftovers.signal_group(monitor.pid, signal.SIGKILL)


@pytest.mark.needs("bwrap")
def test_the_program_of_a_container_is_signalled_with_its_group(tmp_path: Path) -> None:
    """A namespace of processes whose first one has started the program, in a group of its own, as podman's init does."""
    script = "setsid sh -c 'sleep 60 & sleep 61; :' & wait"
    words = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--as-pid-1"]
    with subprocess.Popen([*words, "sh", "-c", script], start_new_session=True) as monitor:
        try:
            wait_for(lambda: _sleeps(monitor.pid) == 2)
            assert reach.signal_monitored(monitor.pid, signal.SIGTERM)
            assert monitor.wait(20) == 0
        finally:
            leftovers.signal_group(monitor.pid, signal.SIGKILL)


def _sleeps(monitor: int) -> int:
    inits = leftovers.children_of(monitor)
    programs = [one for init in inits for one in leftovers.children_of(init)]
    return sum(len(leftovers.children_of(one)) for one in programs)


def test_a_teller_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "docker").chmod(0o755)
    teller = reach.Teller(str(tmp_path / "docker"), "sirdar-a")
    assert not teller.tell(15, ENV) and teller.doing
    pid = teller.doing.pid
    assert not teller.tell(15, {}) and not teller.tell(2, {}) and teller.doing and teller.doing.pid == pid
    teller.close()
    assert not leftovers.is_alive(pid) and pid not in leftovers.kept
    assert not reach.Teller(str(tmp_path / "none"), "a").tell(15, {})


LATE_INIT = """
import signal, subprocess, sys
print(flush=True)
sys.stdin.readline()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
subprocess.Popen(["sleep", "60"])
sys.exit(signal.sigwait({signal.SIGTERM}))
"""


@pytest.mark.needs("bwrap")
def test_an_init_that_has_just_begun_is_told_when_it_listens(tmp_path: Path) -> None:
    """The engine calls its container running before: a signal to the first process of a namespace would be lost."""
    words = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--as-pid-1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen([*words, sys.executable, "-c", LATE_INIT], **pipes) as outer:
        try:
            outer.stdout.readline()
            (init,) = leftovers.children_of(outer.pid)
            assert not reach.listens(init)
            teller = reach.Teller(_engine(tmp_path, init), "sirdar-a")
            wait_for(lambda: not teller.tell(signal.SIGTERM, ENV) and teller.doing is None)
            assert not teller.tell(signal.SIGTERM, ENV) and teller.doing is None, "it is not told yet"
            outer.stdin.write(b"\n")
            outer.stdin.flush()
            wait_for(lambda: reach.listens(init))
            wait_for(lambda: teller.tell(signal.SIGTERM, ENV))
            assert outer.wait(20) == signal.SIGTERM
            assert (tmp_path / "calls").read_text().splitlines() == ["inspect", "kill"]
        finally:
            leftovers.signal_group(outer.pid, signal.SIGKILL)


def test_an_init_that_never_listens_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "listens", lambda _pid: False)
    monkeypatch.setattr(reach, "READY_PATIENCE_S", 0.05)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as init:
        try:
            teller = reach.Teller(_engine(tmp_path, init.pid), "sirdar-a")
            wait_for(lambda: teller.tell(signal.SIGTERM, ENV))
            assert init.wait(20) == -signal.SIGTERM
        finally:
            leftovers.signal_group(init.pid, signal.SIGKILL)


def test_what_is_no_init_here_is_told_at_once() -> None:
    assert reach.listens(os.getpid()) and reach.listens(999_999_999)


def test_a_container_that_does_not_run_yet_is_asked_for_again(tmp_path: Path) -> None:
    """The engine says 0, or that there is none."""
    teller = reach.Teller(_engine(tmp_path, 0), "sirdar-a")
    calls = tmp_path / "calls"
    try:
        wait_for(lambda: not teller.tell(signal.SIGTERM, ENV) and calls.exists() and calls.read_text().count("\n") > 2)
        assert set(calls.read_text().split()) == {"inspect"}
    finally:
        teller.close()
    assert teller.doing is None and not leftovers.kept


def _engine(folder: Path, init: int) -> str:
    """A docker whose container's init has that pid."""
    path = folder / "docker"
    path.write_text(
        f'#!/bin/sh\necho "$1" >>{folder}/calls\n[ "$1" = inspect ] && echo {init} && exit 0\nkill -"$3" {init}\n'
    )
    path.chmod(0o755)
    return str(path)
