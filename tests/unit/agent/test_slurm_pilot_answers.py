"""Pilots of a Slurm that answers late, wrongly or not at all."""

import asyncio
import dataclasses
import os
import subprocess
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.slurm_answers import BARRED, FIRST_JOB, Answers, Life, launch_of, times_run

from sirdar.agent.executors.slurm import fleet
from sirdar.agent.executors.slurm.pilots import PilotExecutor
from sirdar.agent.executors.slurm.settings import PilotSettings, SlurmSettings

PILOTS = PilotSettings(most=2, cpus=2, idle_s=30.0)
QUICK = SlurmSettings(
    query_s=0.03, look_s=0.01, record_patience_s=0.3, command_timeout_s=5.0, missed=2, query_times=1.0, limit_memory=True,
    pilots=PILOTS,
)  # fmt: skip
JOB = str(FIRST_JOB)

Body = Callable[[Life], Awaitable[None]]


class Nodes:
    """Runs pilots as Slurm would: on this machine."""

    def __init__(self, home: Path) -> None:
        self.root = home / "slurm" / "pilots"
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, pilot: str, job: str = JOB) -> "subprocess.Popen[bytes]":
        words = ["sh", str(self.root / "run-pilot.sh"), str(self.root / pilot)]
        quiet: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.running.append(subprocess.Popen(words, env={**os.environ, "SLURM_JOB_ID": job}, **quiet))
        return self.running[-1]

    def end(self) -> None:
        for one in self.running:
            one.terminate()
            one.wait(20)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers(tmp_path / "answers")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def nodes(home: Path) -> Iterator[Nodes]:
    made = Nodes(home)
    yield made
    made.end()


def live(home: Path, body: Body, known: Collection[str] | None = None, **changes: Any) -> None:
    """``known``: keys of tasks that an earlier life gave to pilots."""

    async def work() -> None:
        life = Life(PilotExecutor(home, 10, dataclasses.replace(QUICK, **changes), address="127.0.0.1"))
        assert await life.begin({key: {} for key in known or ()}) == set(known or ())
        try:
            await body(life)
        finally:
            await life.close()

    asyncio.run(work())


def status(life: Life) -> dict[str, Any]:
    assert isinstance(life.executor, PilotExecutor)
    return life.executor.status()


def ordered(answers: Answers) -> list[str]:
    """Names of the pilots that were submitted, in order."""
    words = [word for call in answers.calls("sbatch") for word in call.split()]
    return [word.removeprefix("--job-name=sirdar.pilot.") for word in words if word.startswith("--job-name=")]


async def queries(life: Life, count: int) -> None:
    before = status(life)["queries"]
    await life.until(lambda: status(life)["queries"] >= before + count, f"{count} more queries")


def test_a_pilot_that_is_being_submitted_is_not_taken_for_one_that_slurm_never_got(
    home: Path, answers: Answers, nodes: Nodes
) -> None:
    answers.says("sbatch", f"{BARRED}; echo {JOB}")
    answers.bar()

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await queries(life, 6)
        (name,) = ordered(answers)
        assert not (nodes.root / name / "claim").exists() and status(life)["pilots"] == 1
        answers.queue(f"{JOB}|RUNNING|n1|sirdar.pilot.{name}|None")
        answers.lift()
        nodes.run(name)
        assert (await life.end_of("a")).exit_code == 0
        assert ordered(answers) == [name]

    live(home, body)
    assert times_run(home, "a") == 1


def test_a_pilot_whose_submission_hangs_is_found_by_name(home: Path, answers: Answers, nodes: Nodes) -> None:
    answers.says(
        "sbatch",
        f'for word; do case "$word" in --job-name=*) name="${{word#*=}}";; esac; done\n'
        f'echo "{JOB}|PENDING||$name|Priority" > "$here/queue"\n{BARRED}',
    )
    answers.bar()

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: "a" in life.notes, "Slurm's reason")
        assert life.notes["a"][-1] == f"waits in Slurm (job {JOB}): Priority (an allocation for many tasks)"
        (name,) = ordered(answers)
        assert (nodes.root / name / "job").read_text() == f'"{JOB}"'
        nodes.run(name)
        assert (await life.end_of("a")).exit_code == 0
        assert ordered(answers) == [name]

    live(home, body, command_timeout_s=0.3)


