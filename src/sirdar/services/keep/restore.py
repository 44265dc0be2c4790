"""Makes a home, and where wanted a PostgreSQL database, of a backup: whole, or not at all.

The home is put together in a folder within it and moved to its place at the end; the rows of a PostgreSQL database are one
transaction, committed last.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sirdar.blobs.base import BlobStore
from sirdar.domain.problems import Problem
from sirdar.services.keep.database import Filling, filling
from sirdar.services.keep.manifest import KEY_MEMBER, Header, Manifest, bad
from sirdar.services.keep.places import KEY, LOCK, blobs_of
from sirdar.services.keep.reading import Part, Reading, table_number
from sirdar.services.settings import DATABASE_FILE, Settings
from sirdar.store import schema
from sirdar.store.opening import is_postgres
from sirdar.store.rows import TableRows

DRAFT = ".restoring"
SQLITE_FILE = "sirdar.db"
_LAST = (KEY, DATABASE_FILE, SQLITE_FILE)  # a home is one when these are there


async def restore_backup(frm: Path, settings: Settings) -> tuple[Header, Manifest]:
    """Restore into ``settings.home``, which the caller holds, and into ``settings.database`` where that is PostgreSQL.

    Raises Problem ``already_exists`` where one of them is not empty, ``invalid_archive``, ``not_found``, ``disk_full``.
    """
    if settings.database and not is_postgres(settings.database):
        hint = "Leave it out: an SQLite database is made in the home."
        raise Problem("invalid_field", "--database names a PostgreSQL database.", field="database", hint=hint)
    reading = Reading(frm)
    schema.check_known(reading.header.schema)
    with _drafted(settings.home) as draft:
        url = settings.database_url if settings.database else f"sqlite:///{draft / SQLITE_FILE}"
        with filling(url, reading.header.schema) as into:
            store = blobs_of(replace(settings, home=draft))
            try:
                await _take_parts(reading, into, store, draft)
            finally:
                await asyncio.to_thread(store.close)
            if reading.manifest.with_blobs:
                into.forget_blobs([*reading.manifest.absent, *reading.manifest.missing])
            into.finish(reading.manifest.rows)
            if settings.database:
                write_private(draft / DATABASE_FILE, settings.database.encode() + b"\n")
                _move(draft, settings.home)
        if not settings.database:
            _move(draft, settings.home)
    return reading.header, reading.manifest


async def _take_parts(reading: Reading, into: Filling, store: BlobStore, draft: Path) -> None:
    tables = [TableRows(name, columns) for name, columns in reading.header.tables]
    for name, _, part in reading.parts():
        if name.startswith("rows/"):
            number = table_number(name)
            if number >= len(tables):
                raise bad(f"{name} is of a table that it does not name")
            reading.count_rows(tables[number].name, into.add(tables[number], part.rows()))
        elif name.startswith("blobs/"):
            await _take_blob(store, name.rpartition("/")[2], part)
        elif name.startswith("logs/"):
            write_private(draft / name, part.content())
        elif name == KEY_MEMBER:
            write_private(draft / KEY, part.content())


async def _take_blob(store: BlobStore, sha256: str, part: Part) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in part.pieces():
            yield piece

    try:
        async with store.writer(expected_sha=sha256) as writer:
            async for piece in pieces():
                await writer.write(piece)
            await writer.finish()
    except Problem as problem:
        if problem.code == "invalid_field":
            raise bad(f"the bytes of the blob {sha256} are not what its name says") from problem
        raise


@contextmanager
def _drafted(home: Path) -> Iterator[Path]:
    """A folder in the home in which it is put together; it is gone at the end, and so is a home that was not there before."""
    made = not home.exists()
    if not made and (not home.is_dir() or any(path.name != LOCK for path in home.iterdir())):
        raise Problem("already_exists", f"{home} is not empty.", hint="Name a home that is not there yet: --home NEW.")
    draft = home / DRAFT
    try:
        draft.mkdir(parents=True, mode=0o700)
        home.chmod(0o700)
        yield draft
    except BaseException:
        for path in [path for path in home.iterdir() if path.name != LOCK] if home.exists() else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        if made and home.exists():
            home.rmdir()
        raise
    shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, home: Path) -> None:
    """Everything to its place; that which makes it a home comes last."""
    shutil.rmtree(draft / "tmp", ignore_errors=True)
    for path in sorted(draft.iterdir(), key=lambda path: (path.name in _LAST, path.name)):
        path.rename(home / path.name)


def write_private(path: Path, content: bytes) -> None:
    """A file that only its owner may read, durable when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
