"""Variables that all tasks of one job share, across agents: the incumbent of a branch-and-bound search, for example."""

from collections.abc import Sequence

import sqlalchemy as sa

from sirdar.domain.problems import Problem
from sirdar.store.engine import Tx
from sirdar.store.jobs import lock_jobs
from sirdar.store.tables import attempts, variables

NAME_CHARS = 256
VALUE_CHARS = 64 * 1024
NAMES_PER_JOB = 1000


def apply(tx: Tx, resource_id: str, job_id: str, ops: Sequence[tuple[str, str, str | None]]) -> list[str | None]:
    """Apply ``get``, ``set`` and ``set_md`` (set if the number is smaller) in order; the value after each.

    The job must have a live attempt on the resource. Changes are told to the job's other agents.
    """
    live = sa.select(attempts.c.no).where(
        attempts.c.job_id == job_id, attempts.c.resource_id == resource_id, attempts.c.state != "ENDED"
    )
    if not tx.conn.execute(live.limit(1)).first() or not lock_jobs(tx, [job_id]):
        raise Problem("not_found", f"No task of job {job_id} runs on this resource.")
    rows = tx.conn.execute(sa.select(variables.c.name, variables.c.value).where(variables.c.job_id == job_id))
    known = {row.name: row.value for row in rows}
    values: list[str | None] = []
    for op, name, value in ops:
        if op != "get" and value is not None and (op == "set" or _smaller(value, known.get(name))):
            _set(tx, job_id, known, name, value)
        values.append(known.get(name))
    return values


def _set(tx: Tx, job_id: str, known: dict[str, str], name: str, value: str) -> None:
    if len(name) > NAME_CHARS or len(value) > VALUE_CHARS or (name not in known and len(known) >= NAMES_PER_JOB):
        raise Problem("too_large", f"A job may share {NAMES_PER_JOB} variables of {VALUE_CHARS} characters.")
    if name in known:
        here = sa.and_(variables.c.job_id == job_id, variables.c.name == name)
        tx.conn.execute(sa.update(variables).where(here).values(value=value))
    else:
        tx.conn.execute(sa.insert(variables).values(job_id=job_id, name=name, value=value))
    if known.get(name) != value:
        tx.hints.variables.append((job_id, name, value))
    known[name] = value


def _smaller(new: str, old: str | None) -> bool:
    """Compares ``NUMBER`` or ``NUMBER:PAYLOAD``. A text that is no number never replaces anything."""
    number = _number(new)
    if number is None:
        return False
    before = _number(old) if old is not None else None
    return before is None or number < before


def _number(text: str) -> float | None:
    try:
        return float(text.partition(":")[0])
    except ValueError:
        return None
