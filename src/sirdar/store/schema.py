"""The database's schema: brought to the newest revision when a server starts. Migrations stand in ``store/migrations``.

They expand first and contract in a later release, so that a server of the release before can still work with the database.
"""

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.problems import Problem
from sirdar.store.opening import database_in_words, open_plain, place

HEAD = "0002"  # the newest revision; a test holds it against the files
_HERE = Path(__file__).parent / "migrations"
_LOCK = 0x51AD  # of PostgreSQL's advisory locks: servers that start side by side migrate one after the other


@dataclass(frozen=True, slots=True)
class Migrated:
    """From which revision (None: it was empty) a database came to which. ``copy``: an SQLite file as it was before."""

    found: str | None
    reached: str
    copy: str | None = None


def migrate(url: str) -> Migrated:
    """Bring the database to ``HEAD``, in one transaction. An older SQLite file is copied first.

    Raises Problem ``conflict`` where the database is of a newer release; it is not touched then.
    """
    engine = open_plain(url)
    try:
        with database_in_words(url):
            with engine.connect() as conn:
                found = revision(conn)
            if found == HEAD:
                return Migrated(found, HEAD)
            check_known(found)
            copy = _copy(url, found)
            with engine.begin() as conn:
                one_by_one(conn)
                upgrade(conn)
        return Migrated(found, HEAD, copy)
    finally:
        engine.dispose()


def standing(url: str) -> str | None:
    """The revision of the database at an address; None where it is empty, or an SQLite file that is not there."""
    path = place(url)
    if path is not None and not path.exists():
        return None
    engine = open_plain(url)
    try:
        with database_in_words(url), engine.connect() as conn:
            return revision(conn)
    finally:
        engine.dispose()


def one_by_one(conn: Connection) -> None:
    """On PostgreSQL: wait until no other server is in a transaction that said this, as they do when they start."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def revision(conn: Connection) -> str | None:
    """The revision of a database; None where it is empty."""
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    row = conn.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else None


def check_known(found: str | None) -> None:
    """Raises Problem ``conflict`` where this release does not know the revision."""
    if found is None or found == HEAD or found in _known():
        return
    raise Problem(
        "conflict",
        f"The schema {found} is of a newer release of Sirdar than this one, which knows {HEAD}; nothing was changed.",
        hint="Use the release that wrote it, or a newer one.",
    )


def upgrade(conn: Connection, to: str = "head") -> None:
    """Bring a database to a revision, in the caller's transaction. On SQLite its foreign keys must not be enforced by then:
    a table that is made anew is dropped in between, and what refers to it would go with it.
    """
    from alembic import command

    command.upgrade(config(conn), to)
    if conn.dialect.name == "sqlite" and (broken := conn.exec_driver_sql("PRAGMA foreign_key_check").first()):
        raise Problem("conflict", f"A row of {broken[0]} refers to one of {broken[2]} that is not there.")


def config(conn: Connection) -> Any:
    """Alembic's configuration on a connection."""
    made = _config()
    made.attributes["connection"] = conn
    return made


def _config() -> Any:
    from alembic.config import Config  # a large package, needed only when there is something to do

    made = Config()
    made.set_main_option("script_location", str(_HERE))
    return made


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _copy(url: str, found: str | None) -> str | None:
    """Keep the SQLite file as it was before a migration, with what still lies in its log."""
    path = place(url)
    if found is None or path is None or not path.exists():
        return None
    target = path.with_name(f"{path.name}.before-{HEAD}-{time.strftime('%Y%m%dT%H%M%S')}")
    with contextlib.closing(sqlite3.connect(path)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
    target.chmod(0o600)
    return str(target)
