"""Three machines with networks and addresses of their own: one dies under load, one is unplugged, and each result counts once."""

import contextlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.faults.net import Namespace, Net, net_of
from tests.faults.rig import LooseAgent, Rig
from tests.system.product import await_that

pytestmark = [
    pytest.mark.needs("ip"),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="makes network namespaces, which needs root"
    ),
]
PORT = 8200
TASKS = 45
MACHINE = re.compile(r"machine\d")
# A line in the diary when it starts, one when its work is done: whose program it is, on which machine.
WORK = 'echo "start $1 $PWD" >> "$2"; sleep 0.4; echo "end $1 $PWD" >> "$2"; echo $(($1 * $1)) > answer'


@dataclass
class Place:
    """A server on the switch's address, and an agent on each machine."""

    net: Net
    server: Rig
    agents: list[LooseAgent] = field(default_factory=list)

    def machine_of(self, agent: LooseAgent) -> Namespace:
        return self.net.machines[self.agents.index(agent)]

    def publish(self, alias: str, **more: Any) -> str:
        texts = {"n": {"type": "integer"}, "diary": {"type": "string"}}
        outputs = {"answer": {"type": "number", "from": "answer"}}
        return self.server.publish(
            alias, ["sh", "-c", WORK, "work", "${n}", "${diary}"], inputs=texts, outputs=outputs, **more
        )

    def submit(self, app: str, diary: Path) -> str:
        items = [{"n": number} for number in range(TASKS)]
        return str(self.server.submit(app, {"diary": str(diary)}, foreach=items)["id"])

    def running_on(self, agent: LooseAgent, job: str) -> list[int]:
        query = (
            "SELECT a.task_no FROM attempts a JOIN resources r ON r.id = a.resource_id"
            " WHERE a.job_id = ? AND a.state = 'RUNNING' AND r.name = ?"
        )
        return [row[0] for row in self.server.rows(query, job, agent.home.parent.name)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("machines")
    settings = {"lease_s": 1.5, "lost_after_s": 2, "heartbeat_s": 0.3, "claim_wait_s": 1}
    with net_of(3) as net, contextlib.ExitStack() as stack:
        words = ("--host", net.server.address, "--insecure")
        server = Rig(root / "up", settings, slots=0, inside=net.server.inside, words=words, fixed_port=PORT)
        server.root.mkdir()
        server.start()
        stack.callback(server.close)
        inner = server.url
        server.url = f"http://127.0.0.1:{stack.enter_context(net.door(PORT))}"
        made = Place(net, server)
        for number, machine in enumerate(net.machines):
            reply = server.admin.post("/api/resources", json={"name": f"machine{number}"})
            assert reply.status_code == 201, reply.text
            token = reply.json()["join"]["token"]
            home = root / f"machine{number}/home"
            agent = LooseAgent(home, inner, token, settings={"claim_wait_s": 1}, inside=machine.inside).start()
            stack.callback(agent.close)
            made.agents.append(agent)
        await_that(lambda: len(online(server)) == 3, 20, "three agents")
        yield made
        server.check_quiet()
        left = [path for agent in made.agents for path in agent.home.glob("work/*/dir/*")]
        assert not left, left


def online(server: Rig) -> list[str]:
    return [row["name"] for row in server.admin.get("/api/resources").json() if row["state"] == "online"]


def die(place: Place, agent: LooseAgent) -> None:
    """The machine's power fails: nothing on it lives, nothing is heard of it."""
    machine = place.machine_of(agent)
    machine.unplug()
    agent.power_off()
    assert not machine.pids()


@pytest.fixture(autouse=True)
def all_come_back(place: Place) -> Iterator[None]:
    """Whatever a test did to the machines, the next one finds them at work, and nothing of this one's is left on them."""
    yield
    for agent in place.agents:
        place.machine_of(agent).plug()
        if agent.process is None or agent.process.poll() is not None:
            agent.start()
    await_that(lambda: len(online(place.server)) == 3, 20, "their return")
    await_that(
        lambda: not [path for one in place.agents for path in one.home.glob("work/*/dir/*")], 20, "an empty place"
    )


def read(diary: Path) -> list[tuple[str, int, str]]:
    with contextlib.suppress(FileNotFoundError):
        lines = [line.split() for line in diary.read_text().splitlines()]
        return [(what, int(number), MACHINE.findall(place)[-1]) for what, number, place in lines]
    return []


def test_a_machine_that_dies_under_load(place: Place, tmp_path: Path) -> None:
    """Its tasks finish elsewhere; each result is counted once."""
    diary = tmp_path / "diary"
    job = place.submit(place.publish("tries"), diary)
    victim = place.agents[0]
    await_that(lambda: len(place.running_on(victim, job)) == 2, 30, "work on all machines")
    lost = place.running_on(victim, job)
    die(place, victim)
    ended = place.server.await_end(job)
    assert ended["state"] == "DONE", place.server.picture(job)
    check_counts(place, job, diary, done=TASKS)
    at = {number: host for what, number, host in read(diary) if what == "end"}
    assert set(at) == set(range(TASKS)) and len(set(at.values())) >= 2
    tries = place.server.attempts(job)
    again = {task for task, no, _, reason in tries if no > 1 and reason == "ok"}
    assert {task for task in lost if at[task] != "machine0"} <= again, (lost, tries)
    assert {task for task, *_, reason in tries if reason == "agent_lost"} & again, "the machine died too late"


def test_without_retries_what_was_lost_is_said_so(place: Place, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    job = place.submit(place.publish("once", retries=0), diary)
    victim = place.agents[1]
    await_that(lambda: len(place.running_on(victim, job)) == 2, 30, "work on all machines")
    die(place, victim)
    ended = place.server.await_end(job)
    failed = [(no, reason) for _, no, _, reason in place.server.attempts(job) if reason == "agent_lost"]
    assert ended["state"] == "FAILED" and failed, place.server.picture(job)
    told = place.server.rows("SELECT message FROM tasks WHERE job_id = ? AND reason = 'agent_lost'", job)
    assert len(told) == len(failed) and all("silent for longer" in message for (message,) in told), told
    check_counts(place, job, diary, done=TASKS - len(failed))
    starts = Counter(number for what, number, _ in read(diary) if what == "start")
    assert set(starts.values()) == {1}, starts


def test_a_machine_that_is_unplugged_for_longer_than_the_patience(place: Place, tmp_path: Path) -> None:
    """Its programs end while nobody hears of it, and others do its work meanwhile: what comes late changes nothing."""
    diary = tmp_path / "diary"
    job = place.submit(place.publish("tries"), diary)
    victim = place.agents[2]
    await_that(lambda: len(place.running_on(victim, job)) == 2, 30, "work on all machines")
    place.machine_of(victim).unplug()
    ended = place.server.await_end(job)
    assert ended["state"] == "DONE", place.server.picture(job)
    place.machine_of(victim).plug()
    await_that(lambda: len(online(place.server)) == 3, 20, "its return")
    check_counts(place, job, diary, done=TASKS)
    tries = place.server.attempts(job)
    ends = Counter(number for what, number, _ in read(diary) if what == "end")
    twice = {number for number, times in ends.items() if times > 1}
    assert twice, "nobody did its work meanwhile"
    given_up = {task for task, *_, reason in tries if reason in ("agent_lost", "superseded")}
    assert twice <= given_up, (twice, tries)


def test_a_slow_line_is_no_fault(place: Place, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    slow = place.machine_of(place.agents[0])
    slow.slow(kbit=96)
    try:
        job = place.submit(place.publish("tries"), diary)
        ended = place.server.await_end(job)
    finally:
        slow.slow(kbit=1_000_000)
    assert ended["state"] == "DONE"
    reasons = {reason for *_, reason in place.server.attempts(job)}
    assert reasons <= {"ok", "moved"}, place.server.picture(job)  # what waits there goes to whoever is free
    assert any(host == "machine0" for _, _, host in read(diary)), "it was given nothing"
    check_counts(place, job, diary, done=TASKS)


def check_counts(place: Place, job: str, diary: Path, *, done: int) -> None:
    """What the job says, what its tasks say, and what happened are the same; every task has one end."""
    place.server.check_story(job)
    shown = place.server.job(job)
    states = Counter(row[0] for row in place.server.rows("SELECT state FROM tasks WHERE job_id = ?", job))
    assert states == Counter({"DONE": done, "FAILED": TASKS - done}) - Counter(), states
    assert shown["tasks"]["done"] == done and shown["tasks"]["total"] == TASKS, shown["tasks"]
    ends = [entry[0] for kind, data in place.server.story(job) if kind == "ended" for entry in data["tasks"]]
    assert sorted(ends) == list(range(TASKS))
    good = [no for _, no, _, reason in place.server.attempts(job) if reason == "ok"]
    assert len(good) == done
    for row in place.server.rows("SELECT no, result_json FROM tasks WHERE job_id = ? AND state = 'DONE'", job):
        assert json.loads(row[1]) == {"answer": row[0] ** 2}, row
