"""What every ``BlobStore`` owes: the same tests for the local disk and for S3."""

import asyncio
import hashlib
import itertools
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sirdar.blobs.base import PARTS, Blob, BlobStore
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.opening import open_blobs
from sirdar.blobs.s3 import S3Blobs
from sirdar.domain.problems import Problem

MIB = 1 << 20
ABSENT = "0" * 64


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.needs("moto", "obstore"))])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobStore]:
    """A store; at its end nothing half done is left in it."""
    if request.param == "local":
        store = open_blobs("", tmp_path)
        yield store
        left = [path for name in ("tmp", "trash", "uploads") for path in (tmp_path / "blobs" / name).iterdir()]
    else:
        server = request.getfixturevalue("s3_server")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket = server.new_bucket()
        store = open_blobs(f"s3://{bucket}/some/where", tmp_path, endpoint=server.url)
        yield store
        keys = server.keys(bucket)
        assert all(key.startswith("some/where/") for key in keys)
        left = [key for key in keys if key.split("/")[2] in {"tmp", "trash", "uploads"}]
        left += [str(path) for path in (tmp_path / "tmp").iterdir()]
        with urllib.request.urlopen(f"{server.url}/{bucket}?uploads") as reply:
            assert b"<Upload>" not in reply.read(), "an unfinished multipart upload was left"
    store.close()
    assert left == []


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def put(blobs: BlobStore, chunks: list[bytes], **options: Any) -> Blob:
    async with blobs.writer(**options) as writer:
        for chunk in chunks:
            await writer.write(chunk)
        return await writer.finish()


async def whole(blobs: BlobStore, sha256: str, start: int = 0, stop: int | None = None) -> bytes:
    pieces = [piece async for piece in blobs.read(sha256, start, stop)]
    assert all(0 < len(piece) <= MIB for piece in pieces)
    return b"".join(pieces)


def there(blobs: BlobStore) -> set[str]:
    return {name for part in PARTS for name in blobs.listing(part)}


SIZES = [[], [0], [5], [65536] * 40, [9 * MIB], [1, MIB, 7, 2 * MIB, 3], [3 * MIB + 1] * 14]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{sum(sizes)}")
def test_put_and_read(blobs: BlobStore, sizes: list[int]) -> None:
    """Small ones, some of several batches, and one of several parts of a multipart upload."""
    chunks = [os.urandom(size) for size in sizes]
    content = b"".join(chunks)

    async def run() -> None:
        blob = await put(blobs, chunks, expected_sha=sha(content))
        assert blob == Blob(sha(content), len(content)) == await put(blobs, chunks)
        assert await blobs.size(blob.sha256) == len(content)
        assert await whole(blobs, blob.sha256) == content
        async with blobs.file(blob.sha256) as path:
            assert path.read_bytes() == content

    asyncio.run(run())
    assert there(blobs) == {sha(content)}


def test_many_at_once(blobs: BlobStore) -> None:
    contents = {sha(content): content for content in (b"", b"one", os.urandom(5000), os.urandom(MIB))}

    async def run() -> None:
        await blobs.put_all(contents)
        await blobs.put_all({})
        await blobs.put_all(contents)
        for digest, content in contents.items():
            assert await blobs.size(digest) == len(content) and await whole(blobs, digest) == content

    asyncio.run(run())
    assert there(blobs) == contents.keys()


def test_ranges(blobs: BlobStore) -> None:
    content = os.urandom(3 * MIB)

    async def run() -> None:
        blob = await blobs.put_bytes(content)
        for start, stop in ((0, 1), (5, 5), (MIB - 1, MIB + 1), (7, None), (0, len(content)), (3, 10 * MIB)):
            assert await whole(blobs, blob.sha256, start, stop) == content[start:stop], (start, stop)
        assert await whole(blobs, blob.sha256, len(content)) == b""

    asyncio.run(run())


