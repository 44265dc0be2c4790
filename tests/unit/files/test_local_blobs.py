"""``blobs.local``: whole or not at all, verified, bounded, removed without losing a put."""

import asyncio
import errno
import fcntl
import hashlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sirdar.blobs import disk, draft
from sirdar.blobs.base import Blob
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[LocalBlobs]:
    made = LocalBlobs(tmp_path / "blobs")
    yield made
    assert list((made.root / "tmp").iterdir()) == [] and list((made.root / "trash").iterdir()) == []
    made.close()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _put(blobs: LocalBlobs, chunks: list[bytes], **options: Any) -> Blob:
    async with blobs.writer(**options) as writer:
        for chunk in chunks:
            await writer.write(chunk)
        return await writer.finish()


@pytest.mark.parametrize("sizes", [[], [0], [5], [65536] * 40, [3 << 20], [1, 1 << 20, 7, 2 << 20, 3]])
def test_put_and_read(blobs: LocalBlobs, sizes: list[int]) -> None:
    chunks = [os.urandom(size) for size in sizes]
    content = b"".join(chunks)

    async def run() -> None:
        blob = await _put(blobs, chunks, expected_sha=_sha(content))
        assert blob == Blob(_sha(content), len(content))
        path = blobs.path(blob.sha256)
        assert path == blobs.root / blob.sha256[:2] / blob.sha256
        assert path.read_bytes() == content and path.stat().st_mode & 0o777 == 0o444
        assert await blobs.size(blob.sha256) == len(content)
        assert b"".join([piece async for piece in blobs.read(blob.sha256)]) == content
        assert b"".join([piece async for piece in blobs.read(blob.sha256, 2, 4)]) == content[2:4]

    asyncio.run(run())


