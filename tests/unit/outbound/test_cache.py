"""The cache of archives: one fetch for all who ask, failures shared, the least used leave first."""

import asyncio
import os
import time
from pathlib import Path

import anyio
import pytest

from sirdar.services.code.cache import ArchiveCache


def test_all_who_ask_at_the_same_time_share_one_fetch(tmp_path: Path) -> None:
    cache, calls = ArchiveCache(tmp_path), list[str]()

    async def produce(path: Path) -> None:
        calls.append("x")
        await anyio.sleep(0.02)
        await anyio.Path(path).write_bytes(b"archive")

    async def ask() -> bytes:
        async with cache.borrowed("k", produce) as path:
            return await anyio.Path(path).read_bytes()

    async def many() -> list[bytes]:
        return await asyncio.gather(*(ask() for _ in range(10)))

    assert asyncio.run(many()) == [b"archive"] * 10
    assert asyncio.run(ask()) == b"archive"
    assert calls == ["x"]
    again = ArchiveCache(tmp_path)

    async def from_disk() -> None:
        async with again.borrowed("k", produce):
            pass

    asyncio.run(from_disk())
    assert calls == ["x"], "archives outlive the process"


def test_a_failure_reaches_all_who_waited_and_leaves_nothing(tmp_path: Path) -> None:
    cache, calls = ArchiveCache(tmp_path), list[str]()

    async def produce(path: Path) -> None:
        calls.append("x")
        await anyio.Path(path).write_bytes(b"half")
        await anyio.sleep(0.02)
        raise ValueError("broken off")

    async def ask() -> None:
        async with cache.borrowed("k", produce):
            pass

    async def many() -> list[object]:
        return list(await asyncio.gather(*(ask() for _ in range(5)), return_exceptions=True))

    assert [str(failure) for failure in asyncio.run(many())] == ["broken off"] * 5
    assert calls == ["x"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="broken off"):
        asyncio.run(ask())
    assert calls == ["x", "x"], "a failure is not remembered"


def test_the_next_takes_over_from_one_that_is_cancelled(tmp_path: Path) -> None:
    cache, calls = ArchiveCache(tmp_path), list[int]()

    async def produce(path: Path) -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            await anyio.sleep(30)
        await anyio.Path(path).write_bytes(b"ok")

    async def ask() -> bytes:
        async with cache.borrowed("k", produce) as path:
            return await anyio.Path(path).read_bytes()

    async def both() -> bytes:
        first = asyncio.create_task(ask())
        await asyncio.sleep(0.02)
        second = asyncio.create_task(ask())
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    assert asyncio.run(both()) == b"ok"
    assert calls == [0, 1]


def test_the_least_used_leave_first_and_those_in_use_stay(tmp_path: Path) -> None:
    cache = ArchiveCache(tmp_path, max_bytes=250)

    async def produce(path: Path) -> None:
        await anyio.Path(path).write_bytes(b"x" * 100)

    async def ask(key: str, age_s: float) -> None:
        async with cache.borrowed(key, produce) as path:
            pass
        os.utime(path, (time.time() - age_s,) * 2)

    async def story() -> set[str]:
        async with cache.borrowed("held", produce) as held:
            os.utime(held, (1, 1))
            await ask("old", 100)
            await ask("new", 0)
            return {Path(name).stem for name in os.listdir(tmp_path)}

    assert asyncio.run(story()) == {"held", "new"}


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    old, young = tmp_path / "a.part", tmp_path / "b.part"
    for path in (old, young):
        path.mkdir()
        (path / "file").write_text("x")
    os.utime(old, (1, 1))
    ArchiveCache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.part"]
