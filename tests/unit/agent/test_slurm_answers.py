"""A Slurm that answers as a healthy one does not: no answer ends a program, and none is run twice."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.slurm_answers import BARRED, FIRST_JOB, Answers, Life, launch_of, run_on_node, times_run

from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.settings import SlurmSettings

QUICK = SlurmSettings(
    query_s=0.03, look_s=0.01, gather_s=0.01, record_patience_s=0.3, command_timeout_s=5.0, missed=2, query_times=1.0
)
RUNS = f"{FIRST_JOB}|RUNNING|n1|sirdar.a|None"
JOB = str(FIRST_JOB)

Body = Callable[[Life], Awaitable[None]]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers(tmp_path / "answers")
    made.queue(RUNS)
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def live(home: Path, body: Body, handles: dict[str, Any] | None = None, **changes: Any) -> Life:
    """One life of an executor over the home; it ends as an agent that dies does."""

    async def work() -> Life:
        life = Life(SlurmExecutor(home, 10, dataclasses.replace(QUICK, **changes)))
        assert await life.begin(handles) == set(handles or {})
        try:
            await body(life)
        finally:
            await life.close()
        return life

    return asyncio.run(work())


def status(life: Life) -> dict[str, Any]:
    assert isinstance(life.executor, SlurmExecutor)
    return life.executor.status()


async def submitted(life: Life, home: Path, answers: Answers, *keys: str, **more: Any) -> None:
    await life.executor.start([launch_of(home, key, **more) for key in keys])
    await life.until((home / "slurm" / "orders" / keys[0] / "job").exists, "that Slurm has it")


async def on_node(home: Path, key: str, job: str = JOB, index: int | None = None) -> int:
    return await asyncio.to_thread(run_on_node, home, key, job, index)


# ---------------------------------------------------------------- the queue's answers


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", "Unable to contact slurm controller"),
        (BARRED, "squeue gave no answer in 0.2 s"),
        ("echo 'Traceback (most recent call last)'", "squeue said 'Traceback"),
        ("printf '17|RUN'", "squeue said '17|RUN'"),
    ],
    ids=["fails", "hangs", "garbage", "cut short"],
)  # fmt: skip
def test_a_query_that_failed_ends_nothing_and_is_told(home: Path, answers: Answers, script: str, said: str) -> None:
    answers.says("squeue", script)
    answers.bar()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await life.until(lambda: status(life)["failed_in_row"] >= 4, "failures that are counted")
        assert said in status(life)["last_error"]
        assert status(life)["failed_queries"] == status(life)["queries"] and not life.ended
        answers.lift()
        answers.says("squeue")
        answers.queue(RUNS)
        await life.until(lambda: status(life)["failed_in_row"] == 0, "an answer")
        assert status(life)["last_error"] == "" and not life.ended
        assert await on_node(home, "a") == 0
        assert (await life.end_of("a")).exit_code == 0

    live(home, body, command_timeout_s=0.2 if "bar" in script else 5.0)


def test_a_command_that_hangs_leaves_nothing(home: Path, answers: Answers) -> None:
    answers.says("squeue", "/bin/sleep 600")  # the shell waits for it, as a site's own script around a command does

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await life.until(lambda: status(life)["failed_queries"] >= 2, "two queries")

    live(home, body, command_timeout_s=0.1)  # that no process is left is checked for each test


@pytest.mark.parametrize("where", ["scontrol", "sacct"])
def test_an_empty_queue_is_no_proof_that_a_job_is_gone(home: Path, answers: Answers, where: str) -> None:
    if where == "sacct":
        answers.says("sacct", f"echo '{JOB}|RUNNING|n1|sirdar.a|0:0'")
    else:
        answers.says("scontrol", f"echo 'JobId={JOB} JobName=sirdar.a JobState=RUNNING Reason=None NodeList=n1'")
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await life.until(lambda: status(life)["queries"] >= 8, "many answers without it")
        assert not life.ended
        await on_node(home, "a")
        assert (await life.end_of("a")).exit_code == 0

    live(home, body)


def test_accounting_that_fails_does_not_say_that_a_job_is_gone(home: Path, answers: Answers) -> None:
    answers.fails("sacct", "sacct: error: Problem talking to the database: Connection refused")
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await life.until(lambda: status(life)["failed_queries"] >= 5, "failures")
        assert not life.ended and "Problem talking to the database" in status(life)["last_error"]
        answers.says("sacct")
        end = await life.end_of("a")
        assert end.lost and end.cause == "vanished" and "left no record" in end.error

    live(home, body)


def test_what_only_the_controller_could_say_is_waited_for(home: Path, answers: Answers) -> None:
    answers.fails("scontrol", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await life.until(lambda: len(answers.calls("scontrol")) >= 4, "questions")
        assert not life.ended and "connect failure" in status(life)["last_error"]
        answers.says("scontrol")
        assert (await life.end_of("a")).lost

    live(home, body)


def test_a_job_that_no_answer_knows_is_gone_after_so_many_answers(home: Path, answers: Answers) -> None:
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        end = await life.end_of("a")
        assert end.lost and end.error == f"Slurm's job {JOB} ended (unknown to Slurm) and left no record of its program"
        assert status(life)["queries"] >= 4 and status(life)["accounting"] == "is absent"

    live(home, body, missed=4)


def test_all_of_a_large_array_is_asked_of_accounting(home: Path, answers: Answers) -> None:
    keys = [f"k{number:03d}" for number in range(600)]
    answers.says(
        "sacct",
        f'for n in $(seq 0 599); do echo "{JOB}_$n|RUNNING|n1|sirdar.k000|0:0"; done | grep -wF "$(echo "$5" | tr , \'\\n\')"',
    )

    async def body(life: Life) -> None:
        await submitted(life, home, answers, *keys)
        await life.until(lambda: status(life)["queries"] >= 5, "answers of the queue without them")
        assert not life.ended and len(answers.calls("sbatch")) == 1
        answers.says("sacct")  # it forgets them all: neither is the controller asked for each
        await life.until(lambda: len(life.ended) == 600, "their end")
        assert len([call for call in answers.calls("scontrol") if "job" in call]) == 2

    live(home, body, array_most=1000)


# ---------------------------------------------------------------- submissions


def test_a_submission_that_hangs_when_it_is_done_is_found_by_name(home: Path, answers: Answers) -> None:
    answers.says("sbatch", f"echo '{JOB}|PENDING||sirdar.a|Resources' > \"$here/queue\"; {BARRED}")
    answers.bar()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        assert json.loads((home / "slurm" / "orders" / "a" / "job").read_text()) == JOB
        assert "waits for Slurm: sbatch gave no answer in 0.3 s" in life.notes["a"]
        await life.until(lambda: life.notes["a"][-1] == "waits in Slurm: Resources", "Slurm's reason")
        await on_node(home, "a")
        assert (await life.end_of("a")).exit_code == 0

    live(home, body, command_timeout_s=0.3)
    assert len(answers.calls("sbatch")) == 1 and times_run(home, "a") == 1


@pytest.mark.parametrize(
    "script",
    [
        BARRED,
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)' >&2; exit 1",
        "echo 'welcome to our cluster'",
    ],
    ids=["hangs", "timed out", "cut off", "says no number"],
)
def test_a_submission_that_slurm_never_got_is_made_once_more(home: Path, answers: Answers, script: str) -> None:
    answers.says("sbatch", f'echo once > "$here/sbatch.sh"; cp "$here/usual" "$here/sbatch.sh"; {script}')
    (answers.place / "usual").write_text(f"echo '{RUNS}' > \"$here/queue\"; echo {JOB}\n")
    answers.bar()
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        assert life.notes["a"][0].startswith("waits for Slurm: sbatch")
        await on_node(home, "a")
        assert (await life.end_of("a")).exit_code == 0

    live(home, body, command_timeout_s=0.3 if script == BARRED else 5.0)
    assert len(answers.calls("sbatch")) == 2 and times_run(home, "a") == 1


def test_of_two_submissions_of_one_task_one_runs(home: Path, answers: Answers) -> None:
    """Slurm takes the first after all, when nobody thinks so any more."""
    answers.says("sbatch", f'cp "$here/usual" "$here/sbatch.sh"; {BARRED}')
    (answers.place / "usual").write_text("echo 18\n")
    answers.bar()
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", script="echo ran >> ../ran; while ! [ -e go ]; do sleep 0.02; done")
        answers.queue(RUNS, "18|PENDING||sirdar.a|Priority")
        first = asyncio.create_task(on_node(home, "a", JOB))
        await life.until(lambda: times_run(home, "a") == 1, "that it runs")
        assert await on_node(home, "a", "18") == 0
        answers.queue(RUNS, "18|COMPLETED|n1|sirdar.a|None")
        await life.until(lambda: "a" in life.started, "its start")
        before = status(life)["queries"]
        await life.until(lambda: status(life)["queries"] > before + 15, "more answers")
        assert not life.ended, "it is the other job that has ended"
        (home / "work" / "a" / "dir" / "go").touch()
        assert await first == 0
        assert (await life.end_of("a")).exit_code == 0

    live(home, body, command_timeout_s=0.3, record_patience_s=0.05)
    assert times_run(home, "a") == 1


def test_an_agent_that_died_before_it_noted_the_number_finds_it(home: Path, answers: Answers) -> None:
    answers.says("sbatch", f"echo '{JOB}|PENDING||sirdar.a|Priority' > \"$here/queue\"; {BARRED}")
    answers.bar()
    answers.queue()

    async def first(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: answers.calls("sbatch"), "the submission")

    live(home, first)
    assert not (home / "slurm" / "orders" / "a" / "job").exists()
    answers.says("sbatch")

    async def second(life: Life) -> None:
        await life.until((home / "slurm" / "orders" / "a" / "job").exists, "that it is found")
        await on_node(home, "a")
        assert (await life.end_of("a")).exit_code == 0

    live(home, second, {"a": {"v": 1}})
    assert len(answers.calls("sbatch")) == 1 and times_run(home, "a") == 1


def test_a_job_that_slurm_forgot_while_the_agent_was_away_is_known_by_its_claim(home: Path, answers: Answers) -> None:
    answers.says("sbatch", BARRED)
    answers.bar()
    answers.queue()

    async def first(life: Life) -> None:
        await life.executor.start([launch_of(home, "a", "kill -9 $PPID")])
        await life.until(lambda: answers.calls("sbatch"), "the submission")

    live(home, first)
    answers.lift()
    assert run_on_node(home, "a", JOB) != 0, "the program ends its wrapper, which leaves no record"
    assert not list((home / "slurm" / "records").glob("*.ended"))

    async def second(life: Life) -> None:
        end = await life.end_of("a")
        assert end.lost and f"job {JOB} " in end.error

    live(home, second, {"a": {"v": 1}})
    assert len(answers.calls("sbatch")) == 1


def test_slurms_words_of_a_refusal(home: Path, answers: Answers) -> None:
    answers.fails(
        "sbatch",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    )

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        end = await life.end_of("a")
        words = "Batch job submission failed: Invalid account or account/partition combination specified"
        assert (end.cause, end.error) == ("refused", f"Slurm refused it: {words}")

    live(home, body)


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", True),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS "
         "policy (job submit limit, user'\"'\"'s size and/or time limits)", True),
        ("sbatch: error: QOSMaxCpuPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS "
         "policy (job submit limit, user'\"'\"'s size and/or time limits)", False),
    ],
    ids=["controller down", "too many now", "too large ever"],
)  # fmt: skip
def test_what_may_be_taken_later_waits_with_a_sentence(home: Path, answers: Answers, said: str, waits: bool) -> None:
    answers.fails("sbatch", said)

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        if not waits:
            assert (await life.end_of("a")).cause == "refused"
            return
        await life.until(lambda: "a" in life.notes, "a sentence")
        assert life.notes["a"][0].startswith("waits for Slurm: sbatch: Batch job submission failed: ")
        answers.says("sbatch")
        await life.until((home / "slurm" / "orders" / "a" / "job").exists, "that it is submitted")
        assert not life.ended

    live(home, body)


def test_what_is_cancelled_while_it_is_being_submitted_is_taken_out_of_slurm(home: Path, answers: Answers) -> None:
    answers.says("sbatch", f"{BARRED}; echo {JOB}")
    answers.bar()

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, "a")])
        await life.until(lambda: answers.calls("sbatch"), "the submission")
        await life.executor.stop(["a"])
        assert (await life.end_of("a")).dropped
        await life.executor.destroy(["a"])
        answers.lift()
        await life.until(lambda: answers.calls("scancel") == [JOB], "that Slurm is told")
        answers.says("sbatch", "echo 18")
        await submitted(life, home, answers, "b")  # and the next goes on

    live(home, body)


# ---------------------------------------------------------------- who has the last word


def test_a_record_wins_where_slurm_has_forgotten_the_job(home: Path, answers: Answers) -> None:
    answers.queue()

    async def first(life: Life) -> None:
        await submitted(life, home, answers, "a", script="exit 3")

    live(home, first, query_s=60.0)
    assert run_on_node(home, "a", JOB) == 3

    async def second(life: Life) -> None:
        assert ((await life.end_of("a")).exit_code, life.ended["a"].cause) == (3, "")

    live(home, second, {"a": {"v": 1}})


@pytest.mark.parametrize("word", ["FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT"])
def test_a_record_wins_over_slurms_word(home: Path, answers: Answers, word: str) -> None:
    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        assert await on_node(home, "a") == 0
        answers.queue(f"{JOB}|{word}|n1|sirdar.a|None")
        end = await life.end_of("a")
        assert (end.exit_code, end.cause, end.error) == (0, "", "")

    live(home, body)


@pytest.mark.parametrize("recorded", [True, False])
def test_out_of_memory_is_slurms_to_say(home: Path, answers: Answers, recorded: bool) -> None:
    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", script="kill -9 $$" if recorded else "kill -9 $PPID")
        await on_node(home, "a")
        answers.queue(f"{JOB}|OUT_OF_MEMORY|n1|sirdar.a|None")
        end = await life.end_of("a")
        assert (end.out_of_memory, end.exit_code, end.cause) == (True, -9, "")

    live(home, body, record_patience_s=0.3)


@pytest.mark.parametrize(
    ("word", "cause", "by"),
    [("PREEMPTED", "preempted", None), ("NODE_FAIL", "node", None), ("TIMEOUT", "walltime", "time"),
     ("CANCELLED", "elsewhere", None)],
)  # fmt: skip
def test_a_job_that_ended_before_a_node_had_it(home: Path, answers: Answers, word: str, cause: str, by: str) -> None:
    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        answers.queue(f"{JOB}|{word}|n1|sirdar.a|None")
        end = await life.end_of("a")
        assert (end.cause, end.by) == (cause, by)

    live(home, body)
    assert run_on_node(home, "a", JOB) == 0 and times_run(home, "a") == 0, "and none ever gets it"


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"id":"a"}'])
def test_a_record_that_cannot_be_read_breaks_nothing(home: Path, answers: Answers, text: str) -> None:
    async def first(life: Life) -> None:
        await submitted(life, home, answers, "a", "b")

    live(home, first, query_s=60.0)
    for name in ("a.begun", "a.ended", "stranger.ended"):
        (home / "slurm" / "records" / name).write_text(text)

    answers.queue(*(f"{JOB}_{index}|RUNNING|n1|sirdar.a|None" for index in (0, 1)))

    async def second(life: Life) -> None:
        assert await on_node(home, "a", JOB, 1) == 0
        assert (await life.end_of("b")).exit_code == 0
        answers.queue(f"{JOB}_0|NODE_FAIL|n1|sirdar.a|None")
        assert (await life.end_of("a")).cause == "node"

    live(home, second, {"a": {"v": 1}, "b": {"v": 1}})
    assert not (home / "slurm" / "records" / "stranger.ended").exists(), "nobody waits for it"


# ---------------------------------------------------------------- how often Slurm is asked


def test_the_queue_is_asked_seldom_and_once_for_all(home: Path, answers: Answers) -> None:
    answers.says(
        "squeue", 'date +%s.%N >> "$here/begun"; cat "$here/queue"; /bin/sleep 0.1; date +%s.%N >> "$here/over"'
    )
    keys = [f"k{number}" for number in range(12)]
    answers.queue(*(f"{FIRST_JOB + number}|RUNNING|n1|sirdar.{key}|None" for number, key in enumerate(keys)))

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, key, cpus=1 + number) for number, key in enumerate(keys)])
        await life.until(lambda: len(answers.calls("sbatch")) == 12, "that all are submitted")
        await life.until(lambda: len(moments("over")) >= 4, "four answers")
        assert status(life)["queries"] == len(answers.calls("squeue")) and not life.ended

    def moments(name: str) -> list[float]:
        path = answers.place / name
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    began = time.monotonic()
    live(home, body, query_s=0.3, query_times=5.0)
    assert time.monotonic() - began > 3 * 0.5
    rests = [begun - over for over, begun in zip(moments("over"), moments("begun")[1:], strict=False)]
    assert len(rests) >= 3 and min(rests) >= 0.5, f"five times as long as an answer took: {rests}"


def test_nobody_is_asked_while_there_is_nothing_to_know(home: Path, answers: Answers) -> None:
    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await on_node(home, "a")
        await life.end_of("a")
        before = status(life)["queries"]
        answers.says("sbatch", BARRED)
        answers.bar()
        await life.executor.start([launch_of(home, "b")])
        await life.until(lambda: len(answers.calls("sbatch")) == 2, "that the next is being submitted")
        for _ in range(5):  # each takes longer than it is between two queries
            assert await on_node(home, "a") == 0
        assert status(life)["queries"] <= before + 1, "one may have been on its way"

    live(home, body, look_s=0.005)
