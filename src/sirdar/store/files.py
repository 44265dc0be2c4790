"""Temporary files (a name, an owner, a blob, an end), unfinished uploads, and where a job's files stand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sirdar.store import blobs as blobs_store
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.jobs import load_items
from sirdar.store.tables import blobs, files, jobs, tasks, uploads


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. Times in seconds since 1970; ``expires_at`` None: kept."""

    id: str
    owner_id: str
    name: str
    sha256: str
    size_bytes: int
    created_at: float
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in pieces; how much has arrived is the length of its file on disk. ``sha256``: as announced, or None."""

    id: str
    owner_id: str
    name: str
    length: int
    sha256: str | None
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class JobOfFiles:
    """What a job's inputs say about files. ``many``: it was submitted with ``foreach``; ``total``: number of its tasks."""

    id: str
    many: bool
    total: int
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskOfFiles:
    """What a task left: values of outputs, its streams as ``wire.agent.Stream``, the debug archive; None where there is none."""

    result: Mapping[str, Any]
    stdout: Mapping[str, Any] | None
    stderr: Mapping[str, Any] | None
    debug: Mapping[str, Any] | None


# ---------------------------------------------------------------- files


def add_file(
    tx: Tx,
    *,
    owner_id: str,
    name: str,
    sha256: str,
    size_bytes: int,
    lifetime_s: float | None,
    file_id: str | None = None,
) -> File:
    """A file whose bytes were just put: registers the blob, and names it."""
    blobs_store.register(tx, sha256, size_bytes)
    expires_at = None if lifetime_s is None else tx.now + lifetime_s
    file = File(file_id or new_id(), owner_id, name, sha256, size_bytes, tx.now, expires_at)
    tx.conn.execute(files.insert().values({c.name: getattr(file, c.name) for c in files.c}))
    blobs_store.refer(tx, holder(file.id), [sha256])
    return file


def add_files(tx: Tx, *, owner_id: str, named: Sequence[tuple[str, str, int]], lifetime_s: float | None) -> list[File]:
    """``add_file`` for many (name, SHA-256, size in bytes), in a few statements."""
    blobs_store.register_all(tx, {sha256: size for _, sha256, size in named})
    expires_at = None if lifetime_s is None else tx.now + lifetime_s
    made = [File(new_id(), owner_id, name, sha256, size, tx.now, expires_at) for name, sha256, size in named]
    if made:
        tx.conn.execute(files.insert(), [{c.name: getattr(file, c.name) for c in files.c} for file in made])
        blobs_store.refer_all(tx, [(holder(file.id), file.sha256) for file in made])
    return made


def find_file(conn: Connection, file_id: str, *, now: float) -> File | None:
    """The file, None where there is none or its time is over."""
    row = conn.execute(files.select().where(files.c.id == file_id)).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return _file(row)


def find_files(conn: Connection, ids: Iterable[str], *, now: float) -> dict[str, File]:
    """Those of the files that there are, by id, and whose time is not over."""
    wanted = sorted(set(ids))
    lasts = files.c.expires_at.is_(None) | (files.c.expires_at > now)
    found: dict[str, File] = {}
    for start in range(0, len(wanted), blobs_store.CHUNK):
        part = files.c.id.in_(wanted[start : start + blobs_store.CHUNK])
        found |= {row.id: _file(row) for row in conn.execute(files.select().where(part, lasts))}
    return found


def files_with(conn: Connection, owner_id: str, digests: Iterable[str], *, lasting_to: float) -> list[File]:
    """The owner's files with these bytes that last at least until a time, the longest last; blobs in quarantine are left out."""
    c = files.c
    wanted = sorted(set(digests))
    found: list[File] = []
    for start in range(0, len(wanted), blobs_store.CHUNK):
        part = wanted[start : start + blobs_store.CHUNK]
        whole = sa.exists().where(blobs.c.sha256 == c.sha256, blobs.c.quarantined_at.is_(None))
        lasts = sa.or_(c.expires_at.is_(None), c.expires_at >= lasting_to)
        chosen = files.select().where(c.owner_id == owner_id, c.sha256.in_(part), lasts, whole)
        found += [_file(row) for row in conn.execute(chosen.order_by(c.created_at))]
    return found


