"""Task directories: pooled, since making one costs more than using one again.

``slot-N/dir`` is the task's working directory; ``slot-N/stdout``, ``stderr`` and ``messages`` lie beside it.
"""

import contextlib
import os
import shutil
from pathlib import Path

MOST_CHEAP = 16
KEPT = frozenset({"dir", "stdout", "stderr"})


class Directories:
    """The pool in a home's ``work`` directory."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._free: list[Path] = []
        self._count = 0

    def recover(self, used: set[Path]) -> None:
        """Takes stock of what an earlier agent left; what is not in use is emptied. Blocks."""
        for folder in self._work.glob("slot-*"):
            number = folder.name.removeprefix("slot-")
            if number.isdecimal():
                self._count = max(self._count, int(number))
            if folder not in used and not self.give(folder):
                self.give_slowly(folder)

    def take(self) -> Path:
        """An empty one. Raises OSError, for instance when the disk is full."""
        if self._free:
            return self._free.pop()
        self._count += 1
        folder = self._work / f"slot-{self._count}"
        (folder / "dir").mkdir(mode=0o700, parents=True)
        return folder

    def give(self, folder: Path) -> bool:
        """Takes one back, empties it, and keeps it for the next task. False where that takes long: see ``give_slowly``."""
        if not clean(folder):
            return False
        self._free.append(folder)
        return True

    def give_slowly(self, folder: Path) -> None:
        """Takes one back with however much there is in it. Blocks, for seconds where there are very many files."""
        remove(folder)
        if not folder.exists():
            (folder / "dir").mkdir(mode=0o700, parents=True)
            self._free.append(folder)


def remove(folder: Path) -> None:
    """Removes a directory with all that is in it, also what a program has protected from its owner."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for root, _, _ in os.walk(folder):  # from above: a directory can be listed when its permissions are there
        with contextlib.suppress(OSError):
            os.chmod(root, 0o700)  # noqa: PTH101
    shutil.rmtree(folder, ignore_errors=True)


def clean(folder: Path) -> bool:
    """Empties the directory where that is cheap: no more than a few plain files. False where it is not.

    Of the streams nothing stays on the disk either: they may hold what only their job's owner may read.
    """
    base = str(folder)
    try:
        names = os.listdir(base + "/dir")  # noqa: PTH208  (once for every task: pathlib takes five times as long)
        if len(names) > MOST_CHEAP:
            return False
        for name in names:
            os.unlink(f"{base}/dir/{name}")  # noqa: PTH108
        for name in os.listdir(base):  # noqa: PTH208
            path = f"{base}/{name}"
            if name not in KEPT:
                os.unlink(path)  # noqa: PTH108
            elif name != "dir" and os.stat(path).st_size:  # noqa: PTH116
                os.truncate(path, 0)
    except OSError:  # a directory among them, for instance
        return False
    return True
