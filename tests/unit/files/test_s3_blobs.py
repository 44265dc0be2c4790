"""``blobs.s3``: puts and removals of the same bytes at one time, faults of the service, and how a store is named."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sirdar.blobs import s3_bucket, s3_writer
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.opening import open_blobs
from sirdar.blobs.s3 import S3Blobs
from sirdar.blobs.s3_bucket import Bucket, S3Place
from sirdar.domain.problems import Problem

pytestmark = pytest.mark.needs("moto", "obstore")


@pytest.fixture
def bucket(s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return str(s3_server.new_bucket())


@pytest.fixture
def blobs(s3_server: Any, bucket: str, tmp_path: Path) -> Iterator[S3Blobs]:
    made = S3Blobs(S3Place(bucket, endpoint=s3_server.url), tmp_path)
    yield made
    made.close()
    assert not [key for key in s3_server.keys(bucket) if key.startswith(("tmp/", "trash/"))]


def _await_second_after(then: float) -> None:
    """S3 tells whole seconds."""
    while time.time() < int(then) + 1:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(5))
@pytest.mark.parametrize("small", [True, False])
def test_a_put_during_a_removal_is_not_lost(
    blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch, moment: int, small: bool
) -> None:
    """Before whichever request of the removal a put of the same bytes comes, the blob is there afterwards."""
    content = b"again"
    if not small:
        monkeypatch.setattr(s3_writer, "SMALL_BYTES", 2)
    sha256 = asyncio.run(blobs.put_bytes(content)).sha256
    put_at = time.time()
    _await_second_after(put_at)
    placed = threading.Event()
    putting = threading.Thread(target=lambda: asyncio.run(_put(blobs, content)))
    calls = iter(range(100))
    for name in ("find_now", "put_now", "delete_now"):
        monkeypatch.setattr(Bucket, name, _before(getattr(Bucket, name), calls, moment, putting, placed))
    for name in ("put", "copy"):
        monkeypatch.setattr(Bucket, name, _telling(getattr(Bucket, name), sha256, placed))
    blobs.discard([sha256], older_than=int(put_at) + 0.9)
    putting.join(30)
    assert asyncio.run(blobs.size(sha256)) == len(content)


async def _put(blobs: S3Blobs, content: bytes) -> None:
    async with blobs.writer() as writer:
        await writer.write(content)
        await writer.finish()


def _before(real: Any, calls: Iterator[int], moment: int, putting: threading.Thread, placed: threading.Event) -> Any:
    def call(self: Bucket, *args: Any) -> Any:
        if next(calls) == moment:
            putting.start()
            assert placed.wait(30)
        return real(self, *args)

    return call


def _telling(real: Any, sha256: str, placed: threading.Event) -> Any:
    async def call(self: Bucket, *args: Any, **more: Any) -> Any:
        result = await real(self, *args, **more)
        if any(isinstance(arg, str) and arg.endswith(sha256) for arg in args):
            placed.set()
        return result

    return call


def test_a_removal_that_died_holds_up_nobody(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sirdar.blobs.s3.REMOVAL_S", -5.0)
    sha256 = asyncio.run(blobs.put_bytes(b"x")).sha256
    blobs._bucket.put_now(f"trash/{sha256}/0", b"-")
    asyncio.run(blobs.put_bytes(b"x"))
    assert blobs._bucket.listing_now("trash") == []


def test_what_is_too_large_to_be_copied_by_the_service(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_writer, "SMALL_BYTES", 2)
    monkeypatch.setattr(s3_bucket, "COPY_MOST_BYTES", 3)
    asyncio.run(_put(blobs, b"large"))
    assert [found.size_bytes for found in blobs._bucket.listing_now("")] == [5]


def test_a_service_that_is_away_is_a_problem_that_passes(
    tmp_path: Path, bucket: str, free_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "RETRIES", 0)
    blobs = S3Blobs(S3Place(bucket, endpoint=f"http://127.0.0.1:{free_port()}"), tmp_path)
    for content in (b"small", b"l" * (20 << 20)):
        with pytest.raises(Problem) as away:
            asyncio.run(_put(blobs, content))
        assert (away.value.code, away.value.status) == ("unavailable", 503)
        assert bucket in away.value.detail
    blobs.close()


def test_a_store_is_named_by_its_address(tmp_path: Path) -> None:
    local = open_blobs("", tmp_path)
    assert isinstance(local, LocalBlobs) and local.root == tmp_path / "blobs"
    local.close()
    for url in ("s3:bucket", "http://x/y", "s3:///prefix", "s3://bucket/p?x=1"):
        with pytest.raises(Problem) as refused:
            open_blobs(url, tmp_path)
        assert "s3://BUCKET/PREFIX" in str(refused.value.expected) and url in refused.value.detail
