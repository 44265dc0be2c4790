"""A server whose blobs are in S3: people's files stream through it, agents transfer large ones by signed addresses."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.system.product import await_that, problem
from tests.system.remote import Remote, remote_of
from wire import Wire

MIB = 1 << 20

pytestmark = pytest.mark.needs("moto", "obstore")


@dataclass
class World:
    """``remote.wire`` lies between agent and server, ``store`` between agent and S3."""

    remote: Remote
    store: Wire
    service: Any
    bucket: str

    def blobs(self) -> set[str]:
        return {key.rpartition("/")[2] for key in self.service.keys(self.bucket)}


@pytest.fixture(scope="module")
def world(s3_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    bucket = s3_server.new_bucket()
    store = Wire(urlsplit(s3_server.url).port or 0)
    settings = {
        "blobs": f"s3://{bucket}/lab",
        "s3_endpoint": s3_server.url,
        "s3_agent_endpoint": store.url,
        "blob_grace_s": 1,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        try:
            with remote_of(tmp_path_factory.mktemp("s3"), agent={"cache_bytes": 200 * MIB}, **settings) as remote:
                yield World(remote, store, s3_server, bucket)
        finally:
            store.close()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_of_people_stream_through_the_server(world: World) -> None:
    admin = world.remote.server.admin
    for content in (b"", b"small", os.urandom(20 * MIB)):
        uri = world.remote.put(content)
        assert world.remote.download(uri) == content
        assert digest(content) in world.blobs()
        if len(content) > 5:
            part = admin.get(uri, headers={"range": "bytes=1048570-1048589"})
            assert part.status_code == 206 and part.content == content[1048570:1048590]
            assert admin.head(uri).headers["content-length"] == str(len(content))
    refused = admin.put(f"/api/files/temp/x?sha256={'0' * 64}", content=b"other")
    problem(refused, 422, "invalid_field", "sha256")


def test_an_upload_in_pieces(world: World) -> None:
    admin, content = world.remote.server.admin, os.urandom(10 * MIB)
    begun = admin.post("/api/files/uploads", json={"filename": "f", "length": len(content)}).json()
    for at in (0, 3 * MIB):
        piece = content[at : at + 3 * MIB] if not at else content[at:]
        assert admin.patch(begun["uri"], params={"offset": at}, content=piece).json() == {"offset": at + len(piece)}
    made = admin.post(f"{begun['uri']}/complete").json()
    assert made["sha256"] == digest(content)
    assert world.remote.download(made["uri"]) == content


def test_an_agent_transfers_large_blobs_by_signed_addresses(world: World) -> None:
    content = os.urandom(20 * MIB)
    uri = world.remote.put(content)
    wire, store = world.remote.wire, world.store
    before = (wire.down, wire.up, store.down, store.up)
    job = world.remote.done(world.remote.submit("me/twice", {"given": uri}))
    assert world.remote.download(job["result"]["taken"]) == content * 2
    assert wire.down - before[0] < MIB and wire.up - before[1] < MIB, "the server's line carries no large blobs"
    assert 20 * MIB < store.down - before[2] < 21 * MIB
    assert 40 * MIB < store.up - before[3] < 41 * MIB


def test_direct_transfers_go_on_after_a_cut_and_are_checked(world: World) -> None:
    content = os.urandom(20 * MIB)
    uri = world.remote.put(content)
    faults = [
        world.store.add("cut", 6 * MIB),
        world.store.add("spoil", 12 * MIB),
        world.store.add("cut", 5 * MIB, down=False),
        world.store.add("spoil", 30 * MIB, down=False),
    ]
    job = world.remote.done(world.remote.submit("me/twice", {"given": uri}))
    assert all(fault.happened.is_set() for fault in faults)
    assert world.remote.download(job["result"]["taken"]) == content * 2
    assert "blob_arrived_spoiled" in world.remote.agent_log and "blob_upload_again" in world.remote.agent_log


def test_where_the_agent_cannot_reach_the_service_all_goes_through_the_server(world: World) -> None:
    content = os.urandom(10 * MIB)
    uri, before = world.remote.put(content), world.remote.wire.down
    world.store.block()
    try:
        job = world.remote.done(world.remote.submit("me/twice", {"given": uri}))
    finally:
        world.store.unblock()
    assert world.remote.wire.down - before > 10 * MIB
    assert world.remote.download(job["result"]["taken"]) == content * 2


def test_what_nobody_names_is_collected(world: World) -> None:
    content = os.urandom(2 * MIB)
    uri = world.remote.put(content)
    assert digest(content) in world.blobs()
    assert world.remote.server.admin.delete(uri).status_code == 200
    await_that(lambda: digest(content) not in world.blobs(), 15, "the removal of the blob")