def test_what_is_not_there(blobs: BlobStore) -> None:
    async def run() -> None:
        assert await blobs.size(ABSENT) is None
        with pytest.raises(Problem) as read:
            await whole(blobs, ABSENT)
        with pytest.raises(Problem) as part:
            await whole(blobs, ABSENT, 5, 10)
        with pytest.raises(Problem) as file:
            async with blobs.file(ABSENT):
                pass
        assert read.value.code == part.value.code == file.value.code == "not_found"
        for bad in ("../../etc/passwd", "A" * 64, ""):
            with pytest.raises(Problem):
                await blobs.size(bad)

    asyncio.run(run())
    assert blobs.discard([ABSENT], older_than=time.time() + 60) == 0


def test_nothing_stays_of_what_was_not_finished(blobs: BlobStore) -> None:
    large = [os.urandom(3 * MIB)] * 10

    async def run() -> None:
        for chunks in ([b"a"], large):
            with pytest.raises(Problem) as wrong:
                await put(blobs, chunks, expected_sha=ABSENT)
            assert wrong.value.code == "invalid_field" and ABSENT in wrong.value.detail
            with pytest.raises(Problem) as big:
                await put(blobs, [*chunks, b"b" * 100], max_bytes=sum(map(len, chunks)) + 99)
            assert big.value.code == "too_large"
            with pytest.raises(ConnectionError):
                async with blobs.writer() as writer:
                    for chunk in chunks:
                        await writer.write(chunk)
                    raise ConnectionError
        with pytest.raises(Problem):
            await put(blobs, [], expected_sha="../../etc/passwd")

    asyncio.run(run())
    assert there(blobs) == set()


def test_a_cancelled_put_leaves_nothing(blobs: BlobStore) -> None:
    async def run() -> None:
        started = asyncio.Event()

        async def put_for_ever() -> None:
            async with blobs.writer() as writer:
                while True:
                    await writer.write(b"c" * MIB)
                    if writer.size_bytes > 20 * MIB:
                        started.set()

        putting = asyncio.create_task(put_for_ever())
        await started.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting

    asyncio.run(run())
    assert there(blobs) == set()


