"""What whoever waits for a job in Slurm is told, and what becomes of arrays that somebody changes there."""

import asyncio
from pathlib import Path

import pytest
from slurm_lives import JOB, RUNS, answers, home, live, on_node, status, submitted
from tests.slurm_answers import BARRED, Answers, Life, launch_of

from sirdar.agent.executors.slurm import jobs
from sirdar.agent.executors.slurm.commands import NO_JOB
from sirdar.agent.executors.slurm.pilot_folders import PilotFolders
from sirdar.domain.ids import AttemptKey, JobId

__all__ = ["answers", "home"]

FIRST, SECOND = "0123456789abcdefghjkmnpqrs", "1123456789abcdefghjkmnpqrs"
NOT_FOUND = 'if [ "$2" = config ]; then echo "MaxArraySize = 1001"; else echo "Job $4 not found"; exit 1; fi'


def keys_of(job: str, *tasks: int) -> list[str]:
    return [AttemptKey(JobId(job), task, 1).text for task in tasks]


# ---------------------------------------------------------------- arrays that somebody cancels


def test_a_whole_array_that_somebody_cancelled_is_cancelled(home: Path, answers: Answers) -> None:
    """It has one line then, and its members are not known one by one."""
    answers.says("scontrol", NOT_FOUND)

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", "b", "c")
        answers.queue(f"{JOB}|CANCELLED||sirdar.a|Resources")
        for index, key in enumerate("abc"):
            end = await life.end_of(key)
            words = f"Slurm's job {JOB}_{index} was cancelled, not through Sirdar"
            assert (end.cause, end.error, end.lost) == ("elsewhere", words, False)
        assert status(life)["failed_queries"] == 0

    live(home, body)


def test_the_line_of_a_whole_array_says_nothing_of_a_member_that_began(home: Path, answers: Answers) -> None:
    async def body(life: Life) -> None:
        answers.queue(f"{JOB}_0|RUNNING|n1|sirdar.a|None", f"{JOB}_1|PENDING||sirdar.a|Resources")
        await submitted(life, home, answers, "a", "b", script="while ! [ -e go ]; do sleep 0.02; done")
        first = asyncio.create_task(on_node(home, "a", JOB, 0))
        await life.until(lambda: "a" in life.started, "its start")
        answers.queue(f"{JOB}|CANCELLED||sirdar.a|Resources")
        assert (await life.end_of("b")).cause == "elsewhere"
        assert "a" not in life.ended
        (home / "work" / "a" / "dir" / "go").touch()
        assert await first == 0
        assert (await life.end_of("a")).exit_code == 0

    live(home, body, missed=1000)


@pytest.mark.parametrize(
    ("members", "cause"), [("", "elsewhere"), (" ArrayTaskId=5-6", "vanished")], ids=["as a whole", "of others"]
)
def test_the_controllers_word_on_an_array_that_left_the_queue(
    home: Path, answers: Answers, members: str, cause: str
) -> None:
    answers.says(
        "scontrol",
        f'if [ "$4" = {JOB} ]; then echo "JobId={JOB} ArrayJobId={JOB}{members} JobName=sirdar.a JobState=CANCELLED '
        f'Reason=None NodeList=";\nel{NOT_FOUND}',
    )
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", "b")
        assert ((await life.end_of("a")).cause, (await life.end_of("b")).cause) == (cause, cause)
        assert status(life)["failed_queries"] == 0

    live(home, body)


def array_shows(members: str, kept: str = "MinJobAge = 300 sec") -> str:
    """A controller that knows the array and, of its members, none by itself."""
    return (
        f'case "$2 $4" in "config "*) echo "{kept}";; "job {JOB}") echo "JobId={JOB} ArrayJobId={JOB} ArrayTaskId={members} '
        f'JobName=sirdar.a JobState=PENDING Reason=Resources NodeList=";; *) echo "Job $4 not found"; exit 1;; esac'
    )


BOTH_WAIT = (f"{JOB}_0|PENDING||sirdar.a|Resources", f"{JOB}_1|PENDING||sirdar.a|Resources")


@pytest.mark.parametrize("kept", ["MinJobAge = 300 sec", "MinJobAge = 0 sec"], ids=["for a while", "for ever"])
def test_one_member_that_somebody_cancelled_while_it_waited(home: Path, answers: Answers, kept: str) -> None:
    """Slurm goes on without it, and knows nothing of it any more; what had run it would still show."""
    answers.queue(*BOTH_WAIT)
    answers.says("scontrol", array_shows("1", kept))

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", "b")
        seen = len(answers.calls("squeue")) + 2
        await life.until(lambda: len(answers.calls("squeue")) > seen, "that they were seen to wait")
        answers.queue(BOTH_WAIT[1])
        end = await life.end_of("a")
        assert (end.cause, end.lost) == ("elsewhere", False)
        assert end.error == f"Slurm's job {JOB}_0 was cancelled, not through Sirdar"
        assert "b" not in life.ended and status(life)["failed_queries"] == 0

    live(home, body)