def test_a_pilot_that_slurm_does_not_give_is_told_and_asked_for_again(
    home: Path, answers: Answers, nodes: Nodes
) -> None:
    answers.fails(
        "sbatch",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    )

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: "a" in life.notes, "a sentence")
        words = "Batch job submission failed: Invalid account or account/partition combination specified"
        assert life.notes["a"] == [f"Slurm gives no pilot: {words}"]
        assert status(life)["pilots_failed_in_row"] == 1 and status(life)["trouble"] == life.notes["a"][0]
        assert not list(nodes.root.glob("*/pilot.json"))
        answers.queue(f"{JOB}|RUNNING|n1|x|None")
        answers.says("sbatch", f"echo {JOB}")
        await life.until(lambda: len(ordered(answers)) == 2, "the next")
        name = ordered(answers)[-1]
        nodes.run(name)
        assert (await life.end_of("a")).exit_code == 0
        assert (status(life)["pilots_failed_in_row"], status(life)["trouble"]) == (0, "")

    live(home, body)


@pytest.mark.parametrize("trouble", ["fails", "empty"])
def test_no_answer_of_slurms_ends_a_pilot_that_is_connected(
    home: Path, answers: Answers, nodes: Nodes, trouble: str
) -> None:
    async def body(life: Life) -> None:
        answers.says("sbatch", f"echo '{JOB}|RUNNING|n1|sirdar.x|None' > \"$here/queue\"; echo {JOB}")
        await life.executor.start([launch_of(home, "a", "echo ran >> ../ran; while ! [ -e go ]; do sleep 0.02; done")])
        await life.until(lambda: ordered(answers), "a pilot")
        nodes.run(ordered(answers)[0])
        await life.until(lambda: "a" in life.started, "its start")
        answers.queue()
        if trouble == "fails":
            answers.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller")
        await queries(life, 8)
        assert not life.ended and status(life)["pilots_connected"] == 1
        assert (status(life)["failed_queries"] > 0) == (trouble == "fails")
        (home / "work" / "a" / "dir" / "go").touch()
        assert (await life.end_of("a")).exit_code == 0

    live(home, body)
    assert times_run(home, "a") == 1


def test_tasks_of_a_pilot_that_slurm_took_before_it_began_go_to_the_next(
    home: Path, answers: Answers, nodes: Nodes
) -> None:
    async def body(life: Life) -> None:
        answers.says("sbatch", f"echo '{JOB}|PENDING||x|None' > \"$here/queue\"; echo {JOB}")
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: ordered(answers), "a pilot")
        answers.says("sbatch", "echo 18")
        answers.queue(f"{JOB}|NODE_FAIL|n1|x|None", "18|RUNNING|n1|x|None")
        await life.until(lambda: len(ordered(answers)) == 2, "another")
        assert f"the pilot of job {JOB} ended (NODE_FAIL) before it called in" in life.notes["a"]
        first, second = ordered(answers)
        assert nodes.run(first).wait(20) == 0, "it is nobody's any more"
        nodes.run(second, "18")
        assert (await life.end_of("a")).exit_code == 0

    live(home, body)
    assert times_run(home, "a") == 1


