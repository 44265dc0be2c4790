"""Task directories: pooled, since making one costs more than using one again.

``slot-N/dir`` is the task's working directory; ``slot-N/stdout``, ``stderr`` and ``messages`` lie beside it.
"""

import os
import shutil
from pathlib import Path

CLEAN, DIRTY = True, False


class Directories:
    """The pool in a home's ``work`` directory."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._free: list[Path] = []
        self._count = 0

    def recover(self, used: set[Path]) -> None:
        """Takes stock of what an earlier agent left; what is not in use is emptied."""
        for folder in self._work.glob("slot-*"):
            number = folder.name.removeprefix("slot-")
            if number.isdecimal():
                self._count = max(self._count, int(number))
            if folder not in used:
                shutil.rmtree(folder, ignore_errors=True)

    def take(self) -> Path:
        """An empty one. Raises OSError, for instance when the disk is full."""
        if self._free:
            return self._free.pop()
        self._count += 1
        folder = self._work / f"slot-{self._count}"
        (folder / "dir").mkdir(mode=0o700, parents=True)
        return folder

    def give(self, folder: Path) -> None:
        """Takes one back, empties it, and keeps it for the next task."""
        if not clean(folder):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                (folder / "dir").mkdir(mode=0o700, parents=True)
                self._free.append(folder)
            return
        self._free.append(folder)


def clean(folder: Path) -> bool:
    """Empties the directory where that is cheap: no more than a few plain files. False where it is not."""
    base = str(folder)
    try:
        with os.scandir(base + "/dir") as entries:
            names = [
                (entry.path, entry.is_dir(follow_symlinks=False)) for entry, _ in zip(entries, range(17), strict=False)
            ]
        if len(names) > 16 or any(is_dir for _, is_dir in names):
            return False
        for path, _ in names:
            os.unlink(path)  # noqa: PTH108
        with os.scandir(base) as entries:
            extra = [entry.path for entry in entries if entry.name not in {"dir", "stdout", "stderr"}]
        for path in extra:
            os.unlink(path)  # noqa: PTH108
    except OSError:
        return False
    return True
