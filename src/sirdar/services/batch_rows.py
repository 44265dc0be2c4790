"""What a batch has gathered for the rows of tasks and attempts, and how that is written: one statement for each kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sirdar.domain.ids import AttemptKey
from sirdar.domain.outcome import Outcome
from sirdar.domain.states import AttemptState
from sirdar.domain.task import Task
from sirdar.services.batch_words import said_values
from sirdar.store import jobs as job_store
from sirdar.store import tasks as task_store
from sirdar.store.engine import Tx
from sirdar.store.tasks import Times

Place = tuple[str, int]  # job and number of a task


@dataclass(slots=True)
class Rows:
    """Tasks as they are by now, and which of them, and of the attempts, have to be written."""

    tasks: dict[Place, Task] = field(default_factory=dict)
    resources: dict[Place, str | None] = field(default_factory=dict)
    moved: dict[Place, float | None] = field(default_factory=dict)  # since when they are ready again
    ended: dict[Place, Mapping[str, Any]] = field(default_factory=dict)  # the other columns of their ends
    said: dict[Place, Mapping[str, Any]] = field(default_factory=dict)
    accepts: dict[AttemptKey, None] = field(default_factory=dict)
    moves: dict[AttemptKey, tuple[AttemptState, Times]] = field(default_factory=dict)
    ends: dict[AttemptKey, tuple[Outcome, Times]] = field(default_factory=dict)
    cancels: list[AttemptKey] = field(default_factory=list)

    def write(self, tx: Tx, single: set[str]) -> None:
        """Write everything. ``single``: jobs of one task, which say what their task says."""
        self._write_tasks(tx, single)
        ends = self.ends
        task_store.accept_attempts(tx, [key for key in self.accepts if key not in ends])
        moves = [(key, state, times) for key, (state, times) in self.moves.items() if key not in ends]
        task_store.move_attempts(tx, moves)
        task_store.end_attempts(tx, [(key, *values) for key, values in ends.items()])
        task_store.wish_cancel(tx, [key for key in self.cancels if key not in ends])

    def _write_tasks(self, tx: Tx, single: set[str]) -> None:
        moved = [
            (place[0], self.tasks[place], self.resources.get(place), ready_at)
            for place, ready_at in self.moved.items()
            if place not in self.ended
        ]
        task_store.move_tasks(tx, moved)
        task_store.end_tasks(tx, [(place[0], self.tasks[place], columns) for place, columns in self.ended.items()])
        said = [(place, words) for place, words in self.said.items() if place not in self.ended]
        task_store.say(tx, [said_values(place, words) for place, words in said])
        for (job_id, _no), words in said:
            if job_id in single:
                job_store.say(tx, job_id, words)


def times_of(columns: Mapping[str, Any], now: float) -> Times:
    """The times among the columns of a task's end. One that does not say when its program ended, ended now."""
    return Times(
        accepted_at=columns.get("accepted_at"),
        staging_at=columns.get("staging_at"),
        staged_at=columns.get("staged_at"),
        started_at=columns.get("started_at"),
        ended_at=columns.get("ended_at", now),
        reported_at=columns.get("reported_at"),
    )
