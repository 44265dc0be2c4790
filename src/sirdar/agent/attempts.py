"""The attempts that the agent owns, and what it knows of each."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sirdar.agent.live_streams import Seen
from sirdar.domain.app import App
from sirdar.domain.states import AttemptState
from sirdar.domain.usage import Curve
from sirdar.wire.agent import OfferedJob, OwnedAttempt, Program

WAITING = (AttemptState.ACCEPTED, AttemptState.STAGING_IN)


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file of the task's directory that is a hard link to a cached blob; it must not change."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class Said:
    """What the program said of itself: the latest of each kind. ``seq`` grows with each message."""

    seq: int = 0
    at: float = 0.0
    file_offset: int = 0  # in the message file: what has been read
    text: str | None = None
    progress: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    waits: bool = False  # the text is the agent's, of what the program waits for


@dataclass(slots=True)
class Attempt:
    """One attempt from its offer to its acknowledgement. Times are seconds since 1970."""

    key: str
    job: str
    inputs: dict[str, Any]
    secrets: dict[str, str]
    token: str
    state: AttemptState = AttemptState.OFFERED
    wish: str = "run"
    boot: str = ""  # of the machine, where it was taken in an earlier one
    folder: Path | None = None
    handed_over: bool = False
    pid: int = 0
    kept: str = ""  # name of the home of the kept program that it is handed to
    used_s: float = 0.0  # CPU time of its process before it
    shared: list[SharedFile] = field(default_factory=list)
    staged_in_bytes: int = 0
    code_version: str = ""  # of code that lies on the resource
    environment: str = ""  # what it runs in: an image's digest, a lock's
    accepted_at: float | None = None
    staging_at: float | None = None
    staged_in_s: float | None = None
    started_at: float | None = None
    disk_exceeded: bool = False
    unwritten: bool = False  # its final could not be written down
    given_back: bool = False  # it will never start here; the server has not heard that yet
    gpus: tuple[str, ...] = ()
    said: Said = field(default_factory=Said)
    curve: Curve | None = None  # of one that has run for a moment
    seen: dict[str, Seen] = field(default_factory=dict)  # when its streams grew, of one that has run for a moment

    def forget_wanted(self) -> bool:
        return self.wish == "forget"


@dataclass(frozen=True, slots=True)
class Common:
    """What the attempts of one job have in common."""

    job: OfferedJob
    program: Program
    app: App


class Attempts:
    """All owned attempts by key, and the jobs and programs that they need.

    ``by_task``: each counts for one cpu, since a batch system decides where it runs.
    """

    def __init__(self, *, by_task: bool = False) -> None:
        self._by_task = by_task
        self.by_key: dict[str, Attempt] = {}
        self.commons: dict[str, Common] = {}

    def add(self, attempt: Attempt) -> None:
        self.by_key[attempt.key] = attempt

    def get(self, key: str) -> Attempt | None:
        return self.by_key.get(key)

    def drop(self, keys: Iterable[str]) -> list[Attempt]:
        """Takes these out; returns those that were there."""
        return [attempt for key in keys if (attempt := self.by_key.pop(key, None)) is not None]

    def common(self, attempt: Attempt) -> Common:
        return self.commons[attempt.job]

    def drop_unused_commons(self) -> None:
        used = {attempt.job for attempt in self.by_key.values()}
        self.commons = {job: common for job, common in self.commons.items() if job in used}

    def owned(self) -> list[OwnedAttempt]:
        return [OwnedAttempt(key=attempt.key, state=attempt.state) for attempt in self.by_key.values()]

    def running(self) -> list[Attempt]:
        return [attempt for attempt in self.by_key.values() if attempt.state is AttemptState.RUNNING]

    def left(self) -> int:
        """How many programs run on without us. Where none is known to run, those that were handed over may have begun since."""
        over = (AttemptState.STAGING_OUT, AttemptState.ENDED)
        handed = [one for one in self.by_key.values() if one.handed_over and one.state not in over]
        return len(self.running()) or len(handed)

    def cpus_in_hand(self) -> int:
        """Cpus of all that has not ended: what runs, and what is to run."""
        over = (AttemptState.STAGING_OUT, AttemptState.ENDED)
        return sum(self._cpus(attempt) for attempt in self.by_key.values() if attempt.state not in over)

    def cpus_waiting(self, enough: float = math.inf) -> int:
        """Cpus of what is ours and has not started, counted until there are ``enough``."""
        cpus = 0
        for attempt in reversed(self.by_key.values()):  # what came last waits, if anything does
            if attempt.state in WAITING:
                cpus += self._cpus(attempt)
                if cpus >= enough:
                    break
        return cpus

    def waits(self, job: str) -> bool:
        """Whether more of the job is ours and has not started. What came last is looked at first."""
        return any(one.job == job and one.state in WAITING for one in reversed(self.by_key.values()))

    def cpus_running(self) -> int:
        """Cpus of the programs that run."""
        return sum(self._cpus(attempt) for attempt in self.running())

    def _cpus(self, attempt: Attempt) -> int:
        common = None if self._by_task else self.commons.get(attempt.job)
        return cpus_of(common) if common is not None else 1


def gpus_of(common: Common) -> int:
    asked = common.job.resources.get("gpus")
    return int(common.app.resources.gpus if asked is None else asked)


def cpus_of(common: Common) -> int:
    return int(common.job.resources.get("cpus") or common.app.resources.cpus or 1)
