"""What an executor is: it starts programs, tells when they start and end, stops them, and finds them again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

Handle = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Keep:
    """The program serves many tasks from one process: those whose ``identity`` is the same may share it.

    ``home`` is the directory that it starts in, named after what those of all gpus have in common;
    ``words``: how many of the command start it, with ``env`` over the base.
    An executor that cannot keep programs starts the whole command for each task.
    """

    identity: str
    home: str
    words: int
    env: Mapping[str, str]
    idle_s: float
    most: int

    def with_env(self, more: Mapping[str, str]) -> "Keep":
        """With these variables from its start on, which is another process than one without."""
        env = {**self.env, **more}
        key = json.dumps([self.identity, sorted(more.items())]).encode()
        return replace(self, env=env, identity=hashlib.sha256(key).hexdigest()[:32]) if more else self


@dataclass(frozen=True, slots=True)
class Wrap:
    """Words before a command that start it inside of something: a sandbox or a container.

    ``kind``: ``bubblewrap``, ``podman``, ``docker`` or ``apptainer``. ``inside``: the command's program is looked up in there, and
    not on this machine. ``end``: a command that ends all of it for sure, for when killing its processes here would not.
    ``opens``: files that the words name by descriptor.
    """

    kind: str
    words: Sequence[str]
    inside: bool
    end: Sequence[str] = ()
    opens: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Launch:
    """One program to run. ``env`` is put over ``base_env``, which launches of one batch may share.

    All paths are absolute. ``cpus`` are taken from the executor's slots while it runs; ``memory_bytes`` and ``time_s`` are
    limits, None for none; ``grace_s`` lies between SIGTERM and SIGKILL. What is started inside of something (``wrap``) is not kept.
    ``site``: options for a batch system, by its own names.
    """

    key: str
    argv: Sequence[str]
    env: Mapping[str, str]
    base_env: Mapping[str, str]
    cwd: str
    stdout: str
    stderr: str
    stdin: str | None = None
    cpus: int = 1
    memory_bytes: int | None = None
    time_s: float | None = None
    grace_s: float = 10.0
    keep: Keep | None = None
    wrap: Wrap | None = None
    site: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgramStart:
    """A program runs. ``pid`` is 0 where the executor has none on this machine.

    ``used_s``: CPU seconds that its process had used before, for other tasks.
    """

    key: str
    pid: int
    at: float
    used_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """A program has ended, with all that it started.

    ``exit_code``: minus the signal's number where a signal ended it, None where nothing ran or nobody knows. ``by``:
    ``stop`` (asked by the agent), ``withdraw`` (asked, before it started), ``time`` (its limit) or None. ``lost``: the
    executor lost sight of it; ``dropped``: stopped before it started; ``error_number``/``error_at``/``error``: it could not
    be started (errno; at the ``program``, the ``directory`` or the ``system``; a sentence), or,
    at the ``worker``, that it did not answer as a kept program must. ``cause``: what a batch system did to it, with its words in
    ``error``: ``preempted``, ``node`` (it failed), ``walltime`` (its own limit), ``elsewhere`` (somebody cancelled it there),
    ``refused`` (it does not take such a job) or ``vanished`` (it knows nothing of it, and nothing was left).
    """

    key: str
    exit_code: int | None = None
    started_at: float | None = None
    ended_at: float = 0.0
    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0
    max_rss_bytes: int = 0
    by: str | None = None
    out_of_memory: bool = False
    dropped: bool = False
    lost: bool = False
    error_number: int | None = None
    error_at: str = ""
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What has happened since the last answer. ``gone``: names of homes of which no kept process lives any more.

    ``notes``: by key, what whoever waits for a program should know of it, such as why it has not started.
    """

    started: Sequence[ProgramStart] = ()
    ended: Sequence[ProgramEnd] = ()
    gone: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ability:
    """What the executor can do. ``memory_limit``: ``cgroup1``, ``cgroup2``, ``rlimit``, ``slurm`` or ``none``."""

    name: str
    slots: int
    memory_limit: str = "none"
    details: Mapping[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Runs programs, at most as many side by side as its slots allow; the others wait in it, first come, first started.

    Whatever was given to ``start`` ends in exactly one ``ProgramEnd``, also across a restart of the agent, as long as
    ``recover`` is asked first.
    """

    async def recover(self, handles: Mapping[str, Handle]) -> set[str]:
        """Finds what an earlier life of the agent handed over. Called once, before all else.

        Returns the keys that it answers for: their starts and ends come through ``facts`` (``lost`` where it cannot
        know the end; it has then made sure that nothing of them runs). Keys that it does not return were never started.
        """

    async def probe(self) -> Ability:
        """What it can do here."""

    async def start(self, launches: Sequence[Launch]) -> list[Handle]:
        """Takes the programs over and returns a handle for each, to be kept on disk. A key is never started twice."""

    async def facts(self) -> Facts:
        """Waits until something has started or ended. An end may come without a start where both fell together."""

    async def stop(self, keys: Sequence[str], grace_s: float | None = None, *, waiting_only: bool = False) -> None:
        """Asks the programs to end (SIGTERM), ends them after the grace. Returns at once; unknown keys are ignored.

        ``waiting_only``: those that have not started are dropped, ``by`` ``withdraw``; what runs already goes on.
        """

    async def destroy(self, keys: Sequence[str]) -> None:
        """The agent has written down how these ended: nothing of them needs to be kept."""

    async def close(self, *, end_programs: bool) -> None:
        """Lets go; programs run on, or are ended first."""
