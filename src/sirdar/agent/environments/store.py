"""Environments that are directories of this machine: ``ROOT/KEY-NONCE/`` with a mark beside it, ``ROOT/KEY.json``.

The mark is written last: what has none is not whole, and goes when the next agent looks for room. An environment is made where it
stays, since its scripts name its path; a nonce in the name keeps what a killed agent's tools may still write out of the next one.
Bounded: what was not used for longest goes first. What tasks use stays.
"""

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sirdar.agent.directories import remove
from sirdar.agent.environments.base import Ready
from sirdar.agent.environments.builders import end_builder, note_builder
from sirdar.agent.environments.tool import end_group
from sirdar.agent.events import get_logger
from sirdar.agent.home import write_private

log = get_logger(__name__)

FORMAT = 1
CACHE = "cache"  # what tools keep to make the next one sooner; environments have hard links into it
TRASH = "trash-"
BUILD = ".build"
MARK = ".json"
IN_USE_S = 60.0  # after it was asked for: the task that did so is about to hold it
RECORD_EVERY_S = 60.0  # how exactly the last use is known to the next agent
ROOM_SHARE = 0.1  # of the bound, freed beyond what is needed


@dataclass(slots=True)
class _Entry:
    ready: Ready
    folder: Path
    mark: Path
    probes: Sequence[tuple[str, int | None]]
    asked_at: float  # time.monotonic()
    recorded_at: float  # time.time(), as the mark's mtime
    doubtful: bool = False  # made in this run of the machine, and perhaps not on the disk yet

    def is_whole(self) -> bool:
        """A look at a few paths: somebody may have removed it, or changed what it consists of."""
        try:
            return all(os.stat(path).st_mtime_ns == mtime or mtime is None for path, mtime in self.probes)  # noqa: PTH116
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Draft:
    """An environment that is being made: ``folder`` is where it will be (not there yet), ``build`` a directory for its making."""

    key: str
    folder: Path
    build: Path


