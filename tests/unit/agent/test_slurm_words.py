"""Slurm's words and what they mean, options, settings: without Slurm, without processes."""

import errno
import signal
from pathlib import Path
from typing import Any

import pytest

from sirdar.agent.executors.base import Launch, ProgramEnd
from sirdar.agent.executors.slurm.cluster import Largest, read_nodes
from sirdar.agent.executors.slurm.options import Needs, asked_time, chunks, comment_of, job_of, other_time, words_of
from sirdar.agent.executors.slurm.settings import PilotSettings, SlurmFault, SlurmSettings, load_slurm, parse_slurm
from sirdar.agent.executors.slurm.states import (
    ENDED,
    LIVE,
    WAITING,
    Seen,
    end_of,
    explained,
    needs_word,
    note_of,
    of_names,
    of_whole_array,
    read_accounts,
    read_queue,
    read_shown,
)
from sirdar.agent.outcomes import Limits, judge
from sirdar.domain.ids import AttemptKey, JobId

NO_LIMITS = Limits(1 << 30, 60.0, None, address_space_only=False)


def ended(state: str, **more: Any) -> ProgramEnd:
    given = {"asked": None, "started_at": 5.0, "error": ""}
    seen = {name: more.pop(name) for name in ("nodes", "more") if name in more}
    return end_of("a", Seen("17", state, **{"nodes": "n1", **seen}), **{**given, **more})


def verdict(end: ProgramEnd) -> tuple[str, str]:
    found = judge(end, NO_LIMITS, cancelled=False, disk_exceeded=False, stderr_tail="")
    return found.reason.value, found.message


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("end", "reason", "message"),
    [
        (ended("PREEMPTED"), "preempted", "Slurm preempted job 17 on n1"),
        (ended("NODE_FAIL"), "node_failed", "the node failed on n1 (Slurm's job 17: NODE_FAIL)"),
        (ended("BOOT_FAIL", nodes=""), "node_failed", "the node did not start (Slurm's job 17: BOOT_FAIL)"),
        (ended("TIMEOUT"), "time_limit", "Slurm ended job 17 at its time limit (TIMEOUT)"),
        (ended("DEADLINE"), "time_limit", "Slurm ended job 17 at its time limit (DEADLINE)"),
        (ended("OUT_OF_MEMORY"), "out_of_memory", "the program used more memory than 1 GiB"),
        (ended("CANCELLED"), "cancelled", "Slurm's job 17 was cancelled, not through Sirdar"),
        (ended("CANCELLED", more="by 1000"), "cancelled", "Slurm's job 17 was cancelled by 1000, not through Sirdar"),
        (ended("FAILED"), "porter_lost", "Slurm's job 17 on n1 ended (FAILED) and left no record of its program"),
        (ended("COMPLETED"), "porter_lost", "Slurm's job 17 on n1 ended (COMPLETED) and left no record of its program"),
        (ended("REVOKED", nodes="(null)"), "porter_lost", "Slurm's job 17 ended (REVOKED) and left no record of its program"),
        (ended("FAILED", error="/opt/python is not on n1"), "start",
         "the program could not be started: Slurm's job 17 on n1 could not begin: /opt/python is not on n1"),
    ],
    ids=lambda value: value.cause if isinstance(value, ProgramEnd) else "",
)  # fmt: skip
def test_each_end_that_slurm_knows_has_its_reason_and_sentence(end: ProgramEnd, reason: str, message: str) -> None:
    assert verdict(end) == (reason, message)


def test_a_job_that_could_not_begin_says_what_failed() -> None:
    end = ended("FAILED", error="no disk")
    assert (end.error_number, end.error_at) == (errno.EIO, "system")


def test_what_the_agent_asked_for_comes_before_slurms_word() -> None:
    ran = ended("CANCELLED", asked="stop")
    assert (ran.by, ran.exit_code, ran.dropped, ran.cause) == ("stop", -9, False, "")
    never = ended("CANCELLED", asked="withdraw", started_at=None)
    assert (never.by, never.exit_code, never.dropped) == ("withdraw", None, True)


def test_every_word_of_slurms_is_one_of_three_kinds() -> None:
    assert not (WAITING & LIVE or WAITING & ENDED or LIVE & ENDED)
    for word in WAITING | LIVE | ENDED:
        assert Seen("1", word).ended == (word in ENDED) and Seen("1", word).waits == (word in WAITING)
    assert not Seen("1", "A_WORD_OF_TOMORROW").ended, "what is not known lives"


