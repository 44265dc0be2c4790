"""Programs that are kept between tasks: which of them a task may use, and the directories that they start in.

The process is the porter's (``porter/workers.py``). It starts in ``workers/IDENTITY`` of the agent's home, which holds the
application's own files: a task's directory is another's soon after, and a program may load a module at any time.
"""

import hashlib
import json
import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.directories import remove
from sirdar.agent.executors.base import Keep
from sirdar.agent.settings import Settings
from sirdar.agent.stage_in import Find, link_code, place
from sirdar.agent.stage_plan import Plan, Planned
from sirdar.domain.app import CodeKind
from sirdar.domain.command import places
from sirdar.domain.keep_alive import program_words

HOMES = "workers"


def wanted(common: Common) -> bool:
    """Whether the job's tasks are handed to kept processes."""
    keep = common.app.keep_alive
    return keep is not None and keep.is_wanted(common.job.resources.get("keep_alive"))


def keep_of(
    attempt: Attempt,
    common: Common,
    homes: Path,
    argv: Sequence[str],
    *,
    base_env: Mapping[str, str],
    own_env: Mapping[str, str],
    limits: Sequence[object],
) -> Keep:
    """What the porter needs to know. ``own_env``: variables that are the same for all such tasks, from the process's start on.

    Two tasks share a process only where all this is equal: the version and its files, who submitted them, the words that start
    the program, its environment (the application's secrets are in it) and its limits.
    """
    keep = common.app.keep_alive
    assert keep is not None
    words = keep.program or program_words(common.app.command)
    job = common.job
    own = sorted(own_env.items())
    key = [job.program, job.files, job.owner, job.app_owner, attempt.code_version, list(argv[:words]), sorted(base_env.items()),
           own, list(limits)]  # fmt: skip
    identity = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    return Keep(identity, f"{homes}/{identity}", words, own_env, keep.idle_s, keep.most)


def constant_env(common: Common) -> dict[str, str]:
    """The application's variables that no value goes into."""
    return {name: text.replace("$${", "${") for name, text in common.app.env.items() if not places(text)}


def own_files(common: Common) -> Plan:
    """The application's own files, as they are placed for a process."""
    entries = common.program.files if common.job.files is None else common.job.files
    return Plan([Planned(path, sha, size, mode, writable=True) for path, sha, size, mode in entries])


class Homes:
    """The directories of kept processes, each made when its first task is prepared. May be used from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._there: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, keep: Keep, common: Common, find: Find, settings: Settings) -> None:
        """Raises StageError or OSError."""
        with self._lock:
            name = Path(keep.home).name
            if name in self._there:
                return
            draft = self.root / f"{name}.{uuid.uuid4().hex}"
            draft.mkdir(mode=0o700, parents=True)
            try:
                place(own_files(common), draft, find, link_over_bytes=settings.link_over_bytes)
                if common.app.code.kind is CodeKind.PATH:
                    link_code(common.app, draft)
                if not Path(keep.home).exists():
                    draft.rename(keep.home)
            finally:
                remove(draft)
            self._there.add(name)

    def let_go(self, name: str) -> Path | None:
        """No process is there any more, and no task is on its way to one: the directory may be removed, from where it is put."""
        with self._lock:
            self._there.discard(name)
            away = self.root / f"{name}.{uuid.uuid4().hex}"
            try:
                (self.root / name).rename(away)
            except OSError:
                return None
            return away

    def recover(self, live: Collection[str]) -> None:
        """Removes what an earlier agent left, but for those of live processes. Blocks."""
        for folder in self.root.glob("*"):
            if folder.name in live:
                self._there.add(folder.name)
            else:
                remove(folder)
