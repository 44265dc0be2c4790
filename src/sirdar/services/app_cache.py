"""Applications as requests name them, kept in memory: the submission's hot path asks here.

Two kinds of knowledge, kept differently. A **version** never changes, so it stays until room is needed. A **head** (which version
is current, who may run it, whether it is archived) changes: it is forgotten at once when this process changes it, and after
``HEAD_S`` in any case, which bounds what another server's change can go unseen.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary, ref

from sirdar.domain.app import App
from sirdar.store import apps as rows
from sirdar.store.apps import AppHead, AppVersion
from sirdar.store.engine import Store
from sirdar.store.people import Conn
from sirdar.wire.description import parse_document

HEAD_S = 1.5
HEADS_MAX = 20_000
VERSIONS_BYTES = 24 * 2**20  # of stored text; parsed it takes several times that

T = TypeVar("T")
Key: TypeAlias = str | tuple[str, str]  # an application's id, or its owner's name and its alias


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One immutable version, parsed. Shared by all requests: nobody changes it."""

    version: AppVersion
    app: App

    @property
    def reference(self) -> str:
        return f"{self.version.reference}@{self.version.shown}"


class AppCache:
    """What one store's applications are. Heads belong to the event loop's thread; versions may be asked for in any."""

    def __init__(self, store: Store) -> None:
        self._store = ref(store)  # the store is this object's weak key: holding it would keep both for ever
        self._heads: dict[Key, tuple[float, AppHead]] = {}
        self._flights: dict[Key, asyncio.Task[AppHead | None]] = {}
        self._changes = 0  # counts ``forget``: what was read before one is not remembered after it
        self._versions: OrderedDict[str, LoadedVersion] = OrderedDict()
        self._numbers: dict[tuple[str, int], str] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    # ------------------------------------------------------------ heads

    async def head(self, key: Key) -> AppHead | None:
        """Where the application stands now; None where there is none."""
        known = self._heads.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        flight = self._flights.get(key)
        if flight is None:  # many requests at once ask the store once
            flight = self._flights[key] = asyncio.ensure_future(self._load_head(key))
        return await asyncio.shield(flight)

    def forget(self, app_id: str) -> None:
        """Look anew at the next request. Called after each write that changes a head."""
        self._changes += 1
        self._flights.clear()
        for key, (_, head) in list(self._heads.items()):
            if head.app.id == app_id:
                del self._heads[key]

    def forget_all(self) -> None:
        """The same for every application."""
        self._changes += 1
        self._flights.clear()
        self._heads.clear()

    async def _load_head(self, key: Key) -> AppHead | None:
        changes = self._changes
        started = time.monotonic()
        try:
            head = await self._read(lambda conn: _find_head(conn, key))
        finally:
            if self._changes == changes:
                self._flights.pop(key, None)
        if head is not None and self._changes == changes:
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[key] = (started + HEAD_S, head)
        return head

    # ------------------------------------------------------------ versions

    async def version(self, app_id: str, number: int) -> LoadedVersion | None:
        """A version by its number; None where there is none."""
        version_id = self._numbers.get((app_id, number))
        if version_id is not None and (known := self._known(version_id)) is not None:
            return known
        return await self._read(lambda conn: self._keep(rows.get_version(conn, app_id, number)))

    async def version_by_id(self, version_id: str) -> LoadedVersion | None:
        return self._known(version_id) or await self._read(lambda conn: self.version_now(conn, version_id))

    def version_now(self, conn: Conn, version_id: str) -> LoadedVersion | None:
        """``version_by_id`` for code that is inside a transaction, in any thread."""
        return self._known(version_id) or self._keep(rows.get_version_by_id(conn, version_id))

    async def _read(self, run: Callable[[Conn], T]) -> T:
        store = self._store()
        assert store is not None
        return await store.read(run)

    def _known(self, version_id: str) -> LoadedVersion | None:
        with self._lock:
            known = self._versions.get(version_id)
            if known is not None:
                self._versions.move_to_end(version_id)
            return known

    def _keep(self, version: AppVersion | None) -> LoadedVersion | None:
        if version is None:
            return None
        loaded = LoadedVersion(version, parse_document(version.document))
        with self._lock:
            if version.id in self._versions:
                return self._versions[version.id]
            self._versions[version.id] = loaded
            self._numbers[version.app_id, version.number] = version.id
            self._bytes += version.size_bytes
            while self._bytes > VERSIONS_BYTES and len(self._versions) > 1:
                _, old = self._versions.popitem(last=False)
                del self._numbers[old.version.app_id, old.version.number]
                self._bytes -= old.version.size_bytes
        return loaded


def _find_head(conn: Conn, key: Key) -> AppHead | None:
    app = rows.find_app_by_id(conn, key) if isinstance(key, str) else rows.find_app(conn, *key)
    return rows.find_head(conn, app)


def cache_of(store: Store) -> AppCache:
    """The cache that belongs to a store; it goes with it."""
    cache = _caches.get(store)
    if cache is None:
        with _making:
            cache = _caches.setdefault(store, AppCache(store))
    return cache


_caches: WeakKeyDictionary[Store, AppCache] = WeakKeyDictionary()
_making = threading.Lock()
