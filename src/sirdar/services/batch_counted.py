"""What the ends of a batch mean for their job: its counts, why tasks failed, the best of those that are done, the condition met.

It costs the same for each end, however many tasks the job has: input sets are read only where the condition names inputs, and
only the chunks of those that ended.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.criterion import Best, Criterion
from sirdar.domain.failures import KINDS_TOLD
from sirdar.domain.job import Counted, ends
from sirdar.domain.task import NOTHING
from sirdar.services.batch_jobs import JobChange
from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.failures import add_failures, failure_groups

Done = tuple[int, Mapping[str, Any]]  # number of a task, the columns of its end


def counted(tx: Tx, change: JobChange) -> Counted | None:
    """What the tasks of a job did, as one event; None where that changes nothing of the job. Failures are counted in the ledger."""
    delta, started_at, outcome = change.gather()
    job = change.row.job
    best, met = _judge(tx, job.id, job.criterion, change.done) if job.criterion else (None, None)
    change.done.clear()
    if change.failures:
        add_failures(tx, job.id, change.failures.values())
        change.failures.clear()
    starts = started_at is not None and job.started_at is None
    if delta == NOTHING and not starts:
        return None
    told = change.row.many and ends(job, delta) and job.failed + delta.failed > 0
    failures = tuple(failure_groups(tx.conn, job.id, KINDS_TOLD)) if told else ()
    return Counted(delta, started_at, outcome, best, met, failures)


def _judge(tx: Tx, job_id: str, criterion: Criterion, done: Sequence[Done]) -> tuple[Best | None, int | None]:
    """The best of these tasks, and the lowest number among those that met the condition."""
    if not done:
        return None, None
    inputs = _inputs(tx, job_id, [no for no, _ in done]) if criterion.inputs else {}
    best, met = None, []
    for no, columns in done:
        outputs, reported = _values(columns, "result_json"), _values(columns, "metrics_json")
        value = criterion.value(outputs, reported)
        best = criterion.better(best, Best(no, value) if value is not None else None)
        if criterion.met(inputs.get(no, {}), outputs, reported):
            met.append(no)
    return best, min(met, default=None)


def _inputs(tx: Tx, job_id: str, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    common, items = job_store.common_inputs(tx.conn, job_id), job_store.load_items(tx.conn, job_id, numbers)
    return {no: {**common, **items.get(no, {})} for no in numbers}


def _values(columns: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    text = columns.get(name)
    return json.loads(text) if text else {}
