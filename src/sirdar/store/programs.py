"""What the ledger holds of the work that agents are offered: programs, what the attempts of a job share, app secrets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.hot import Hot
from sirdar.store.tables import app_secrets, apps, group_members, jobs, users, versions


@dataclass(frozen=True, slots=True)
class OfferedRow:
    """What all attempts of one job share."""

    job_id: str
    inputs: dict[str, Any]
    overrides: dict[str, Any]
    debug: bool
    many: bool
    code_version: str
    code_files: list[Any] | None
    app_id: str
    digest: str
    version_id: str
    owner: str
    alias: str
    app_owner: str
    groups: str | None  # joined by commas


_author = users.alias()


def _common(joined: str) -> "sa.Select[Any]":
    """``joined``: the dialect's function that joins texts. An owner's policy on a resource may speak of groups."""
    groups = (
        sa.select(getattr(sa.func, joined)(group_members.c.group_name, sa.text("','")))
        .where(group_members.c.user_id == jobs.c.owner_id)
        .scalar_subquery()
    )
    return (
        sa.select(
            jobs.c.id,
            jobs.c.inputs_json,
            jobs.c.overrides_json,
            jobs.c.debug,
            jobs.c.many,
            jobs.c.code_version,
            jobs.c.code_files_json,
            jobs.c.app_id,
            versions.c.digest,
            versions.c.id,
            users.c.name,
            apps.c.alias,
            _author.c.name,
            groups,
        )
        .join(versions, versions.c.id == jobs.c.version_id)
        .join(users, users.c.id == jobs.c.owner_id)
        .join(apps, apps.c.id == jobs.c.app_id)
        .join(_author, _author.c.id == apps.c.owner_id)
    )


_OFFERED = Hot(
    _common("group_concat").where(sa.text("jobs.id IN (SELECT value FROM json_each(:ids))")),
    _common("string_agg").where(sa.text("jobs.id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))")),
)
_PROGRAM = sa.select(versions.c.document_json, versions.c.files_json).where(versions.c.id == sa.bindparam("id"))


def offered_jobs(conn: Connection, ids: Sequence[str]) -> list[OfferedRow]:
    """The shared parts of these jobs."""
    found = []
    for row in _OFFERED.all(conn, ids=json.dumps(list(ids))):
        (job, inputs, overrides, debug, many, code, code_files, *rest) = row
        files = json.loads(code_files) if code_files else None
        offered = OfferedRow(
            job, json.loads(inputs), json.loads(overrides), bool(debug), bool(many), code, files, *rest
        )
        found.append(offered)
    return found


def code_files(conn: Connection, job_id: str) -> list[list[Any]] | None:
    """The files that this job runs in place of its version's: [path, sha256, bytes, mode]."""
    text = conn.execute(sa.select(jobs.c.code_files_json).where(jobs.c.id == job_id)).scalar_one()
    return json.loads(text) if text else None


def program(conn: Connection, version_id: str) -> dict[str, Any]:
    """A version as ``wire.agent.Program``."""
    row = conn.execute(_PROGRAM, {"id": version_id}).one()
    return {"description": json.loads(row.document_json), "files": json.loads(row.files_json)}


def sealed_secrets(conn: Connection, app_id: str, names: Sequence[str]) -> dict[str, str]:
    """Those of an app's secrets, sealed."""
    query = sa.select(app_secrets.c.name, app_secrets.c.cipher).where(
        app_secrets.c.app_id == app_id, app_secrets.c.name.in_(names)
    )
    return {row.name: row.cipher for row in conn.execute(query)}