class EnvironmentStore:
    """Bounded to ``most_bytes``, caches included. May be used from any thread. ``boot`` tells runs of the machine apart."""

    def __init__(self, root: Path, most_bytes: int, *, boot: str = "", in_use_s: float = IN_USE_S) -> None:
        self.root = root
        self._most_bytes = most_bytes
        self._boot = boot
        self._in_use_s = in_use_s
        self._lock = threading.Lock()
        self._collecting = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._held: Counter[str] = Counter()
        self._drafts: set[str] = set()
        self._changed = True
        self.size_bytes = 0  # when it was last counted
        (root / CACHE).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_stock()

    @property
    def cache(self) -> Path:
        return self.root / CACHE

    # ------------------------------------------------------------ finding

    def find(self, key: str) -> Ready | None:
        """The environment, if it is here and whole; asking is using. Takes some microseconds."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if not entry.is_whole():
                log.warning("environment_changed", environment=key, folder=str(entry.folder))
                self._forget(key)
                return None
            entry.asked_at = time.monotonic()
            if (now := time.time()) - entry.recorded_at > RECORD_EVERY_S:
                entry.recorded_at = now
                with contextlib.suppress(OSError):
                    os.utime(entry.mark, (now, now))
        return entry.ready

    def hold(self, key: str) -> None:
        with self._lock:
            self._held[key] += 1

    def release(self, key: str) -> None:
        with self._lock:
            self._held[key] -= 1
            if self._held[key] <= 0:
                del self._held[key]

    # ------------------------------------------------------------ making

    def begin(self, key: str) -> Draft:
        """Room for its making. ``publish`` or ``discard`` ends it. Raises OSError."""
        name = f"{_short(key)}-{uuid.uuid4().hex[:6]}"
        draft = Draft(key, self.root / name, self.root / (name + BUILD))
        with self._lock:
            self._drafts.add(name)
        draft.build.mkdir(mode=0o700)
        return draft

    def note_builder(self, draft: Draft, pid: int) -> None:
        """The process group that works on it: ended by the next agent, should this one be killed."""
        note_builder(draft.build, pid, self._boot)

    def publish(self, draft: Draft, ready: Ready, probes: Sequence[Path], about: Mapping[str, Any]) -> Ready:
        """It is whole: from now on it is found. Where another was as quick, that one stays. Blocks. Raises OSError.

        ``probes``: paths that must be there later; directories among them must not have changed.
        """
        if (other := self.find(draft.key)) is not None:  # an asker who was trusted more, or less, for instance
            self.discard(draft)
            return other
        seen = [(str(path), path.stat().st_mtime_ns if path.is_dir() else None) for path in probes]
        mark = self.root / (_short(draft.key) + MARK)
        document = {
            "format": FORMAT,
            "key": draft.key,
            "folder": draft.folder.name,
            "boot": self._boot,
            "made_at": time.time(),
            "ready": asdict(ready),
            "probes": seen,
            "about": dict(about),
        }
        write_private(mark, json.dumps(document, indent=1) + "\n")
        entry = _Entry(ready, draft.folder, mark, seen, time.monotonic(), time.time(), doubtful=True)
        with self._lock:
            self._entries[draft.key] = entry
            self._drafts.discard(draft.folder.name)
            self._changed = True
        remove(draft.build)
        return ready

    def discard(self, draft: Draft) -> None:
        """It did not come about. Blocks."""
        remove(draft.folder)
        remove(draft.build)
        with self._lock:
            self._drafts.discard(draft.folder.name)
            self._changed = True

    def settle(self) -> None:
        """Has everything on the disk that was made here, so that it outlasts a power cut. Blocks, perhaps for long."""
        with self._lock:
            doubtful = [entry for entry in self._entries.values() if entry.doubtful]
        if not doubtful:
            return
        if sys.platform != "win32":
            os.sync()
        for entry in doubtful:
            entry.doubtful = False
            with contextlib.suppress(OSError, ValueError):
                document = json.loads(entry.mark.read_text())
                if document["folder"] == entry.folder.name:
                    write_private(entry.mark, json.dumps({**document, "boot": ""}, indent=1) + "\n")

    # ------------------------------------------------------------ bound

    def collect(self) -> None:
        """Settles what is new, then keeps within the bound: caches first, then what was not used for longest. Blocks.

        While something is made, all that can go stays a little longer: tools read in the caches.
        """
        with self._collecting:
            self.settle()
            self._sweep()
            if not self._changed or self._drafts:
                return
            self._changed = False
            self.size_bytes = disk_bytes(self.root)
            if self.size_bytes <= self._most_bytes:
                return
            self._drop_cache()
            self.size_bytes = disk_bytes(self.root)
            aim = int(self._most_bytes * (1 - ROOM_SHARE))
            for key in self._by_last_use():
                if self.size_bytes <= aim:
                    break
                if self._evict(key):
                    self.size_bytes = disk_bytes(self.root)
            self._changed = self.size_bytes > self._most_bytes  # then what is held now may go later
            log.info("environments_collected", size_bytes=self.size_bytes, most_bytes=self._most_bytes)

    def _by_last_use(self) -> list[str]:
        with self._lock:
            return sorted(self._entries, key=lambda key: (self._entries[key].asked_at, self._entries[key].recorded_at))

    def _evict(self, key: str) -> bool:
        """False where somebody uses it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._held[key] or time.monotonic() - entry.asked_at < self._in_use_s:
                return False
            self._forget(key)
        self._throw_away(entry.folder)
        log.info("environment_removed", environment=key)
        return True

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key)
        self._changed = True
        entry.mark.unlink(missing_ok=True)

    def _drop_cache(self) -> None:
        """Environments keep what they have of it."""
        with self._lock:
            if self._drafts:
                return
            trash = self.root / f"{TRASH}{uuid.uuid4().hex}"
            (self.root / CACHE).rename(trash)
            (self.root / CACHE).mkdir(mode=0o700)
        remove(trash)

    def _throw_away(self, folder: Path) -> None:
        """Out of sight at once, then file by file."""
        trash = self.root / f"{TRASH}{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            folder.rename(trash)
            remove(trash)

    def _sweep(self) -> None:
        """Removes what no mark speaks of: but not where tasks may still run in an environment that was replaced."""
        with self._lock:
            kept = {entry.folder.name for entry in self._entries.values()} | self._drafts | {CACHE}
            kept |= {name + BUILD for name in self._drafts}
            held = {_short(key) for key in self._held}
            left = [path for path in self.root.iterdir() if path.is_dir() and path.name not in kept]
        for path in left:
            if path.name.partition("-")[0] not in held:
                self._throw_away(path)

    # ------------------------------------------------------------ what earlier agents left

    def _take_stock(self) -> None:
        for build in self.root.glob(f"*{BUILD}"):
            end_builder(build, self._boot, end_group)
        found = [(path.stat().st_mtime, path) for path in self.root.glob(f"*{MARK}")]
        for used_at, path in sorted(found):
            entry = self._read(path, used_at)
            if entry is None:
                path.unlink(missing_ok=True)
            else:
                self._entries[entry.ready.identity] = entry

    def _read(self, mark: Path, used_at: float) -> _Entry | None:
        """None where it is of another format, not whole, or perhaps lost bytes when the machine went down."""
        try:
            document = json.loads(mark.read_text())
            if document["format"] != FORMAT or document["boot"] not in {"", self._boot}:
                return None
            ready = Ready(**document["ready"])
            probes = [(path, mtime) for path, mtime in document["probes"]]
            folder = self.root / document["folder"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        never = time.monotonic() - (time.time() - used_at)
        entry = _Entry(ready, folder, mark, probes, never, used_at, doubtful=bool(document["boot"]))
        moved = not all(
            Path(path).is_relative_to(self.root) for path, _ in probes[:1]
        )  # its scripts name the old place
        return entry if not moved and entry.is_whole() else None


def disk_bytes(root: Path) -> int:
    """What a directory takes on the disk: a file with several names in it counts once. Blocks."""
    seen: set[tuple[int, int]] = set()
    return sum(_new_bytes(entry, seen) for entry in _walk(str(root)))


def _walk(folder: str) -> Iterator[os.DirEntry[str]]:
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:  # somebody removes it meanwhile
            continue


def _new_bytes(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> int:
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if stat.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
        if (stat.st_dev, stat.st_ino) in seen:
            return 0
        seen.add((stat.st_dev, stat.st_ino))
    if sys.platform == "win32":
        return stat.st_size
    return stat.st_blocks * 512


def _short(key: str) -> str:
    """Of a key ``sha256:HEX``, for names of files: paths of interpreters in scripts must not be long."""
    return key.rpartition(":")[2][:20]
