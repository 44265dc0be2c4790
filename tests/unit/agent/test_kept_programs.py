"""Programs that the porter keeps between tasks: with ones that answer, die, hang, lie, and leave things behind."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import wait_for
from harness import marked_processes
from test_porter import Porter

from sirdar.agent.executors.porter_orphans import end_orphans
from sirdar.agent.porter import facts_log
from sirdar.agent.porter.launch import held

# What a task asks for is in its words.
SERVANT = """
import os, signal, subprocess, sys, time
from sirdar.worker import serve

kept = bytearray()
if sys.argv[1:2] == ["refuse-to-start"]:
    sys.exit("no licence")

def main(argv):
    global kept
    print(os.getpid(), os.environ.get("WHO", "-"), flush=True)
    match argv:
        case ["exit", code]: return int(code)
        case ["die", code]: os.write(2, b"last words"); os._exit(int(code))
        case ["signal", number]: os.kill(os.getpid(), int(number))
        case ["sleep", how_long]: time.sleep(float(how_long))
        case ["deaf", how_long]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(float(how_long))
        case ["spin", how_long]:
            began = time.process_time()
            while time.process_time() - began < float(how_long): pass
        case ["take", mebibytes]: kept = bytearray(int(mebibytes) << 20)
        case ["drop"]: kept = bytearray()
        case ["leave"]:
            for new in (False, True):
                left = subprocess.Popen(["sleep", "600"], start_new_session=new)
                print(left.pid, flush=True)
        case ["say", text]: os.write(3, text.encode() + b"\\n"); time.sleep(600)
        case ["hang up"]: os.close(3); time.sleep(600)
        case ["set", name]: os.environ[name] = "left"; os.chdir("/")
        case ["get", name]: print(os.environ.get(name, "-"), os.getcwd(), flush=True)
        case ["raise"]: raise ValueError("of its own")
        case ["answer twice"]: os.write(3, b'{"task": "x", "exit_code": 0}\\n' * 2)
