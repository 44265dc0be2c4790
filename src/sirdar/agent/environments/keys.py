"""Which environment an application's files mean: remembered while these stay as they were: a few looks at files."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sirdar.agent.environments.base import Files
from sirdar.domain.environment import Environment

MOST = 1000
Seen = tuple[tuple[str, str, int, int], ...]  # path of the application, where it lies, size, mtime


class Keys:
    """Keys by what was wanted, and by the files that they were made of."""

    def __init__(self) -> None:
        self._known: dict[tuple[Environment, str], tuple[Seen, str]] = {}

    def find(self, wanted: Environment, files: Files) -> str | None:
        """The key, where all the files that it was made of are the same."""
        seen, key = self._known.get((wanted, _main(wanted, files)), ((), None))
        return key if key is not None and all(_is_same(one, files) for one in seen) else None

    def remember(self, wanted: Environment, files: Files, paths: Sequence[str], key: str) -> None:
        """``paths``: all files that it was made of. Raises OSError."""
        if len(self._known) >= MOST:
            self._known.clear()
        seen = []
        for path in paths:
            stat = files[path].stat()
            seen.append((path, str(files[path]), stat.st_size, stat.st_mtime_ns))
        self._known[wanted, _main(wanted, files)] = (tuple(seen), key)


def contents(paths: Sequence[str], files: Files) -> list[list[str]]:
    """Path and digest of each file, for a key. Blocks. Raises OSError."""
    return [[path, hashlib.sha256(files[path].read_bytes()).hexdigest()] for path in paths]


def lay_out(paths: Sequence[str], files: Files, folder: Path) -> None:
    """Copies the files under the names that the application knows them by. Blocks. Raises OSError."""
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[path], target)


def _main(wanted: Environment, files: Files) -> str:
    """Where the file lies that says most; such files are named after their content."""
    return str(files.get(wanted.requirements or wanted.lock or wanted.conda or "", ""))


def _is_same(seen: tuple[str, str, int, int], files: Files) -> bool:
    path, place, size_bytes, mtime = seen
    if str(files.get(path, "")) != place:
        return False
    try:
        stat = os.stat(place)  # noqa: PTH116  (for every task: pathlib takes several times as long)
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (size_bytes, mtime)
