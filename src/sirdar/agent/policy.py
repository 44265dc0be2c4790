"""The owner's policy: what may run on this machine, in ``policy.yaml`` of the agent's home. The server cannot override it.

``allow`` and ``deny`` name users, groups, apps (``OWNER/ALIAS``) and commands, by shell patterns. What ``allow`` does not speak of
is allowed; users and groups are one list. ``deny`` comes before ``allow``. ``tasks`` bounds how many run side by side,
``limits`` what one task may ask for, and what it gets where it asks for nothing.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from sirdar.domain.app import App
from sirdar.domain.units import format_duration, format_size, parse_duration, parse_size
from sirdar.wire.agent import OfferedJob

FILE_NAME = "policy.yaml"
ISOLATION_SAID: Mapping[str, list[str]] = {
    "auto": [],
    "bubblewrap": ["every program in a sandbox"],
    "none": ["other people's programs without a sandbox"],
}
BUILDS = ("own", "all", "none")
LISTS = ("users", "groups", "apps", "commands")
LIMITS = {"cpus": "cpus", "gpus": "gpus", "memory": "memory_bytes", "disk": "disk_bytes", "time": "time_s"}


class PolicyFault(ValueError):
    """The file is not a policy. An agent does not start with one that it cannot read."""


class NotAllowed(Exception):
    """The owner does not allow it; the message says what."""


@dataclass(frozen=True, slots=True)
class Names:
    """Patterns of each kind; None: nothing is said of it."""

    users: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    apps: tuple[str, ...] | None = None
    commands: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class IsolationPolicy:
    """Whose programs run in a sandbox: ``auto`` (those of others than the owner), ``bubblewrap`` (all) or ``none``.

    ``network``: whether what runs in one may reach others; ``read``: paths that it may read beside the system's.
    """

    kind: str = "auto"
    network: bool = True
    read: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentPolicy:
    """``downloads``: uv may bring interpreters that the machine has not. ``builds``: whose packages may be made from their source,
    which runs their code outside of a sandbox: ``own`` (of those whose programs need none), ``all`` or ``none``."""

    downloads: bool = False
    builds: str = "own"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner allows. Without a file: whatever the server sends. ``limits`` by the keys of ``OfferedJob.resources``."""

    allow: Names = Names()
    deny: Names = Names()
    tasks: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    isolation: IsolationPolicy = IsolationPolicy()
    environments: EnvironmentPolicy = EnvironmentPolicy()

    def sentences(self) -> list[str]:
        """What it allows, for whoever looks at the resource."""
        said = [*_said_of(self.allow, "{} of {} only"), *_said_of(self.deny, "no {} of {}")]
        if self.tasks is not None:
            said.append(f"at most {self.tasks} side by side" if self.tasks > 1 else "one task at a time")
        said += ISOLATION_SAID[self.isolation.kind]
        if not self.isolation.network and self.isolation.kind != "none":
            said.append("no network in the sandbox")
        return said + [f"at most {_words(key, most)} for a task" for key, most in self.limits.items()]

    def check_job(self, job: OfferedJob, app: App) -> None:
        """Raises NotAllowed where its submitter, its application or what it asks for is not welcome."""
        groups = [group for group in job.groups.split(",") if group]
        if _any(self.deny.users, [job.owner]) or _any(self.deny.groups, groups):
            raise NotAllowed(f"its owner does not let {job.owner} run there")
        if (self.allow.users is not None or self.allow.groups is not None) and not (
            _any(self.allow.users, [job.owner]) or _any(self.allow.groups, groups)
        ):
            raise NotAllowed(f"its owner does not let {job.owner} run there")
        name = f"{job.app_owner}/{job.app}"
        if _any(self.deny.apps, [name]) or (self.allow.apps is not None and not _any(self.allow.apps, [name])):
            raise NotAllowed(f"its owner does not let the application {name} run there")
        for key, most in self.limits.items():
            asked = asked_for(job, app, key)
            if asked is not None and asked > most:
                raise NotAllowed(f"the task asks for {_words(key, asked)}; its owner allows {_words(key, most)}")

    def limited(self, job: OfferedJob, app: App) -> OfferedJob:
        """The job with the owner's limits where it has none of its own."""
        bare = {key: most for key, most in self.limits.items() if asked_for(job, app, key) is None}
        if not bare:
            return job
        whole = {key: int(most) if key != "time_s" else most for key, most in bare.items()}
        return job.model_copy(update={"resources": {**job.resources, **whole}})

    def checked_command(self, argv: Sequence[str], search: str) -> Sequence[str]:
        """The command, with its program as it was found in ``search``: what was allowed is what starts. Raises NotAllowed."""
        if not argv or (self.allow.commands is None and self.deny.commands is None):
            return argv
        word = argv[0]
        found = _found(word, search)
        if found is None or _any(self.deny.commands, {word, *found}):
            raise NotAllowed(f"its owner does not let the command {word} run there")
        if self.allow.commands is not None and not _any(self.allow.commands, found):
            raise NotAllowed(f"its owner does not let the command {word} run there")
        return argv if "/" in word else [found[1], *argv[1:]]


