"""The words of an ``sbatch`` command for a launch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sirdar.agent.executors.base import Launch

NAME_PREFIX = "sirdar."
ROOM_S = 60.0  # for the wrapper on the node, and for Slurm's own steps
ROOM_BYTES = 24 << 20  # of the wrapper on the node
FLAGS = ("exclusive",)  # that may stand without a value
YES, NO = ("yes", "true"), ("no", "false")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one job asks of Slurm. Launches whose needs are equal may be one array."""

    cpus: int
    memory_bytes: int | None
    time_s: float | None
    site: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, launch: Launch, defaults: Mapping[str, str]) -> "Needs":
        site = {**defaults, **launch.site}
        time_s = launch.time_s + launch.grace_s + ROOM_S if launch.time_s is not None else None
        return cls(max(1, launch.cpus), launch.memory_bytes, time_s, tuple(sorted(site.items())))


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
        words.append(f"--time={math.ceil(needs.time_s / 60)}")
    elif default_time:
        words.append(f"--time={default_time}")
    unset = {key for key in FLAGS if site.get(key, "").lower() in NO}
    return words + [_word(key, value) for key, value in site.items() if key not in unset]


def _word(key: str, value: str) -> str:
    return f"--{key}" if key in FLAGS and value.lower() in YES else f"--{key}={value}"


def chunks(count: int, most: int) -> Sequence[range]:
    """Numbers of the members of each array."""
    return [range(begin, min(begin + most, count)) for begin in range(0, count, most)]
