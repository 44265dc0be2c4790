"""The queue: jobs with tasks that wait for a resource, in the order in which they are looked at."""

import json
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.ids import JobId
from sirdar.domain.placement import Wanted
from sirdar.store.hot import Hot
from sirdar.store.tables import jobs

# What ``wanted_of`` reads of a job.
NEEDS = (
    "cpus", "memory_bytes", "gpus", "nodes", "priority", "resources_json", "labels_json", "secrets_of", "large_json",
)  # fmt: skip
_IS_WAITING = sa.text("waiting > 0 AND state IN ('READY', 'RUNNING')")
_DUE = (
    "SELECT 1 FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = 'READY' AND tasks.leased = 0"
    " AND (tasks.not_before IS NULL OR tasks.not_before <= :now)"
)
_HAS_DUE = sa.text(f"(total > expanded OR EXISTS ({_DUE}))")
# How many may be placed now. Most jobs have no tasks that came back, and their tasks' rows are not looked at.
_DUE_N = sa.text(
    "CASE WHEN waiting = total - expanded THEN waiting"  # noqa: S608  (constants only)
    f" ELSE total - expanded + (SELECT count(*) FROM ({_DUE} LIMIT 1000) AS due) END"
)
_QUEUE = (
    sa.select(
        jobs.c.id,
        jobs.c.owner_id,
        _DUE_N,
        *(jobs.c[name] for name in NEEDS),
    )
    .where(_IS_WAITING, _HAS_DUE)
    .order_by(jobs.c.priority.desc(), jobs.c.seq)
    .limit(sa.bindparam("n"))
)
_QUEUE_OF_OWNER = _QUEUE.where(jobs.c.owner_id == sa.bindparam("owner"))
_HEAD = Hot(_QUEUE)
# Each owner by one step in the index, not by a look at each waiting job.
_OF_WAITING = "FROM jobs WHERE waiting > 0 AND state IN ('READY', 'RUNNING')"
_WAITING_OWNERS = sa.text(
    f"WITH RECURSIVE o(id) AS (SELECT min(owner_id) {_OF_WAITING} UNION ALL"  # noqa: S608  (constants only)
    f" SELECT (SELECT min(owner_id) {_OF_WAITING} AND owner_id > o.id) FROM o WHERE o.id IS NOT NULL)"
    " SELECT id FROM o WHERE id IS NOT NULL"
)
OWNERS_AT_ONCE = 200


_ANYTHING_WAITS = Hot("SELECT 1 FROM jobs WHERE waiting > 0 AND state IN ('READY', 'RUNNING') LIMIT 1")


def anything_waits(conn: Connection) -> bool:
    """True if a task waits for a resource, also one that shall wait a little before it is tried again."""
    return bool(_ANYTHING_WAITS.all(conn))


def waiting_jobs(conn: Connection, limit: int = 1000, *, now: float = math.inf) -> list[Wanted]:
    """The head of the queue: highest priority first, oldest first within one.

    Tasks whose retry is due later than ``now`` are left out, so that they hold no room that others could use.

    Where more wait than ``limit``, the first jobs of every owner are among them, so that nobody's thousands of jobs hide
    another's one.
    """
    found = [wanted_of(row) for row in _HEAD.all(conn, n=limit, now=now)]
    if len(found) < limit:
        return found
    seen = {wanted.owner for wanted in found}
    hidden = [row[0] for row in conn.execute(_WAITING_OWNERS) if row[0] not in seen]
    each = max(1, limit // max(1, len(hidden)))
    for owner in hidden[:OWNERS_AT_ONCE]:
        found += [wanted_of(row) for row in conn.execute(_QUEUE_OF_OWNER, {"n": each, "owner": owner, "now": now})]
    return found


def wanted_of(row: Sequence[Any]) -> Wanted:
    """Of a job: its id, owner and how many of its tasks, then the columns of ``NEEDS``."""
    (job, owner, waiting, cpus, memory, gpus, nodes, priority, resources, labels, secrets_of, large) = row
    chosen: frozenset[str] = frozenset(json.loads(resources)) if resources != "[]" else frozenset()
    wanted = frozenset(json.loads(labels).items()) if labels != "{}" else frozenset()
    inputs = tuple((sha, size) for sha, size in json.loads(large)) if large else ()
    return Wanted(
        JobId(job), owner, waiting, cpus, memory, gpus, nodes, priority, chosen, wanted, secrets_of or "", inputs
    )
