"""``sirdar migrate``, ``backup``, ``restore``, ``promote``: what is done with a whole server, beside it or while it is stopped."""

import asyncio
import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirdar.domain.problems import Problem
from sirdar.server.home import HomeHeld, HomeLock
from sirdar.services.keep.backup import take_backup
from sirdar.services.keep.manifest import Header, Manifest
from sirdar.services.keep.places import LOCK, blobs_of
from sirdar.services.keep.promote import Promoted, promote_home
from sirdar.services.keep.restore import restore_backup
from sirdar.services.settings import Settings, from_environment
from sirdar.store import schema
from sirdar.store.opening import place, shown


@dataclass(frozen=True, slots=True)
class Migration:
    """Where a database stands. ``copy``: an SQLite file as it was before."""

    database: str
    schema_was: str | None
    schema: str | None
    newest: str
    copy: str | None = None

    @property
    def behind(self) -> bool:
        return self.schema != self.newest


@dataclass(frozen=True, slots=True)
class KeepReport:
    """What was copied. Sizes in bytes; ``taken_at`` is when the backup was made, also in the report of a restore."""

    path: str
    database: str
    schema: str
    rows: int
    blobs: int
    blob_bytes: int
    missing_blobs: int  # that a row names, and that are not in the store, or not what they were
    blobs_included: bool
    taken_at: float


def migrate(home: Path, database: str | None = None, *, check: bool = False) -> Migration:
    """Bring a database to this release's schema; ``check``: only look. Raises Problem, also where a server holds the home."""
    settings = _settings(home, database)
    url = settings.database_url
    found = schema.standing(url)
    schema.check_known(found)
    if check or found == schema.HEAD:
        return Migration(shown(url), found, found, schema.HEAD)
    path = place(url)
    with _held(home) if path is not None else contextlib.nullcontext():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = schema.migrate(url)
    return Migration(shown(url), done.found, done.reached, schema.HEAD, done.copy)


def backup(home: Path, to: Path, database: str | None = None, *, with_blobs: bool = True) -> KeepReport:
    """Copy what a server keeps; it may run meanwhile. Raises Problem."""
    settings, to = _settings(home, database), to.absolute()
    if not settings.home.is_dir():
        raise Problem("not_found", f"{home} is no home of a server.", hint="Name it with --home.")

    async def run() -> tuple[Header, Manifest]:
        store = blobs_of(settings)
        try:
            return await take_backup(settings, store, to, with_blobs=with_blobs)
        finally:
            await asyncio.to_thread(store.close)

    with _in_words(to):
        return _report(to, settings, *asyncio.run(run()))


def restore(frm: Path, home: Path, database: str | None = None) -> KeepReport:
    """Make a home, and with ``database`` a PostgreSQL database, of a backup. Raises Problem."""
    settings = _settings(home, database)
    made = not settings.home.exists()
    if not made and not settings.home.is_dir():
        raise Problem("already_exists", f"{home} is no folder.", hint="Name a home that is not there yet: --home NEW.")
    with _held(settings.home), _in_words(home):  # a server that started meanwhile would lose its files to ours
        try:
            return _report(home, settings, *asyncio.run(restore_backup(frm, settings)))
        finally:
            with contextlib.suppress(OSError):  # nothing of ours is left; where it went well, the home is not empty
                (settings.home / LOCK).unlink()
                if made:
                    settings.home.rmdir()


def promote(home: Path, database: str) -> Promoted:
    """Move a stopped home to PostgreSQL. Raises Problem."""
    home = home.absolute()
    if not home.is_dir():
        raise Problem("not_found", f"{home} is no home of a server.", hint="Name it with --home.")
    with _held(home), _in_words(home):
        return promote_home(home, database)


def _settings(home: Path, database: str | None) -> Settings:
    return from_environment(home.expanduser().absolute(), database=database)


@contextlib.contextmanager
def _held(home: Path) -> Iterator[None]:
    """The home is ours while this lasts."""
    try:
        with HomeLock.take(home):
            yield
    except HomeHeld as held:
        raise Problem("conflict", f"{held}.", hint="Stop it first: Ctrl-C, or systemctl stop.") from None


@contextlib.contextmanager
def _in_words(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem("disk_full", f"There is no room at {where}; nothing was kept.", hint="Make some.") from error
        raise


def _report(path: Path, settings: Settings, header: Header, manifest: Manifest) -> KeepReport:
    known: dict[str, Any] = {"path": str(path), "database": shown(settings.database_url), "schema": header.schema}
    return KeepReport(
        **known,
        rows=sum(manifest.rows.values()),
        blobs=manifest.blobs,
        blob_bytes=manifest.blob_bytes,
        missing_blobs=len(manifest.missing),
        blobs_included=manifest.with_blobs,
        taken_at=header.taken_at,
    )
