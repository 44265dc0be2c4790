"""How an agent uses its cluster: ``slurm.yaml`` in the agent's home, written by whoever set it up."""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sirdar.agent.executors.slurm.options import FLAGS
from sirdar.domain.app import SLURM_FIELDS, slurm_fault
from sirdar.domain.units import parse_duration, parse_size

SLURM_TIME = re.compile(r"\d+(:\d+(:\d+)?)?|\d+-\d+(:\d+(:\d+)?)?|UNLIMITED|INFINITE", re.ASCII | re.IGNORECASE)
TIME_EXPECTED = "minutes, HH:MM:SS, D-HH:MM:SS or a duration such as 2 h"

FILE_NAME = "slurm.yaml"
MODES = ("jobs", "pilots")
END_ROOM_S = 60.0  # before an allocation ends, nothing more is started in it
OWN_FIELDS: tuple[str, ...] = (
    *SLURM_FIELDS,
    "clusters",
    "licenses",
    "mail-type",
    "mail-user",
    "mem-per-cpu",
    "nodelist",
    "exclude",
    "time",
)
OWN_FIELDS += ("hint", "ntasks-per-core", "threads-per-core", "tmp", "wckey", "signal", "core-spec", "gpus", "switches")


class _Loader(yaml.SafeLoader):
    """Reads ``1:30:00`` as it stands: for YAML it would be 5400, and for Slurm that many minutes."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        sign: [(tag, pattern) for tag, pattern in found if not tag.endswith((":int", ":float", ":timestamp"))]
        for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]*\.[0-9]+$"), list("-+.0123456789"))


class SlurmFault(ValueError):
    """The file cannot be used. An agent does not start with one that it cannot read."""


@dataclass(frozen=True, slots=True)
class PilotSettings:
    """Allocations that run many tasks: at ``least`` and at ``most`` so many, each of ``cpus`` and ``memory_bytes`` on one node.

    ``time_s``: how long one may live; ``idle_s``: how long one that has nothing to do is kept over the least.
    """

    least: int = 0
    most: int = 4
    cpus: int = 4
    memory_bytes: int | None = None
    time_s: float = 4 * 3600.0
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """``address``: of this machine, as the nodes reach it; its name where it is empty.

    ``options``: of every job, under what the application and the submission say. ``python``: the interpreter on the nodes.
    ``limit_memory``: the wrapper on the node bounds a program's address space, for a Slurm that bounds no memory. The queue is
    asked at most every ``query_s``, and at most every five times as long as it took to answer; ``look_s``: between two looks at
    what the nodes wrote; ``missed``: so many answers in a row must be without a job before it counts as gone.
    """

    mode: str = "jobs"
    address: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    limit_memory: bool = False
    query_s: float = 30.0
    query_times: float = 5.0
    look_s: float = 1.0
    command_timeout_s: float = 60.0
    gather_s: float = 0.2
    record_patience_s: float = 60.0
    missed: int = 3
    array_most: int = 1000
    pilots: PilotSettings = PilotSettings()


DURATIONS = {"query": "query_s", "look": "look_s", "command_timeout": "command_timeout_s", "gather": "gather_s"}
DURATIONS |= {"record_patience": "record_patience_s"}
PILOT_DURATIONS = {"time": "time_s", "idle": "idle_s"}


def load_slurm(path: Path) -> SlurmSettings:
    """What the file says; the usual where there is none. Raises SlurmFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return SlurmSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise SlurmFault(f"{path} cannot be read: {error}") from None
    try:
        return parse_slurm(text)
    except SlurmFault as fault:
        raise SlurmFault(f"{path}: {fault}") from None


