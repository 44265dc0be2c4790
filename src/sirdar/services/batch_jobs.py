"""What a batch has gathered for each job, before the job is stepped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sirdar.domain.failures import FailureGroup
from sirdar.domain.outcome import Outcome
from sirdar.domain.states import State
from sirdar.domain.task import NOTHING, Delta
from sirdar.store.jobs import JobRow
from sirdar.store.task_values import TaskValues

EVENT_TASKS = 1000  # the most tasks that one event names; more are told as several events


@dataclass(slots=True)
class JobChange:
    """Of one job."""

    row: JobRow
    delta: Delta = NOTHING
    started_at: float | None = None
    outcome: Outcome | None = None
    cpu_s: float = 0.0
    told_end: int = 0  # 1: the job ended in this batch
    running: list[list[Any]] = field(default_factory=list)
    returned: list[list[Any]] = field(default_factory=list)
    ended: list[list[Any]] = field(default_factory=list)
    said: list[list[Any]] = field(default_factory=list)
    done: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)  # of a job that seeks something
    failures: dict[str, FailureGroup] = field(default_factory=dict)  # by kind; not yet written
    values: list[TaskValues] = field(default_factory=list)  # of a job whose table is kept in order
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def note_task(self, no: int, outcome: Outcome, state: State, columns: Mapping[str, Any]) -> None:
        """A task of a job of many has ended."""
        if state is State.DONE and self.row.job.criterion is not None:
            self.done.append((no, columns))
        elif state is State.FAILED:
            failed = FailureGroup(outcome.reason.value, outcome.message, outcome.exit_code, 1, no)
            known = self.failures.get(key := failed.key)
            self.failures[key] = known.joined(failed) if known else failed

    def gather(self) -> tuple[Delta, float | None, Outcome | None]:
        """Makes events of what the tasks did. How that changes the counts, when the first of them started, and the last outcome."""
        told = (("running", self.running), ("message", self.said), ("returned", self.returned), ("ended", self.ended))
        for kind, entries in told:
            for first in range(0, len(entries), EVENT_TASKS):
                self.events.append((kind, {"tasks": entries[first : first + EVENT_TASKS]}))
            entries.clear()
        means = (self.delta, self.started_at, self.outcome)
        self.delta, self.started_at, self.outcome = NOTHING, None, None
        return means


def usage_of(changes: Iterable[JobChange]) -> dict[str, tuple[float, int]]:
    """By owner: seconds of cpu, and jobs that ended."""
    usage: dict[str, tuple[float, int]] = {}
    for change in changes:
        if change.cpu_s or change.told_end:
            cpu_s, ended = usage.get(change.row.owner_id, (0.0, 0))
            usage[change.row.owner_id] = (cpu_s + change.cpu_s, ended + change.told_end)
    return usage
