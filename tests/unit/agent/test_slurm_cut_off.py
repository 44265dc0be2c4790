"""Programs that Slurm cuts off, by SIGTERM to all of a job's processes in any order: no end at that moment is the program's own."""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fake_server import wait_for
from slurm_lives import JOB, RUNS, answers, live, submitted
from test_slurm_pilot_answers import Nodes, home, nodes, ordered
from test_slurm_pilot_answers import live as live_of_pilots
from tests.slurm_answers import Answers, Life, launch_of

from sirdar.agent.executors.base import ProgramEnd
from sirdar.agent.executors.slurm.node.cut_off import OTHER_NEWS_S, SIGNALLED_NEWS_S, Held, Told, news_s
from sirdar.agent.executors.slurm.states import Seen, explained
from sirdar.agent.porter.table import Table
from sirdar.agent.porter.task import Task

__all__ = ["answers", "home", "nodes"]

CHILD = "sleep 600; echo made > made"  # a shell goes on when its child has been ended
ITSELF = "exec sleep 600"

OnNode = Callable[[str], "subprocess.Popen[bytes]"]


# ---------------------------------------------------------------- a job's processes, and what Slurm does to them


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid and words[0] != "Z":
            found.append(int(path.parent.name))
    return found


def leaves(pid: int) -> list[int]:
    """Those of its descendants that have none."""
    return [leaf for child in children(pid) for leaf in (leaves(child) or [child])]


def sleeps(pid: int) -> bool:
    """Whether it is a program's ``sleep``: a leaf before that is a shell that has not begun it yet."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except OSError:
        return False


def cut_off(process: "subprocess.Popen[bytes]", count: int, note: Path | None = None) -> None:
    """The programs get their SIGTERM, and have ended, before the wrapper or pilot can do anything about its own.

    ``note``: what the agent writes before it.
    """
    wait_for(lambda: len([leaf for leaf in leaves(process.pid) if sleeps(leaf)]) == count, what="the programs")
    ended = leaves(process.pid)
    process.send_signal(signal.SIGSTOP)
    if note is not None:
        note.write_text('{"grace": 5}')
    for pid in ended:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not children(process.pid), what="the programs' ends")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)


@pytest.fixture
def on_node(home: Path) -> Iterator[OnNode]:
    """Begins the job of an order."""
    begun = []

    def run(key: str) -> "subprocess.Popen[bytes]":
        words = ["sh", str(home / "slurm" / "run-one.sh"), str(home / "slurm" / "orders" / key)]
        begun.append(subprocess.Popen(words, env={**os.environ, "SLURM_JOB_ID": JOB}, stdin=subprocess.DEVNULL))
        return begun[-1]

    yield run
    for one in begun:
        one.terminate()
        one.wait(20)


# ---------------------------------------------------------------- jobs


@pytest.mark.parametrize(("script", "code"), [(CHILD, 0), (ITSELF, -15)], ids=["its child", "itself"])
@pytest.mark.parametrize(("word", "cause"), [("PREEMPTED", "preempted"), ("CANCELLED", "elsewhere")])
def test_an_end_at_slurms_sigterm_is_slurms_to_explain(
    home: Path, answers: Answers, on_node: OnNode, script: str, code: int, word: str, cause: str
) -> None:
    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", script=script)
        process = on_node("a")
        await asyncio.to_thread(cut_off, process, 1)
        await asyncio.to_thread(process.wait, 20)
        assert not life.ended, "only Slurm can say why"
        answers.queue(RUNS.replace("RUNNING", word))
        end = await life.end_of("a")
        assert (end.cause, end.exit_code) == (cause, code)

    live(home, body, query_s=0.1, record_patience_s=20.0)


@pytest.mark.parametrize(("script", "by"), [(CHILD, {None, "stop"}), (ITSELF, {"stop"})], ids=["its child", "itself"])
def test_an_end_at_the_agents_sigterm_is_not_slurms(
    home: Path, answers: Answers, on_node: OnNode, script: str, by: set[str | None]
) -> None:
    """A shell that went on when its child was ended has ended by itself, or at the stop: whichever the node sees first."""

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", script=script)
        note = home / "slurm" / "orders" / "a" / "stop-0"
        await asyncio.to_thread(cut_off, on_node("a"), 1, note)
        end = await life.end_of("a")
        assert end.by in by
        assert end.cause == ""

    live(home, body)


COMPLETED, FAILED, UNKNOWN = Seen("17", "COMPLETED"), Seen("17", "FAILED"), None


@pytest.mark.parametrize(
    ("code", "seen", "cause"),
    [
        (0, COMPLETED, ""),
        (0, UNKNOWN, "preempted"),
        (0, FAILED, "preempted"),
        (0, Seen("17", "TIMEOUT"), "walltime"),
        (3, COMPLETED, "preempted"),
        (3, FAILED, "preempted"),
        (3, UNKNOWN, "preempted"),
    ],
)
def test_a_good_end_counts_only_where_slurm_says_so(code: int, seen: Seen | None, cause: str) -> None:
    end = explained(ProgramEnd("a", exit_code=code, started_at=5.0, by="slurm"), seen)
    assert (end.exit_code, end.cause, bool(end.error)) == (code, cause, bool(cause))
    assert end.by == ("time" if cause == "walltime" else None)


# ---------------------------------------------------------------- pilots


def test_what_ran_in_a_pilot_is_cut_off_with_it(home: Path, answers: Answers, nodes: Nodes) -> None:
    async def body(life: Life) -> None:
        answers.says("sbatch", f"echo '{JOB}|RUNNING|n1|x|None' > \"$here/queue\"; echo {JOB}")
        launches = [launch_of(home, "a", CHILD), launch_of(home, "b", ITSELF)]
        await life.executor.start(launches)
        await life.until(lambda: ordered(answers), "a pilot")
        process = nodes.run(ordered(answers)[0])
        await life.until(lambda: len(life.started) == len(launches), "their starts")
        await asyncio.to_thread(cut_off, process, len(launches))
        for launch in launches:
            end = await life.end_of(launch.key)
            assert (end.cause, end.exit_code, end.by) == ("preempted", None, None)
        assert await asyncio.to_thread(process.wait, 20) == 0

    live_of_pilots(home, body)


class Porter:
    """As much of a table as is seen by what holds back its ends. ``told``: SIGTERM has come."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.hold: Callable[[Task, dict[str, Any]], bool] | None = None
        self.ended: dict[str, Any] = {}
        self.told = threading.Event()
        Held(cast("Table", self), cast("Told", self))

    def within(self, wait_s: float) -> bool:
        return self.told.wait(wait_s)

    def tell_end(self, task: Task, fact: dict[str, Any]) -> None:
        self.ended[fact["id"]] = fact["by"]

    def end(self, key: str, code: int | None, by: str | None = None) -> None:
        fact = {"id": key, "code": code, "by": by}
        with self.lock:
            assert self.hold is not None
            if not self.hold(cast("Task", None), fact):
                self.ended[key] = by


