"""Moves a stopped home from SQLite to PostgreSQL: its rows in one transaction; key, blobs and agents stay where they are."""

import time
from dataclasses import dataclass
from pathlib import Path

from sirdar.domain.problems import Problem
from sirdar.services.keep.database import filling
from sirdar.services.keep.restore import SQLITE_FILE, write_private
from sirdar.services.settings import DATABASE_FILE, kept_database
from sirdar.store import rows as row_store
from sirdar.store import schema
from sirdar.store.opening import driver_url, is_postgres, shown, snapshot


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was moved. ``kept``: the SQLite file, which is not used any more."""

    database: str
    schema: str
    rows: int
    tables: int
    kept: str


def promote_home(home: Path, url: str) -> Promoted:
    """Copy all rows, compare their numbers, then mark the home. The caller holds the home, so that no server writes.

    Raises Problem ``not_found`` where there is no SQLite database, ``conflict`` where the home was moved already,
    ``already_exists`` where the other database is not empty. Until the mark is written, nothing has changed.
    """
    source = home / SQLITE_FILE
    if moved := kept_database(home):
        raise Problem("conflict", f"{home} was moved to {shown(moved)} already.")
    if not source.exists():
        raise Problem("not_found", f"{home} has no SQLite database.", hint="Name the home with --home.")
    if not is_postgres(url):
        detail = f"{shown(url)!r} is no PostgreSQL database."
        raise Problem("invalid_field", detail, field="database", expected="postgresql://USER:PASSWORD@HOST/NAME")
    with snapshot(f"sqlite:///{source}") as old:
        found = schema.revision(old)
        schema.check_known(found)
        if found is None:
            raise Problem("not_found", f"{source} is empty: there is nothing to move.", hint="Start with --database.")
        with filling(driver_url(url), found) as new:
            tables = row_store.tables_of(old)
            rows = {table.name: new.add(table, row_store.read_rows(old, table)) for table in tables}
            new.finish({table.name: row_store.count_rows(old, table) for table in tables})
    kept = source.with_name(f"{SQLITE_FILE}.moved-{time.strftime('%Y%m%dT%H%M%S')}")
    _mark(home, url, source, kept)
    return Promoted(shown(url), schema.HEAD, sum(rows.values()), len(tables), str(kept))


def _mark(home: Path, url: str, source: Path, kept: Path) -> None:
    """From the first rename on, the home's rows are in the other database; what is left of SQLite bears another name."""
    draft = home / f".{DATABASE_FILE}"
    write_private(draft, url.encode() + b"\n")
    draft.rename(home / DATABASE_FILE)
    for suffix in ("", "-wal", "-shm"):
        path = source.with_name(source.name + suffix)
        if path.exists():
            path.rename(kept.with_name(kept.name + suffix))
