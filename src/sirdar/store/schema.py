"""The database's schema: brought to the newest revision when a server starts. Migrations stand in ``store/migrations``.

They expand first and contract in a later release, so that a server of the release before can still work with the database.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

HEAD = "0001"  # the newest revision; a test holds it against the files
_HERE = Path(__file__).parent / "migrations"


def migrate(url: str) -> str | None:
    """Bring the database to ``HEAD``. An older SQLite file is copied first: the copy's path, or None.

    Raises RuntimeError where the database is of a newer release.
    """
    engine = sa.create_engine(url)
    try:
        with engine.connect() as conn:
            found = revision(conn)
        if found == HEAD:
            return None
        copy = _copy(url, found)
        with engine.begin() as conn:
            _upgrade(conn)
        return copy
    finally:
        engine.dispose()


def revision(conn: Connection) -> str | None:
    """The revision of a database; None where it is empty."""
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    row = conn.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else None


def config(conn: Connection) -> Any:
    """Alembic's configuration on a connection."""
    from alembic.config import Config  # a large package, needed only when there is something to do

    made = Config()
    made.set_main_option("script_location", str(_HERE))
    made.attributes["connection"] = conn
    return made


def _upgrade(conn: Connection) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    try:
        command.upgrade(config(conn), "head")
    except CommandError as error:
        raise RuntimeError(f"the database is of a newer release of Sirdar than this one ({error})") from error


def _copy(url: str, found: str | None) -> str | None:
    """Keep the SQLite file as it was before a migration."""
    path = Path(url.removeprefix("sqlite:///"))
    if found is None or not url.startswith("sqlite") or not path.exists():
        return None
    target = path.with_name(f"{path.name}.before-{HEAD}-{time.strftime('%Y%m%dT%H%M%S')}")
    shutil.copy2(path, target)
    return str(target)