def test_ends_are_told_when_no_signal_has_come_in_time() -> None:
    porter = Porter()
    porter.end("stopped", -15, "stop")
    porter.end("never", None)
    assert porter.ended == {"stopped": "stop", "never": None}
    with porter.lock:
        porter.end("killed", -9)
        porter.end("well", 0)
        assert "well" not in porter.ended
    wait_for(lambda: len(porter.ended) == 4, what="the others")
    assert list(porter.ended.items())[2:] == [("well", None), ("killed", None)]


def test_all_that_is_held_and_all_that_follows_is_cut_off() -> None:
    porter = Porter()
    with porter.lock:
        porter.end("well", 0)
        porter.end("killed", -15)
        porter.told.set()
    wait_for(lambda: len(porter.ended) == 2, what="their ends")
    porter.end("late", 0)
    porter.end("in time", -15, "time")
    wait_for(lambda: len(porter.ended) == 4, what="the others")
    assert porter.ended == {"well": "porter", "killed": "porter", "late": "porter", "in time": "time"}


def test_how_long_a_signal_is_waited_for() -> None:
    def waits(code: int | None, by: str | None = None) -> float:
        return news_s({"code": code, "by": by})

    assert {waits(code) for code in (-15, -9, 143, 137)} == {SIGNALLED_NEWS_S}
    assert {waits(code) for code in (0, 1, -11)} == {OTHER_NEWS_S}
    assert waits(None) == waits(0, "time") == waits(-15, "stop") == 0
