"""Copies of a home: database, key and blobs. Taken while the server runs, restored into a home that is not there yet."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sirdar
from sirdar.domain.problems import Problem

DATABASE = "sirdar.db"
KEY = "server.key"
LABEL = "backup.json"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was copied. Sizes in bytes; ``taken_at`` is when the backup was made, also in the report of a restore."""

    path: str
    database_bytes: int
    blobs: int
    blob_bytes: int
    taken_at: float


def backup(home: Path, to: Path) -> BackupReport:
    """Copy a home. The database first: blobs never change, and what it names stays for longer than this takes.

    Raises Problem ``not_found`` where there is no home, ``already_exists`` where the target is not empty.
    """
    database = home / DATABASE
    if not database.exists():
        raise Problem("not_found", f"{home} is no home of a server with its own database.", hint="Name it with --home.")
    _make_empty(to)
    _copy_database(database, to / DATABASE)
    _copy_private(home / KEY, to / KEY)
    blobs, blob_bytes = _copy_blobs(to / DATABASE, home / "blobs", to / "blobs")
    report = BackupReport(str(to), (to / DATABASE).stat().st_size, blobs, blob_bytes, time.time())
    label = {"sirdar": sirdar.__version__, "taken_at": report.taken_at, "blobs": blobs, "blob_bytes": blob_bytes}
    (to / LABEL).write_text(json.dumps(label) + "\n")
    return report


def restore(frm: Path, home: Path) -> BackupReport:
    """Make a home of a backup. Raises Problem where it is none, or where the home is there already."""
    if not (frm / LABEL).exists():
        raise Problem("not_found", f"{frm} is no backup: it has no {LABEL}.")
    _make_empty(home)
    _copy_database(frm / DATABASE, home / DATABASE)
    _copy_private(frm / KEY, home / KEY)
    blobs, blob_bytes = _copy_blobs(home / DATABASE, frm / "blobs", home / "blobs")
    taken_at = float(json.loads((frm / LABEL).read_text())["taken_at"])
    return BackupReport(str(home), (home / DATABASE).stat().st_size, blobs, blob_bytes, taken_at)


def _make_empty(path: Path) -> None:
    if path.exists() and any(path.iterdir()):
        raise Problem("already_exists", f"{path} is not empty.", hint="Name a folder that is not there yet.")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def _copy_database(source: Path, target: Path) -> None:
    """SQLite's own online copy: consistent while the server writes."""
    with _opened(source) as reading, _opened(target) as writing:
        reading.backup(writing, pages=2000, sleep=0.001)
    target.chmod(0o600)


class _opened:
    """``sqlite3.connect`` that closes."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _copy_private(source: Path, target: Path) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(source.read_bytes())
        os.fsync(file.fileno())


def _copy_blobs(database: Path, source: Path, target: Path) -> tuple[int, int]:
    """Copy the blobs that the copied database names. Raises Problem where one is missing."""
    count = size = 0
    for sha256, expected in _named(database):
        place = target / sha256[:2] / sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / sha256[:2] / sha256, place)
        except FileNotFoundError:
            raise Problem("not_found", f"Blob {sha256} is named by the database and not in {source}.") from None
        place.chmod(0o444)
        if place.stat().st_size != expected:
            raise Problem("conflict", f"Blob {sha256} has {place.stat().st_size} bytes instead of {expected}.")
        count, size = count + 1, size + expected
    return count, size


def _named(database: Path) -> Iterator[tuple[str, int]]:
    query = (
        "SELECT DISTINCT b.sha256, b.size_bytes FROM blobs b JOIN blob_refs r ON r.sha256 = b.sha256"
        " WHERE b.quarantined_at IS NULL"
    )
    with _opened(database) as connection:
        yield from connection.execute(query)