def parse_slurm(text: str) -> SlurmSettings:
    """Raises SlurmFault with what is wrong, and what is expected."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  (a safe loader that takes fewer words for numbers)
    except yaml.YAMLError as error:
        raise SlurmFault(f"it is not YAML: {' '.join(str(error).split())}") from None
    known = ("mode", "address", "options", "python", "limit_memory", "missed", "array", "pilots", *DURATIONS)
    given = _mapping(document, "the file", known)
    values: dict[str, Any] = {DURATIONS[key]: _duration(key, given[key]) for key in DURATIONS if key in given}
    if (mode := given.get("mode", "jobs")) not in MODES:
        raise SlurmFault(f"mode: {mode!r} is not known; known are {', '.join(MODES)}")
    if not isinstance(limit := given.get("limit_memory", False), bool):
        raise SlurmFault(f"limit_memory: {limit!r} is not true or false")
    if not isinstance(address := given.get("address", ""), str):
        raise SlurmFault(f"address: {address!r} is not a name or an address")
    if "python" in given:
        values["python"] = _absolute(given["python"])
    for key, name in (("missed", "missed"), ("array", "array_most")):
        if key in given:
            values[name] = _count(key, given[key], 1)
    options, pilots = _options(given.get("options")), _pilots(given.get("pilots"))
    return SlurmSettings(mode=mode, address=address, options=options, limit_memory=limit, pilots=pilots, **values)


def _options(value: Any) -> dict[str, str]:
    given = _mapping(value, "options", OWN_FIELDS)
    return {key: _slurm_time(one) if key == "time" else _slurm_value(key, one) for key, one in given.items()}


def _slurm_value(key: str, value: Any) -> str:
    where = f"options.{key}"
    if value is None:
        raise SlurmFault(f"{where} has no value: a text is expected, as sbatch takes it behind --{key}=")
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "names with values"
        raise SlurmFault(f"{where} is {kind}: one text is expected, as sbatch takes it behind --{key}=")
    if isinstance(value, bool):
        if key not in FLAGS:
            raise SlurmFault(
                f"{where} is {str(value).lower()}: a text is expected; a word such as yes or no needs quotes"
            )
        return "yes" if value else "no"
    if fault := slurm_fault(text := str(value)):
        raise SlurmFault(f"{where} {fault}: letters, digits and ._-:,=|&*@()[]+/ are expected, 200 of them at most")
    return text


def _slurm_time(value: Any) -> str:
    """Slurm's own words for a time as they stand; durations as they are written elsewhere in whole minutes."""
    text = str(value).strip()
    if isinstance(value, str | int) and not isinstance(value, bool):
        if SLURM_TIME.fullmatch(text):
            return text
        try:
            found = parse_duration(text) if not text.replace(".", "").isdecimal() else 0.0
        except ValueError:
            found = 0.0
        if found > 0:
            return str(math.ceil(found / 60))
    raise SlurmFault(f"options.time: {text[:40]!r} is not a time of Slurm's: {TIME_EXPECTED} is expected")


def _pilots(value: Any) -> PilotSettings:
    given = _mapping(value, "pilots", ("least", "most", "cpus", "memory", *PILOT_DURATIONS))
    values: dict[str, Any] = {
        name: _duration(f"pilots.{key}", given[key]) for key, name in PILOT_DURATIONS.items() if key in given
    }
    for key, least in (("least", 0), ("most", 1), ("cpus", 1)):
        if key in given:
            values[key] = _count(f"pilots.{key}", given[key], least)
    if "memory" in given:
        try:
            values["memory_bytes"] = parse_size(str(given["memory"]))
        except ValueError as error:
            raise SlurmFault(f"pilots.memory: {error}") from None
    pilots = PilotSettings(**values)
    if pilots.time_s <= 2 * END_ROOM_S:
        raise SlurmFault(
            f"pilots.time: {pilots.time_s:g} s are too short: in its last {END_ROOM_S:g} s a pilot starts nothing"
        )
    if pilots.least > pilots.most:
        raise SlurmFault(f"pilots: at least {pilots.least} are more than the {pilots.most} that there may be at most")
    return pilots


def _mapping(value: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SlurmFault(f"{where}: names with values are expected")
    if unknown := next((key for key in value if key not in known), None):
        raise SlurmFault(f"{where}: {unknown!r} is not known; known are {', '.join(sorted(known))}")
    return value


def _duration(where: str, value: Any) -> float:
    try:
        found = parse_duration(str(value))
    except ValueError as error:
        raise SlurmFault(f"{where}: {error}") from None
    if not found > 0:
        raise SlurmFault(f"{where}: {value!r} is not more than 0")
    return found


def _count(where: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SlurmFault(f"{where}: {value!r} is not a whole number, {least} or more")
    return value


def _absolute(value: Any) -> str:
    if not isinstance(value, str) or not Path(value).is_absolute():
        raise SlurmFault(f"python: {value!r} is not an absolute path")
    return value
