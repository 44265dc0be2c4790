"""A Slurm that answers as a healthy one does not: no answer ends a program, and the node's record has the last word."""

import time
from pathlib import Path

import pytest
from slurm_lives import JOB, RUNS, answers, home, live, on_node, status, submitted
from tests.slurm_answers import BARRED, FIRST_JOB, Answers, Life, launch_of, run_on_node, times_run

__all__ = ["answers", "home"]

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
        asked = [call for call in answers.calls("scontrol") if "job" in call]
        assert 2 <= len(asked) <= 4, "it may forget them between two questions of one look"

    live(home, body, array_most=1000)


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
