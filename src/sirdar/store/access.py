"""The facts that rights are decided on: who owns a job or an application, and with whom it is shared."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.people import Conn


@dataclass(frozen=True, slots=True)
class JobFacts:
    """``shares`` holds subjects (``user:NAME``, ``group:NAME``); ``share_hash`` is the sha256 of the link's token."""

    id: str
    owner_id: str
    app_id: str
    shares: frozenset[str]
    share_hash: str | None


@dataclass(frozen=True, slots=True)
class AppFacts:
    """``shares`` maps subjects (``user:NAME``, ``group:NAME``, ``everyone``) to ``run`` or ``view``."""

    id: str
    owner_id: str
    shares: Mapping[str, str]


_JOB = sa.text("SELECT id, owner_id, app_id, share_hash FROM jobs WHERE id = :job")
_JOB_SHARES = sa.text("SELECT subject FROM job_shares WHERE job_id = :job")


def is_id(text: str) -> bool:
    """Whether a text from an address may be looked for as an id at all: PostgreSQL takes no NUL, for one."""
    return text.isascii() and text.isalnum() and len(text) <= 64


def job_facts(conn: Conn, job_id: str) -> JobFacts | None:
    if not is_id(job_id):
        return None
    row = conn.execute(_JOB, {"job": job_id}).one_or_none()
    if row is None:
        return None
    shares = conn.execute(_JOB_SHARES, {"job": job_id}).scalars()
    return JobFacts(row.id, row.owner_id, row.app_id, frozenset(shares), row.share_hash)


def app_facts(conn: Conn, app_id: str) -> AppFacts | None:
    if not is_id(app_id):
        return None
    owner_id = conn.execute(sa.select(t.apps.c.owner_id).where(t.apps.c.id == app_id)).scalar_one_or_none()
    if owner_id is None:
        return None
    c = t.app_shares.c
    shares = conn.execute(sa.select(c.subject, c.permission).where(c.app_id == app_id)).all()
    return AppFacts(app_id, owner_id, {row.subject: row.permission for row in shares})