def test_pilots_grow_to_the_most_and_shrink_to_none(home: Path, answers: Answers, nodes: Nodes) -> None:
    async def body(life: Life) -> None:
        answers.queue(f"{JOB}|RUNNING|n1|x|None", "18|RUNNING|n2|x|None")
        keys = [f"k{number}" for number in range(9)]
        script = "echo ran >> ../ran; while ! [ -e ../../go ]; do sleep 0.02; done"
        await life.executor.start([launch_of(home, "k", script)])
        await life.until(lambda: len(ordered(answers)) == 1, "one for one task")
        await queries(life, 5)
        assert len(ordered(answers)) == 1
        await life.executor.start([launch_of(home, key, script) for key in keys])
        await life.until(lambda: len(ordered(answers)) == 2, "two for many")
        await queries(life, 5)
        assert len(ordered(answers)) == 2 == status(life)["pilots"]
        began = [nodes.run(name, str(FIRST_JOB + number)) for number, name in enumerate(ordered(answers))]
        await life.until(lambda: len(life.started) == 4, "as many as they have cpus")
        (home / "work" / "go").touch()
        for key in [*keys, "k"]:
            assert (await life.end_of(key)).exit_code == 0
        await life.executor.destroy([*keys, "k"])
        await life.until(lambda: status(life)["pilots"] == 0, "that none is left")
        assert [one.wait(20) for one in began] == [0, 0]
        await life.until(lambda: not list(nodes.root.glob("*/pilot.json")), "that nothing of them is kept")

    live(home, body, pilots=dataclasses.replace(PILOTS, idle_s=0.2))


def test_pilots_that_have_not_begun_end_with_the_agents_wish(home: Path, answers: Answers, nodes: Nodes) -> None:
    async def body(life: Life) -> None:
        answers.queue(f"{JOB}|PENDING||x|Priority")
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: any(nodes.root.glob("*/job")), "a pilot")
        (name,) = ordered(answers)
        before = status(life)["queries"]
        await life.executor.close(end_programs=True)
        assert answers.calls("scancel") == [JOB] and status(life)["queries"] <= before + 1, "Slurm need not be asked"
        assert nodes.run(name).wait(20) == 0 and times_run(home, "a") == 0

    live(home, body, query_s=60.0)


# ---------------------------------------------------------------- what whoever waits is told


def test_a_reason_is_told_when_it_changes(home: Path, answers: Answers, nodes: Nodes) -> None:
    answers.queue(f"{JOB}|PENDING||x|PartitionConfig")

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        waits = f"waits in Slurm (job {JOB}): {{}} (an allocation for many tasks)"
        await life.until(lambda: "a" in life.notes, "Slurm's reason")
        await queries(life, 5)
        assert life.notes["a"] == [waits.format("PartitionConfig")]
        answers.queue(f"{JOB}|PENDING||x|Priority")
        await life.until(lambda: len(life.notes["a"]) == 2, "another")
        answers.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        await life.until(lambda: len(life.notes["a"]) == 3, "that Slurm is silent")
        await queries(life, 4)
        assert life.notes["a"][2].startswith("Slurm does not answer (last heard of ") and len(life.notes["a"]) == 3
        answers.says("squeue")
        await life.until(lambda: len(life.notes["a"]) == 4, "that it answers")
        assert life.notes["a"][1] == life.notes["a"][3] == waits.format("Priority")
        nodes.run(ordered(answers)[0])
        assert (await life.end_of("a")).exit_code == 0

    live(home, body)


def test_that_slurm_gives_no_pilot_is_told_once(home: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "AGAIN_LEAST_S", 0.01)
    monkeypatch.setattr(fleet, "AGAIN_MOST_S", 0.02)
    answers.fails("sbatch", "sbatch: error: Batch job submission failed: Invalid account")

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: len(answers.calls("sbatch")) >= 5, "that it is tried")
        assert life.notes["a"] == ["Slurm gives no pilot: Batch job submission failed: Invalid account"]

    live(home, body)


def test_from_its_order_on_an_allocation_has_its_job(
    home: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "ANSWER_PATIENCE_S", 0.05)
    answers.says("sbatch", f"{BARRED}; echo {JOB}")
    answers.bar()

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: "a" in life.notes, "that it is being given")
        answers.lift()
        await life.until(lambda: len(life.notes["a"]) == 2, "its job")
        assert life.notes["a"] == [
            "is being given to Slurm (an allocation for many tasks)",
            f"in Slurm's queue as job {JOB} (an allocation for many tasks)",
        ]

    live(home, body)


