"""What follows from a job's end, written in the same transaction."""

import json
import logging
from collections.abc import Sequence
from functools import partial

import structlog

from sirdar.domain.job import Job
from sirdar.services import meters
from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.jobs import JobRow
from sirdar.store.notices import insert_notices

log = structlog.get_logger()


def tell_end(tx: Tx, row: JobRow) -> None:
    """Write the notices that were asked for, and tell those who watch."""
    job_id = row.job.id
    tx.hints.ended.add(job_id)
    tx.hints.after.append(partial(_note_end, row.job))
    if row.notify_json:
        insert_notices(tx, job_id, json.loads(row.notify_json))
    if row.delete_requested_at is not None:
        tx.hints.pending = True


def wake_dependants(tx: Tx, job_ids: Sequence[str]) -> None:
    """Jobs that ended together: where others wait for one of them, these are looked at."""
    if job_store.any_waited_for(tx.conn, job_ids):
        tx.hints.pending = True


def _note_end(job: Job) -> None:
    """Counted and logged when it is committed. A job that went well is told of at the level ``debug``."""
    outcome = job.outcome
    reason = outcome.reason.value if outcome is not None else ""
    meters.job_ended(job.state.value, reason)
    level = logging.DEBUG if outcome is not None and outcome.ok else logging.INFO
    log.log(level, "job_ended", job=job.id, state=job.state.value, reason=reason)