@pytest.mark.parametrize("refused", [False, True])
def test_a_large_file_goes_past_the_cache(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    """Also where the disk refuses such a write in the middle: the file goes on through the cache."""
    monkeypatch.setattr(disk, "DIRECT_FROM_BYTES", 4 << 20)
    real, seen = os.write, []

    def write(handle: int, view: memoryview) -> int:
        direct = bool(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECT)
        seen.append(direct)
        if refused and direct:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(handle, view)

    monkeypatch.setattr(os, "write", write)
    content = os.urandom((18 << 20) + 77)
    chunks = [content[at : at + 300_001] for at in range(0, len(content), 300_001)]

    async def run() -> None:
        blob = await _put(blobs, chunks, expected_sha=_sha(content))
        assert blobs.path(blob.sha256).read_bytes() == content
        async with blobs.uploads.append("u", offset=0, length=len(content)) as writer:
            for chunk in chunks:
                await writer.write(chunk)
        assert await blobs.uploads.complete("u", length=len(content), sha256=_sha(content)) == blob
        await blobs.uploads.discard("u")

    asyncio.run(run())
    assert not seen[0] and not seen[-1]  # the first batch, and the end, which is no whole number of pages


def test_nothing_stays_of_what_was_not_finished(blobs: LocalBlobs) -> None:
    async def run() -> None:
        with pytest.raises(Problem) as wrong:
            await _put(blobs, [b"a" * (3 << 20)], expected_sha="0" * 64)
        assert wrong.value.code == "invalid_field" and "0" * 64 in wrong.value.detail
        with pytest.raises(Problem) as large:
            await _put(blobs, [b"a" * 1000] * 3000, max_bytes=2 << 20)
        assert large.value.code == "too_large"
        with pytest.raises(ConnectionError):
            async with blobs.writer() as writer:
                await writer.write(b"b" * (2 << 20))
                raise ConnectionError
        with pytest.raises(Problem):
            await _put(blobs, [], expected_sha="../../etc/passwd")

    asyncio.run(run())
    assert not any(blobs.listing(f"{part:02x}") for part in range(256))


def test_a_cancelled_put_leaves_nothing(blobs: LocalBlobs) -> None:
    async def run() -> None:
        started = asyncio.Event()

        async def put() -> None:
            async with blobs.writer() as writer:
                while True:
                    await writer.write(b"c" * (1 << 20))
                    started.set()

        putting = asyncio.create_task(put())
        await started.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting

    asyncio.run(run())


def test_a_full_disk_is_a_problem_and_leaves_nothing(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def run() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(Problem) as small:
                await blobs.put_bytes(b"small")
            with pytest.raises(Problem) as large:
                await _put(blobs, [b"x" * (1 << 20)] * 4)
        assert {small.value.code, large.value.code} == {"disk_full"}
        assert (await blobs.put_bytes(b"small")).sha256 == _sha(b"small")  # room again

    asyncio.run(run())


@pytest.mark.parametrize("move", [False, True])
def test_put_path(blobs: LocalBlobs, tmp_path: Path, move: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.utime(path, (1, 1))
    with pytest.raises(Problem):
        blobs.put_path_now(path, move=move, expected_sha="1" * 64)
    blob = asyncio.run(blobs.put_path(path, move=move, expected_sha=_sha(b"content")))
    assert blob == Blob(_sha(b"content"), 7)
    assert path.exists() is not move
    assert blobs.path(blob.sha256).stat().st_mtime > time.time() - 60  # young


def test_a_draft_of_a_dead_process_is_removed_and_one_in_work_is_not(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    LocalBlobs(root).close()
    script = (
        "import sys; from concurrent.futures import ThreadPoolExecutor as T; from pathlib import Path;"
        "from sirdar.blobs.draft import Draft; d = Draft(Path(sys.argv[1]), T(1)); d.append([b'x' * 5]);"
        "print('there', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
        LocalBlobs(root).close()
        assert len(list((root / "tmp").iterdir())) == 1
        process.kill()
        process.wait()
    LocalBlobs(root).close()
    assert list((root / "tmp").iterdir()) == []


def test_the_marker_stays(tmp_path: Path) -> None:
    first, second, other = (LocalBlobs(tmp_path / name) for name in ("a", "a", "b"))
    assert first.marker == second.marker == (tmp_path / "a/.marker").read_text() != other.marker
    for made in (first, second, other):
        made.close()


def test_adopt(blobs: LocalBlobs, tmp_path: Path) -> None:
    content = b"by the agent"
    sha256 = _sha(content)

    async def code(size_bytes: int = len(content), **options: Any) -> str:
        try:
            await blobs.adopt(sha256, size_bytes, **options)
        except Problem as problem:
            return problem.code
        return "adopted"

    async def run() -> None:
        assert await code() == "not_found"
        path = blobs.path(sha256)
        path.parent.mkdir()
        path.symlink_to(tmp_path)
        assert await code() == "invalid_field"
        path.unlink()
        path.write_bytes(content)
        assert await code(5) == "invalid_field"
        assert await code(verify=True) == "adopted"
        assert path.stat().st_mode & 0o777 == 0o444
        path.unlink()
        path.write_bytes(b"BY THE AGENT")
        assert await code(verify=True) == "invalid_field"

    asyncio.run(run())


def test_discard_spares_the_young_and_forgets_the_gone(blobs: LocalBlobs) -> None:
    async def run() -> None:
        old, young = await blobs.put_bytes(b"old"), await blobs.put_bytes(b"young")
        os.utime(blobs.path(old.sha256), (1, 1))
        gone = _sha(b"was never there")
        assert blobs.discard([old.sha256, young.sha256, gone], older_than=time.time() - 60) == 1
        assert not blobs.exists(old.sha256) and blobs.exists(young.sha256)
        assert await blobs.delete(young.sha256) and not await blobs.delete(young.sha256)

    asyncio.run(run())


def test_a_put_during_a_removal_is_not_lost(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moment of the removal a put of the same bytes falls into, the blob is there afterwards."""

    async def run() -> None:
        for moment in range(3):
            blob = await blobs.put_bytes(b"again")
            os.utime(blobs.path(blob.sha256), (1, 1))
            calls = iter(range(10))
            with monkeypatch.context() as patched:
                for name in ("rename", "stat", "unlink"):
                    patched.setattr(Path, name, _putting_at(getattr(Path, name), calls, moment, blobs))
                blobs.discard([blob.sha256], older_than=time.time() - 60)
            assert blobs.path(blob.sha256).read_bytes() == b"again", moment

    asyncio.run(run())


def _putting_at(real: Any, calls: Iterator[int], moment: int, blobs: LocalBlobs) -> Any:
    def call(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.parent.parent == blobs.root and next(calls) == moment:
            source = blobs.root / "tmp" / "put"
            source.write_bytes(b"again")
            draft.place(source, blobs.root, _sha(b"again"))
        return real(self, *args, **kwargs)

    return call


def test_a_crash_in_the_middle_of_a_removal_is_mended(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    blob = asyncio.run(blobs.put_bytes(b"here"))
    blobs.path(blob.sha256).rename(blobs.root / "trash" / blob.sha256)
    blobs.close()
    again = LocalBlobs(tmp_path / "blobs")
    assert again.path(blob.sha256).read_bytes() == b"here"
    again.close()


# ---------------------------------------------------------------- uploads in pieces


def test_an_upload_grows_and_becomes_a_blob(blobs: LocalBlobs) -> None:
    content = os.urandom((5 << 20) + 17)
    cuts = [0, 3, 1 << 20, (4 << 20) + 1, len(content)]

    async def run() -> None:
        uploads = blobs.uploads
        for start, stop in itertools.pairwise(cuts):
            async with uploads.append("u", offset=start, length=len(content)) as writer:
                await writer.write(content[start:stop])
            assert await uploads.offset("u") == stop
            if stop == 1 << 20:
                uploads._hashes.clear()  # as after a restart
        assert await uploads.complete("u", length=len(content), sha256=_sha(content)) == Blob(
            _sha(content), len(content)
        )
        assert await uploads.complete("u", length=len(content), sha256=None)  # the answer was lost: again
        await uploads.discard("u")
        assert blobs.path(_sha(content)).read_bytes() == content

    asyncio.run(run())


def test_a_second_request_to_an_upload_is_refused_at_once(blobs: LocalBlobs) -> None:
    """What else of uploads holds for every store: tests/conformance."""

    async def run() -> None:
        async with blobs.uploads.append("u", offset=0, length=10) as writer:
            await writer.write(b"67")
            with pytest.raises(Problem) as refused:
                async with blobs.uploads.append("u", offset=0, length=10):
                    pass
            assert refused.value.code == "conflict"
        assert await blobs.uploads.offset("u") == 2
        await blobs.uploads.discard("u")

    asyncio.run(run())