def test_a_member_cancelled_before_the_queue_was_asked(home: Path, answers: Answers) -> None:
    """Whoever has just given it to Slurm knows that it can't have run and been forgotten."""
    answers.queue(BOTH_WAIT[1])
    answers.says("scontrol", array_shows("1"))

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", "b")
        assert (await life.end_of("a")).cause == "elsewhere"

    live(home, body)


@pytest.mark.parametrize("kept", ["MinJobAge = 300 sec", "nothing of it"], ids=["another life", "not told"])
def test_a_member_that_may_have_run_unseen_is_lost(home: Path, answers: Answers, kept: str) -> None:
    """Where the agent was away for it, or Slurm does not say how long it shows what has ended."""
    answers.queue(*BOTH_WAIT)
    answers.says("scontrol", array_shows("1", kept))
    found: list[str] = []

    async def first(life: Life) -> None:
        await submitted(life, home, answers, "a", "b")
        if kept == "nothing of it":
            answers.queue(BOTH_WAIT[1])
            found.append((await life.end_of("a")).cause)

    async def second(life: Life) -> None:
        answers.queue(BOTH_WAIT[1])
        found.append((await life.end_of("a")).cause)

    live(home, first)
    if not found:
        live(home, second, {"a": {"v": 1}, "b": {"v": 1}})
    assert found == ["vanished"]


def test_answers_that_a_job_is_not_there() -> None:
    assert NO_JOB.search("slurm_load_jobs error: Invalid job id specified") and NO_JOB.search("Job 17_0 not found\n")
    assert not NO_JOB.search("scontrol: command not found") and not NO_JOB.search("plugin for Job 17 not found there")


def test_a_question_without_an_answer_keeps_nobody_from_the_others(home: Path, answers: Answers) -> None:
    unusual = 'case "$4" in 17|18|19|20) echo "slurm_load_jobs error: Socket timed out" >&2; exit 1;; esac;'
    answers.says("scontrol", f"{unusual} {NOT_FOUND}")
    answers.queue()
    keys = [f"k{number}" for number in range(6)]  # each a job of its own: 17 to 22

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, key, cpus=1 + number) for number, key in enumerate(keys)])
        for key in keys[4:]:
            assert (await life.end_of(key)).lost
        assert set(life.ended) == set(keys[4:])
        assert "Socket timed out" in status(life)["last_error"] and status(life)["failed_in_row"] > 0

    live(home, body)


# ---------------------------------------------------------------- what is ordered together


def test_an_array_has_tasks_of_one_job(home: Path, answers: Answers) -> None:
    first, second = keys_of(FIRST, 0, 1, 3), keys_of(SECOND, 0)
    answers.queue()

    async def body(life: Life) -> None:
        mixed = [first[0], *second, *first[1:]]
        await life.executor.start([launch_of(home, key) for key in mixed])
        await life.until(lambda: len(answers.calls("sbatch")) == 2, "two submissions")
        array, single = answers.calls("sbatch")
        assert f"--job-name=sirdar.{first[0]} --comment={FIRST} tasks 0-1,3 (attempt 1) " in array
        assert "--array=0-2" in array
        assert f"--job-name=sirdar.{second[0]} --comment={second[0]} " in single and "--array" not in single

    live(home, body)


def test_a_time_beyond_the_partitions_waits_with_slurms_reason(home: Path, answers: Answers) -> None:
    """Slurm refuses a least time that is beyond the limit, and takes a time that is."""
    answers.says(
        "sbatch",
        'case "$*" in *--time-min*) echo "sbatch: error: Batch job submission failed: Invalid time-min specification '
        f"(exceeds job's time or other limits)\" >&2; exit 1;; esac; echo {JOB}",
    )
    answers.queue(f"{JOB}|PENDING||sirdar.a|PartitionTimeLimit")

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", time_s=3660.0)
        said = f"waits in Slurm (job {JOB}): PartitionTimeLimit (asks for 63 min)"
        await life.until(lambda: life.notes.get("a", [""])[-1] == said, said)
        first, second = answers.calls("sbatch")
        assert "--time=63 --time-min=61" in first and "--time=63" in second and "--time-min" not in second

    live(home, body)


