"""The agent's directory: who holds it, and where things stand in it.

``agent.lock`` (held by the agent that lives), ``identity.json`` and ``journal.key`` (0600), ``journal``, ``agent.json``
(status), ``porter.*``, ``work/slot-N`` (task directories), ``workers/`` (where kept programs start), ``cache/``
(blobs).
"""

import contextlib
import json
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STATUS = "agent.json"
THROWAWAY = "sirdar-agent-"
DRAFT = ".new"
DRAFT_OLD_S = 60.0


class HomeHeld(Exception):
    """Another agent holds the directory; the message says which process."""


class Home:
    """An agent's directory, locked for as long as this object lives."""

    def __init__(self, path: Path) -> None:
        """Makes the directory where needed (0700) and locks it. Raises HomeHeld."""
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for name in ("work", "cache", "workers"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(self.path / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(self._lock):
            holder = os.read(self._lock, 32).decode(errors="replace")
            os.close(self._lock)
            raise HomeHeld(f"the agent with process id {holder or 'unknown'} holds {self.path}")
        with contextlib.suppress(OSError):  # it is told to people only; the disk may be full
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
        _remove_old_drafts(self.path)

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def workers(self) -> Path:
        return self.path / "workers"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    def begin_life(self) -> int:
        """The number of this life of the agent; each is greater than those before. 0 where it cannot be kept."""
        file = self.path / "life"
        try:
            number = int(file.read_text()) + 1 if file.exists() else 1
            write_private(file, f"{number}\n")
        except (OSError, ValueError):
            return 0
        return number

    def read_status(self) -> dict[str, Any]:
        """What this or an earlier agent wrote; empty where there is none or it cannot be read."""
        return peek_status(self.path)

    def write_status(self, status: dict[str, Any]) -> None:
        write_private(self.path / STATUS, json.dumps(status, indent=1) + "\n")

    def close(self) -> None:
        os.close(self._lock)


def peek_status(path: Path) -> dict[str, Any]:
    """What the agent of a directory wrote last, whether it lives or not."""
    try:
        status = json.loads((path / STATUS).read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def throwaway_homes() -> list[Path]:
    """Homes of this user's agents that keep nothing: of those that live, and of those that were killed."""
    return [place for place in Path(tempfile.gettempdir()).glob(f"{THROWAWAY}*") if _is_own(place)]


def _is_own(place: Path) -> bool:
    """A directory of this user's, that an agent has held: others may write where it lies."""
    try:
        found = place.lstat()
        lock = (place / "agent.lock").lstat()
    except OSError:
        return False
    mine = sys.platform == "win32" or found.st_uid == lock.st_uid == os.getuid()
    return mine and stat.S_ISDIR(found.st_mode) and stat.S_ISREG(lock.st_mode) and lock.st_size > 0


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read; readers see the old or the new content, never a part.

    The draft has a name of its own: the agent and `sirdar agent drain` may write at the same time, and the last one counts.
    """
    fd, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=DRAFT, dir=path.parent)  # made 0600
    draft = Path(name)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _remove_old_drafts(home: Path) -> None:
    """What those left who were killed while they wrote; a young one may be somebody's who writes now."""
    for draft in home.glob(f"*.*{DRAFT}"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > DRAFT_OLD_S:
                draft.unlink()


def holder(path: Path) -> int | None:
    """Process id of the agent that holds the directory, None where it is free; 0 where the holder has not said yet."""
    try:
        lock = os.open(path / "agent.lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        if try_lock(lock):
            return None
        said = os.read(lock, 32).decode(errors="replace")
        return int(said) if said.isdecimal() else 0
    finally:
        os.close(lock)


def try_lock(fd: int) -> bool:
    """Locks an open file for as long as it is open, across processes. False where another holds it. Windows has no such locks."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
