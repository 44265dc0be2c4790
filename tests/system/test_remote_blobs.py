"""Blobs between the server and an agent on another disk: sent once, cached, resumed after a cut, checked."""

import hashlib
import os
import random
from collections.abc import Iterator

import pytest
from tests.system.product import await_that
from tests.system.remote import Remote, remote_of

MIB = 1 << 20


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
    assert remote.wire.down - before < 60 * MIB  # from its beginning it would be 65; what was in flight comes twice


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
