"""Jobs on a real Slurm, through a real server and an agent on its "login node"."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN
from tests.slurm_answers import BARRED, Answers
from tests.slurm_cluster import SlurmCluster
from tests.system.attached import Machine, create, resource, status
from tests.system.product import Product, await_that
from tests.wheels import make_wheel

pytestmark = pytest.mark.needs("slurm", "slurmd", "munge")

FAST = "address: 127.0.0.1\nquery: 0.5\nlook: 0.05\ngather: 0.02\nrecord_patience: 5\n"
PILOTS = FAST + "mode: pilots\npilots: {most: 2, cpus: 2, idle: 0.5}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("slurm"), {"lease_s": 5, "heartbeat_s": 0.3}, slots=0)
    product.start()
    yield product
    product.close()


@pytest.fixture
def attach(server: Product, slurm: SlurmCluster, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """An agent that uses the cluster as ``slurm.yaml`` says."""
    made: list[Machine] = []

    def make(settings: str = FAST, policy: str = "", **environment: str) -> Machine:
        machine = Machine(server, tmp_path / "login", environment)
        made.append(machine)
        machine.join(create(server, "cluster")["join"]["command"])
        (machine.home / "slurm.yaml").write_text(settings)
        if policy:
            (machine.home / "policy.yaml").write_text(policy)
        machine.start("--executor", "slurm")
        return machine

    yield make
    for machine in made:
        machine.close()
    for row in server.admin.get("/api/resources").json():
        if not row["embedded"]:
            assert server.admin.delete(f"/api/resources/{row['id']}").status_code == 204


def text_of(server: Product, job_id: str) -> str:
    return str(server.job(job_id)["statusMessage"] or "")


def reason_of(job: dict[str, object]) -> tuple[str, str]:
    outcome = job["outcome"]
    assert isinstance(outcome, dict)
    return str(outcome["reason"]), str(outcome["message"])


def test_a_job_runs_on_a_node_and_its_outputs_come_back(server: Product, attach: Callable[..., Machine]) -> None:
    attach()
    assert resource(server, "cluster")["capabilities"]["cpus"] == 4, "a node's, not this machine's"
    script = 'echo made > here.txt; echo "$SLURM_JOB_ID $SLURM_JOB_NAME $EVEREST_AGENT_ADDRESS $TOLD"'
    server.publish("onnode", script, shell=True,
                   app_secrets={"TOLD": "whispered"}, secrets=["TOLD"],
                   resources={"cpus": 2, "memory": "100 MiB", "time": "1 min"},
                   outputs={"words": {"type": "string", "from": "stdout"},
                            "here": {"type": "file", "from": "here.txt"}})  # fmt: skip
    job = server.run("me/onnode")
    number, name, address, told = job["result"]["words"].split()
    assert number.isdecimal() and name.startswith(f"sirdar.{job['id']}-") and address == "127.0.0.1"
    assert told == "whispered"
    assert server.admin.get(job["result"]["here"]).text == "made\n"


def test_nothing_secret_is_shown_to_the_cluster(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    server.publish("quiet", "sleep 600", app_secrets={"TOLD": "whispered-9"}, secrets=["TOLD"])
    job = server.submit("me/quiet")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    found = slurm.jobs("running")
    shown = slurm.run("scontrol", "show", "job", found[0][0])
    assert f"Comment={job['id']}-" in shown and "whispered-9" not in shown
    script = slurm.run("scontrol", "write", "batch_script", found[0][0], "-")
    assert "whispered-9" not in script and "TOKEN" not in script
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        assert b"whispered-9" not in (path.read_bytes() if path.exists() else b"")
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert reason_of(server.ended(job["id"])) == ("cancelled", "cancelled")
    await_that(lambda: not slurm.jobs("running"), what="the job's end in Slurm")


def test_a_job_that_waits_says_why_in_slurms_words(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    blocker = slurm.sbatch("sleep 600", "--partition=other", "--exclusive")
    await_that(lambda: slurm.state(blocker) == "RUNNING", what="the other job")
    server.publish("waits", "echo hello", shell=True, resources={"slurm": {"partition": "other"}})
    job = server.submit("me/waits")
    await_that(lambda: text_of(server, job["id"]).endswith(": Resources"), what="its reason")
    (own,) = [number for number, name, _ in slurm.jobs("pending") if job["id"] in name]
    assert text_of(server, job["id"]) == f"waits in Slurm (job {own}): Resources"
    slurm.run("scontrol", "hold", own)
    await_that(
        lambda: text_of(server, job["id"]).startswith(f"held in Slurm (job {own}): JobHeld"), what="that it is held"
    )
    said = explain(server, job["id"])
    assert f"held in Slurm (job {own}): JobHeld" in said, said
    slurm.run("scontrol", "release", own)
    slurm.run("scancel", blocker)
    assert server.ended(job["id"])["state"] == "DONE"


def explain(server: Product, job_id: str) -> str:
    environment = {**os.environ, "SIRDAR_URL": server.url, "SIRDAR_TOKEN": server.token(), "NO_COLOR": "1"}
    words = [BIN / "sirdar", "explain", job_id]
    return subprocess.run(words, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def test_how_much_runs_side_by_side_is_slurms_to_say(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    """More than one node's memory and cpus in all; nothing is held back from Slurm for that."""
    machine = attach()
    whole = {"cpus": 4, "memory": "3000 MiB"}
    server.publish("large", "sleep 600", resources=whole)
    jobs = [server.submit("me/large")["id"] for _ in range(4)]
    await_that(lambda: len(slurm.jobs("pending")) + len(slurm.jobs("running")) == 4, what="that Slurm has them all")
    await_that(lambda: len(slurm.jobs("running")) >= 2, what="that two nodes are at work")
    await_that(
        lambda: sum(server.job(job)["state"] == "RUNNING" for job in jobs) >= 2, what="that they are said to run"
    )
    told = machine.run("agent", "status")
    standing = dict(line.split(None, 1) for line in told.out.splitlines())
    assert int(standing["running"]) >= 2 and standing["slurm"].startswith("asked "), told.out
    server.publish("larger", "true", resources={"memory": "64 GiB"})
    waits = server.submit("me/larger")["id"]
    assert "no node of cluster has more than" in explain(server, waits)
    for job in (*jobs, waits):
        server.admin.post(f"/api/jobs/{job}/cancel")
    assert {reason_of(server.ended(job))[0] for job in jobs} == {"cancelled"}


