"""What tasks' programs used, as rows of ``domain.usage``: pieces while they run, one whole curve afterwards."""

import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.engine import Connection

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.usage import Row
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot

_TELL = """INSERT INTO task_usage (job_id, task_no, attempt, since_s, rows_json)
 SELECT a.job_id, a.task_no, a.no, k.since_s, k.rows_json FROM k
 JOIN attempts a ON a.job_id = k.job_id AND a.task_no = k.no AND a.no = k.attempt
 WHERE a.resource_id = :resource AND a.state <> 'ENDED'
 ON CONFLICT (job_id, task_no, attempt, since_s) DO UPDATE SET rows_json = excluded.rows_json
 RETURNING since_s"""
_PIECES = "WITH k AS MATERIALIZED (SELECT {columns}) "
_TELL_PIECES = Hot(
    _PIECES.format(
        columns="json_extract(value, '$[0]') AS job_id, json_extract(value, '$[1]') AS no,"
        " json_extract(value, '$[2]') AS attempt, json_extract(value, '$[3]') AS since_s,"
        " json_extract(value, '$[4]') AS rows_json FROM json_each(:pieces)"
    )
    + _TELL,
    _PIECES.format(
        columns="v->>0 AS job_id, (v->>1)::int AS no, (v->>2)::int AS attempt, (v->>3)::float8 AS since_s,"
        " v->>4 AS rows_json FROM jsonb_array_elements(CAST(:pieces AS jsonb)) v"
    )
    + _TELL,
)
_TAKE = (
    "DELETE FROM task_usage WHERE (job_id, task_no, attempt) IN ({keys}) RETURNING job_id, task_no, attempt, rows_json"
)
_TAKE_PIECES = Hot(
    _TAKE.format(
        keys="SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')"
        " FROM json_each(:keys)"
    ),
    _TAKE.format(keys="SELECT v->>0, (v->>1)::int, (v->>2)::int FROM jsonb_array_elements(CAST(:keys AS jsonb)) v"),
)
_KEEP = Hot(
    "INSERT INTO task_usage (job_id, task_no, attempt, since_s, rows_json) VALUES (:job, :no, :attempt, 0, :rows)"
)
_OF_TASK = Hot("SELECT attempt, rows_json FROM task_usage WHERE job_id = :job AND task_no = :no ORDER BY since_s")


def tell(tx: Tx, resource_id: str, pieces: Iterable[tuple[AttemptKey, Sequence[Row]]]) -> int:
    """Note what this resource's attempts use while they run; how many pieces counted. What has ended tells nothing more."""
    given = [[key.job, key.task, key.attempt, rows[0][0], json.dumps(rows)] for key, rows in pieces]
    return len(_TELL_PIECES.all(tx.conn, resource=resource_id, pieces=json.dumps(given))) if given else 0


def take(tx: Tx, keys: Iterable[AttemptKey]) -> dict[AttemptKey, list[list[Row]]]:
    """The pieces that were told of these attempts. They are not kept any longer."""
    wanted = [[key.job, key.task, key.attempt] for key in keys]
    found: dict[AttemptKey, list[list[Row]]] = {}
    for job, task, attempt, rows in _TAKE_PIECES.all(tx.conn, keys=json.dumps(wanted)):
        found.setdefault(AttemptKey(JobId(job), task, attempt), []).append(_rows(rows))
    return found


def keep(tx: Tx, curves: Mapping[AttemptKey, Sequence[Row]]) -> None:
    """Write the whole curves of attempts that have ended."""
    _KEEP.run(
        tx.conn,
        [
            {"job": key.job, "no": key.task, "attempt": key.attempt, "rows": json.dumps(rows, separators=(",", ":"))}
            for key, rows in curves.items()
        ],
    )


def of_task(conn: Connection, job_id: str, no: int) -> dict[int, list[list[Row]]]:
    """Attempt -> what is known of its curve, piece by piece."""
    found: dict[int, list[list[Row]]] = {}
    for attempt, rows in _OF_TASK.all(conn, job=job_id, no=no):
        found.setdefault(attempt, []).append(_rows(rows))
    return found


def _rows(text: str) -> list[Row]:
    return [(at_s, cpu_s, memory_bytes) for at_s, cpu_s, memory_bytes in json.loads(text)]