serve(main)
"""


class Kept(Porter):
    """A porter whose tasks are done by kept programs."""

    def program(self) -> Path:
        path = self.home / "servant.py"
        if not path.exists():
            path.write_text(SERVANT)
        return path

    def task(self, key: str, *words: str, identity: str = "one", **more: Any) -> None:
        home = self.home / "workers" / identity
        home.mkdir(parents=True, exist_ok=True)
        keep = {"as": identity, "home": str(home), "words": 2, "idle": 30.0, "most": 500, **more.pop("keep", {})}
        folder = self.home / "work" / key
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        order = {"id": key, "argv": [sys.executable, str(self.program()), *words], "keep": keep, **more,
                 "cwd": f"{folder}/dir", "out": f"{folder}/out", "err": f"{folder}/err"}  # fmt: skip
        order["env"] = {"SIRDAR_TASK_ID": key, **more.get("env", {})}
        self.send(op="start", bases=[{"PATH": os.environ["PATH"]}], tasks=[order])

    def done(self, key: str, *words: str, **more: Any) -> dict[str, Any]:
        self.task(key, *words, **more)
        return self.end(key)

    def said(self, key: str, stream: str = "out") -> str:
        return (self.home / "work" / key / stream).read_text()

    def who(self, key: str) -> int:
        return int(self.said(key).split()[0])

    def running(self, key: str) -> int:
        """The process that does the task, as soon as it does."""
        self.begin(key)
        wait_for(lambda: self.said(key), what="the task's first word")
        return self.who(key)


@pytest.fixture
def porter(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "home")
    yield made
    made.close()
    assert marked_processes(str(tmp_path)) == []


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_one_process_serves_and_each_task_has_its_own_streams_directory_and_environment(porter: Kept) -> None:
    ends = [porter.done(f"a-{n}-0", "exit", str(n % 3), env={"WHO": f"task{n}"}) for n in range(6)]
    assert [end["code"] for end in ends] == [0, 1, 2, 0, 1, 2]
    assert len({porter.who(f"a-{n}-0") for n in range(6)}) == 1
    assert [porter.said(f"a-{n}-0").split()[1] for n in range(6)] == [f"task{n}" for n in range(6)]
    porter.done("a-6-0", "set", "LEAK")
    porter.done("a-7-0", "get", "LEAK")
    assert porter.said("a-7-0").split()[2:] == ["-", str(porter.home / "work/a-7-0/dir")]
    assert porter.done("a-8-0", "raise")["code"] == 1 and "ValueError: of its own" in porter.said("a-8-0", "err")
    assert porter.who("a-8-0") == porter.who("a-0-0")


def test_what_an_earlier_task_wrote_into_a_pooled_stream_is_gone(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0")
    folder = porter.home / "work/a-1-0"
    folder.mkdir(parents=True)
    (folder / "err").write_text("somebody else's")
    porter.done("a-1-0", "exit", "0")
    assert porter.said("a-1-0", "err") == ""


def test_one_that_dies_in_a_task_ends_that_task_as_it_died_and_no_other(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0")
    end = porter.done("a-1-0", "die", "5")
    assert end["code"] == 5 and porter.said("a-1-0", "err") == "last words"
    assert porter.done("a-2-0", "signal", str(int(signal.SIGSEGV)))["code"] == -signal.SIGSEGV
    assert porter.done("a-3-0", "exit", "0")["code"] == 0
    assert len({porter.who(f"a-{n}-0") for n in range(4)}) == 3
    porter.task("a-4-0", "sleep", "600")
    os.kill(porter.running("a-4-0"), signal.SIGKILL)
    assert porter.end("a-4-0")["code"] == -9
    assert porter.done("a-5-0", "exit", "0")["code"] == 0


def test_one_that_dies_idle_is_replaced_and_nobody_hears_of_it(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0")
    os.kill(porter.who("a-0-0"), signal.SIGKILL)
    assert porter.done("a-1-0", "exit", "0")["code"] == 0
    assert porter.who("a-1-0") != porter.who("a-0-0")
    wait_for(lambda: not Path(f"/proc/{porter.who('a-0-0')}").exists(), what="its reaping")


def test_what_it_says_before_it_serves_is_told_where_it_does_not_come_to_that(porter: Kept) -> None:
    porter.task("a-1-0", "refuse-to-start", keep={"words": 3})
    assert porter.end("a-1-0")["code"] == 1 and porter.said("a-1-0", "err") == "no licence\n"
    home = porter.home / "workers/plain"
    home.mkdir()
    keep = {"as": "plain", "home": str(home), "words": 1, "idle": 9.0, "most": 9}
    porter.start("a-2-0", ["/bin/true"], keep=keep)
    end = porter.end("a-2-0")
    assert end["code"] is None and end["what"] == "worker" and "before it had answered" in end["error"]
    porter.start("a-3-0", ["no-such-program"], keep=keep)
    assert porter.end("a-3-0")["what"] == "program"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["say", "nonsense"], "no JSON"),
        (["say", '{"task": "a-9-0", "exit_code": 0}'], "another task"),
        (["say", '{"task": "a-0-0", "exit_code": "0"}'], "no exit_code"),
        (["say", "x" * 200_000], "longer than"),
        (["hang up"], "closed SIRDAR_WORKER_FD"),
    ],
)
def test_one_that_does_not_answer_as_it_must_is_ended(porter: Kept, words: list[str], why: str) -> None:
    end = porter.done("a-0-0", *words)
    assert end["code"] is None and end["what"] == "worker" and why in end["error"]
    assert not lives(porter.who("a-0-0"))
    assert porter.done("a-1-0", "exit", "0")["code"] == 0


def test_one_that_answers_twice_is_not_trusted_with_another_task(porter: Kept) -> None:
    porter.done("x", "answer twice")
    assert porter.ended["x"]["code"] == 0
    porter.done("a-1-0", "exit", "3")
    assert porter.ended["a-1-0"]["code"] == 3 and porter.who("a-1-0") != porter.who("x")


def test_stop_and_time_limit_end_the_process_and_the_next_task_gets_another(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0")
    porter.task("a-1-0", "sleep", "600")
    porter.running("a-1-0")
    porter.send(op="stop", ids=["a-1-0"], grace=20.0)
    end = porter.end("a-1-0")
    assert (end["by"], end["code"]) == ("stop", -signal.SIGTERM)
    porter.task("a-2-0", "deaf", "600", time=0.3, grace=0.2)
    end = porter.end("a-2-0")
    assert (end["by"], end["code"]) == ("time", -signal.SIGKILL)
    assert porter.done("a-3-0", "exit", "0", time=30.0)["code"] == 0
    assert len({porter.who(f"a-{n}-0") for n in range(4)}) == 3


def test_a_time_limit_that_has_passed_does_not_meet_the_next_task(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0", time=0.3)
    assert porter.done("a-1-0", "sleep", "0.6")["code"] == 0
    assert porter.who("a-0-0") == porter.who("a-1-0")


def test_what_a_task_left_is_ended_and_the_process_is_kept(porter: Kept) -> None:
    end = porter.done("a-0-0", "leave")
    left = [int(word) for word in porter.said("a-0-0").split()[2:]]
    assert len(left) == 2 and end["left"] == 2 and not any(map(lives, left))
    porter.done("a-1-0", "exit", "0")
    assert porter.who("a-1-0") == porter.who("a-0-0")


def test_cpu_time_and_memory_are_the_tasks_own(porter: Kept) -> None:
    first = porter.done("a-0-0", "exit", "0")
    spun = porter.done("a-1-0", "spin", "0.3")
    porter.task("a-2-0", "sleep", "0.3")
    assert porter.begin("a-2-0")["used"] > 0.28
    after = porter.end("a-2-0")
    assert 0.28 < spun["u"] + spun["s"] < 0.6 and after["u"] + after["s"] < 0.1
    assert first["u"] + first["s"] > 0
    porter.done("a-3-0", "take", "200")
    held_bytes = porter.done("a-4-0", "drop")["rss"]
    freed = porter.done("a-5-0", "exit", "0")["rss"]
    assert porter.ended["a-3-0"]["rss"] > 200 << 20 and held_bytes > 200 << 20 and freed < 100 << 20
    died = porter.done("a-6-0", "die", "1")
    assert "rss" not in died and died["u"] + died["s"] < 0.2


def test_no_process_serves_two_kinds(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0", identity="owner1")
    porter.done("a-1-0", "exit", "0", identity="owner2")
    porter.done("a-2-0", "exit", "0", identity="owner1")
    assert porter.who("a-0-0") == porter.who("a-2-0") != porter.who("a-1-0")


def test_it_goes_after_its_time_and_after_its_number_of_tasks(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0", keep={"idle": 0.2})
    wait_for(lambda: not lives(porter.who("a-0-0")), what="the end of one that is idle for too long")
    for number in range(1, 5):
        porter.done(f"a-{number}-0", "exit", "0", keep={"most": 2})
    who = [porter.who(f"a-{number}-0") for number in range(1, 5)]
    assert who[0] == who[1] != who[2] == who[3]


def test_idle_ones_make_room(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0", identity="first")
    porter.done("a-1-0", "exit", "0", identity="second")
    porter.start("b-0-0", ["sleep", "0.1"])
    porter.end("b-0-0")
    wait_for(lambda: not lives(porter.who("a-0-0")), what="the end of the one that was idle for longest")
    assert lives(porter.who("a-1-0"))
    porter.start("b-1-0", ["sleep", "0.1"], cpus=2)
    porter.end("b-1-0")
    wait_for(lambda: not lives(porter.who("a-1-0")), what="the end of the other")


def test_told_to_keep_none_it_ends_the_idle_and_lets_the_others_finish(porter: Kept) -> None:
    porter.done("a-0-0", "exit", "0", identity="idle")
    porter.task("a-1-0", "sleep", "0.5")
    busy = porter.running("a-1-0")
    porter.send(op="keep", on=False)
    wait_for(lambda: not lives(porter.who("a-0-0")), what="the end of the idle one")
    assert porter.end("a-1-0")["code"] == 0
    wait_for(lambda: not lives(busy), what="the end of the other")


def test_a_porter_without_an_agent_keeps_nobody(tmp_path: Path) -> None:
    porter = Kept(tmp_path / "home", idle_s=0.3)
    porter.done("a-0-0", "exit", "0")
    porter.disconnect()
    assert porter.process.wait(30) == 0
    assert marked_processes(str(tmp_path)) == []


def test_another_agent_finds_the_task_and_its_end(porter: Kept) -> None:
    porter.task("a-0-0", "sleep", "0.5")
    pid = porter.running("a-0-0")
    porter.disconnect()
    porter.connect()
    assert [task["pid"] for task in porter.state["tasks"]] == [pid] and porter.state["kept"] == ["one"]
    assert porter.end("a-0-0")["code"] == 0
    assert porter.done("a-1-0", "exit", "0")["code"] == 0 and porter.who("a-1-0") == pid


def test_after_the_porters_death_kept_programs_are_found_and_ended(tmp_path: Path) -> None:
    porter = Kept(tmp_path / "home")
    porter.done("a-0-0", "exit", "0", identity="idle")
    porter.task("a-1-0", "deaf", "600")
    busy = porter.running("a-1-0")
    os.kill(porter.process.pid, signal.SIGSTOP)  # so that none of them learns of it by the end of its line
    past = facts_log.Past(str(porter.home / facts_log.NAME))
    assert len(past.workers) == 2
    os.kill(porter.process.pid, signal.SIGKILL)
    porter.process.wait()
    wait_for(lambda: not held(porter.home), what="the porter's death")
    assert end_orphans(past) >= 1
    wait_for(lambda: not lives(busy) and not lives(porter.who("a-0-0")), what="the end of both")
    porter.disconnect()
    assert marked_processes(str(tmp_path)) == []


def test_a_long_list_of_words_arrives_whole(porter: Kept) -> None:
    words = [str(number) * 1000 for number in range(1000)]
    porter.done("a-0-0", *words)
    assert porter.ended["a-0-0"]["code"] == 0


def test_its_end_is_not_waited_for_by_the_next_task(porter: Kept) -> None:
    porter.done("a-0-0", "deaf", "0", keep={"most": 1})
    began = time.monotonic()
    assert porter.done("a-1-0", "exit", "0", keep={"most": 1})["code"] == 0
    assert time.monotonic() - began < 20