# ---------------------------------------------------------------- notes


def test_from_its_submission_on_a_task_knows_its_job(
    home: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GIVING_PATIENCE_S", 0.05)
    answers.says("sbatch", f"{BARRED}; echo {JOB}")
    answers.bar()
    answers.queue(*(f"{JOB}_{index}|PENDING||sirdar.a|Resources" for index in (0, 1)))

    async def body(life: Life) -> None:
        await life.executor.start([launch_of(home, key) for key in ("a", "b")])
        await life.until(lambda: life.notes.get("b"), "that it is being given")
        assert life.notes["b"] == ["is being given to Slurm"]
        answers.lift()
        await life.until(lambda: "waits in Slurm" in life.notes["b"][-1], "Slurm's reason")
        before = status(life)["queries"]
        await life.until(lambda: status(life)["queries"] >= before + 4, "more answers")
        last = f"waits in Slurm (job {JOB}_1): Resources"
        assert life.notes["b"][0] == "is being given to Slurm" and life.notes["b"][-1] == last
        assert life.notes["b"].count(last) == 1 and len(life.notes["b"]) <= 3

    live(home, body)


def test_whoever_waits_is_told_once_that_slurm_is_silent(home: Path, answers: Answers) -> None:
    pending = f"{JOB}|PENDING||sirdar.a|Priority"
    answers.queue(pending)

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        waits = f"waits in Slurm (job {JOB}): Priority"
        await life.until(lambda: life.notes.get("a", [""])[-1] == waits, "Slurm's reason")
        assert life.notes["a"][-2:-1] in ([], [f"in Slurm's queue as job {JOB}"])
        told = len(life.notes["a"])
        answers.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        await life.until(lambda: status(life)["failed_in_row"] >= 8, "failures")
        (said,) = life.notes["a"][told:]
        assert said.startswith("Slurm does not answer (last heard of ") and said.endswith("(connect failure)")
        answers.queue()
        answers.says("squeue")  # and it does not list the job
        await life.until(lambda: len(life.notes["a"]) == told + 2, "an answer")
        assert life.notes["a"][-1] == f"was given to Slurm as job {JOB}"
        answers.queue(pending)
        await life.until(lambda: life.notes["a"][-1] == waits, "Slurm's reason")

    live(home, body, missed=1000)


# ---------------------------------------------------------------- pilots of another mode


def test_pilots_that_have_not_begun_leave_the_queue_with_their_mode(home: Path, answers: Answers) -> None:
    folders = PilotFolders(home, "/usr/bin/python3")
    folders.make()
    for name in ("1-waits", "2-unsure", "3-runs", "4-over"):
        folders.add(name, slots=2, idle_s=60.0, memory="auto")
    for name, job in (("1-waits", "7"), ("3-runs", "9"), ("4-over", "10")):
        folders.note_job(name, job)
    (folders.root / "3-runs" / "claim").write_text("job 9")
    folders.note_over("4-over")
    answers.fails("scancel", "scancel: error: slurm_kill_job: Unable to contact slurm controller")

    async def body(life: Life) -> None:
        await life.until(lambda: answers.calls("scancel"), "a first try")
        answers.says("scancel")
        await life.until(lambda: not (folders.root / "2-unsure").exists(), "that they are gone")
        assert answers.calls("scancel")[-2] == "7" and "--name=sirdar.pilot.2-unsure" in answers.calls("scancel")[-1]
        assert (folders.root / "3-runs").exists() and not (folders.root / "1-waits").exists()

    live(home, body)


def test_a_running_job_is_told_nothing_of_the_queue(home: Path, answers: Answers) -> None:
    answers.queue(RUNS)

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a")
        await on_node(home, "a")
        await life.end_of("a")
        assert life.notes.get("a", []) in ([], [f"in Slurm's queue as job {JOB}"])

    live(home, body)


def test_where_slurm_enforces_limits_at_submission_a_time_goes_without_room(home: Path, answers: Answers) -> None:
    answers.says(
        "sbatch",
        'case "$*" in *--time=60*) ;; *) echo "sbatch: error: Batch job submission failed: Requested time limit is '
        f'invalid (missing or exceeds some limit)" >&2; exit 1;; esac; echo {JOB}',
    )
    answers.queue()

    async def body(life: Life) -> None:
        await submitted(life, home, answers, "a", time_s=3600.0)
        await life.executor.start([launch_of(home, "b", time_s=3660.0)])
        end = await life.end_of("b")
        assert end.cause == "refused" and "Requested time limit is invalid" in end.error
        assert not life.ended.keys() - {"b"}

    live(home, body, missed=1000)