RECORD = ProgramEnd("a", exit_code=-signal.SIGTERM, started_at=5.0, ended_at=9.0, by="slurm", cpu_user_s=1.5)


@pytest.mark.parametrize(
    ("word", "by", "cause"),
    [
        ("TIMEOUT", "time", "walltime"),
        ("PREEMPTED", None, "preempted"),
        ("NODE_FAIL", None, "node"),
        ("CANCELLED", None, "elsewhere"),
        ("COMPLETED", None, "preempted"),
        ("FAILED", None, "preempted"),
        ("unknown to Slurm", None, "preempted"),
        (None, None, "preempted"),
    ],
)
def test_slurm_says_why_it_ended_a_program_whose_record_is_there(word: str | None, by: str, cause: str) -> None:
    assert needs_word(RECORD)
    end = explained(RECORD, Seen("17", word, "n1") if word else None)
    assert (end.by, end.cause, end.exit_code, end.cpu_user_s) == (by, cause, -signal.SIGTERM, 1.5)
    assert end.error


def test_a_record_that_needs_no_word_stands_as_it_is() -> None:
    for code in (0, 3, -signal.SIGSEGV):
        end = ProgramEnd("a", exit_code=code)
        assert not needs_word(end)
        assert explained(end, Seen("17", "FAILED")) == explained(end, None) == end
    killed = ProgramEnd("a", exit_code=-9)
    assert needs_word(killed) and not needs_word(ProgramEnd("a", exit_code=-9, by="stop"))
    assert explained(killed, Seen("17", "OUT_OF_MEMORY")).out_of_memory
    assert not explained(ProgramEnd("a", exit_code=0), Seen("17", "OUT_OF_MEMORY")).out_of_memory, "it has ended well"


# ---------------------------------------------------------------- waiting


@pytest.mark.parametrize(
    ("state", "reason", "note"),
    [
        ("PENDING", "Resources", "waits in Slurm (job 17): Resources"),
        ("PENDING", "ReqNodeNotAvail, May be reserved", "waits in Slurm (job 17): ReqNodeNotAvail, May be reserved"),
        ("PENDING", "AssocGrpCPUMinutesLimit", "waits in Slurm (job 17): AssocGrpCPUMinutesLimit"),
        ("PENDING", "None", "waits in Slurm (job 17): pending"),
        ("PENDING", "JobHeldUser", "held in Slurm (job 17): JobHeldUser"),
        ("PENDING", "JobHeldAdmin", "held in Slurm (job 17): JobHeldAdmin"),
        ("PENDING", "JobHoldMaxRequeue", "held in Slurm (job 17): JobHoldMaxRequeue"),
        ("PENDING", "launch failed requeued held", "held in Slurm (job 17): launch failed requeued held"),
        ("REQUEUE_HOLD", "", "held in Slurm (job 17): REQUEUE_HOLD"),
        ("REQUEUED", "", "waits in Slurm (job 17): requeued"),
        ("RUNNING", "None", ""),
        ("COMPLETED", "None", ""),
    ],
)
def test_why_a_job_waits_in_slurms_words(state: str, reason: str, note: str) -> None:
    assert note_of(Seen("17", state, "", "sirdar.a", reason)) == note


# ---------------------------------------------------------------- what the commands print


