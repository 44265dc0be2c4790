"""Why tasks of a job of many failed: counted by kind as they end, so that nobody has to look through the tasks."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.failures import FailureGroup
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.tables import job_failures

_ADD = Hot(
    """INSERT INTO job_failures (job_id, kind, reason, message, exit_code, count, example, differ)
 VALUES (:job, :kind, :reason, :message, :exit_code, :count, :example, :differ)
 ON CONFLICT (job_id, kind) DO UPDATE SET
 count = job_failures.count + excluded.count,
 differ = CASE WHEN job_failures.message <> excluded.message THEN 1
   WHEN excluded.differ > job_failures.differ THEN excluded.differ ELSE job_failures.differ END,
 message = CASE WHEN excluded.example < job_failures.example THEN excluded.message ELSE job_failures.message END,
 example = CASE WHEN excluded.example < job_failures.example THEN excluded.example ELSE job_failures.example END"""
)


def add_failures(tx: Tx, job_id: str, groups: Iterable[FailureGroup]) -> None:
    """Count tasks that failed now. The job's row is locked."""
    rows = [
        {
            "job": job_id,
            "kind": group.key,
            "reason": group.reason,
            "message": group.message,
            "exit_code": group.exit_code,
            "count": group.count,
            "example": group.example,
            "differ": int(group.differ),
        }
        for group in groups
    ]
    if rows:
        _ADD.run(tx.conn, rows)


def failure_groups(conn: Connection, job_id: str, most: int) -> list[FailureGroup]:
    """The most frequent kinds first, ``most`` at most."""
    f = job_failures.c
    query = (
        sa.select(f.reason, f.message, f.exit_code, f.count, f.example, f.differ)
        .where(f.job_id == job_id)
        .order_by(f.count.desc(), f.example)
        .limit(most)
    )
    return [FailureGroup(*row[:5], bool(row[5])) for row in conn.execute(query)]