def _found(word: str, search: str) -> Sequence[str] | None:
    """What a pattern may call the program that starts; None where nobody can say which that is.

    The program that was looked up comes second. What the application brings is ``./NAME``, however it is written.
    """
    plain = os.path.normpath(word)
    if Path(word).is_absolute():
        real = os.path.realpath(word)
        return [word, real] if plain == word else [real]
    if "/" in word:  # above its directory a task has nothing of its own
        return None if os.pardir in plain.split("/") else [f"./{plain}"]
    found = shutil.which(word, path=search)
    return [word, found, os.path.realpath(found)] if found is not None and Path(found).is_absolute() else None


def asked_for(job: OfferedJob, app: App, key: str) -> float | None:
    """What one task asks for: the job's, or else the application's. None, where that is no limit."""
    own = getattr(app.resources, key)
    value = job.resources.get(key, own) or (own if key == "cpus" else 0)
    return float(value) if value > 0 or key == "gpus" else None


def _said_of(names: Names, how: str) -> list[str]:
    people = [*(names.users or ()), *(f"the group {group}" for group in names.groups or ())]
    said = [] if names.users is None and names.groups is None else [how.format("jobs", _listed(people))]
    if names.apps is not None:
        said.append(how.format("jobs", f"the applications {_listed(names.apps)}"))
    if names.commands is not None:
        said.append(how.format("programs", f"the names {_listed(names.commands)}"))
    return said


def _listed(patterns: Iterable[str]) -> str:
    return ", ".join(patterns) or "nobody"


def _any(patterns: Iterable[str] | None, names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns or () for name in names)


def _words(key: str, value: float) -> str:
    if key == "time_s":
        return format_duration(value)
    if key.endswith("_bytes"):
        return f"{format_size(int(value))} of {key.removesuffix('_bytes')}"
    return f"{value:g} {key}"


# ---------------------------------------------------------------- reading


def load_policy(path: Path) -> Policy:
    """The policy in a file; an open one where there is none. Raises PolicyFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFault(f"{path} cannot be read: {error}") from None
    try:
        return parse_policy(text)
    except PolicyFault as fault:
        raise PolicyFault(f"{path}: {fault}") from None


def parse_policy(text: str) -> Policy:
    """Raises PolicyFault with what is wrong, and what is expected."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyFault(f"it is not YAML: {' '.join(str(error).split())}") from None
    known = _mapping(document, "the policy", ("allow", "deny", "tasks", "limits", "isolation", "environments"))
    tasks = known.get("tasks")
    if tasks is not None and (isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1):
        raise PolicyFault(f"tasks: {tasks!r} is not a number of tasks, 1 or more")
    limits, isolation = _limits(known.get("limits")), _isolation(known.get("isolation"))
    environments = _environments(known.get("environments"))
    return Policy(_names(known, "allow"), _names(known, "deny"), tasks, limits, isolation, environments)


def _isolation(value: Any) -> IsolationPolicy:
    """A word, or a mapping with ``kind``, ``network`` and ``read``."""
    given = {"kind": value} if isinstance(value, str) else _mapping(value, "isolation", ("kind", "network", "read"))
    kind, network = given.get("kind", "auto"), given.get("network", True)
    if kind not in ISOLATION_SAID:
        raise PolicyFault(f"isolation: {kind!r} is not known here; known are {', '.join(ISOLATION_SAID)}")
    if not isinstance(network, bool):
        raise PolicyFault(f"isolation.network: {network!r} is not true or false")
    paths = _patterns(given.get("read") or [], "isolation.read")
    if bad := next((path for path in paths if not Path(path).is_absolute()), None):
        raise PolicyFault(f"isolation.read: {bad} is not an absolute path")
    return IsolationPolicy(kind, network, paths)


def _environments(value: Any) -> EnvironmentPolicy:
    given = _mapping(value, "environments", ("downloads", "builds"))
    downloads, builds = given.get("downloads", False), given.get("builds", "own")
    if not isinstance(downloads, bool):
        raise PolicyFault(f"environments.downloads: {downloads!r} is not true or false")
    if builds not in BUILDS:
        raise PolicyFault(f"environments.builds: {builds!r} is not known here; known are {', '.join(BUILDS)}")
    return EnvironmentPolicy(downloads, builds)


def _names(document: Mapping[str, Any], key: str) -> Names:
    given = _mapping(document.get(key), key, LISTS)
    return Names(**{kind: _patterns(given[kind], f"{key}.{kind}") for kind in LISTS if kind in given})


def _patterns(value: Any, where: str) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(one, str) and one for one in patterns):
        raise PolicyFault(f"{where}: a list of names is expected, in quotes where YAML would read something else")
    return tuple(patterns)


def _limits(value: Any) -> dict[str, float]:
    limits = {}
    for name, given in _mapping(value, "limits", LIMITS).items():
        try:
            limits[LIMITS[name]] = _limit(name, given)
        except ValueError as error:
            raise PolicyFault(f"limits.{name}: {error}") from None
    return limits


def _limit(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"{given!r} is no limit")
    if name in {"memory", "disk"}:
        number = float(parse_size(str(given)))
    else:
        number = parse_duration(str(given)) if name == "time" else float(given)
    if number < 0:
        raise ValueError(f"{given!r} is less than 0")
    if not number > 0 and name != "gpus":
        raise ValueError(f"{given!r} would be no limit; leave it out")
    return number


def _mapping(value: Any, where: str, known: Iterable[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PolicyFault(f"{where}: {', '.join(known)} are expected here, each with its value")
    if unknown := [str(key) for key in value if key not in set(known)]:
        raise PolicyFault(f"{where}: there is no {unknown[0]!r}; known are {', '.join(known)}")
    return value
