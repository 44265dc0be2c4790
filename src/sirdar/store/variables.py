"""Variables that all tasks of one job share, across agents: the incumbent of a branch-and-bound search, for example.

Each change of a job's variables has a number, so that whoever hears of two in the wrong order keeps the later one.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.problems import Problem
from sirdar.store.engine import Tx
from sirdar.store.hints import Change
from sirdar.store.jobs import lock_jobs
from sirdar.store.tables import attempts, variables

NAME_CHARS = 256
VALUE_CHARS = 64 * 1024
NAMES_PER_JOB = 1000


@dataclass(frozen=True, slots=True)
class Value:
    """What a variable holds; ``version`` is the number of the change that set it, 0 where nobody has."""

    text: str | None
    version: int


UNSET = Value(None, 0)


def apply(tx: Tx, resource_id: str, job_id: str, ops: Sequence[tuple[str, str, str | None]]) -> list[Value]:
    """Apply ``get``, ``set`` and ``set_md`` (set if the number is smaller) in order; the value after each.

    The job must have a live attempt on the resource. Raises Problem. Changes are told to the job's other agents.
    """
    _check(ops)
    running = _running_on(tx.conn, job_id)
    if resource_id not in running or not lock_jobs(tx, [job_id]):
        raise Problem("not_found", f"No task of job {job_id} runs on this resource.")
    known = read(tx.conn, job_id, {name for _, name, _ in ops})
    values = []
    for op, name, text in ops:
        before = known.get(name, UNSET)
        if op != "get" and text is not None and (op == "set" or _smaller(text, before.text)) and text != before.text:
            known[name] = _set(tx, job_id, name, text, fresh=before is UNSET)
            change = Change(job_id, name, text, known[name].version, running - {resource_id})
            tx.hints.variables.append(change)
        values.append(known.get(name, UNSET))
    return values


def read(conn: Connection, job_id: str, names: Collection[str] | None = None) -> dict[str, Value]:
    """The job's variables that are set: these, or all."""
    query = sa.select(variables.c.name, variables.c.value, variables.c.version).where(variables.c.job_id == job_id)
    if names is not None:
        query = query.where(variables.c.name.in_(names))
    return {name: Value(text, version) for name, text, version in conn.execute(query)}


def read_all(conn: Connection, resource_id: str, job_id: str) -> dict[str, Value]:
    """All variables of a job that the resource runs; none where it does not. Does not raise: the job may just have ended."""
    return read(conn, job_id) if resource_id in _running_on(conn, job_id) else {}


def of_resource(conn: Connection, resource_id: str) -> list[tuple[str, str, str, int]]:
    """All variables of all jobs that the resource runs: job, name, value, version."""
    running = sa.select(attempts.c.job_id).where(attempts.c.resource_id == resource_id, attempts.c.state != "ENDED")
    v = variables.c
    query = sa.select(v.job_id, v.name, v.value, v.version).where(v.job_id.in_(running)).order_by(v.job_id, v.name)
    return [(row[0], row[1], row[2], row[3]) for row in conn.execute(query)]


def _running_on(conn: Connection, job_id: str) -> frozenset[str]:
    query = sa.select(attempts.c.resource_id).where(attempts.c.job_id == job_id, attempts.c.state != "ENDED")
    return frozenset(conn.execute(query.distinct()).scalars())


def _check(ops: Sequence[tuple[str, str, str | None]]) -> None:
    for _, name, text in ops:
        if "\0" in name or "\0" in (text or ""):
            raise Problem("invalid_field", "A variable's name and value hold no zero byte.", field="ops")
        if len(name) > NAME_CHARS or len(text or "") > VALUE_CHARS:
            raise Problem(
                "too_large", f"A variable's name has {NAME_CHARS} characters at most, its value {VALUE_CHARS}."
            )


def _set(tx: Tx, job_id: str, name: str, text: str, *, fresh: bool) -> Value:
    of_job = variables.c.job_id == job_id
    count, last = tx.conn.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.max(variables.c.version), 0)).where(of_job)
    ).one()
    if fresh and count >= NAMES_PER_JOB:
        raise Problem("too_large", f"A job may share {NAMES_PER_JOB} variables.")
    value = Value(text, last + 1)
    if fresh:
        tx.conn.execute(sa.insert(variables).values(job_id=job_id, name=name, value=text, version=value.version))
    else:
        here = sa.and_(of_job, variables.c.name == name)
        tx.conn.execute(sa.update(variables).where(here).values(value=text, version=value.version))
    return value


def _smaller(new: str, old: str | None) -> bool:
    """Compares ``NUMBER`` or ``NUMBER:PAYLOAD``. A text that is no number never replaces anything."""
    number = _number(new)
    if number is None:
        return False
    before = _number(old) if old is not None else None
    return before is None or number < before


def _number(text: str) -> float | None:
    try:
        number = float(text.partition(":")[0])
    except ValueError:
        return None
    return None if math.isnan(number) else number