def test_a_task_with_more_memory_than_a_pilot_is_refused(home: Path, answers: Answers, nodes: Nodes) -> None:
    async def body(life: Life) -> None:
        await life.executor.start(
            [launch_of(home, "a", memory_bytes=2 << 30), launch_of(home, "b", memory_bytes=1 << 30)]
        )
        end = await life.end_of("a")
        words = "it asks for 2 GiB of memory, and a pilot has 1 GiB (pilots.memory in slurm.yaml)"
        assert (end.cause, end.error) == ("refused", words) and "b" not in life.ended
        await life.executor.destroy(["a"])

    live(home, body, pilots=dataclasses.replace(PILOTS, memory_bytes=1 << 30))


# ---------------------------------------------------------------- settings that were changed


def test_a_pilot_of_other_settings_leaves_the_queue_and_another_is_ordered(
    home: Path, answers: Answers, nodes: Nodes
) -> None:
    answers.queue(f"{JOB}|PENDING||x|PartitionConfig")

    async def first(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: any(nodes.root.glob("*/job")), "a pilot")

    live(home, first, pilots=dataclasses.replace(PILOTS, cpus=16))
    (old,) = ordered(answers)
    answers.queue(f"{JOB}|PENDING||x|PartitionConfig", "18|PENDING||y|None")
    answers.fails("scancel", "scancel: error: slurm_kill_job: Unable to contact slurm controller")

    async def second(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: answers.calls("scancel"), "that Slurm is asked to drop it")
        assert status(life)["pilots"] == 1
        answers.says("scancel")
        await life.until(lambda: len(ordered(answers)) == 2, "another")
        assert answers.calls("scancel")[-1] == JOB and nodes.run(old).wait(20) == 0, "it is nobody's any more"
        assert "--cpus-per-task=2" in answers.calls("sbatch")[-1] and status(life)["pilots_failed_in_row"] == 0
        nodes.run(ordered(answers)[-1], "18")
        assert (await life.end_of("a")).exit_code == 0

    live(home, second)
    assert times_run(home, "a") == 1


@pytest.mark.parametrize("changed", [True, False])
def test_a_pilot_that_began_or_is_as_it_would_be_ordered_now_stays(
    home: Path, answers: Answers, nodes: Nodes, changed: bool
) -> None:
    answers.queue(f"{JOB}|{'RUNNING' if changed else 'PENDING'}|n1|x|None")

    async def first(life: Life) -> None:
        await life.executor.start([launch_of(home, "a", "while ! [ -e go ]; do sleep 0.02; done")])
        await life.until(lambda: any(nodes.root.glob("*/job")), "a pilot")
        if changed:
            nodes.run(ordered(answers)[0])
            await life.until(lambda: "a" in life.started, "its start")

    live(home, first)

    async def second(life: Life) -> None:
        await queries(life, 3)
        assert not answers.calls("scancel") and status(life)["pilots"] == 1 and len(ordered(answers)) == 1

    (home / "work" / "a" / "dir" / "go").touch()
    live(home, second, None if not changed else {"a"}, **({"options": {"partition": "b"}} if changed else {}))


def test_a_task_with_more_cpus_than_a_pilot_gets_them_all(home: Path, answers: Answers, nodes: Nodes) -> None:
    """Nothing runs beside it, and it runs."""
    answers.queue(f"{JOB}|RUNNING|n1|x|None")

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a", "while ! [ -e go ]; do sleep 0.02; done", cpus=5)])
        await life.executor.start([launch_of(home, "b")])
        await life.until(lambda: ordered(answers), "a pilot")
        nodes.run(ordered(answers)[0])
        await life.until(lambda: "a" in life.started, "its start")
        await queries(life, 3)
        assert "b" not in life.started
        (home / "work" / "a" / "dir" / "go").touch()
        assert (await life.end_of("a")).exit_code == 0 and (await life.end_of("b")).exit_code == 0

    live(home, body, pilots=dataclasses.replace(PILOTS, most=1))
