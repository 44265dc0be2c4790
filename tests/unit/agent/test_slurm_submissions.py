"""What becomes of a task between ``sbatch`` and its job: submitted once where that can be known, and run once always."""

import asyncio
import json
from pathlib import Path

import pytest
from slurm_lives import JOB, RUNS, answers, home, live, on_node, status, submitted
from tests.slurm_answers import BARRED, Answers, Life, launch_of, run_on_node, times_run

__all__ = ["answers", "home"]


def test_a_submission_that_hangs_when_it_is_done_is_found_by_name(home: Path, answers: Answers) -> None:
    answers.says("sbatch", f"echo '{JOB}|PENDING||sirdar.a|Resources' > \"$here/queue\"; {BARRED}")
    answers.bar()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        assert json.loads((home / "slurm" / "orders" / "a" / "job").read_text()) == JOB
        assert "waits for Slurm: sbatch gave no answer in 0.3 s" in life.notes["a"]
        await life.until(lambda: life.notes["a"][-1] == f"waits in Slurm (job {JOB}): Resources", "Slurm's reason")
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