def delete_files(tx: Tx, *file_ids: str) -> int:
    """Remove files; what jobs took from them stays with the jobs. Gives how many there were."""
    if not file_ids:
        return 0
    blobs_store.release(tx, *map(holder, file_ids))
    return tx.conn.execute(files.delete().where(files.c.id.in_(file_ids))).rowcount


def expired_files(conn: Connection, *, now: float, limit: int = 500) -> list[str]:
    chosen = sa.select(files.c.id).where(files.c.expires_at <= now).order_by(files.c.expires_at).limit(limit)
    return list(conn.execute(chosen).scalars())


def holder(file_id: str) -> str:
    """What the file is called among the holders of blobs."""
    return f"file:{file_id}"


# ---------------------------------------------------------------- uploads


def add_upload(tx: Tx, *, owner_id: str, name: str, length: int, sha256: str | None, lifetime_s: float) -> Upload:
    upload = Upload(new_id(), owner_id, name, length, sha256, tx.now, tx.now + lifetime_s)
    tx.conn.execute(uploads.insert().values({c.name: getattr(upload, c.name) for c in uploads.c}))
    return upload


def find_upload(conn: Connection, upload_id: str, *, now: float) -> Upload | None:
    """The upload, None where there is none or its time is over."""
    row = conn.execute(uploads.select().where(uploads.c.id == upload_id)).one_or_none()
    if row is None or row.expires_at <= now:
        return None
    return Upload(row.id, row.owner_id, row.name, row.length, row.sha256, row.created_at, row.expires_at)


def delete_upload(tx: Tx, upload_id: str) -> bool:
    return bool(tx.conn.execute(uploads.delete().where(uploads.c.id == upload_id)).rowcount)


def expired_uploads(conn: Connection, *, now: float, limit: int = 500) -> list[str]:
    chosen = sa.select(uploads.c.id).where(uploads.c.expires_at <= now).order_by(uploads.c.expires_at).limit(limit)
    return list(conn.execute(chosen).scalars())


def uploads_known(conn: Connection, upload_ids: list[str]) -> set[str]:
    """Those of the ids (at most a few thousand) that have a row: files of others are leftovers."""
    return set(conn.execute(sa.select(uploads.c.id).where(uploads.c.id.in_(upload_ids))).scalars())


# ---------------------------------------------------------------- files of jobs


def job_of_files(conn: Connection, job_id: str) -> JobOfFiles:
    """Of a job that exists."""
    chosen = sa.select(jobs.c.id, jobs.c.many, jobs.c.total, jobs.c.inputs_json).where(jobs.c.id == job_id)
    row = conn.execute(chosen).one()
    return JobOfFiles(row.id, bool(row.many), row.total, json.loads(row.inputs_json))


def expired_jobs(conn: Connection, *, now: float, limit: int = 500) -> list[str]:
    """Ended jobs past their retention."""
    chosen = sa.select(jobs.c.id).where(jobs.c.expires_at <= now).order_by(jobs.c.expires_at).limit(limit)
    return list(conn.execute(chosen).scalars())


def items_of_task(conn: Connection, job: JobOfFiles, number: int) -> Mapping[str, Any]:
    """The inputs that a task of a job of many has of its own."""
    return load_items(conn, job.id, [number]).get(number, {})


def task_of_files(conn: Connection, job_id: str, number: int) -> TaskOfFiles | None:
    """None where the task has no row yet."""
    c = tasks.c
    chosen = sa.select(c.result_json, c.stdout_json, c.stderr_json, c.debug_json)
    row = conn.execute(chosen.where(c.job_id == job_id, c.no == number)).one_or_none()
    if row is None:
        return None
    result, stdout, stderr, debug = (json.loads(text) if text else None for text in row)
    return TaskOfFiles(result or {}, stdout, stderr, debug)


def _file(row: Row[tuple[object, ...]]) -> File:
    return File(row.id, row.owner_id, row.name, row.sha256, row.size_bytes, row.created_at, row.expires_at)
