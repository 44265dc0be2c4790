"""Copies what a server keeps, while it runs: rows as they stand at one moment, then the blobs that they name.

Nothing is collected meanwhile (``store.blobs.hold``), so that what a row names is still there when its turn comes. The same rows
are written for SQLite and PostgreSQL, so a backup of one can be restored into the other.
"""

import asyncio
import gzip
import hashlib
import json
import secrets
import tempfile
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import sirdar
from sirdar.blobs.base import BlobStore
from sirdar.domain.problems import Problem
from sirdar.services.keep.archive import Sink, created
from sirdar.services.keep.manifest import HEADER, KEY_MEMBER, MANIFEST, Header, Manifest, is_member
from sirdar.services.keep.places import KEY, LOGS
from sirdar.services.keep.reading import group_of, verify
from sirdar.services.settings import Settings
from sirdar.store import blobs as blobs_store
from sirdar.store import rows as row_store
from sirdar.store import schema
from sirdar.store.engine import Store
from sirdar.store.opening import place, shown, snapshot

CHUNK_BYTES = 1 << 20  # of rows, before they are packed
HOLD_S = 600.0
RENEW_S = 60.0


async def take_backup(
    settings: Settings, store: BlobStore, to: Path, *, with_blobs: bool = True
) -> tuple[Header, Manifest]:
    """Write a backup and check it. Raises Problem where there is nothing to copy, or ``to`` is there already."""
    with created(to) as sink:
        async with _held(settings.database_url):
            with tempfile.TemporaryFile("w+", dir=to.parent) as wanted:
                writing = _Writing(sink, Manifest(with_blobs=with_blobs))
                header = await asyncio.to_thread(_copy_rows, settings.database_url, writing, wanted)
                _copy_files(settings.home, writing)
                if with_blobs:
                    await _copy_blobs(store, writing, wanted)
        sink.put(MANIFEST, writing.finished().to_bytes())
    await asyncio.to_thread(verify, to)
    return header, writing.manifest


class _Writing:
    """An archive that is being written, and what its manifest will say."""

    def __init__(self, sink: Sink, manifest: Manifest) -> None:
        self.sink = sink
        self.manifest = manifest
        self._digests: dict[str, Any] = defaultdict(hashlib.sha256)

    def put(self, name: str, content: bytes) -> None:
        self._digests[group_of(name)].update(content)
        self.sink.put(name, content)

    def finished(self) -> Manifest:
        self.manifest.digests = {group: state.hexdigest() for group, state in self._digests.items()}
        return self.manifest


@asynccontextmanager
async def _held(url: str) -> AsyncIterator[None]:
    """Nothing is collected while this lasts, by any server of the database."""
    name = secrets.token_hex(8)
    found = schema.standing(url)
    schema.check_known(found)
    if found is None:
        path = place(url)
        where = (
            f"{path.parent} has no SQLite database" if path is not None else f"{shown(url)} is no database of a server"
        )
        hint = "Name the home with --home; what it is served with, if that is PostgreSQL, with --database or SIRDAR_DATABASE."
        raise Problem("not_found", f"{where}.", hint=hint)
    store = Store(url)
    hold = lambda: store.write_now(lambda tx: blobs_store.hold(tx, name, HOLD_S))  # noqa: E731

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await asyncio.to_thread(hold)

    try:
        await asyncio.to_thread(hold)
        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await asyncio.to_thread(store.write_now, lambda tx: blobs_store.end_hold(tx, name))
    finally:
        store.close()


def _copy_rows(url: str, writing: _Writing, wanted: IO[str]) -> Header:
    """Every table, from one snapshot. ``wanted`` gets a line for each blob: digest, size, whether somebody names it."""
    with snapshot(url) as conn:
        tables = row_store.tables_of(conn)
        described = tuple((table.name, table.columns) for table in tables)
        header = Header(1, sirdar.__version__, schema.revision(conn) or "", time.time(), described)
        writing.sink.put(HEADER, header.to_bytes())
        for number, table in enumerate(tables):
            writing.manifest.rows[table.name] = 0
            for chunk, (count, content) in enumerate(_chunks(row_store.read_rows(conn, table))):
                writing.put(f"rows/{number:03d}-{table.name}/{chunk:06d}.jsonl.gz", content)
                writing.manifest.rows[table.name] += count
        for sha256, size_bytes, named in row_store.blobs_with_rows(conn):
            wanted.write(f"{sha256} {size_bytes} {int(named)}\n")
    return header


def _chunks(rows: Iterator[row_store.Row]) -> Iterator[tuple[int, bytes]]:
    """Rows as packed lines, with their number: so many at a time that memory stays bounded."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = json.dumps(list(row), ensure_ascii=False, separators=(",", ":"), default=_packed).encode() + b"\n"
        lines.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield len(lines), gzip.compress(b"".join(lines), 1, mtime=0)
            lines, size = [], 0
    if lines:
        yield len(lines), gzip.compress(b"".join(lines), 1, mtime=0)


def _packed(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"base64": b64encode(bytes(value)).decode()}
    raise TypeError(f"a row holds a {type(value).__name__}")


def _copy_files(home: Path, writing: _Writing) -> None:
    """Streams of running attempts, as far as they have come; the key."""
    logs = home / LOGS
    for path in sorted([*logs.glob("??/*-*-*.std*"), *logs.glob("??/*-*-*.std*.newest/*")]):
        name = f"logs/{path.relative_to(logs).as_posix()}"
        if path.is_file() and is_member(name):  # else a folder, or half of what is being written
            with suppress(FileNotFoundError):  # the job has ended meanwhile
                writing.put(name, path.read_bytes())
                writing.manifest.logs += 1
    if (home / KEY).exists():
        writing.put(KEY_MEMBER, (home / KEY).read_bytes())
        writing.manifest.key = True


async def _copy_blobs(store: BlobStore, writing: _Writing, wanted: IO[str]) -> None:
    manifest = writing.manifest
    wanted.seek(0)
    for line in wanted:
        sha256, size, named = line.split()
        if await _copy_blob(store, writing.sink, sha256, int(size)):
            manifest.blobs += 1
            manifest.blob_bytes += int(size)
        else:
            (manifest.missing if named == "1" else manifest.absent).append(sha256)


async def _copy_blob(store: BlobStore, sink: Sink, sha256: str, size_bytes: int) -> bool:
    """Whether the blob is in the store and is what its name says; nothing of another one is kept."""
    digest = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in store.read(sha256):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != sha256:
            raise ValueError(f"blob {sha256} has other bytes")

    try:
        await sink.put_stream(f"blobs/{sha256[:2]}/{sha256}", size_bytes, pieces())
    except ValueError:
        return False
    except Problem as problem:
        if problem.code != "not_found":
            raise
        return False
    return True