@pytest.mark.parametrize("size", [7, 20 * MIB])
def test_put_path(blobs: BlobStore, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def run() -> None:
        with pytest.raises(Problem):
            await blobs.put_path(path, move=True, expected_sha=ABSENT)
        assert await blobs.put_path(path, expected_sha=sha(content)) == Blob(sha(content), size)
        assert path.exists()
        await blobs.put_path(path, move=True)
        assert not path.exists()
        assert await whole(blobs, sha(content)) == content

    asyncio.run(run())


def test_discard_spares_the_young(blobs: BlobStore) -> None:
    async def run() -> list[str]:
        return [(await blobs.put_bytes(content)).sha256 for content in (b"one", b"two", b"three")]

    one, two, three = asyncio.run(run())
    assert blobs.discard([one, two], older_than=time.time() - 60) == 0
    assert there(blobs) == {one, two, three}
    assert blobs.discard([one, two, ABSENT], older_than=time.time() + 60) == 2
    assert there(blobs) == {three}


# ---------------------------------------------------------------- uploads in pieces


def test_an_upload_grows_and_becomes_a_blob(blobs: BlobStore) -> None:
    content = os.urandom(21 * MIB + 17)
    cuts = [0, 3, MIB, 20 * MIB + 1, len(content)]

    async def run() -> None:
        uploads = blobs.uploads
        assert await uploads.offset("u") == 0
        for start, stop in itertools.pairwise(cuts):
            async with uploads.append("u", offset=start, length=len(content)) as writer:
                for at in range(start, stop, 300_001):
                    await writer.write(content[at : min(stop, at + 300_001)])
            assert await uploads.offset("u") == stop
        assert abs(uploads.listing()["u"] - time.time()) < 60
        blob = Blob(sha(content), len(content))
        assert await uploads.complete("u", length=len(content), sha256=sha(content)) == blob
        assert await uploads.complete("u", length=len(content), sha256=None) == blob  # the answer was lost: again
        await uploads.discard("u")
        await uploads.discard("u")
        assert await whole(blobs, blob.sha256) == content

    asyncio.run(run())
    assert blobs.uploads.listing() == {}


def test_an_upload_refuses_what_does_not_fit(blobs: BlobStore) -> None:
    async def append(offset: int, content: bytes, length: int = 10) -> str:
        try:
            async with blobs.uploads.append("u", offset=offset, length=length) as writer:
                await writer.write(content)
        except Problem as problem:
            return f"{problem.code} {problem.expected}"
        return "kept"

    async def run() -> None:
        assert await append(0, b"12345") == "kept"
        assert await append(4, b"567") == "offset_mismatch 5"
        assert await append(0, b"1") == "offset_mismatch 5"
        assert (await append(5, b"678901")).startswith("too_large")
        assert await blobs.uploads.offset("u") == 5
        with pytest.raises(Problem) as early:
            await blobs.uploads.complete("u", length=10, sha256=None)
        assert (early.value.code, early.value.expected) == ("offset_mismatch", "5")
        assert await append(5, b"67890") == "kept"
        with pytest.raises(Problem) as wrong:
            await blobs.uploads.complete("u", length=10, sha256=ABSENT)
        assert wrong.value.field == "sha256"
        await blobs.uploads.discard("u")

    asyncio.run(run())
    assert there(blobs) == set()


def test_two_requests_do_not_write_the_same_part_of_an_upload(blobs: BlobStore) -> None:
    async def run() -> None:
        codes = []
        async with blobs.uploads.append("u", offset=0, length=10) as first:
            await first.write(b"12345")
            try:
                async with blobs.uploads.append("u", offset=0, length=10) as second:
                    await second.write(b"abcde")
            except Problem as problem:
                codes.append(problem.code)
            else:
                codes.append("kept")
            if codes == ["kept"]:  # where there is no lock the later of the two is refused
                with pytest.raises(Problem) as refused:
                    await first.flush()  # type: ignore[attr-defined]
                assert refused.value.code == "conflict"
            else:
                assert codes == ["conflict"]
        blob = await blobs.uploads.complete("u", length=5, sha256=None)
        assert await whole(blobs, blob.sha256) in {b"12345", b"abcde"}
        await blobs.uploads.discard("u")

    asyncio.run(run())


def test_what_arrived_before_a_cut_stays(blobs: BlobStore) -> None:
    async def run() -> None:
        with pytest.raises(ConnectionError):
            async with blobs.uploads.append("u", offset=0, length=100) as writer:
                await writer.write(b"half")
                raise ConnectionError
        assert await blobs.uploads.offset("u") == 4
        await blobs.uploads.discard("u")

    asyncio.run(run())


# ---------------------------------------------------------------- signed addresses, where there are any


def test_signed_addresses(blobs: BlobStore) -> None:
    content = os.urandom(70 * MIB)

    async def run() -> None:
        blob = await blobs.put_bytes(content[:100])
        address = await blobs.address(blob.sha256)
        pieces = await blobs.uploads.addresses("u", length=len(content))
        if isinstance(blobs, LocalBlobs):
            assert address is None and not pieces and blobs.shared is not None
            return
        assert isinstance(blobs, S3Blobs) and blobs.shared is None and address is not None
        assert await asyncio.to_thread(_get, address) == content[:100]
        assert sum(piece.size_bytes for piece in pieces) == len(content) and len(pieces) == 3
        for number in (2, 0):  # in any order
            await asyncio.to_thread(
                _put, pieces[number].url, content[pieces[number].offset :][: pieces[number].size_bytes]
            )
        assert await blobs.uploads.offset("u") == pieces[0].size_bytes
        (left,) = await blobs.uploads.addresses("u", length=len(content))
        await asyncio.to_thread(_put, left.url, content[left.offset :][: left.size_bytes])
        assert await blobs.uploads.addresses("u", length=len(content)) == []
        with pytest.raises(Problem):
            await blobs.uploads.complete("u", length=len(content), sha256=ABSENT)
        made = await blobs.uploads.complete("u", length=len(content), sha256=sha(content))
        assert await whole(blobs, made.sha256) == content
        await blobs.uploads.discard("u")

    asyncio.run(run())


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as reply:
        return bytes(reply.read())


def _put(url: str, content: bytes) -> None:
    headers = {"content-type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, content, headers, method="PUT")).close()
