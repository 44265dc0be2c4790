"""``sirdar doctor`` on the server's side: looks at a home and says what is wrong and what to do; ``fix`` does what is safe."""

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from sirdar.agent.doctor import Check
from sirdar.server.home import HomeHeld, HomeLock
from sirdar.services.settings import kept_database
from sirdar.store.opening import shown
from sirdar.store.schema import HEAD

LOW_DISK_BYTES = 1 << 30


def check(home: Path, *, fix: bool = False) -> list[Check]:
    """Everything that can be seen from outside, in the order in which it matters."""
    found = [_python(), _home(home)]
    if home.exists():
        looks: list[Callable[[Path, bool], Check]] = [_key, _database, _disk, _holder]
        found += [look(home, fix) for look in looks]
    return found


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), f"Python {version}", "Sirdar needs Python 3.11 or newer.")


def _home(home: Path) -> Check:
    if not home.exists():
        return Check("home", True, f"{home} is not there yet; 'sirdar up' makes it")
    writable = os.access(home, os.W_OK)
    return Check("home", writable, f"{home} is {'writable' if writable else 'not writable'}", f"chown or chmod {home}")


def _key(home: Path, fix: bool) -> Check:
    path = home / "server.key"
    if not path.exists():
        lost = (home / "sirdar.db").exists() or bool(kept_database(home))
        return Check(
            "key", not lost, "no server.key", "Restore it from a backup: stored secrets cannot be read without it."
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 and fix:
        path.chmod(0o600)
        mode = 0o600
    return Check("key", not mode & 0o077, f"server.key has mode {mode:o}", f"chmod 600 {path}")


def _database(home: Path, fix: bool) -> Check:
    path = home / "sirdar.db"
    if moved := kept_database(home):
        return Check("database", True, f"was moved to {shown(moved)}")
    if not path.exists():
        return Check("database", True, "no SQLite file: none yet, or the database is elsewhere")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        return Check("database", False, f"{path} cannot be read: {error}", "Restore it from a backup: sirdar restore.")
    finally:
        connection.close()
    if verdict != "ok":
        return Check("database", False, f"{path} is damaged: {verdict}", "Restore it from a backup: sirdar restore.")
    revision = row[0] if row else "none"
    hint = "The next 'sirdar up' brings it to the newest schema."
    return Check("database", revision == HEAD, f"whole, schema {revision}, {path.stat().st_size} bytes", hint)


def _disk(home: Path, fix: bool) -> Check:
    free = shutil.disk_usage(home).free
    hint = "Make room: below that, uploads and jobs begin to fail."
    return Check("disk", free > LOW_DISK_BYTES, f"{free / 2**30:.1f} GiB free under {home}", hint)


def _holder(home: Path, fix: bool) -> Check:
    try:
        HomeLock.take(home).release()
    except HomeHeld as held:
        return Check("server", True, str(held))
    return Check("server", True, "no server runs on this home; start one with 'sirdar up'")
