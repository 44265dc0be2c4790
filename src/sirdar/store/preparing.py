"""Jobs that are being prepared: which there are, and what is written when their files and code are here."""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.tables import job_items, jobs


def submitted_jobs(conn: Connection, limit: int = 1000) -> list[str]:
    """Ids of SUBMITTED jobs, the oldest first."""
    query = sa.select(jobs.c.id).where(sa.text("state = 'SUBMITTED'")).order_by(jobs.c.seq).limit(limit)
    return [row[0] for row in conn.execute(query)]


def save_prepared(
    tx: Tx,
    job_id: str,
    *,
    inputs_json: str | None,
    code_files_json: str | None,
    code_version: str | None,
    large_json: str | None = None,
) -> None:
    values: dict[str, Any] = {"pending_json": None}
    for name, value in (
        ("inputs_json", inputs_json),
        ("code_files_json", code_files_json),
        ("code_version", code_version),
        ("large_json", large_json),
    ):
        if value is not None:
            values[name] = value
    tx.conn.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**values))


def note_code_version(tx: Tx, job_id: str, version: str) -> None:
    """What an agent found of code that lies on its resource. The first that is known stays: a job shows one version."""
    nameless = (jobs.c.code_version == "") | jobs.c.code_version.startswith("unknown (")
    tx.conn.execute(sa.update(jobs).where(jobs.c.id == job_id, nameless).values(code_version=version))


def note_environment(tx: Tx, job_id: str, identity: str) -> None:
    """What an agent ran a task in. The first that is known stays, as with the code's version."""
    here = (jobs.c.id == job_id) & (jobs.c.environment == "")
    tx.conn.execute(sa.update(jobs).where(here).values(environment=identity))


def replace_items(tx: Tx, job_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite the input sets of a job of many."""
    here = job_items.c.job_id == job_id
    chunks = tx.conn.execute(sa.select(job_items.c.first, job_items.c.items_json).where(here)).all()
    for chunk in chunks:
        items = [change(item) for item in json.loads(chunk.items_json)]
        tx.conn.execute(
            sa.update(job_items)
            .where(here, job_items.c.first == chunk.first)
            .values(items_json=json.dumps(items, ensure_ascii=False, separators=(",", ":")))
        )
