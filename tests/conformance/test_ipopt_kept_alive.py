"""The driver in C as a process that stays: each task as if the process were new."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyomo.environ import value
from tests.conformance.ipopt.driving import surroundings, write
from tests.conformance.ipopt.hock_schittkowski import hs71
from tests.conformance.ipopt.other_problems import large

from sirdar.optim.build_ipopt import CannotBuild, build_driver

pytestmark = pytest.mark.needs("cc", "libamplsolver")

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


class Worker:
    def __init__(self, command: Path, folder: Path, environment: dict[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE_S)
        with (folder / "own.out").open("w") as own:
            self.process = subprocess.Popen(
                [command],
                cwd=folder,
                env=surroundings({"SIRDAR_WORKER_FD": str(theirs.fileno()), **environment}),
                pass_fds=[theirs.fileno()],
                stdout=own,
                stderr=subprocess.STDOUT,
            )
        theirs.close()
        self.answers = self.socket.makefile("r")

    def ask(self, folder: Path, *words: str, task: Any = "t", **environment: str) -> dict[str, Any]:
        """An empty answer: the process has ended."""
        for stream in ("stdout", "stderr"):
            (folder / stream).write_text("")
        request = {
            "task": task,
            "directory": str(folder),
            "command": list(words),
            "environment": environment,
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
        }
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        line = self.answers.readline()
        found: dict[str, Any] = json.loads(line) if line else {}
        return found

    def end(self) -> int:
        self.answers.close()
        self.socket.close()
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def worker(command: Path, tmp_path: Path) -> Iterator[Worker]:
    started = Worker(command, tmp_path, {"KEPT": "from the start"})
    yield started
    started.process.kill()
    started.end()


def place(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    write(hs71(), made, "p")
    return made


def printed(folder: Path) -> str:
    return (folder / "stdout").read_text()


def test_solves_one_problem_after_another_each_in_its_own_place(worker: Worker, tmp_path: Path) -> None:
    first, second = place(tmp_path, "first"), place(tmp_path, 'Второй "с кавычками" \udcff')
    (first / "ipopt.opt").write_text("max_iter 1\n")

    assert worker.ask(first, "p", "-AMPL", "output_file=log", task=1) == {"task": 1, "exit_code": 0}
    assert worker.ask(second, "p", "-AMPL", task="b-2") == {"task": "b-2", "exit_code": 0}

    assert "Maximum Number of Iterations Exceeded" in printed(first)
    assert "Optimal Solution Found" in printed(second)
    assert {path.name for path in second.iterdir()} == {"p.nl", "p.sol", "stdout", "stderr"}
    assert (second / "stderr").read_text() == ""
    assert Path(f"/proc/{worker.process.pid}/cwd").readlink() == tmp_path
    assert worker.end() == 0
    assert (tmp_path / "own.out").read_text() == ""


def test_answers_as_a_new_process_does(worker: Worker, command: Path, tmp_path: Path) -> None:
    kept, new = place(tmp_path, "kept"), place(tmp_path, "new")
    for words in (["p", "-AMPL"], ["p", "-AMPL", "mu_strategy=adaptive"], ["p", "-AMPL"]):
        worker.ask(kept, *words)
        subprocess.run([command, *words], cwd=new, env=surroundings(), stdout=subprocess.DEVNULL, check=True)
        assert (kept / "p.sol").read_bytes() == (new / "p.sol").read_bytes()


def test_options_and_environment_of_a_task_end_with_it(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")

    worker.ask(folder, "p", "-AMPL", "max_iter=1", ipopt_options="tol=1e-2")
    assert "tol=1e-2" in printed(folder)
    worker.ask(folder, "p", "-AMPL")

    assert "tol=1e-2" not in printed(folder)
    assert "Optimal Solution Found" in printed(folder)


def test_a_task_that_fails_does_not_end_the_process(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")

    assert worker.ask(folder, "none", "-AMPL")["exit_code"] == 1
    assert "can't open none.nl" in (folder / "stderr").read_text()
    assert worker.ask(folder, "p", "-AMPL", "no_such_option=1")["exit_code"] == 1
    assert (folder / "stderr").read_text() == 'ipopt: there is no option "no_such_option"\n'
    (folder / "ipopt.opt").write_text("mu_strategy blue\n")
    assert worker.ask(folder, "p", "-AMPL")["exit_code"] == 155
    assert 'the option mu_strategy does not take the value "blue"' in (folder / "stderr").read_text()
    (folder / "ipopt.opt").unlink()
    assert worker.ask(folder, "p", "-AMPL")["exit_code"] == 0
    assert "Optimal Solution Found" in printed(folder)
    assert worker.process.poll() is None


def test_a_directory_that_is_not_there_is_said(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")
    request = {"task": 1, "directory": str(tmp_path / "gone"), "command": ["p"], "environment": {}}
    request |= {name: str(folder / name) for name in ("stdout", "stderr")}
    worker.socket.sendall(json.dumps(request).encode() + b"\n")

    assert json.loads(worker.answers.readline()) == {"task": 1, "exit_code": 126}
    assert "gone" in (folder / "stderr").read_text()
    assert worker.ask(folder, "p", "-AMPL")["exit_code"] == 0


def test_an_exit_in_a_library_is_told_before_the_process_ends(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")

    assert worker.ask(folder, "-v")["exit_code"] == 0
    assert printed(folder).startswith("Ipopt 3.")
    worker.process.wait(PATIENCE_S)


def test_a_crash_ends_the_process_without_an_answer(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")
    os.mkfifo(folder / "q.nl")  # reading it waits until it is written
    request = {"task": 1, "directory": str(folder), "command": ["q", "-AMPL"], "environment": {}}
    worker.socket.sendall(json.dumps(request).encode() + b"\n")
    with (folder / "q.nl").open("w"):  # it is in the midst of the task now
        worker.process.send_signal(signal.SIGSEGV)
        assert worker.answers.readline() == ""
    assert worker.process.wait(PATIENCE_S) == -signal.SIGSEGV


def test_memory_of_a_problem_is_given_back(worker: Worker, tmp_path: Path) -> None:
    folder = place(tmp_path, "p")
    big = tmp_path / "big"
    big.mkdir()
    model = write(large(), big, "p")

    for _ in range(20):
        worker.ask(folder, "p", "-AMPL", "print_level=0")
    before = resident_bytes(worker.process.pid)
    for _ in range(300):
        worker.ask(folder, "p", "-AMPL", "print_level=0")
    assert resident_bytes(worker.process.pid) - before < 8 << 20

    worker.ask(big, "p", "-AMPL")
    model.load()
    assert value(model.model.obj) == pytest.approx(1.0005, rel=1e-4)
    after = resident_bytes(worker.process.pid)
    worker.ask(big, "p", "-AMPL")
    assert resident_bytes(worker.process.pid) - after < 32 << 20


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_says_where_there_is_no_socket(command: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [command],
        cwd=tmp_path,
        env=surroundings({"SIRDAR_WORKER_FD": "99"}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 125
    assert "SIRDAR_WORKER_FD=99" in done.stderr


# ---------------------------------------------------------------- the build


def test_a_build_says_all_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sirdar.optim.build_ipopt.ASL_HEADERS", ())

    with pytest.raises(CannotBuild, match=r"apt-get install gcc.*apt-get install libamplsolver-dev"):
        build_driver(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_leaves_the_command_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ipopt").write_text("the one before")
    monkeypatch.setattr("sirdar.optim.build_ipopt.FLAGS", ("-fno-such-flag",))

    with pytest.raises(CannotBuild, match="no-such-flag"):
        build_driver(tmp_path)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("ipopt", "the one before")]
