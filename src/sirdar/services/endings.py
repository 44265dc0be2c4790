"""What follows from a job's end, written in the same transaction."""

import json
from collections.abc import Sequence

from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.jobs import JobRow
from sirdar.store.notices import insert_notices


def tell_end(tx: Tx, row: JobRow) -> None:
    """Write the notices that were asked for, and tell those who watch."""
    job_id = row.job.id
    tx.hints.ended.add(job_id)
    if row.notify_json:
        insert_notices(tx, job_id, json.loads(row.notify_json))
    if row.delete_requested_at is not None:
        tx.hints.pending = True


def wake_dependants(tx: Tx, job_ids: Sequence[str]) -> None:
    """Jobs that ended together: where others wait for one of them, these are looked at."""
    if job_store.any_waited_for(tx.conn, job_ids):
        tx.hints.pending = True
