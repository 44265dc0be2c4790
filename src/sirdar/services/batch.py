"""One transaction's worth of changes to jobs, tasks and attempts: every change goes through the rules, and is written once.

A batch locks the jobs first, in one order, loads what it needs in one query, applies facts in memory, and flushes with one
statement for each kind of row. What began and ended within the batch is written once, in its last state.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sirdar.domain import job as job_rules
from sirdar.domain import task as task_rules
from sirdar.domain.failures import KINDS_TOLD, FailureGroup
from sirdar.domain.ids import AttemptKey
from sirdar.domain.job import Added, CancelRequested, Effect, JobEvent
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import ATTEMPT_ORDER, AttemptState, State
from sirdar.domain.task import (
    Accepted,
    Delta,
    Ended,
    GivenBack,
    OfferWithdrawn,
    Reachable,
    Retry,
    Started,
    Task,
    Unreachable,
    Withdrawn,
)
from sirdar.services.batch_count import count_after
from sirdar.services.batch_counted import counted
from sirdar.services.batch_jobs import EVENT_TASKS, JobChange, usage_of
from sirdar.services.batch_rows import Rows, times_of
from sirdar.services.batch_words import state_event, storable
from sirdar.services.endings import tell_end, wake_dependants
from sirdar.store import jobs as job_store
from sirdar.store import task_values
from sirdar.store import tasks as task_store
from sirdar.store.engine import Tx
from sirdar.store.failures import failure_groups
from sirdar.store.jobs import JobRow
from sirdar.store.task_values import ended_values
from sirdar.store.tasks import Loaded, Times
from sirdar.wire.agent import Message


class Batch:
    """See the module. Use: ``batch = Batch(tx, retry...)``, ``load``, the facts, ``flush``."""

    def __init__(self, tx: Tx, *, retry_base_s: float, retry_max_s: float) -> None:
        self.tx = tx
        self._retry = (retry_base_s, retry_max_s)
        self._jobs: dict[str, JobChange] = {}
        self._loaded: dict[AttemptKey, Loaded] = {}
        self._rows = Rows()
        self.superseded: list[AttemptKey] = []  # attempts that their agents shall forget
        self.recovered = False  # an attempt that was given up turned out to live

    # ------------------------------------------------------------ loading

    def lock(self, job_ids: Iterable[str], *, wait: bool = True) -> None:
        """Lock jobs that are not locked yet. Not ``wait``: only those that nobody else has locked."""
        wanted = [job_id for job_id in job_ids if job_id not in self._jobs]
        for job_id, row in job_store.lock_jobs(self.tx, wanted, wait=wait).items():
            self._jobs[job_id] = JobChange(row)

    def load(self, keys: Iterable[AttemptKey]) -> None:
        """Lock the jobs of these attempts and load them with their tasks."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._loaded]
        self.lock({key.job for key in wanted})
        self.adopt(task_store.load_attempts(self.tx, wanted))

    def adopt(self, loaded: Mapping[AttemptKey, Loaded]) -> None:
        """Take in rows that were read after their jobs were locked."""
        for key, both in loaded.items():
            self._loaded.setdefault(key, both)
            place = (key.job, key.task)
            self._rows.tasks.setdefault(place, both.task)
            if key.attempt == both.task.last_attempt or place not in self._rows.resources:
                self._rows.resources[place] = both.attempt.resource_id

    def job(self, job_id: str) -> JobRow | None:
        change = self._jobs.get(job_id)
        return change.row if change else None

    def attempt_state(self, key: AttemptKey) -> AttemptState | None:
        """The attempt's state with the batch's changes applied; None where there is no such attempt."""
        if key in self._rows.ends:
            return AttemptState.ENDED
        if key in self._rows.moves:
            return self._rows.moves[key][0]
        both = self._loaded.get(key)
        if both is None:
            return None
        if both.attempt.state is AttemptState.OFFERED and key in self._rows.accepts:
            return AttemptState.ACCEPTED
        return both.attempt.state

    def tasks_of(self, job_id: str) -> set[int]:
        """Numbers of the job's tasks that the batch has touched."""
        return {no for job, no in self._rows.tasks if job == job_id}

    def task(self, key: AttemptKey) -> Task | None:
        return self._rows.tasks.get((key.job, key.task))

    def loaded(self, key: AttemptKey) -> Loaded | None:
        return self._loaded.get(key)

    # ------------------------------------------------------------ facts of attempts

    def accept(self, key: AttemptKey) -> bool:
        """The agent has it in its journal. False: it came too late and shall be forgotten."""
        state = self.attempt_state(key)
        if state is None or state is AttemptState.ENDED:
            return False
        if state is not AttemptState.OFFERED:
            return True
        before = self._rows.tasks[key.job, key.task]
        after = self._apply(key, Accepted(key.attempt))
        if after.attempt != key.attempt:
            return False
        self._rows.accepts[key] = None
        if before.attempt and before.attempt != key.attempt:
            self._supersede(AttemptKey(key.job, key.task, before.attempt), Reason.AGENT_LOST)
        self._move(key)
        return True

    def progress(self, key: AttemptKey, state: AttemptState, at: float, staged: Times | None = None) -> None:
        """The attempt has come to this phase. ``staged``: when its files were brought, of one that runs."""
        now = self.attempt_state(key)
        if now in (None, AttemptState.ENDED, AttemptState.OFFERED) or ATTEMPT_ORDER[state] <= ATTEMPT_ORDER[now]:
            return
        self.recover(key)  # it speaks: it is not lost
        _, times = self._rows.moves.get(key, (now, Times()))
        if state is AttemptState.STAGING_IN:
            times = replace(times, staging_at=at)
        elif state is AttemptState.STAGING_OUT:
            times = replace(times, ended_at=at, started_at=times.started_at or self._started_at(key))
        elif state is AttemptState.RUNNING:
            self._apply(key, Started(key.attempt, at))
            self._jobs[key.job].started_at = _earliest(self._jobs[key.job].started_at, at)
            self._jobs[key.job].running.append([key.task, key.attempt, at])
            times = replace(staged or times, started_at=at)
            self._move(key)
        self._rows.moves[key] = (state, times)

    def say(self, key: AttemptKey, message: Message) -> None:
        """The program's latest words, or its agent's of what it waits for. A program that speaks runs, told or not."""
        task = self._rows.tasks.get((key.job, key.task))
        if task is None or task.attempt != key.attempt or task.state.ended:
            return
        if not message.waits:
            self.progress(key, AttemptState.RUNNING, message.at)
        self.recover(key)
        text = storable(message.text) if message.text is not None else None
        said = {"text": text, "progress": message.progress, "metrics": dict(message.metrics)}
        self._rows.said[key.job, key.task] = said
        self.tx.hints.jobs.add(key.job)
        if text is not None:
            self._jobs[key.job].said.append([key.task, key.attempt, text])

    def end(self, key: AttemptKey, outcome: Outcome, columns: Mapping[str, Any], *, cpu_s: float = 0.0) -> bool:
        """The attempt is over. False: it was a duplicate or superseded and changed nothing."""
        outcome = replace(outcome, message=storable(outcome.message))
        if self.attempt_state(key) in (None, AttemptState.ENDED):
            self._note_late_end(key, outcome)
            return False
        task, change = self._rows.tasks[key.job, key.task], self._jobs[key.job]
        if task.attempt != key.attempt and self.attempt_state(key) is not AttemptState.OFFERED:
            self._rows.ends[key] = (Outcome(Reason.SUPERSEDED, outcome.message), Times())
            return False
        wanted = change.row.job.cancel_requested_at is None
        if outcome.reason is Reason.CANCELLED and change.row.job.stopped_early:
            outcome = job_rules.withdrawal(change.row.job)
        retry = Retry(change.row.retries, *self._retry)
        after = self._apply(key, Ended(key.attempt, outcome, retry, wanted, columns.get("started_at")))
        if after is task:
            return False
        self._rows.ends[key] = (outcome, times_of(columns, self.tx.now))
        self._note_last_words(key, columns.get("status_message"))
        self._after_end(key, task, after, outcome, columns)
        change.cpu_s += cpu_s
        return True

    def _note_last_words(self, key: AttemptKey, text: str | None) -> None:
        """A short program's only message comes with its end; one that was told before is not told again."""
        known = self._rows.said.get((key.job, key.task), {}).get("text") or self._loaded[key].status_message
        if text is not None and text != known:
            self._jobs[key.job].said.append([key.task, key.attempt, text])

    def _after_end(
        self, key: AttemptKey, before: Task, after: Task, outcome: Outcome, columns: Mapping[str, Any]
    ) -> None:
        change = self._jobs[key.job]
        change.started_at = _earliest(change.started_at, after.started_at)
        if after.state.ended:
            words = storable(columns.get("status_message") or "") or None
            resource_id = self._loaded[key].attempt.resource_id
            self._rows.ended[key.job, key.task] = {**columns, "status_message": words, "resource_id": resource_id}
            self._note_end(change, key, after, columns)
        else:
            change.returned.append([key.task, key.attempt, outcome.reason.value, outcome.message])
            self._move(key, ready_at=self.tx.now)

    def _note_end(self, change: JobChange, key: AttemptKey, task: Task, columns: Mapping[str, Any]) -> None:
        outcome = task.outcome
        assert outcome is not None
        if change.row.many:
            change.note_task(task.no, outcome, task.state, columns)
        if change.outcome is None or (change.outcome.ok and not outcome.ok):
            named = (
                f"task {key.task}: {outcome.message}"
                if change.row.job.total > 1 and not outcome.ok
                else outcome.message
            )
            change.outcome = replace(outcome, message=named)
        change.ended.append(
            [key.task, key.attempt, task.state.value, outcome.reason.value, task.started_at, columns.get("ended_at")]
        )

    def _note_late_end(self, key: AttemptKey, outcome: Outcome) -> None:
        """The end of an attempt that had been given up goes into the story, once, and changes nothing else."""
        both = self._loaded.get(key)
        if both is None or both.attempt.reason is not Reason.AGENT_LOST or key in self._rows.ends:
            return
        told = Outcome(Reason.SUPERSEDED, f"Its end came too late to count: {outcome.message}", outcome.exit_code)
        self._rows.ends[key] = (told, Times())
        entry = [key.task, key.attempt, outcome.reason.value, told.message]
        self._jobs[key.job].events.append(("superseded", {"tasks": [entry]}))

    def withdraw_offer(self, key: AttemptKey, outcome: Outcome) -> bool:
        """The offer was not accepted in time, or refused: the task waits again."""
        if self.attempt_state(key) is not AttemptState.OFFERED:
            return False
        self._apply(key, OfferWithdrawn(key.attempt))
        self._rows.ends[key] = (outcome, Times(ended_at=self.tx.now))
        self._jobs[key.job].returned.append([key.task, key.attempt, outcome.reason.value, outcome.message])
        self._move(key, ready_at=self.tx.now)
        return True

    def give_back(self, key: AttemptKey) -> None:
        """The agent was asked for it, has not started it and never will: the task waits again, at once."""
        outcome = Outcome(Reason.MOVED, "Given back before it started: a slot is free elsewhere")
        state = self.attempt_state(key)
        if state in (None, AttemptState.ENDED) or self.withdraw_offer(key, outcome):
            return
        before = self._rows.tasks[key.job, key.task]
        if self._jobs[key.job].row.job.cancel_requested_at is not None:
            outcome = Outcome(Reason.CANCELLED, "Cancelled before it started")
        elif before.attempt == key.attempt and before.state is State.RUNNING:
            outcome = Outcome(Reason.AGENT_LOST, "The agent gave it back after it had said that it runs")
        if outcome.reason is not Reason.MOVED:
            self.end(key, outcome, {"ended_at": self.tx.now, "reported_at": self.tx.now})
            return
        after = self._apply(key, GivenBack(key.attempt))
        self._rows.ends[key] = (outcome, Times(ended_at=self.tx.now))
        if after is not before:
            self._jobs[key.job].returned.append([key.task, key.attempt, outcome.reason.value, outcome.message])
            self._move(key, ready_at=self.tx.now)
        self.tx.hints.queue = True

    def lose(self, key: AttemptKey) -> None:
        """The agent is lost: the task waits for a replacement; this attempt stays current until one is accepted.

        Where there is to be no other try (the job is being cancelled, or its retries are used up), it ends.
        """
        state = self.attempt_state(key)
        if state in (None, AttemptState.ENDED):
            return
        if state is AttemptState.OFFERED:
            self.withdraw_offer(key, Outcome(Reason.OFFER_EXPIRED, "The agent became unreachable before it accepted"))
            return
        if self._jobs[key.job].row.job.cancel_requested_at is not None:
            self.end(
                key, Outcome(Reason.CANCELLED, "Cancelled; its agent has not answered since"), {"ended_at": self.tx.now}
            )
            self.superseded.append(key)
            return
        before = self._rows.tasks[key.job, key.task]
        if before.leased and not before.offer and before.faults >= self._jobs[key.job].row.retries:
            message = "Its agent has been silent for longer than the resource's policy allows, and no retry is left"
            self.end(key, Outcome(Reason.AGENT_LOST, message), {"ended_at": self.tx.now, "reported_at": self.tx.now})
            self.superseded.append(key)
            return
        if self._apply(key, Unreachable(key.attempt)) is not before:
            message = "the agent is unreachable; the task waits for a replacement"
            self._jobs[key.job].returned.append([key.task, key.attempt, Reason.AGENT_LOST.value, message])
            self._move(key, ready_at=self.tx.now)

    def recover(self, key: AttemptKey) -> None:
        """The agent is back and still has the attempt: no replacement is wanted."""
        if self.attempt_state(key) in (None, AttemptState.ENDED, AttemptState.OFFERED):
            return
        before = self._rows.tasks[key.job, key.task]
        if self._apply(key, Reachable(key.attempt)) is not before:
            self._jobs[key.job].events.append(("reachable", {"tasks": [[key.task, key.attempt]]}))
            self._rows.resources[key.job, key.task] = self._loaded[key].attempt.resource_id
            self.recovered = True
            self._move(key)

    # ------------------------------------------------------------ facts of jobs

    def lease(
        self, job_id: str, rows: Sequence[Task], *, fresh: int, resource_id: str, session: str
    ) -> list[AttemptKey]:
        """Offer these tasks (the first ``fresh`` of them get their row now) to an agent."""
        change = self._jobs[job_id]
        offered, keys = [], []
        for task in rows:
            after, delta = task_rules.step(task, task_rules.Offered(), self.tx.now)
            change.delta += delta
            offered.append(after)
            keys.append(AttemptKey(change.row.job.id, after.no, after.last_attempt))
            self._rows.tasks[job_id, after.no] = after
            self._rows.resources[job_id, after.no] = resource_id
        change.delta += Delta(expanded=fresh)
        if fresh:
            ready_at = change.row.job.ready_at
            task_store.insert_tasks(self.tx, job_id, offered[:fresh], resource_id=resource_id, ready_at=ready_at)
        for task in offered[fresh:]:
            self._rows.moved[job_id, task.no] = None
        task_store.insert_attempts(self.tx, keys, resource_id=resource_id, session=session)
        for first in range(0, len(keys), EVENT_TASKS):
            named = [[key.task, key.attempt] for key in keys[first : first + EVENT_TASKS]]
            change.events.append(("offered", {"resource": resource_id, "tasks": named}))
        return keys

    def happen(self, job_id: str, event: JobEvent) -> None:
        """Apply an event of the job itself and do what follows from it."""
        self.settle(job_id)
        self._step_job(job_id, event)

    def cancel(self, job_id: str, by: str) -> None:
        """Somebody wants the job ended."""
        change = self._jobs[job_id]
        if change.row.job.state.ended or change.row.job.cancel_requested_at is not None:
            return
        change.events.append(("cancel_requested", {"by": by}))
        self.happen(job_id, CancelRequested(by))

    def add(self, job_id: str, added: Added) -> None:
        """Its client has added tasks to an open job, or there will be no more."""
        job = self._jobs[job_id].row.job
        if added.open_until is None and job.failed:
            groups = tuple(failure_groups(self.tx.conn, job.id, KINDS_TOLD))
            added = replace(
                added, failures=groups, outcome=_outcome_of(groups[0], many=job.total > 1) if groups else None
            )
        told = {"first": job.total, "count": added.n, "last": added.open_until is None}
        why = {"why": added.cut_short} if added.cut_short else {}
        self._jobs[job_id].events.append(("added", told | why))
        self.happen(job_id, added)

    # ------------------------------------------------------------ writing

    def flush(self) -> None:
        """Apply what was gathered to the jobs and write everything."""
        for job_id in list(self._jobs):
            self.settle(job_id)
        self._rows.write(self.tx, {job_id for job_id, change in self._jobs.items() if _is_single(change)})
        for key in self.superseded:
            if key in self._loaded:
                self.tx.hints.resources.add(self._loaded[key].attempt.resource_id)
        changed = [change for change in self._jobs.values() if change.events]
        rows: list[tuple[str, int, str, Mapping[str, Any]]] = []
        for change in changed:
            seq = change.row.event_seq
            for offset, (kind, data) in enumerate(change.events, 1):
                rows.append((change.row.job.id, seq + offset, kind, data))
            change.row = replace(change.row, event_seq=seq + len(change.events))
            self.tx.hints.jobs.add(change.row.job.id)
        job_store.save_jobs(self.tx, [change.row for change in changed])
        job_store.append_events(self.tx, rows)
        self._keep_values()
        count_after(self.tx, self._rows)
        if usage := usage_of(self._jobs.values()):
            job_store.add_usage(self.tx, usage)
        wake_dependants(self.tx, [change.row.job.id for change in self._jobs.values() if change.told_end])

    def _keep_values(self) -> None:
        """Of jobs whose table somebody looks at in order."""
        for (job_id, no), columns in self._rows.ended.items():
            change = self._jobs[job_id]
            if change.row.ordered:
                change.values.append(ended_values(no, self._rows.tasks[job_id, no].started_at, columns))
        for job_id, change in self._jobs.items():
            if change.values:
                task_values.add_values(self.tx, job_id, change.values)

    def settle(self, job_id: str) -> None:
        """Turn what the tasks of a job did into events, and step the job."""
        event = counted(self.tx, self._jobs[job_id])
        if event is not None:
            self._step_job(job_id, event)

    def _step_job(self, job_id: str, event: JobEvent) -> None:
        change = self._jobs[job_id]
        before = change.row.job
        after, effects = job_rules.step(before, event, self.tx.now)
        change.row = replace(change.row, job=after)
        if after.state is not before.state:
            change.events.append(("state", state_event(after)))
        if Effect.PLACE in effects:
            self.tx.hints.queue = True
        if Effect.STOP in effects:
            self._stop(job_id)
        if Effect.WITHDRAW in effects:
            self._withdraw(job_id)
        if Effect.TELL_END in effects:
            change.told_end = 1
            tell_end(self.tx, change.row)

    def _stop(self, job_id: str) -> None:
        """Wish that agents end what they have accepted."""
        self.adopt(task_store.live_attempts_of_job(self.tx.conn, job_id))
        for key, both in self._loaded.items():
            state = self.attempt_state(key)
            if key.job == job_id and state not in (None, AttemptState.ENDED, AttemptState.OFFERED):
                self._rows.cancels.append(key)
                self.tx.hints.resources.add(both.attempt.resource_id)

    def _withdraw(self, job_id: str) -> None:
        """Cancel all tasks that no agent has accepted: those without a row, those given back, and open offers."""
        change = self._jobs[job_id]
        outcome = job_rules.withdrawal(change.row.job)
        unexpanded = change.row.job.total - change.row.job.expanded
        if unexpanded:
            change.delta += Delta(expanded=0, waiting=-unexpanded, cancelled=unexpanded)
        for task in task_store.ready_rows_of_job(self.tx, job_id):
            self._rows.tasks.setdefault((job_id, task.no), task)
        # Not what the rows say: tasks that this very batch gave back, or found alive, are not written yet.
        waiting = [task.no for (job, _), task in self._rows.tasks.items() if job == job_id and task.waits]
        for no in waiting:
            self._withdraw_task(job_id, no, outcome)
        for key in list(self._loaded):
            if key.job == job_id and self.attempt_state(key) is AttemptState.OFFERED:
                self._rows.ends[key] = (outcome, Times(ended_at=self.tx.now))
                self.superseded.append(key)
                self._withdraw_task(job_id, key.task, outcome)
        self.settle(job_id)

    def _withdraw_task(self, job_id: str, no: int, outcome: Outcome) -> None:
        task = self._rows.tasks[job_id, no]
        if task.attempt:  # of an agent that was given up: should it come back, it is told to forget
            self._supersede(AttemptKey(self._jobs[job_id].row.job.id, no, task.attempt), Reason.AGENT_LOST)
        after, delta = task_rules.step(task, Withdrawn(outcome), self.tx.now)
        if after is task:
            return
        change = self._jobs[job_id]
        change.delta += delta
        self._rows.tasks[job_id, no] = after
        self._rows.ended[job_id, no] = {"ended_at": self.tx.now, "reported_at": self.tx.now}
        self._note_end(change, AttemptKey(change.row.job.id, no, max(1, after.last_attempt)), after, {})

    def _supersede(self, key: AttemptKey, reason: Reason) -> None:
        """Another attempt of the task counts now; this one's agent shall forget it."""
        outcome = Outcome(reason, "Another attempt of the task counts")
        self._rows.ends[key] = (outcome, Times(ended_at=self.tx.now))
        self.superseded.append(key)

    def _apply(self, key: AttemptKey, fact: task_rules.Fact) -> Task:
        place = (key.job, key.task)
        before = self._rows.tasks[place]
        after, delta = task_rules.step(before, fact, self.tx.now)
        if after is before:
            return after
        self._rows.tasks[place] = after
        self._jobs[key.job].delta += delta
        if before.offer not in (0, after.offer, key.attempt):  # the task has no need of the replacement
            self._supersede(AttemptKey(key.job, key.task, before.offer), Reason.SUPERSEDED)
        return after

    def _move(self, key: AttemptKey, ready_at: float | None = None) -> None:
        place = (key.job, key.task)
        self._rows.moved[place] = ready_at if ready_at is not None else self._rows.moved.get(place)

    def _started_at(self, key: AttemptKey) -> float | None:
        task = self._rows.tasks.get((key.job, key.task))
        return task.started_at if task and task.attempt == key.attempt else None


def _outcome_of(failed: FailureGroup, *, many: bool) -> Outcome:
    message = f"task {failed.example}: {failed.message}" if many else failed.message
    return Outcome(Reason(failed.reason), message, failed.exit_code)


def _is_single(change: JobChange) -> bool:
    """Of one task, which speaks for the job."""
    return change.row.job.total == 1 and not change.row.job.open


def _earliest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
