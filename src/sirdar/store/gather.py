"""What a writer commits next: all that has queued up, but in a burst those who wait themselves go first.

A crowd of submissions and the reports of the agents that run them meet at one writer. A report can wait: nobody looks at it, and
later it carries more, so that a larger batch does the same work for less. So while many commands come in, *patient* ones are
put off until the burst is over, for at most ``PATIENCE_S``.
"""

import math
import queue
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

PATIENCE_S = 0.25
BURST = 16.0  # impatient commands, of which each counts for less the longer it is ago
FADING_S = 0.05
LOOK_EVERY_S = 0.005


class Queued(Protocol):
    """What is taken from the queue."""

    patient: bool
    queued_at: float  # monotonic


C = TypeVar("C", bound=Queued)


@dataclass(slots=True)
class Gatherer(Generic[C]):
    """One writer's view of the queue; ``None`` in it ends the writer."""

    queue: "queue.SimpleQueue[C | None]"
    max_batch: int
    closed: bool = False
    _waiting: deque[C] = field(default_factory=deque)
    _heat: float = 0.0
    _heat_at: float = 0.0

    def next(self) -> list[C] | None:
        """The next batch, as soon as there is one; None when everything is done and no more will come."""
        while not self.closed or self._waiting:
            batch = self._arrived()
            if self._waiting and self._patience_s() <= 0:  # beside a full batch too, else they might wait for ever
                batch += [self._waiting.popleft() for _ in range(min(len(self._waiting), self.max_batch))]
            if batch:
                return batch
        return None

    def _arrived(self) -> list[C]:
        """The impatient commands that have come; waits for one as long as nothing else is due."""
        batch: list[C] = []
        wait_s = min(self._patience_s(), LOOK_EVERY_S) if self._waiting else None
        while not self.closed and len(batch) < self.max_batch:
            try:
                command = self.queue.get(timeout=wait_s) if wait_s is None or wait_s > 0 else self.queue.get_nowait()
            except queue.Empty:
                break
            wait_s = 0.0
            if command is None:
                self.closed = True
            elif command.patient:
                self._waiting.append(command)
            else:
                batch.append(command)
        self._heat = self._heat_now() + len(batch)
        self._heat_at = time.monotonic()
        return batch

    def _heat_now(self) -> float:
        return self._heat * math.exp((self._heat_at - time.monotonic()) / FADING_S)

    def _patience_s(self) -> float:
        """How much longer the patient may wait; none where there is no burst."""
        if self.closed or self._heat_now() < BURST:
            return 0.0
        return max(0.0, self._waiting[0].queued_at + PATIENCE_S - time.monotonic())
