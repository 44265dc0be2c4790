"""``services.blob_ranges``: the directory of a zip is read without the zip."""

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, cast

import anyio.to_thread
import pytest

from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.s3 import S3Blobs
from sirdar.blobs.s3_bucket import Bucket, S3Place
from sirdar.domain.problems import Problem
from sirdar.services.blob_ranges import LEAST_BYTES, BlobFile
from sirdar.wire.archives import Member, list_zip

LARGE = os.urandom(6 << 20)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("first.bin", LARGE)
        archive.writestr("results/note.txt", b"all is well")
        link = zipfile.ZipInfo("latest")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "results/note.txt")
        archive.writestr("last.bin", LARGE)
    return out.getvalue()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalBlobs]:
    made = LocalBlobs(tmp_path / "blobs")
    yield made
    made.close()


def members_of(blobs: Any, content: bytes) -> list[Member]:
    async def run() -> list[Member]:
        blob = await blobs.put_bytes(content)
        file = cast(IO[bytes], BlobFile(blobs, blob.sha256, blob.size_bytes))
        return await anyio.to_thread.run_sync(list_zip, file, "all.zip", blob.size_bytes)

    return asyncio.run(run())


@pytest.mark.needs("moto", "obstore")
def test_of_a_zip_in_a_bucket_little_is_fetched(
    s3_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    fetched: list[int] = []
    real = Bucket.read

    async def read(self: Bucket, *args: Any) -> AsyncIterator[bytes]:
        async for chunk in real(self, *args):
            fetched.append(len(chunk))
            yield chunk

    monkeypatch.setattr(Bucket, "read", read)
    blobs = S3Blobs(S3Place(s3_server.new_bucket(), endpoint=s3_server.url), tmp_path)
    try:
        members = members_of(blobs, zipped())
    finally:
        blobs.close()
    assert [(one.name, one.size_bytes, one.link_to) for one in members] == [
        ("first.bin", len(LARGE), None),
        ("results/note.txt", 11, None),
        ("latest", 16, "results/note.txt"),
        ("last.bin", len(LARGE), None),
    ]
    assert 0 < sum(fetched) <= 8 * LEAST_BYTES, fetched


@pytest.mark.parametrize("content", [b"", b"no zip at all", zipped()[:-30], b"\x1f\x8b" + bytes(5000)])
def test_what_is_no_zip_is_said_to_be_none(local: LocalBlobs, content: bytes) -> None:
    with pytest.raises(Problem, match="cannot be read as an archive") as refused:
        members_of(local, content)
    assert refused.value.code == "invalid_archive"


def test_it_is_read_and_sought_like_a_file(local: LocalBlobs) -> None:
    async def run() -> None:
        blob = await local.put_bytes(LARGE)
        await anyio.to_thread.run_sync(compare, BlobFile(local, blob.sha256, blob.size_bytes), io.BytesIO(LARGE))

    def compare(file: BlobFile, model: io.BytesIO) -> None:
        for offset, whence, size in [(0, 0, 10), (5, 1, 70_000), (-9, 2, 100), (3, 0, 0), (100, 2, 5), (0, 0, -1)]:
            assert file.seek(offset, whence) == model.seek(offset, whence)
            assert file.read(size) == model.read(size) and file.tell() == model.tell()
        with pytest.raises(OSError, match="before the beginning"):
            file.seek(-1)

    asyncio.run(run())
