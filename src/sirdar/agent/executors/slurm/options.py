"""The words of an ``sbatch`` command for a launch."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sirdar.agent.executors.base import Launch
from sirdar.domain.ids import AttemptKey

NAME_PREFIX = "sirdar."
PILOT_NAME = "pilot."  # behind it
ROOM_S = 60.0  # for the wrapper on the node, and for Slurm's own steps
ROOM_BYTES = 24 << 20  # of the wrapper on the node
FLAGS = ("exclusive",)  # that may stand without a value
COMMENT_MOST = 300  # letters
TIME_MIN = "--time-min="
YES, NO = ("yes", "true"), ("no", "false")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one job asks of Slurm. Launches of one job of ours whose needs are equal may be one array.

    ``least_s``: the time that the task itself may take, where ``time_s`` has room beside it.
    """

    cpus: int
    memory_bytes: int | None
    time_s: float | None
    site: tuple[tuple[str, str], ...]
    least_s: float | None = None

    @classmethod
    def of(cls, launch: Launch, defaults: Mapping[str, str]) -> "Needs":
        site = {**defaults, **launch.site}
        time_s = launch.time_s + launch.grace_s + ROOM_S if launch.time_s is not None else None
        return cls(max(1, launch.cpus), launch.memory_bytes, time_s, tuple(sorted(site.items())), launch.time_s)


def words_of(needs: Needs, *, name: str, comment: str) -> list[str]:
    """Options, each one word. The task's key stands in the job's name and comment before Slurm has heard of it."""
    site = dict(needs.site)
    if own := site.pop("comment", ""):
        comment = f"{comment} {own}"
    words = [f"--job-name={NAME_PREFIX}{name}", f"--comment={comment}", "--no-requeue", "--nodes=1", "--ntasks=1"]
    words.append(f"--cpus-per-task={needs.cpus}")
    if needs.memory_bytes is not None:
        site.pop("mem-per-cpu", None)  # Slurm takes one of them only
        words.append(f"--mem={math.ceil((needs.memory_bytes + ROOM_BYTES) / (1 << 20))}M")
    default_time = site.pop("time", "")
    if needs.time_s is not None:
        words.append(f"--time={_minutes(needs.time_s)}")
        if needs.least_s is not None:  # a partition whose limit is the task's own is long enough
            words.append(f"{TIME_MIN}{_minutes(needs.least_s)}")
    elif default_time:
        words.append(f"--time={default_time}")
    unset = {key for key in FLAGS if site.get(key, "").lower() in NO}
    return words + [_word(key, value) for key, value in site.items() if key not in unset]


def _word(key: str, value: str) -> str:
    return f"--{key}" if key in FLAGS and value.lower() in YES else f"--{key}={value}"


def _minutes(seconds: float) -> int:
    return max(1, math.ceil(seconds / 60))


def other_time(words: Sequence[str], why: str) -> list[str] | None:
    """The time asked for in another way, where Slurm refused it with these words; None where there is none.

    A least time that is beyond the partition's limit is always refused, but a job whose time is may wait. A Slurm that
    enforces limits at submission (``EnforcePartLimits``) does not look at the least time: it gets no room.
    """
    least = next((word.removeprefix(TIME_MIN) for word in words if word.startswith(TIME_MIN)), None)
    if least is None or not ("time-min" in why or "time limit" in why):
        return None
    rest = [word for word in words if not word.startswith(TIME_MIN)]
    return rest if "time-min" in why else [f"--time={least}" if word.startswith("--time=") else word for word in rest]


def asked_time(words: Sequence[str]) -> str:
    """The time that was asked for, as Slurm judges it by a partition's limit; empty where none was."""
    values = [word.partition("=")[2] for name in (TIME_MIN, "--time=") for word in words if word.startswith(name)]
    return "" if not values else f"{values[0]} min" if values[0].isdecimal() else values[0]


def job_of(key: str) -> str:
    """The job of ours that an attempt is of; empty where its key is not of that form."""
    try:
        return AttemptKey.parse(key).job
    except ValueError:
        return ""


def comment_of(keys: Sequence[str]) -> str:
    """Of an array: its job, and the tasks in the order of the members: ``JOB tasks 0-36,40 (attempt 1)``."""
    try:
        attempts = [AttemptKey.parse(key) for key in keys]
    except ValueError:
        attempts = []
    if len(keys) == 1 or not attempts:
        return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
    runs = itertools.groupby(attempts, lambda one: one.attempt)
    parts = [f"{_ranges(one.task for one in some)} (attempt {number})" for number, some in runs]
    comment = f"{attempts[0].job} tasks {', '.join(parts)}"
    return comment if len(comment) <= COMMENT_MOST else f"{comment[: COMMENT_MOST - 3].rpartition(',')[0]},..."


def _ranges(numbers: Iterable[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, part)) for part in found)


def chunks(count: int, most: int) -> Sequence[range]:
    """Numbers of the members of each array."""
    return [range(begin, min(begin + most, count)) for begin in range(0, count, most)]
