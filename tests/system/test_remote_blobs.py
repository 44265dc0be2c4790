"""Blobs between the server and an agent on another disk: sent once, cached, resumed after a cut, checked."""

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.faults.field import _resource as new_resource
from tests.faults.rig import LooseAgent, Rig
from tests.system.product import await_that
from wire import Wire

MIB = 1 << 20


@dataclass
class Remote:
    """A server without an agent of its own, and one that reaches it through ``wire`` only and shares no directory with it."""

    server: Rig
    wire: Wire
    agent: LooseAgent

    def put(self, content: bytes, name: str = "given") -> str:
        reply = self.server.admin.put(f"/api/files/temp/{name}", content=content)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["uri"])

    def submit(self, app: str, inputs: dict[str, Any], **more: Any) -> str:
        return str(self.server.submit(app, inputs, **more)["id"])

    def done(self, job_id: str) -> dict[str, Any]:
        job = self.server.await_end(job_id)
        assert job["state"] == "DONE", f"{job}\n{self.server.picture(job_id)}"
        return job

    def download(self, uri: str) -> bytes:
        reply: httpx.Response = self.server.admin.get(uri)
        assert reply.status_code == 200
        return reply.content

    @property
    def cached(self) -> dict[str, int]:
        """Blobs in the agent's cache, and their sizes."""
        return {path.name: path.stat().st_size for path in (self.agent.home / "cache").glob("??/*")}

    @property
    def agent_log(self) -> str:
        return (self.agent.home / "agent.log").read_text()


@contextlib.contextmanager
def remote_of(root: Path, *, agent: dict[str, Any] | None = None, slots: int = 2, **settings: Any) -> Iterator[Remote]:
    server = Rig(root / "up", settings, slots=0)
    server.root.mkdir(parents=True)
    server.start()
    wire = Wire(server.port)
    _, join = new_resource(server, embedded=False)
    loose = LooseAgent(root / "agent/home", wire.url, join, slots=slots, settings=agent or {}).start()
    try:
        server.publish(
            "sum",
            "cat given | sha256sum > sum; sleep ${pause}",
            shell=True,
            inputs={
                "given": {"type": "file", "path": "given"},
                "pause": {"type": "number", "default": 0},
                "n": {"type": "integer", "default": 0},
            },
            outputs={"sum": {"type": "file", "from": "sum"}},
        )
        server.publish(
            "twice",
            "cat given given > taken",
            shell=True,
            inputs={"given": {"type": "file", "path": "given"}},
            outputs={"taken": {"type": "file", "from": "taken"}},
        )
        yield Remote(server, wire, loose)
        left = [*loose.home.glob("work/*/dir/*"), *loose.home.glob("cache/partial/*")]
        assert not left, left
    finally:
        loose.close()
        wire.close()
        server.again()
        server.close()


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with remote_of(tmp_path_factory.mktemp("remote"), agent={"cache_bytes": 100 * MIB}) as made:
        yield made


def test_many_tasks_fetch_one_input_once(remote: Remote) -> None:
    content = os.urandom(20 * MIB)
    uri, before = remote.put(content), remote.wire.down
    job = remote.submit("me/sum", {"given": uri}, foreach=[{"n": number} for number in range(100)])
    remote.done(job)
    assert 20 * MIB < remote.wire.down - before < 21 * MIB
    assert remote.cached[hashlib.sha256(content).hexdigest()] == len(content)
    again = remote.wire.down
    remote.done(remote.submit("me/sum", {"given": uri}))
    assert remote.wire.down - again < MIB


def test_a_fetch_goes_on_where_it_was_cut(remote: Remote) -> None:
    content = os.urandom(40 * MIB)
    uri, before = remote.put(content), remote.wire.down
    faults = [remote.wire.add("cut", after) for after in (10 * MIB, 30 * MIB)]
    job = remote.done(remote.submit("me/sum", {"given": uri}))
    assert all(fault.happened.is_set() for fault in faults)
    assert remote.wire.down - before < 45 * MIB  # what was cut off in flight may come twice
    assert remote.download(job["result"]["sum"]).split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_spoiled_byte_is_found_and_fetched_again(remote: Remote) -> None:
    content = random.Random(7).randbytes(20 * MIB)
    uri = remote.put(content)
    fault = remote.wire.add("spoil", 11 * MIB)
    job = remote.done(remote.submit("me/sum", {"given": uri}))
    assert fault.happened.is_set()
    assert "blob_arrived_spoiled" in remote.agent_log
    assert remote.download(job["result"]["sum"]).split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_fetch_goes_on_after_the_agent_was_killed(remote: Remote) -> None:
    content = os.urandom(40 * MIB)
    uri, before = remote.put(content), remote.wire.down
    cut = remote.wire.add("cut", 25 * MIB)
    job = remote.submit("me/sum", {"given": uri})
    assert cut.happened.wait(20)
    remote.agent.kill()
    remote.agent.start()
    remote.done(job)
    assert remote.wire.down - before < 48 * MIB


def test_an_output_goes_on_where_it_was_cut(remote: Remote) -> None:
    content = os.urandom(20 * MIB)
    uri = remote.put(content)
    before = remote.wire.up
    faults = [remote.wire.add("cut", after, down=False) for after in (10 * MIB, 30 * MIB)]
    job = remote.done(remote.submit("me/twice", {"given": uri}))
    assert all(fault.happened.is_set() for fault in faults)
    assert 40 * MIB < remote.wire.up - before < 52 * MIB  # what was in flight at a cut comes twice
    assert remote.download(job["result"]["taken"]) == content * 2
    again = remote.wire.up
    remote.done(remote.submit("me/twice", {"given": uri}))
    assert remote.wire.up - again < MIB, "the server has these bytes already"


def test_a_spoiled_byte_of_an_output_is_found_and_sent_again(remote: Remote) -> None:
    content = os.urandom(10 * MIB)
    uri = remote.put(content)
    fault = remote.wire.add("spoil", 11 * MIB, down=False)
    job = remote.done(remote.submit("me/twice", {"given": uri}))
    assert fault.happened.is_set() and "blob_upload_again" in remote.agent_log
    assert remote.download(job["result"]["taken"]) == content * 2


def test_the_cache_is_bounded_and_the_least_recently_used_goes_first(remote: Remote) -> None:
    contents = [os.urandom(30 * MIB) for _ in range(4)]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    uris = [remote.put(content) for content in contents]
    for which in (0, 1, 0, 2, 3):
        remote.done(remote.submit("me/sum", {"given": uris[which]}))
    assert sum(remote.cached.values()) <= 100 * MIB
    assert names[3] in remote.cached and names[2] in remote.cached and names[1] not in remote.cached


def test_what_a_running_task_needs_stays(remote: Remote) -> None:
    first, others = os.urandom(40 * MIB), [os.urandom(40 * MIB) for _ in range(3)]
    name = hashlib.sha256(first).hexdigest()
    held = remote.submit("me/sum", {"given": remote.put(first), "pause": 30})
    await_that(lambda: remote.server.attempt_is(held, "RUNNING"), 20, "the start")
    for other in others:
        remote.done(remote.submit("me/sum", {"given": remote.put(other)}))
        assert name in remote.cached
    reply = remote.server.admin.post(f"/api/jobs/{held}/cancel")
    assert reply.status_code < 300, reply.text
    remote.server.await_end(held)
