"""A home directory is held by one ``sirdar up`` at a time, or by any number of ``sirdar serve`` over one PostgreSQL."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class HomeHeld(Exception):
    """Somebody else holds the home."""

    def __init__(self, home: Path, holder: dict[str, Any]) -> None:
        pid, url = holder.get("pid", "?"), holder.get("url")
        where = f" at {url}" if url else ""
        super().__init__(f"{home} is held by another Sirdar server (process {pid}{where})")
        self.holder = holder


@dataclass(slots=True)
class HomeLock:
    """Keeps the lock as long as the process lives; the file says who."""

    path: Path
    handle: int
    shared: bool = False

    @classmethod
    def take(cls, home: Path, *, shared: bool = False) -> "HomeLock":
        """Raises HomeHeld. ``shared``: others that say the same may hold it too."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = home / "up.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(handle, shared):
            content = path.read_bytes()
            os.close(handle)
            raise HomeHeld(home, _read(content))
        lock = cls(path, handle, shared)
        try:
            lock.say({"pid": os.getpid()})
        except OSError:
            lock.release()
            raise
        return lock

    def __enter__(self) -> "HomeLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def say(self, words: dict[str, Any]) -> None:
        content = json.dumps(words).encode()
        os.ftruncate(self.handle, 0)
        os.lseek(self.handle, 0, os.SEEK_SET)
        os.write(self.handle, content)

    def release(self) -> None:
        if not self.shared:  # else it may tell of another holder
            os.ftruncate(self.handle, 0)
        os.close(self.handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, shared: bool) -> bool:
        if shared:  # there are no shared locks
            return True
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int, shared: bool) -> bool:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _read(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