def test_a_job_that_waits_is_cancelled_at_once(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    blocker = slurm.sbatch("sleep 600", "--partition=other", "--exclusive")
    await_that(lambda: slurm.state(blocker) == "RUNNING", what="the other job")
    server.publish("never", "echo hello", shell=True, resources={"slurm": {"partition": "other"}})
    job = server.submit("me/never")
    await_that(lambda: "waits in Slurm" in text_of(server, job["id"]), what="that it waits")
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert reason_of(server.ended(job["id"])) == ("cancelled", "cancelled before it started")
    await_that(lambda: not slurm.jobs("pending"), what="that it left the queue")


def test_limits_and_refusals(server: Product, attach: Callable[..., Machine]) -> None:
    attach()
    server.publish("long", "sleep 600", resources={"time": "1 s"})
    server.publish("lost", "sleep 600", resources={"slurm": {"partition": "nowhere"}})
    first, second = server.submit("me/long"), server.submit("me/lost")
    assert reason_of(server.ended(first["id"])) == ("time_limit", "the program ran longer than 1 s and was ended")
    reason, message = reason_of(server.ended(second["id"]))
    assert reason == "refused" and message.endswith("Invalid partition name specified"), message


def test_a_preempted_job_is_told_so_and_tried_again(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    server.publish("low", "sleep 600", retries=0, resources={"cpus": 4, "slurm": {"partition": "low"}})
    job = server.submit("me/low")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    above = slurm.sbatch("sleep 1", "--partition=high", "--exclusive")
    reason, message = reason_of(server.ended(job["id"]))
    assert reason == "preempted" and message.startswith("Slurm preempted job"), message
    await_that(lambda: slurm.state(above) == "COMPLETED", what="the other's end")


def test_a_job_that_somebody_cancels_in_slurm(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    server.publish("ended", "sleep 600")
    job = server.submit("me/ended")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    slurm.run("scancel", slurm.jobs("running")[0][0])
    reason, message = reason_of(server.ended(job["id"]))
    assert reason == "cancelled" and message.endswith("was cancelled, not through Sirdar"), message


@pytest.mark.parametrize("how", ["whole", "each member"])
def test_an_array_that_somebody_cancels_before_it_began(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, how: str
) -> None:
    """Where all members were cancelled one by one, Slurm has one line for them, and knows no member."""
    attach(FAST + "missed: 1\n")
    blocker = slurm.sbatch("sleep 600", "--partition=other", "--exclusive")
    await_that(lambda: slurm.state(blocker) == "RUNNING", what="the other job")
    server.publish("many", "echo ${x}", shell=True, retries=3, inputs={"x": {"type": "integer"}},
                   resources={"slurm": {"partition": "other"}})  # fmt: skip
    job = server.submit("me/many", {}, sweep={"parameters": {"x": [1, 2, 3]}})

    def members() -> list[str]:
        return sorted(number for number, name, _ in slurm.jobs("pending") if job["id"] in name)

    await_that(lambda: len(members()) == 3, what="that all wait")
    own = members()
    array = own[0].partition("_")[0]
    assert {number.partition("_")[0] for number in own} == {array}, "they were ordered together"
    assert f"Comment={job['id']} tasks 0-2 (attempt 1)" in slurm.run("scontrol", "show", "job", array)
    slurm.run("scancel", *([array] if how == "whole" else own))
    if how == "each member":
        assert slurm.state(array) == "CANCELLED" and [number for number, _, _ in slurm.jobs()].count(array) == 1
    server.ended(job["id"])
    tasks = [server.admin.get(f"/api/jobs/{job['id']}/tasks/{number}").json() for number in range(3)]
    for number, task in enumerate(tasks):
        (only,) = task["tries"]
        words = f"Slurm's job {array}_{number} was cancelled, not through Sirdar"
        assert (only["reason"], only["message"]) == ("cancelled", words), task
    assert len([name for _, name, _ in slurm.jobs("pending") if job["id"] in name]) == 0


def test_one_member_of_a_waiting_array_that_somebody_cancels(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    """Slurm forgets it at once; the others go on."""
    attach(FAST)
    blocker = slurm.sbatch("sleep 600", "--partition=other", "--exclusive")
    await_that(lambda: slurm.state(blocker) == "RUNNING", what="the other job")
    server.publish("few", "echo ${x}", shell=True, retries=3, inputs={"x": {"type": "integer"}},
                   resources={"slurm": {"partition": "other"}})  # fmt: skip
    job = server.submit("me/few", {}, sweep={"parameters": {"x": [1, 2, 3]}})

    def members() -> list[str]:
        return sorted(number for number, name, _ in slurm.jobs("pending") if job["id"] in name)

    def tasks() -> list[dict[str, Any]]:
        return [server.admin.get(f"/api/jobs/{job['id']}/tasks/{number}").json() for number in range(3)]

    await_that(lambda: len(members()) == 3, what="that all wait")
    own = members()[1]
    slurm.run("scancel", own)
    await_that(lambda: tasks()[1]["state"] == "CANCELLED", what="that it is told")
    slurm.run("scancel", blocker)
    server.ended(job["id"])
    first, gone, last = tasks()
    assert (first["state"], last["state"]) == ("DONE", "DONE")
    (only,) = gone["tries"]
    assert (only["reason"], only["message"]) == ("cancelled", f"Slurm's job {own} was cancelled, not through Sirdar")


def test_a_time_that_is_the_partitions_limit_starts_and_a_longer_one_waits(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    server.publish("hour", "echo hello", shell=True,
                   resources={"time": "1 h", "override": ["time"], "slurm": {"partition": "other"}})  # fmt: skip
    job = server.submit("me/hour", overrides={"time": "61 min"})
    said = ": PartitionTimeLimit (asks for 63 min)"
    await_that(lambda: text_of(server, job["id"]).endswith(said), what="its reason")
    assert server.run("me/hour")["state"] == "DONE"
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert server.ended(job["id"])["state"] == "CANCELLED"


@pytest.mark.parametrize(
    "mended", [PILOTS + "options: {partition: other}\n", FAST], ids=["other options", "other mode"]
)
def test_settings_that_are_mended_free_what_waits_for_an_old_pilot(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, mended: str
) -> None:
    machine = attach(PILOTS.replace("cpus: 2", "cpus: 2, time: 2 h") + "options: {partition: other}\n")
    server.publish("freed", "echo hello", shell=True)
    job = server.submit("me/freed")
    await_that(lambda: "PartitionTimeLimit (asks for 120 min)" in text_of(server, job["id"]), what="its reason")
    (old,) = [number for number, _, _ in slurm.jobs("pending")]
    machine.end(signal.SIGTERM)
    (machine.home / "slurm.yaml").write_text(mended.replace("cpus: 2", "cpus: 2, time: 30 min"))
    machine.start("--executor", "slurm")
    assert server.ended(job["id"])["state"] == "DONE"
    await_that(lambda: slurm.state(old) == "CANCELLED", what="that the old one leaves the queue")


@pytest.mark.parametrize("settings", [FAST, PILOTS], ids=["jobs", "pilots"])
def test_a_job_outlives_its_agent(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, settings: str, tmp_path: Path
) -> None:
    machine = attach(settings)
    go = tmp_path / "go"
    script = f'echo began >> "{tmp_path}/began"; while ! [ -e "{go}" ]; do sleep 0.05; done; echo over'
    server.publish("survivor", script, shell=True, outputs={"words": {"type": "string", "from": "stdout"}})
    job = server.submit("me/survivor")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    machine.end(signal.SIGKILL)
    go.touch()
    machine.start("--executor", "slurm")
    assert server.ended(job["id"])["result"]["words"].strip() == "over"
    assert (tmp_path / "began").read_text() == "began\n"
    assert len(slurm.jobs()) - slurm.cleared == 1


def test_a_sweep_is_one_array(server: Product, attach: Callable[..., Machine], slurm: SlurmCluster) -> None:
    attach()
    job = sweep(server, "array", 12)
    assert job["state"] == "DONE"
    own = [number for number, name, _ in slurm.jobs() if job["id"] in name]
    assert len(own) == 12 and len({number.partition("_")[0] for number in own}) <= 3


def sweep(server: Product, alias: str, count: int) -> dict[str, object]:
    server.publish(alias, "echo $(( ${x} * 2 ))", shell=True, inputs={"x": {"type": "integer"}},
                   outputs={"twice": {"type": "integer", "from": "stdout"}})  # fmt: skip
    job = server.submit(f"me/{alias}", {}, sweep={"parameters": {"x": list(range(count))}})
    return server.ended(job["id"], wait=120)


def test_pilots_run_many_short_tasks_and_end_when_there_are_no_more(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    machine = attach(PILOTS)
    job = sweep(server, "short", 300)
    assert job["state"] == "DONE", job
    names = [name for _, name, _ in slurm.jobs() if name.startswith("sirdar.pilot.")]
    assert names and len(names) <= 2 + slurm.cleared
    await_that(lambda: not slurm.jobs("running,pending"), what="that the pilots end")
    await_that(lambda: status(machine)["slurm"]["pilots"] == 0, what="the agent's status")
    assert not list((machine.home / "slurm" / "pilots").glob("*/pilot.json"))


def test_a_preempted_pilot_takes_its_tasks_with_it_and_they_are_tried_again(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, tmp_path: Path
) -> None:
    attach(PILOTS + "options: {partition: low}\n")
    go = tmp_path / "go"
    script = f'echo began >> "{tmp_path}/began"; while ! [ -e "{go}" ]; do sleep 0.05; done; echo over'
    server.publish("patient", script, shell=True, retries=3)
    job = server.submit("me/patient")
    await_that((tmp_path / "began").exists, what="that it runs")
    above = slurm.sbatch("sleep 1", "--partition=high", "--exclusive")
    await_that(lambda: slurm.state(above) == "COMPLETED", 30, "the other's end")
    await_that(lambda: (tmp_path / "began").read_text().count("began") == 2, 60, "its second try")
    go.touch()
    ended = server.ended(job["id"])
    assert ended["state"] == "DONE"


def test_what_a_pilot_ran_when_it_was_cut_off_is_never_the_programs_own_end(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, tmp_path: Path
) -> None:
    """A shell goes on when Slurm has ended its child: also an exit code of 0 is none then."""
    attach(FAST + "mode: pilots\npilots: {most: 1, cpus: 4, idle: 0.5}\n")
    mine = f'echo began >> "{tmp_path}/${{x}}"; [ -e "{tmp_path}/go" ] || sleep 60; echo over'
    server.publish("shells", mine, shell=True, retries=3, inputs={"x": {"type": "integer"}},
                   outputs={"words": {"type": "string", "from": "stdout"}})  # fmt: skip
    job = server.submit("me/shells", {}, sweep={"parameters": {"x": list(range(4))}})

    def began(times: int) -> bool:
        paths = [tmp_path / str(number) for number in range(4)]
        return all(path.exists() and path.read_text().count("began") == times for path in paths)

    for turn in (1, 2):
        await_that(lambda: began(turn), 60, "that all run")  # noqa: B023
        if turn == 2:
            (tmp_path / "go").touch()
        ((pilot, _, _),) = slurm.jobs("running")
        slurm.run("scancel", pilot)
    ended = server.ended(job["id"], wait=120)
    assert ended["state"] == "DONE"
    for number in range(4):
        tries = server.admin.get(f"/api/jobs/{job['id']}/tasks/{number}").json()["tries"]
        assert [one["reason"] for one in tries[:-1]] == ["preempted", "preempted"], tries
    assert began(3)


@pytest.mark.parametrize("how", [(), ("--full",)], ids=["plain", "full"])
def test_a_shell_that_slurm_cut_off_has_made_nothing(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, how: tuple[str, ...]
) -> None:
    attach()
    server.publish("shell", 'echo up; sleep 60; echo made > made.txt', shell=True, retries=0,
                   outputs={"made": {"type": "file", "from": "made.txt"}})  # fmt: skip
    job = server.submit("me/shell")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    slurm.run("scancel", *how, slurm.jobs("running")[0][0])
    reason, message = reason_of(server.ended(job["id"]))
    assert reason == "cancelled" and message.endswith("was cancelled, not through Sirdar"), message


def test_a_shell_that_was_preempted_is_told_so(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach()
    script = "sleep 60; echo made > made.txt"
    server.publish("lowshell", script, shell=True, retries=0, resources={"cpus": 4, "slurm": {"partition": "low"}})
    job = server.submit("me/lowshell")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    above = slurm.sbatch("true", "--partition=high", "--exclusive")
    assert reason_of(server.ended(job["id"]))[0] == "preempted"
    await_that(lambda: slurm.state(above) == "COMPLETED", what="the other's end")


# ---------------------------------------------------------------- faults of the cluster


def test_a_job_whose_node_fails_is_told_so_and_tried_again(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, tmp_path: Path
) -> None:
    attach()
    go = tmp_path / "go"
    script = f'echo "$SLURMD_NODENAME" >> "{tmp_path}/nodes"; while ! [ -e "{go}" ]; do sleep 0.05; done; echo over'
    server.publish("steady", script, shell=True, retries=2)
    job = server.submit("me/steady")
    await_that((tmp_path / "nodes").exists, what="that it runs")
    first = (tmp_path / "nodes").read_text().strip()
    slurm.fail_node(first)
    try:
        await_that(lambda: len((tmp_path / "nodes").read_text().split()) == 2, 30, "its second try")
        tries = server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()["tries"]
        assert tries[0]["reason"] == "node_failed", tries
        assert tries[0]["message"].startswith(f"the node failed on {first} (Slurm's job "), tries
        go.touch()
        assert server.ended(job["id"])["state"] == "DONE"
    finally:
        slurm.restore_node(first)
    assert len((tmp_path / "nodes").read_text().split()) == 2


@pytest.mark.slow
def test_slurms_own_time_limit_is_told_as_slurms(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach(FAST + "options: {time: 2}\n")
    server.publish("slow", "echo began; exec sleep 600", shell=True)
    job = server.submit("me/slow")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    (own,) = [number for number, name, _ in slurm.jobs("running") if job["id"] in name]
    assert "TimeLimit=00:02:00" in slurm.run("scontrol", "show", "job", own)
    slurm.run("scontrol", "update", f"job={own}", "EndTime=now+1")  # it looks every 30 s
    assert reason_of(server.ended(job["id"])) == ("time_limit", f"Slurm ended job {own} at its time limit (TIMEOUT)")


def test_options_come_from_the_cluster_the_application_and_the_submission(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster
) -> None:
    attach(FAST + "options: {partition: other, nice: 7, time: 1:30:00, comment: ours}\n")
    server.publish(
        "wants", "sleep 600", resources={"override": ["slurm"], "slurm": {"partition": "main", "account": "physics"}}
    )

    def shown(**more: object) -> str:
        job = server.submit("me/wants", **more)
        await_that(lambda: any(job["id"] in name for _, name, _ in slurm.jobs("running")), what="that it runs")
        (own,) = [number for number, name, _ in slurm.jobs("running") if job["id"] in name]
        text = slurm.run("scontrol", "show", "job", own)
        assert f"Comment={job['id']}-" in text
        server.admin.post(f"/api/jobs/{job['id']}/cancel")
        assert server.ended(job["id"])["state"] == "CANCELLED"
        return text

    text = shown()
    assert "Partition=main" in text and "Account=physics" in text and "Nice=7" in text and "TimeLimit=01:30:00" in text
    text = shown(overrides={"slurm": {"partition": "low"}})
    assert "Partition=low" in text and "Account=physics" in text


def test_pilots_grow_with_the_queue_and_shrink_to_none(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, tmp_path: Path
) -> None:
    machine = attach(PILOTS)
    go = tmp_path / "go"
    server.publish("one", f'while ! [ -e "{go}" ]; do sleep 0.05; done', shell=True)
    job = server.submit("me/one")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    await_that(lambda: status(machine)["slurm"]["pilots"] == 1, what="that the agent's status tells of it")
    assert len(slurm.jobs("running,pending")) == 1
    more = [server.submit("me/one") for _ in range(5)]
    await_that(
        lambda: sum(server.job(one["id"])["state"] == "RUNNING" for one in more) == 3, what="two pilots of two cpus"
    )

    def pilots() -> tuple[int, int]:
        told = status(machine)["slurm"]
        return told["pilots"], told["pilots_connected"]

    await_that(lambda: pilots() == (2, 2), what="that the agent's status tells of them")
    assert len(slurm.jobs("running,pending")) == 2
    go.touch()
    assert {server.ended(one["id"])["state"] for one in [job, *more]} == {"DONE"}
    await_that(lambda: status(machine)["slurm"]["pilots"] == 0, what="that there are none")
    await_that(lambda: not slurm.jobs("running,pending"), what="that they left Slurm")


# ---------------------------------------------------------------- answers that a healthy Slurm does not give


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Scripts before Slurm's commands, which hand on to them until a test says something else."""
    made = Answers(tmp_path / "answers", real=True)
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    yield made
    made.lift()


def test_an_agent_killed_between_a_submission_and_its_note_runs_it_once(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, answers: Answers, tmp_path: Path
) -> None:
    machine = attach()
    answers.says("sbatch", f'"$real" "$@" > "$here/number"; {BARRED}; cat "$here/number"')
    answers.bar()
    server.publish("once", f'echo began >> "{tmp_path}/began"; echo over', shell=True)
    job = server.submit("me/once")
    await_that(
        lambda: (answers.place / "number").exists() and (answers.place / "number").read_text(), what="its number"
    )
    assert not list((machine.home / "slurm" / "orders").glob("*/job"))
    machine.end(signal.SIGKILL)
    answers.lift()
    machine.start("--executor", "slurm")
    assert server.ended(job["id"])["state"] == "DONE"
    assert (tmp_path / "began").read_text() == "began\n" and len(answers.calls("sbatch")) == 1
    assert len(slurm.jobs()) - slurm.cleared == 1


def test_a_queue_that_does_not_answer_is_told_and_ends_nothing(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, answers: Answers, tmp_path: Path
) -> None:
    machine = attach(FAST + "missed: 2\n")
    go = tmp_path / "go"
    server.publish("calm", f'while ! [ -e "{go}" ]; do sleep 0.05; done; echo over', shell=True)
    job = server.submit("me/calm")
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="that it runs")
    answers.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    await_that(lambda: status(machine)["slurm"]["failed_in_row"] >= 3, what="that it is counted")
    assert "connect failure" in status(machine)["slurm"]["last_error"]
    answers.says("squeue", ":")  # and then an empty list, again and again
    before = len(answers.calls("squeue"))
    await_that(lambda: len(answers.calls("squeue")) >= before + 5, what="more queries")
    assert server.job(job["id"])["state"] == "RUNNING"
    go.touch()
    assert server.ended(job["id"])["state"] == "DONE"


def test_slurms_refusal_is_the_jobs_reason(
    server: Product, attach: Callable[..., Machine], slurm: SlurmCluster, answers: Answers
) -> None:
    attach()
    words = "Batch job submission failed: Invalid account or account/partition combination specified"
    answers.fails("sbatch", f"sbatch: error: {words}")
    server.publish("poor", "echo hello", shell=True)
    assert reason_of(server.ended(server.submit("me/poor")["id"])) == ("refused", f"Slurm refused it: {words}")
    assert len(answers.calls("sbatch")) == 1


# ---------------------------------------------------------------- an ordinary user


@pytest.fixture
def nobody() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A directory of somebody who may do nothing special, and the command of theirs that is ``sirdar``."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can be somebody else (with setpriv)")
    user = pwd.getpwnam("nobody")
    become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs")
    paths = f"PYTHONPATH={Path(__file__).parents[2] / 'src'}:{sysconfig.get_path('purelib')}"
    code = "import sys; from sirdar.cli.main import main; sys.exit(main())"
    for python in (sys.executable, "/usr/bin/python3"):
        command = (*become, "env", paths, python, "-c")
        if (
            subprocess.run(
                [*command, "import sirdar.agent.__main__"], check=False, capture_output=True, cwd="/"
            ).returncode
            == 0
        ):
            break
    else:
        pytest.skip("no interpreter here that another user may start has our packages")
    place = Path(tempfile.mkdtemp(prefix="sirdar-user-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    yield place, (*command, code)
    shutil.rmtree(place)


def test_an_agent_of_an_ordinary_user(
    server: Product, slurm: SlurmCluster, nobody: tuple[Path, tuple[str, ...]]
) -> None:
    place, program = nobody
    machine = Machine(server, place / "login", program=program)
    shutil.chown(place, "nobody")
    shutil.chown(machine.root, "nobody")
    try:
        machine.join(create(server, "cluster")["join"]["command"])
        (machine.home / "slurm.yaml").write_text(FAST)
        machine.start("--executor", "slurm")
        script = 'id -un > who.txt; mkdir -p sub; echo "$SLURM_JOB_USER" > sub/other.txt'
        server.publish("mine", script, shell=True, outputs={"who": {"type": "file", "from": "who.txt"},
                                                            "other": {"type": "file", "from": "sub/other.txt"}})  # fmt: skip
        found = server.run("me/mine")["result"]
        assert [server.admin.get(found[name]).text for name in ("who", "other")] == ["nobody\n", "nobody\n"]
        assert {path.owner() for path in (machine.home / "slurm").rglob("*")} == {"nobody"}
    finally:
        machine.close()
        identity = resource(server, "cluster")["id"]
        assert server.admin.delete(f"/api/resources/{identity}").status_code == 204


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("settings", [FAST, PILOTS], ids=["jobs", "pilots"])
def test_a_program_in_a_sandbox_on_a_node(settings: str, server: Product, attach: Callable[..., Machine]) -> None:
    """It sees its own directory, and neither the agent's key nor what others of the node run."""
    machine = attach(settings, "isolation: {kind: bubblewrap, network: false}\n")
    secret = machine.home / "slurm.yaml"
    assert secret.is_file()
    script = f'ls -d {secret} 2>/dev/null; ls /proc | grep -c "^[0-9]"; ls -A; echo $SLURM_JOB_ID > made.txt'
    server.publish("boxed", script, shell=True,
                   outputs={"words": {"type": "string", "from": "stdout"},
                            "made": {"type": "file", "from": "made.txt"}})  # fmt: skip
    job = server.run("me/boxed")
    shown = job["result"]["words"].split("\n")
    assert str(secret) not in shown and int(shown[0]) < 8, shown
    assert server.admin.get(job["result"]["made"]).text.strip().isdecimal()


@pytest.mark.parametrize("settings", [FAST, PILOTS], ids=["jobs", "pilots"])
def test_packages_that_the_login_node_made_are_used_on_a_node(
    settings: str, server: Product, attach: Callable[..., Machine], tmp_path: Path
) -> None:
    make_wheel(tmp_path / "wheels", "sirdartiny", "1.0")
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{tmp_path}/wheels"]\n')
    attach(settings, UV_CONFIG_FILE=str(tmp_path / "uv.toml"))
    show = "import os, sirdartiny; print(sirdartiny.__version__, os.environ['SLURM_JOB_ID'])"
    server.publish("packed", ["python", "-c", show], files={"requirements.txt": "sirdartiny\n"},
                   environment={"requirements": "requirements.txt"},
                   outputs={"words": {"type": "string", "from": "stdout"}})  # fmt: skip
    job = server.run("me/packed")
    version, number = job["result"]["words"].split()
    assert version == "1.0" and number.isdecimal()
    assert job["environment"].startswith("sha256:")
