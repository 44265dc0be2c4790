"""The cache of applications: asked at once by many, changed meanwhile, bounded."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from sirdar.services import app_cache
from sirdar.services.app_cache import AppCache, cache_of
from sirdar.store.apps import AppHead, AppRecord, AppVersion


class Ledger:
    """Stands where the store does: answers are what the test says, when the test says."""

    def __init__(self) -> None:
        self.latest = 1
        self.reads = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def read(self, run: Callable[[Any], Any]) -> Any:
        self.reads += 1
        latest = self.latest
        await self.hold.wait()
        return run(latest)


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_cache, "_find_head", lambda latest, key: AppHead(record(latest), {}))


def record(latest: int) -> AppRecord:
    return AppRecord("id-app", "id-anna", "anna", "svf", "", "", (), latest, 0.0, 0.0, None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("heads")
def test_many_who_ask_at_once_ask_the_store_once() -> None:
    async def run() -> None:
        ledger = Ledger()
        cache = AppCache(ledger)  # type: ignore[arg-type]
        found = await asyncio.gather(*(cache.head(("anna", "svf")) for _ in range(100)))
        assert {head.app.latest for head in found if head} == {1}
        assert ledger.reads == 1

    asyncio.run(run())


@pytest.mark.usefixtures("heads")
def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    async def run() -> None:
        ledger = Ledger()
        cache = AppCache(ledger)  # type: ignore[arg-type]
        ledger.hold.clear()
        early = asyncio.ensure_future(cache.head("id-app"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ledger.latest = 2  # committed while the reader is on its way
        cache.forget("id-app")
        late = asyncio.ensure_future(cache.head("id-app"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ledger.hold.set()
        heads = [await early, await late, await cache.head("id-app")]
        assert [head.app.latest for head in heads if head] == [1, 2, 2]

    asyncio.run(run())


@pytest.mark.usefixtures("heads")
def test_a_failed_read_is_not_remembered() -> None:
    async def run() -> None:
        ledger = Ledger()
        cache = AppCache(ledger)  # type: ignore[arg-type]

        async def broken(_run: object) -> None:
            raise OSError("no database")

        ledger.read = broken  # type: ignore[method-assign, assignment]
        with pytest.raises(OSError, match="no database"):
            await cache.head("id-app")
        del ledger.read
        assert (await cache.head("id-app")) is not None

    asyncio.run(run())


def test_versions_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_cache, "VERSIONS_BYTES", 1000)
    ledger = Ledger.__new__(Ledger)
    cache = AppCache(ledger)  # type: ignore[arg-type]
    for number in range(1, 20):
        monkeypatch.setattr(app_cache.rows, "get_version_by_id", lambda conn, version_id, n=number: version(n))
        assert cache.version_now(None, f"v{number}") is not None  # type: ignore[arg-type]
        assert cache._bytes <= 1000
    assert list(cache._versions) == [f"v{number}" for number in range(10, 20)]
    assert len(cache._numbers) == 10


def version(number: int) -> AppVersion:
    document = {"sirdar": 1, "alias": "svf", "command": ["ls"]}
    return AppVersion(
        f"v{number}", "id-app", "id-anna", "anna", "svf", number, "d", document, (), "", "", 0.0, "anna", 100  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_cache_goes_with_its_store() -> None:
    ledger = Ledger.__new__(Ledger)
    gone = weakref.ref(ledger)
    assert cache_of(ledger) is cache_of(ledger)  # type: ignore[arg-type]
    del ledger
    gc.collect()
    assert gone() is None
