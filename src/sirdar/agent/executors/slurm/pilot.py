"""One pilot as the agent sees it: what it was given, what it said, and what it can still take."""

import asyncio
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sirdar.agent.executors.slurm.settings import END_ROOM_S
from sirdar.agent.executors.slurm.states import Seen


@dataclass(slots=True)
class Item:
    """A task as the porter takes it, its base environment, and where it is: the batch file that names it."""

    task: Mapping[str, Any]
    base: Mapping[str, str]
    batch: str = ""
    begun: bool = False
    note: str = ""  # the last that was told of its waiting

    @property
    def key(self) -> str:
        return str(self.task["id"])

    @property
    def cpus(self) -> int:
        return int(self.task.get("cpus", 1))


@dataclass(slots=True)
class Pilot:
    """``job``: empty until Slurm says it; ``ordering``: it is being submitted; ``unsure``: only Slurm can say whether it has it;
    ``outdated``: it was ordered by other settings than those of today.

    Times are monotonic.
    """

    id: str
    slots: int
    time_s: float
    job: str = ""
    ordering: bool = False
    unsure: bool = False
    outdated: bool = False
    begun_at: float | None = None  # of the day
    items: dict[str, Item] = field(default_factory=dict)  # given to it, and not ended
    over_keys: set[str] = field(default_factory=set)  # ended, and not destroyed
    batches: dict[str, set[str]] = field(default_factory=dict)  # keys by file that are not destroyed
    next_batch: int = 1
    writer: asyncio.StreamWriter | None = None
    closing: bool = False
    ordered_at: float = field(default_factory=time.monotonic)
    idle_since: float = field(default_factory=time.monotonic)
    seen: Seen | None = None
    over_at: float | None = None  # Slurm says that it has ended, since

    @property
    def connected(self) -> bool:
        return self.writer is not None

    def cpus_in_hand(self) -> int:
        return sum(min(item.cpus, self.slots) for item in self.items.values())

    def room(self, ahead: int) -> int:
        """How many cpus more it may be given."""
        return 0 if self.writer is None or self.closing else max(0, self.slots + ahead - self.cpus_in_hand())

    def lasts(self, time_s: float | None) -> bool:
        """Whether a task of that limit can end before the allocation does."""
        if self.begun_at is None:
            return True
        left_s = self.begun_at + self.time_s - time.time() - END_ROOM_S
        return left_s > min(time_s or 0.0, self.time_s / 2)

    def say(self, message: Mapping[str, Any]) -> None:
        """Lost where nobody is connected: what matters is said again when it calls in."""
        if self.writer is not None:
            self.writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def destroyed(self, keys: Collection[str]) -> list[str]:
        """Batch files that nobody needs any more."""
        self.over_keys -= set(keys)
        empty = []
        for name, members in list(self.batches.items()):
            members -= set(keys)
            if not members:
                del self.batches[name]
                empty.append(name)
        return empty


def batch_of(items: Sequence[Item]) -> dict[str, Any]:
    """As the porter takes it, each base environment once."""
    bases: list[Mapping[str, str]] = []
    tasks = []
    for item in items:
        number = next((one for one, base in enumerate(bases) if base is item.base), -1)
        if number < 0:
            bases.append(item.base)
            number = len(bases) - 1
        tasks.append({**item.task, "base": number})
    return {"op": "start", "bases": [dict(base) for base in bases], "tasks": tasks}


def items_of(batch: Mapping[str, Any], name: str) -> list[Item]:
    """What a batch file holds."""
    return [Item(task, batch["bases"][task["base"]], name) for task in batch["tasks"]]