def test_the_queue_is_read() -> None:
    text = "17|RUNNING|n1|sirdar.a|None\n\n18_3|PENDING||sirdar.b|a|reason\n18_[4-9]|PENDING||sirdar.b|Priority\n"
    found = read_queue(text)
    assert list(found) == ["17", "18_3"] and found["17"].nodes == "n1" and found["18_3"].reason == "a|reason"
    assert read_queue("") == {}
    assert {name: [one.job for one in some] for name, some in of_names(found.values(), "sirdar.").items()} == {
        "a": ["17"], "b": ["18_3"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["no jobs", "17|RUNNING", "a|RUNNING|n1|x|None", "17|RUNNING|n1|x|None\nslurm_load_jobs"]
)
def test_what_is_not_the_queue_is_not_read_as_one(text: str) -> None:
    with pytest.raises(ValueError, match="squeue said"):
        read_queue(text)


def test_accounting_is_read() -> None:
    text = "17|CANCELLED by 1000|n1|sirdar.a|0:15\n17.batch|FAILED|n1|batch|1:0\n18_3|CANCELLED+|n1|b|0:0\n19|FAILED|n2|c|3:0\n"
    found = read_accounts(text)
    assert {job: (one.state, one.more) for job, one in found.items()} == {
        "17": ("CANCELLED", "by 1000"), "18_3": ("CANCELLED", ""), "19": ("FAILED", ""),
    }  # fmt: skip
    with pytest.raises(ValueError, match="sacct said"):
        read_accounts("sacct: something else")


def test_accounting_has_one_line_for_members_that_never_began() -> None:
    text = "17_[0-2,5%2]|CANCELLED by 1000|None assigned|a|0:0\n17_4|COMPLETED|n1|a|0:0\n17_[1-...]|X||b|0:0\n"
    found = read_accounts(text)
    assert list(found) == ["17_0", "17_1", "17_2", "17_5", "17_4"]
    assert len(read_accounts("18_[0-999999999]|FAILED||b|0:0")) < 200_000, "which no array has"
    assert found["17_5"].state == "CANCELLED" and found["17_5"].more == "by 1000"


def test_the_line_of_a_whole_array_holds_for_its_members_when_it_has_ended() -> None:
    found = read_queue("17|CANCELLED||sirdar.a|Resources\n18|PENDING||sirdar.b|Resources\n")
    whole = of_whole_array("17_3", found)
    assert whole is not None and (whole.job, whole.state) == ("17_3", "CANCELLED")
    assert of_whole_array("18_3", found) is None and of_whole_array("19_3", found) is None
    assert of_whole_array("17", found) is None, "which is not a member"


def test_one_job_as_the_controller_shows_it() -> None:
    text = "JobId=17 JobName=sirdar.a JobState=NODE_FAIL Reason=NodeDown ReqNodeList=(null) NodeList=n1 Command=x\n"
    assert read_shown("17", text) == Seen("17", "NODE_FAIL", "n1", "sirdar.a", "NodeDown")
    assert read_shown("17", "JobState=PENDING Reason=Priority NodeList=(null)").nodes == ""
    assert read_shown("17", "JobState=PENDING ArrayTaskId=1,4-6").members == "1,4-6"
    assert not read_shown("17", "JobState=CANCELLED ArrayTaskId=4294967294").members, "it stands for none"
    with pytest.raises(ValueError, match="scontrol said"):
        read_shown("17", "nothing of it")


def test_the_largest_node() -> None:
    assert read_nodes("4|4000\n128+|512000+\n64|1024000\n") == Largest(128, 1024000 << 20)
    assert read_nodes("") is None and read_nodes("cpus|memory\n") is None


# ---------------------------------------------------------------- options


def launch(**more: Any) -> Launch:
    return Launch(key="j-0-0", argv=["x"], env={}, base_env={}, cwd="/w", stdout="/o", stderr="/e", **more)


def words(launched: Launch, **defaults: str) -> list[str]:
    return words_of(Needs.of(launched, defaults), name=launched.key, comment=launched.key)


def test_the_attempts_id_is_in_the_name_and_in_the_comment() -> None:
    assert words(launch())[:2] == ["--job-name=sirdar.j-0-0", "--comment=j-0-0"]
    assert words(launch(site={"comment": "grant-7"}))[:2] == ["--job-name=sirdar.j-0-0", "--comment=j-0-0 grant-7"]
    assert {"--no-requeue", "--nodes=1", "--ntasks=1", "--cpus-per-task=3"} <= set(words(launch(cpus=3)))


def test_the_jobs_own_options_come_before_the_resources() -> None:
    mine = {"partition": "fast", "qos": "high"}
    found = words(launch(site=mine), partition="main", account="phys", constraint="ib&avx")
    own = {"--partition=fast", "--qos=high", "--account=phys", "--constraint=ib&avx"}
    assert own <= set(found) and "--partition=main" not in found


@pytest.mark.parametrize(
    ("memory_bytes", "word"),
    [(1, "--mem=25M"), (100 << 20, "--mem=124M"), ((100 << 20) + 1, "--mem=125M"), (1 << 40, "--mem=1048600M")],
)
def test_memory_is_rounded_up_with_room_for_the_wrapper(memory_bytes: int, word: str) -> None:
    assert word in words(launch(memory_bytes=memory_bytes), **{"mem-per-cpu": "2G"})
    assert "--mem-per-cpu=2G" not in words(launch(memory_bytes=memory_bytes), **{"mem-per-cpu": "2G"}), (
        "Slurm takes one"
    )
    assert "--mem-per-cpu=2G" in words(launch(), **{"mem-per-cpu": "2G"})


@pytest.mark.parametrize(
    ("time_s", "grace_s", "most", "least"),
    [(60.0, 10.0, 3, 1), (1.0, 0.0, 2, 1), (110.0, 10.0, 3, 2), (3600.0, 30.0, 62, 60)],
)
def test_slurms_limit_leaves_room_for_the_tasks_own_and_its_grace(
    time_s: float, grace_s: float, most: int, least: int
) -> None:
    """The room is asked for, and not insisted on: a partition's limit may be the task's own."""
    found = words(launch(time_s=time_s, grace_s=grace_s), time="1-00:00:00")
    assert [one for one in found if one.startswith("--time")] == [f"--time={most}", f"--time-min={least}"]
    assert "--time=1-00:00:00" in words(launch(), time="1-00:00:00"), "the resource's, where the task has none"


@pytest.mark.parametrize(
    ("value", "found"), [("yes", ["--exclusive"]), ("True", ["--exclusive"]), ("no", []), ("false", []),
     ("user", ["--exclusive=user"])]
)  # fmt: skip
def test_a_flag_stands_alone_or_not_at_all(value: str, found: list[str]) -> None:
    assert [one for one in words(launch(site={"exclusive": value})) if "exclusive" in one] == found


def test_what_time_was_asked_for() -> None:
    found = words(launch(time_s=3600.0))
    assert asked_time(found) == "60 min"
    without_least = other_time(found, "Invalid time-min specification (exceeds job's time or other limits)") or []
    assert asked_time(without_least) == "62 min" and len(without_least) == len(found) - 1
    without_room = other_time(found, "Requested time limit is invalid (missing or exceeds some limit)") or []
    assert "--time=60" in without_room and len(without_room) == len(found) - 1
    assert other_time(found, "Invalid account") is None and other_time(without_room, "time limit") is None
    assert asked_time(words(launch(), time="1-00:00:00")) == "1-00:00:00" and asked_time(words(launch())) == ""
    seen = Seen("17_3", "PENDING", reason="PartitionTimeLimit")
    assert note_of(seen, "62 min") == "waits in Slurm (job 17_3): PartitionTimeLimit (asks for 62 min)"
    assert note_of(Seen("17", "PENDING", reason="Priority"), "62 min") == "waits in Slurm (job 17): Priority"


def keys_of(*tasks: int, attempt: int = 1) -> list[str]:
    return [AttemptKey(JobId("0123456789abcdefghjkmnpqrs"), task, attempt).text for task in tasks]


def test_the_comment_of_an_array_names_its_job_and_its_members() -> None:
    job = "0123456789abcdefghjkmnpqrs"
    assert comment_of(keys_of(7)) == f"{job}-7-0"
    assert comment_of(keys_of(*range(37), 40)) == f"{job} tasks 0-36,40 (attempt 1)"
    assert comment_of(keys_of(4, 2, 3, attempt=3)) == f"{job} tasks 4,2-3 (attempt 3)", "in the order of the members"
    assert comment_of([*keys_of(0), *keys_of(1, attempt=2), *keys_of(2)]) == (
        f"{job} tasks 0 (attempt 1), 1 (attempt 2), 2 (attempt 1)"
    )
    many = comment_of(keys_of(*range(0, 2000, 2)))
    assert len(many) <= 300 and many.startswith(f"{job} tasks 0,2,4,") and many.endswith(",...")
    assert comment_of(["a", "b", "c"]) == "a and 2 more" and comment_of(["a"]) == "a"
    assert job_of(keys_of(7)[0]) == job and job_of("a") == ""


def test_arrays_are_of_launches_that_need_the_same() -> None:
    assert Needs.of(launch(cpus=2, time_s=9.0), {}) == Needs.of(launch(cpus=2, time_s=9.0), {})
    assert Needs.of(launch(cpus=2), {}) != Needs.of(launch(cpus=3), {})
    assert [list(part) for part in chunks(5, 2)] == [[0, 1], [2, 3], [4]]


# ---------------------------------------------------------------- slurm.yaml


def test_a_file_that_says_all_is_read() -> None:
    text = """
mode: pilots
address: login1
python: /usr/bin/python3
query: 1 min
look: 0.5
limit_memory: true
missed: 5
array: 200
options: {partition: main, time: 1:30:00, exclusive: true, nice: 10}
pilots: {least: 1, most: 8, cpus: 16, memory: 60 GiB, time: 12 h, idle: 2 min}
"""
    assert parse_slurm(text) == SlurmSettings(
        mode="pilots", address="login1", python="/usr/bin/python3", query_s=60.0, look_s=0.5, limit_memory=True, missed=5,
        array_most=200, options={"partition": "main", "time": "1:30:00", "exclusive": "yes", "nice": "10"},
        pilots=PilotSettings(least=1, most=8, cpus=16, memory_bytes=60 << 30, time_s=12 * 3600.0, idle_s=120.0),
    )  # fmt: skip
    assert parse_slurm("") == SlurmSettings()


@pytest.mark.parametrize("text", ["1:30:00", "30:00", "2-12:00:00", "2-12", "90", "0", "UNLIMITED"])
def test_a_time_of_slurms_stays_as_it_was_written(text: str) -> None:
    assert parse_slurm(f"options: {{time: {text}}}").options["time"] == text


@pytest.mark.parametrize(
    ("text", "minutes"), [("1 h", "60"), ("90 s", "2"), ("2 d", "2880"), ("1 h 30 min", "90"), ("1h", "60")]
)
def test_a_duration_becomes_slurms_minutes(text: str, minutes: str) -> None:
    assert parse_slurm(f"options: {{time: {text}}}").options["time"] == minutes


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "it is not YAML: "),
        ("- a", "the file: names with values are expected"),
        ("mode: both", "mode: 'both' is not known; known are jobs, pilots"),
        ("mood: jobs", "the file: 'mood' is not known; known are address, array"),
        ("7: jobs", "the file: 7 is not known; known are address"),
        ("address: 7", "address: 7 is not a name or an address"),
        ("python: python3", "python: 'python3' is not an absolute path"),
        ("limit_memory: often", "limit_memory: 'often' is not true or false"),
        ("query: 0", "query: 0 is not more than 0"),
        ("query: true", "query: 'True' is not "),
        ("look: -1", "look: '-1' is not "),
        ("look: .nan", "look: '.nan' is not "),
        ("gather: soon", "gather: 'soon' is not "),
        ("missed: 0", "missed: 0 is not a whole number, 1 or more"),
        ("missed: true", "missed: True is not a whole number, 1 or more"),
        ("array: 1.5", "array: 1.5 is not a whole number, 1 or more"),
        ("options: main", "options: names with values are expected"),
        ("options: {partitions: main}", "options: 'partitions' is not known; known are account"),
        ("options: {partition: a b}", "options.partition has ' ' in it"),
        (
            "options: {partition: }",
            "options.partition has no value: a text is expected, as sbatch takes it behind --partition=",
        ),
        (
            "options: {partition: [a, b]}",
            "options.partition is a list: one text is expected, as sbatch takes it behind --partition=",
        ),
        ("options: {gres: {gpu: 1}}", "options.gres is names with values: one text is expected"),
        (
            "options: {partition: yes}",
            "options.partition is true: a text is expected; a word such as yes or no needs quotes",
        ),
        (
            "options: {time: soon}",
            "options.time: 'soon' is not a time of Slurm's: minutes, HH:MM:SS, D-HH:MM:SS or a duration",
        ),
        ("options: {time: }", "options.time: 'None' is not a time of Slurm's: "),
        ("options: {time: 1.5}", "options.time: '1.5' is not a time of Slurm's: "),
        ("options: {time: 0 h}", "options.time: '0 h' is not a time of Slurm's: "),
        ("options: {time: true}", "options.time: 'True' is not a time of Slurm's: "),
        ("options: {time: 2026-01-02T03:04:05}", "options.time: '2026-01-02T03:04:05' is not a time of Slurm's: "),
        ("options: {partition: ''}", "options.partition has 0 characters"),
        ("pilots: {most: 0}", "pilots.most: 0 is not a whole number, 1 or more"),
        ("pilots: {least: 3, most: 2}", "pilots: at least 3 are more than the 2 that there may be at most"),
        ("pilots: {memory: much}", "pilots.memory: 'much' is not "),
        ("pilots: {time: 2 min}", "pilots.time: 120 s are too short: in its last 60 s a pilot starts nothing"),
        ("pilots: {idle: never}", "pilots.idle: 'never' is not "),
    ],
)
def test_each_fault_of_the_file_is_a_sentence(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SlurmFault) as caught:
        parse_slurm(text)
    assert str(caught.value).startswith(fault), str(caught.value)
    (tmp_path / "slurm.yaml").write_text(text)
    with pytest.raises(SlurmFault) as caught:
        load_slurm(tmp_path / "slurm.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'slurm.yaml'}: {fault}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert load_slurm(tmp_path / "none.yaml") == SlurmSettings()
    (tmp_path / "slurm.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SlurmFault, match="cannot be read"):
        load_slurm(tmp_path / "slurm.yaml")
    with pytest.raises(SlurmFault, match="cannot be read"):
        load_slurm(tmp_path)
