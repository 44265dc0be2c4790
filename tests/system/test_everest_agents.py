"""Variables that the tasks of one job share across agents: two real agents, one task on each."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.proxy import Proxy
from tests.faults.rig import LooseAgent
from tests.system.product import Product, await_that

from sirdar.services import attach
from sirdar.services.settings import Settings
from sirdar.store import people
from sirdar.store.engine import Store

ROUNDS = 40
# Each agent has one slot and runs one of these at a time; by its port a task knows on which agent it is.
PORT = """
import os, socket, struct, sys, time
PORTS, ROUNDS = sys.argv[1].split(","), int(sys.argv[2])
link = socket.create_connection((os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])))
link.settimeout(30)
def say(text):
    link.sendall(struct.pack(">I", len(text)) + text.encode())
def exactly(n):
    raw = b""
    while len(raw) < n:
        raw += link.recv(n - len(raw)) or sys.exit("the agent hung up")
    return raw
def hear(name):
    while True:
        verb, about, value = exactly(struct.unpack(">I", exactly(4))[0]).decode().split(" ", 2)
        if about == name:
            return value
task = os.environ["EVEREST_AGENT_TASK_ID"]
link.sendall(struct.pack(">I", len(task) + 1) + b"\\0" + task.encode())
say("VAR_GET done")
if hear("done") == "1":
    sys.exit()
first = PORTS.index(os.environ["EVEREST_AGENT_PORT"]) == 0
"""
PING_PONG = """
if first:
    took = []
    for i in range(ROUNDS):
        began = time.time()
        say(f"VAR_SET ping {i}")
        while hear("pong") != str(i):
            pass
        took.append(time.time() - began)
    say("VAR_SET done 1")
    say("VAR_GET done")
    hear("done")
    print(" ".join(f"{t:.3f}" for t in took[1:]))      # the first one waits for the other's start
else:
    say("VAR_GET ping")
    last = -1
    while last < ROUNDS - 1:
        heard = hear("ping")
        if heard != "NULL" and int(heard) > last:
            last = int(heard)
            say(f"VAR_SET pong {last}")
"""
# The other's network is cut while the variable is set, and comes back.
MISSED = """
if first:
    say("VAR_GET ready")
    while hear("ready") != "1":
        pass
    say("status: cut it")
    say("VAR_GET go")
    while hear("go") != "1":                             # what the test does in between comes by another job's hand: a file
        time.sleep(0.05)
        say("VAR_SET go " + str(int(os.path.exists(sys.argv[3]))))
        say("VAR_GET go")
    for value in ("1", "2", "last"):
        say("VAR_SET_MD best 9")
        say(f"VAR_SET word {value}")
    say("VAR_SET done 1")
    say("VAR_GET done")
    hear("done")
    open(sys.argv[3] + ".set", "w").close()
else:
    say("VAR_SET ready 1")
    while hear("word") != "last":
        pass
    print("last")
"""


class Pair:
    """A server without an agent of its own, and two agents of one slot each; the second is behind a network that can be cut."""

    def __init__(self, root: Path) -> None:
        (root / "up").mkdir()
        self.server = Product(root / "up", {"heartbeat_s": 15}, slots=0)  # nothing here may wait for a heartbeat
        self.server.start()
        self.network = Proxy(self.server.port)
        self.agents = [
            LooseAgent(root / f"agent{n}/home", url, self._join(f"machine {n}"), slots=1).start()
            for n, url in enumerate((self.server.url, self.network.url))
        ]
        for agent in self.agents:
            await_that(lambda agent=agent: _status(agent).get("name"), what="an agent's start")

    def _join(self, name: str) -> str:
        settings = Settings(home=self.server.home)
        store = Store(settings.database_url)
        try:
            owner = store.read_now(lambda conn: people.user_by_name(conn, "admin"))
            assert owner is not None
            return store.write_now(lambda tx: attach.create_resource(tx, settings, name=name, owner_id=owner.id))[1]
        finally:
            store.close()

    @property
    def ports(self) -> str:
        return ",".join(str(_status(agent)["task_port"]) for agent in self.agents)

    def submit(self, program: str, gate: str = "-") -> str:
        """Four tasks, as an agent of one slot takes two: one runs, one waits behind it."""
        self.server.publish(
            "pair", ["python3", "pair.py", "${ports}", str(ROUNDS), "${gate}"], files={"pair.py": PORT + program},
            inputs={"ports": {"type": "string"}, "gate": {"type": "string"}, "n": {"type": "integer"}},
            outputs={"said": {"type": "string", "from": "stdout"}}, retries=0,
        )  # fmt: skip
        job = self.server.submit("me/pair", {"ports": self.ports, "gate": gate}, foreach=[{"n": n} for n in range(4)])
        return str(job["id"])

    def done(self, job_id: str) -> list[str]:
        """What the tasks printed that had something to print."""
        job = self.server.ended(job_id)
        errors = [self.server.admin.get(f"/api/jobs/{job_id}/stderr?task={n}").text for n in range(4)]
        assert job["state"] == "DONE", (job, errors)
        return [one["said"].strip() for one in job["result"] if one["said"].strip()]

    def close(self) -> None:
        self.network.clear()
        for agent in self.agents:
            agent.close()
        self.network.close()
        self.server.close()


def _status(agent: LooseAgent) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((agent.home / "agent.json").read_text()))
    return {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.close()


def test_a_change_reaches_the_other_agents_task_at_once(pair: Pair) -> None:
    job = pair.submit(PING_PONG)
    (said,) = pair.done(job)
    took = sorted(float(word) for word in said.split())
    assert len(took) == ROUNDS - 1
    # There and back again: two changes. Both agents are full all the time.
    assert took[len(took) // 2] < 0.3, took
    assert took[-1] < 1.5, took
    tasks = pair.server.admin.get(f"/api/jobs/{job}/tasks").json()
    assert {task["resource"]["name"] for task in tasks} == {"machine 0", "machine 1"}


def test_what_was_set_while_the_network_was_cut_is_told_when_it_is_back(pair: Pair, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = pair.submit(MISSED, str(gate))

    def says_so() -> bool:
        tasks = pair.server.admin.get(f"/api/jobs/{job}/tasks").json()
        return any(task["statusMessage"] == "status: cut it" for task in tasks)

    await_that(says_so, within_s=30, what="the first task's message")
    pair.network.cut()
    gate.touch()
    await_that(lambda: Path(f"{gate}.set").exists(), what="the variable's change")
    pair.network.clear()
    assert pair.done(job) == ["last"]


def test_a_full_agent_hears_of_a_cancel_at_once(pair: Pair) -> None:
    pair.server.publish("naps", "sleep 100", inputs={"n": {"type": "integer"}}, retries=0)
    job = pair.server.submit("me/naps", foreach=[{"n": n} for n in range(4)])["id"]
    await_that(lambda: pair.server.job(job)["tasks"]["running"] == 2, what="the start on both agents")
    assert pair.server.admin.post(f"/api/jobs/{job}/cancel").status_code == 200
    ended = await_that(lambda: (found := pair.server.job(job))["endedAt"] and found, within_s=5, what="the end")
    assert ended["state"] == "CANCELLED"
