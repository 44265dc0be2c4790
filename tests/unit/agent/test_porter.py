"""The porter alone, over its socket: a process of its own that needs nothing but the standard library."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import wait_for
from harness import marked_processes

from sirdar.agent.executors.porter_orphans import end_orphans
from sirdar.agent.porter import facts_log
from sirdar.agent.porter.launch import PorterStartError, command, held, launch


class Porter:
    """A porter, the socket to it, and what it has told."""

    def __init__(self, home: Path, slots: int = 2, idle_s: float = 30.0) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.process = launch(home, slots, idle_s)
        self.ended: dict[str, dict[str, Any]] = {}
        self.started: dict[str, dict[str, Any]] = {}
        self.connect()

    def connect(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        folder = os.open(self.home, os.O_RDONLY)
        self.socket.connect(f"/proc/self/fd/{folder}/porter.sock")
        os.close(folder)
        self.file = self.socket.makefile("rb")
        self.state = self.receive()

    def disconnect(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, **message: Any) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.file.readline())
        if message["ev"] == "facts":
            self.started.update({fact["id"]: fact for fact in message["started"]})
            self.ended.update({fact["id"]: fact for fact in message["ended"]})
        return message

    def start(self, key: str, argv: list[str], **more: Any) -> None:
        folder = self.home / "work" / key
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        env = {"PATH": os.environ["PATH"], "SIRDAR_TASK_ID": key, **more.pop("env", {})}
        places = {"cwd": f"{folder}/dir", "out": f"{folder}/out", "err": f"{folder}/err"}
        self.send(op="start", bases=[env], tasks=[{"id": key, "argv": argv, **places, **more}])

    def end(self, key: str) -> dict[str, Any]:
        while key not in self.ended:
            self.receive()
        return self.ended[key]

    def begin(self, key: str) -> dict[str, Any]:
        while key not in self.started:
            self.receive()
        return self.started[key]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.disconnect()


@pytest.fixture
def porter(tmp_path: Path) -> Iterator[Porter]:
    made = Porter(tmp_path / "home")
    yield made
    made.close()
    assert marked_processes(str(tmp_path)) == []


def test_it_imports_neither_sirdars_dependencies_nor_what_is_slow() -> None:
    words = command(Path("/nowhere"), 1, 1.0)
    code = words[words.index("-c") + 1].partition("; sys.exit")[0]
    names = "('pydantic', 'aiohttp', 'asyncio', 'dataclasses', 'pathlib', 'inspect')"
    check = f"{code}; import sys; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_memory_and_one_porter_for_each_home(porter: Porter) -> None:
    rollup = Path(f"/proc/{porter.process.pid}/smaps_rollup").read_text()
    assert int(rollup.split("Pss:")[1].split()[0]) < 12 * 1024
    assert held(porter.home)
    with pytest.raises(PorterStartError, match="exit code 3"):
        launch(porter.home, 1, 1.0)


def test_ends_signals_rusage_and_spawn_errors(porter: Porter) -> None:
    porter.start("a-0-0", ["sh", "-c", "cat; exit 4"], **{"in": __file__})
    assert porter.end("a-0-0")["code"] == 4
    assert (porter.home / "work/a-0-0/out").read_text() == Path(__file__).read_text()
    porter.start("a-1-0", ["sh", "-c", "kill -9 $$"])
    assert porter.end("a-1-0")["code"] == -9
    porter.start("a-2-0", [sys.executable, "-c", "x = bytearray(50 << 20); sum(range(3_000_000))"])
    end = porter.end("a-2-0")
    assert end["rss"] > 50 << 20 and end["u"] > 0.01 and end["ended"] > end["at"]
    porter.start("a-3-0", ["nothing-of-that-name"])
    assert (porter.end("a-3-0")["errno"], porter.ended["a-3-0"]["what"]) == (2, "program")
    script = porter.home / "no-shebang"
    script.write_text("exit 6\n")
    script.chmod(0o755)
    porter.start("a-4-0", [str(script)])
    assert porter.end("a-4-0")["code"] == 6
    gone = {"id": "a-5-0", "argv": ["/bin/true"], "cwd": "/gone", "out": "/gone/o", "err": "/gone/e"}
    porter.send(op="start", bases=[{}], tasks=[gone])
    assert porter.end("a-5-0")["what"] == "directory"
    porter.start("a-6-0", ["/bin/echo", "a\0b"])
    assert porter.end("a-6-0")["errno"] == 22


def test_programs_have_a_session_and_default_signals(porter: Porter) -> None:
    code = "import os; print(os.getsid(0) == os.getpid(), open('/proc/self/status').read())"
    porter.start("a-0-0", [sys.executable, "-S", "-c", code])
    porter.end("a-0-0")
    text = (porter.home / "work/a-0-0/out").read_text()
    assert text.startswith("True")
    lines = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    assert int(lines["SigBlk"], 16) == 0


def test_slots_hold_and_the_queue_keeps_its_order(porter: Porter) -> None:
    for number in range(4):
        porter.start(f"a-{number}-0", ["sh", "-c", "date +%s%N; sleep 0.1; date +%s%N"], cpus=1)
    porter.start("a-4-0", ["sh", "-c", "date +%s%N; sleep 0.05; date +%s%N"], cpus=2)
    for number in range(5):
        porter.end(f"a-{number}-0")
    spans = [tuple(map(int, (porter.home / f"work/a-{n}-0/out").read_text().split())) for n in range(5)]
    events = [(begin, 1 + (n == 4)) for n, (begin, _) in enumerate(spans)]
    events = sorted(events + [(end, -1 - (n == 4)) for n, (_, end) in enumerate(spans)])
    used = most = 0
    for _, change in events:
        used += change
        most = max(most, used)
    assert most == 2
    assert spans[4][0] >= max(end for _, end in spans[:4])


def test_a_second_start_of_an_id_is_refused(porter: Porter) -> None:
    for _ in range(2):
        porter.start("a-0-0", ["sh", "-c", "echo x >> ../count"])
        porter.ended.pop("a-0-0", None)
        assert porter.end("a-0-0")["code"] == 0
    porter.send(op="forget", ids=["a-0-0"])
    porter.ended.clear()
    porter.start("a-0-0", ["sh", "-c", "echo x >> ../count"])
    assert porter.end("a-0-0")["what"] == "seen"
    assert (porter.home / "work/a-0-0/count").read_text() == "x\n"


def test_stop_time_limit_and_dropping(porter: Porter) -> None:
    porter.start("a-0-0", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"])
    porter.start("a-1-0", ["sleep", "60"], time=0.2)
    porter.start("a-2-0", ["sleep", "60"])
    porter.begin("a-0-0")
    out = porter.home / "work/a-0-0/out"
    wait_for(lambda: out.exists() and out.read_text(), what="the trap")
    porter.send(op="stop", ids=["a-0-0", "a-2-0"], grace=0.2)
    assert (porter.end("a-2-0")["by"], porter.ended["a-2-0"]["dropped"]) == ("stop", True)
    assert (porter.end("a-0-0")["by"], porter.ended["a-0-0"]["code"]) == ("stop", -9)
    assert (porter.end("a-1-0")["by"], porter.ended["a-1-0"]["code"]) == ("time", -15)


def test_signal_reaches_the_group(porter: Porter) -> None:
    porter.start("a-0-0", ["sh", "-c", "trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.02; done"])
    wait_for(lambda: (porter.home / "work/a-0-0/out").exists() and (porter.home / "work/a-0-0/out").read_text())
    porter.begin("a-0-0")  # the program may speak before the porter has written down that it lives
    porter.send(op="signal", id="a-0-0", signum=signal.SIGUSR1)
    assert porter.end("a-0-0")["code"] == 9


def test_a_new_agent_finds_what_it_carries(porter: Porter) -> None:
    porter.start("a-0-0", ["true"])
    porter.start("a-1-0", ["sleep", "60"])
    porter.begin("a-1-0")
    porter.end("a-0-0")
    porter.disconnect()
    porter.connect()
    places = {task["id"]: (task["place"], task["end"] and task["end"]["code"]) for task in porter.state["tasks"]}
    assert places == {"a-0-0": ("ended", 0), "a-1-0": ("running", None)}
    porter.send(op="forget", ids=["a-0-0"])
    porter.send(op="list")
    while "tasks" not in (state := porter.receive()):
        pass
    assert [task["id"] for task in state["tasks"]] == ["a-1-0"]


def test_ends_are_in_the_log_before_they_are_told(porter: Porter) -> None:
    porter.start("a-0-0", ["true"])
    porter.end("a-0-0")
    past = past_of(porter.home)
    assert past.ends["a-0-0"]["code"] == 0 and set(past.got) == {"a-0-0"} and past.boot == facts_log.boot_id()


def past_of(home: Path) -> facts_log.Past:
    return facts_log.Past(str(home / facts_log.NAME))


def test_the_next_porter_knows_what_the_dead_one_was_not_told_to_forget(tmp_path: Path) -> None:
    porter = Porter(tmp_path / "home")
    for key in ("told-0-0", "kept-0-0"):
        porter.start(key, ["sh", "-c", "exit 3"])
        porter.end(key)
    porter.send(op="forget", ids=["told-0-0"])
    porter.start("runs-0-0", ["sleep", "60"])
    porter.begin("runs-0-0")
    wait_for(lambda: set(past_of(porter.home).got) == {"kept-0-0", "runs-0-0"})
    porter.process.kill()
    porter.process.wait()
    porter.disconnect()
    assert end_orphans(past_of(porter.home)) > 0
    for _ in range(2):  # also the one after the next
        porter = Porter(tmp_path / "home")
        ends = {task["id"]: task["end"] for task in porter.state["tasks"]}
        assert set(ends) == {"kept-0-0", "runs-0-0"}
        assert ends["kept-0-0"]["code"] == 3 and ends["runs-0-0"]["lost"]
        porter.close()


def test_an_idle_porter_without_an_agent_ends(tmp_path: Path) -> None:
    porter = Porter(tmp_path / "home", idle_s=0.2)
    porter.start("a-0-0", ["sleep", "0.6"])
    porter.begin("a-0-0")
    porter.disconnect()
    assert porter.process.wait(20) == 0
    assert past_of(porter.home).ends["a-0-0"]["code"] == 0


def test_orphans_of_a_dead_porter_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    porter = Porter(tmp_path / "home")
    porter.start("a-0-0", ["sh", "-c", "sleep 61 & setsid sleep 62 & sleep 63"])
    porter.begin("a-0-0")
    wait_for(lambda: len(marked_processes("SIRDAR_TASK_ID=a-0-0")) == 4)
    porter.process.kill()
    porter.process.wait()
    porter.disconnect()
    past = past_of(porter.home)
    own_start, own_got = past.starts, past.got
    stranger = subprocess.Popen(["sleep", "60"])
    past.got, past.starts = {"x-0-0": None}, {"x-0-0": {"pid": stranger.pid, "ticks": [1, 2]}}
    assert end_orphans(past) == 0
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    past.got, past.starts = own_got, own_start
    assert end_orphans(past) > 0
    assert marked_processes("SIRDAR_TASK_ID=a-0-0") == []


def test_terminating_the_porter_ends_its_programs(tmp_path: Path) -> None:
    porter = Porter(tmp_path / "home")
    porter.start("a-0-0", ["sleep", "60"])
    porter.begin("a-0-0")
    porter.close()
    assert past_of(porter.home).ends["a-0-0"]["code"] == -15
    assert not held(porter.home)
