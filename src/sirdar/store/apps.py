"""Applications: their versions, whom they are shared with, their secrets.

``apps.latest`` is the number of the version that was published last, which is what ``owner/alias`` means. It is usually the
highest number; after a return to earlier bytes it is the lower number that those have.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sirdar.domain.app import FileEntry
from sirdar.domain.ids import AppId, UserId, VersionId
from sirdar.store import blobs
from sirdar.store import tables as t
from sirdar.store.app_rights import list_shares
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id

YOUNG_S = 3600.0  # a hidden version that was asked for within this is about to be used


@dataclass(frozen=True, slots=True)
class AppRecord:
    """One application without its versions."""

    id: AppId
    owner_id: UserId
    owner_name: str
    alias: str
    name: str
    annotation: str
    keywords: tuple[str, ...]
    latest: int
    created_at: float
    updated_at: float
    archived_at: float | None

    @property
    def reference(self) -> str:
        return f"{self.owner_name}/{self.alias}"


@dataclass(frozen=True, slots=True)
class AppHead:
    """What a request that names an application needs to know first: where it stands, and who may do what with it."""

    app: AppRecord
    shares: Mapping[str, str]  # subject -> run or view


@dataclass(frozen=True, slots=True)
class AppVersion:
    """One immutable version. ``document`` is the canonical description."""

    id: VersionId
    app_id: AppId
    owner_id: UserId
    owner_name: str
    alias: str
    number: int
    digest: str
    document: Mapping[str, Any]
    files: tuple[FileEntry, ...]
    code_version: str
    note: str
    created_at: float
    created_by: str
    size_bytes: int  # of the stored row, as a measure of what it costs to keep in memory
    base: int | None = None  # of a hidden version: the number of the one that it stands for

    @property
    def is_hidden(self) -> bool:
        return self.base is not None

    @property
    def shown(self) -> int:
        """The number that people see."""
        return self.number if self.base is None else self.base

    @property
    def reference(self) -> str:
        return f"{self.owner_name}/{self.alias}"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a list: all but the description and the files."""

    number: int
    digest: str
    code_version: str
    note: str
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that is to be written. ``document_json`` is canonical; ``digest`` covers it and the files."""

    owner_id: UserId
    owner_name: str
    alias: str
    name: str
    annotation: str
    keywords: tuple[str, ...]
    digest: str
    document_json: str
    files: tuple[FileEntry, ...]
    code_version: str = ""
    note: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of a draft: a new version; or the version that has these bytes, which may be current again by this."""

    app: AppRecord
    version_id: VersionId
    number: int
    created: bool
    first: bool = False  # the application is new too
    returned: bool = False  # an earlier version became the current one again


# ---------------------------------------------------------------- find


def find_app(conn: Connection, owner_name: str, alias: str) -> AppRecord | None:
    return _one(conn, t.users.c.name == owner_name, t.apps.c.alias == alias)


def find_app_by_id(conn: Connection, app_id: str) -> AppRecord | None:
    return _one(conn, t.apps.c.id == app_id)


def find_head(conn: Connection, app: AppRecord | None) -> AppHead | None:
    """The application with its shares."""
    return AppHead(app, list_shares(conn, app.id)) if app else None


def get_version(conn: Connection, app_id: str, number: int | None = None) -> AppVersion | None:
    """A version by its number; without one, the current version."""
    which = t.versions.c.number == (t.apps.c.latest if number is None else number)
    query = _VERSIONS.where(t.versions.c.app_id == app_id, which)
    row = conn.execute(query).one_or_none()
    return _version(row) if row else None


def get_version_by_id(conn: Connection, version_id: str) -> AppVersion | None:
    row = conn.execute(_VERSIONS.where(t.versions.c.id == version_id)).one_or_none()
    return _version(row) if row else None


def find_digest(conn: Connection, app_id: str, digest: str) -> int | None:
    """The number of the version that has these bytes."""
    query = sa.select(t.versions.c.number).where(t.versions.c.app_id == app_id, t.versions.c.digest == digest)
    return conn.execute(query).scalar_one_or_none()


def list_versions(conn: Connection, app_id: str, *, limit: int, before: int | None = None) -> list[VersionRow]:
    """Versions, the newest first; those with numbers below ``before``."""
    v = t.versions.c
    query = sa.select(v.number, v.digest, v.code_version, v.note, v.created_at, v.created_by).where(
        v.app_id == app_id, v.number > 0
    )
    if before is not None:
        query = query.where(v.number < before)
    return [VersionRow(*row) for row in conn.execute(query.order_by(v.number.desc()).limit(limit))]


def count_versions(conn: Connection, app_id: str) -> int:
    query = (
        sa.select(sa.func.count()).select_from(t.versions).where(t.versions.c.app_id == app_id, t.versions.c.number > 0)
    )
    return int(conn.execute(query).scalar_one())


# ---------------------------------------------------------------- publish


def insert_version(tx: Tx, draft: Draft) -> Inserted:
    """Write the version under the application's row lock, and the application if it is new.

    A digest that the application has already makes no row: that version becomes the current one, if it is not. Raises Problem
    ``gone`` where a blob that it names is not here.
    """
    app, first = _lock_or_insert(tx, draft)
    known = tx.conn.execute(
        sa.select(t.versions.c.id, t.versions.c.number).where(
            t.versions.c.app_id == app.id, t.versions.c.digest == draft.digest
        )
    ).one_or_none()
    if known is not None and known.number == app.latest:
        return Inserted(app, VersionId(known.id), known.number, created=False)
    if known is not None:
        _set_current(tx, app.id, known.number, draft)
        return Inserted(app, VersionId(known.id), known.number, created=False, returned=True)
    highest = sa.select(sa.func.max(t.versions.c.number)).where(t.versions.c.app_id == app.id)
    number = max(0, int(tx.conn.execute(highest).scalar_one() or 0)) + 1
    version_id = _insert_row(tx, app.id, number, draft)
    blobs.refer(tx, f"version:{version_id}", {file.sha256 for file in draft.files})
    _set_current(tx, app.id, number, draft)
    return Inserted(app, version_id, number, created=True, first=first)


def ensure_derived(tx: Tx, app_id: str, base: int, digest: str, document_json: str) -> VersionId:
    """The hidden version of that digest, which jobs run in place of ``base``; it is made if it is not there, and young again."""
    v = t.versions
    find = sa.select(v.c.id, v.c.created_at).where(v.c.app_id == app_id, v.c.digest == digest)
    known = tx.conn.execute(find).one_or_none()
    if known is None:
        tx.conn.execute(sa.select(t.apps.c.id).where(t.apps.c.id == app_id).with_for_update())
        known = tx.conn.execute(find).one_or_none()
    if known is not None:
        if known.created_at < tx.now - YOUNG_S:
            tx.conn.execute(sa.update(v).where(v.c.id == known.id).values(created_at=tx.now))
        return VersionId(known.id)
    lowest = sa.select(sa.func.min(v.c.number)).where(v.c.app_id == app_id)
    version_id = VersionId(new_id())
    tx.conn.execute(
        sa.insert(v).values(
            id=version_id,
            app_id=app_id,
            number=min(0, int(tx.conn.execute(lowest).scalar_one() or 0)) - 1,
            base=base,
            digest=digest,
            document_json=document_json,
            files_json="[]",
            created_at=tx.now,
            created_by="",
        )
    )
    return version_id


def drop_derived(tx: Tx, before: float, limit: int = 500) -> int:
    """Remove hidden versions made before that time (seconds since 1970) that no job has; how many."""
    unused = (
        sa.select(t.versions.c.id)
        .where(t.versions.c.number < 0, t.versions.c.created_at < before)
        .where(t.versions.c.id.not_in(sa.select(t.jobs.c.version_id).distinct()))
        .limit(limit)
    )
    return tx.conn.execute(sa.delete(t.versions).where(t.versions.c.id.in_(unused))).rowcount


def set_archived(tx: Tx, app_id: str, archived: bool) -> None:
    at = tx.now if archived else None
    tx.conn.execute(sa.update(t.apps).where(t.apps.c.id == app_id).values(archived_at=at))


def _lock_or_insert(tx: Tx, draft: Draft) -> tuple[AppRecord, bool]:
    """The application's row, locked until the end of the transaction. Two first publications at once meet in the unique key."""
    by_name = (t.apps.c.owner_id == draft.owner_id, t.apps.c.alias == draft.alias)
    lock = sa.select(t.apps.c.id).where(*by_name).with_for_update()
    first = False
    if tx.conn.execute(lock).first() is None:
        first = _insert_app(tx, draft)
        tx.conn.execute(lock)
    app = _one(tx.conn, *by_name)
    assert app is not None
    return app, first


def _insert_app(tx: Tx, draft: Draft) -> bool:
    """False where another transaction was quicker."""
    done = tx.conn.execute(
        sa.text(
            "INSERT INTO apps (id, owner_id, alias, name, latest, created_at, updated_at)"
            " VALUES (:id, :owner_id, :alias, :name, 0, :now, :now) ON CONFLICT (owner_id, alias) DO NOTHING"
        ),
        {"id": new_id(), "owner_id": draft.owner_id, "alias": draft.alias, "name": draft.name, "now": tx.now},
    )
    return done.rowcount == 1


def _insert_row(tx: Tx, app_id: str, number: int, draft: Draft) -> VersionId:
    version_id = VersionId(new_id())
    tx.conn.execute(
        sa.insert(t.versions).values(
            id=version_id,
            app_id=app_id,
            number=number,
            digest=draft.digest,
            document_json=draft.document_json,
            files_json=_files_json(draft.files),
            code_version=draft.code_version,
            note=draft.note,
            created_at=tx.now,
            created_by=draft.created_by,
        )
    )
    return version_id


def _set_current(tx: Tx, app_id: str, number: int, draft: Draft) -> None:
    words = (f"{draft.owner_name}/{draft.alias}", draft.name, draft.annotation, *draft.keywords)
    tx.conn.execute(
        sa.update(t.apps)
        .where(t.apps.c.id == app_id)
        .values(
            latest=number,
            name=draft.name,
            annotation=draft.annotation,
            keywords="\n".join(draft.keywords),
            search_text="\n".join(words).casefold(),
            updated_at=tx.now,
        )
    )


# ---------------------------------------------------------------- rows

APP_COLUMNS = (t.apps, t.users.c.name.label("owner_name"))
_VERSIONS = sa.select(t.versions, t.apps.c.owner_id, t.apps.c.alias, t.users.c.name.label("owner_name")).select_from(
    t.versions.join(t.apps, t.apps.c.id == t.versions.c.app_id).join(t.users, t.users.c.id == t.apps.c.owner_id)
)


def app_of(row: Row[Any]) -> AppRecord:
    """The record of a row of ``APP_COLUMNS``."""
    return AppRecord(
        id=row.id,
        owner_id=row.owner_id,
        owner_name=row.owner_name,
        alias=row.alias,
        name=row.name,
        annotation=row.annotation,
        keywords=tuple(row.keywords.split("\n")) if row.keywords else (),
        latest=row.latest,
        created_at=row.created_at,
        updated_at=row.updated_at,
        archived_at=row.archived_at,
    )


def _one(conn: Connection, *conditions: sa.ColumnElement[bool]) -> AppRecord | None:
    query = sa.select(*APP_COLUMNS).join(t.users, t.users.c.id == t.apps.c.owner_id).where(*conditions)
    row = conn.execute(query).one_or_none()
    return app_of(row) if row else None


def _version(row: Row[Any]) -> AppVersion:
    return AppVersion(
        id=row.id,
        app_id=row.app_id,
        owner_id=row.owner_id,
        owner_name=row.owner_name,
        alias=row.alias,
        number=row.number,
        digest=row.digest,
        document=json.loads(row.document_json),
        files=tuple(FileEntry(*entry) for entry in json.loads(row.files_json)),
        code_version=row.code_version,
        note=row.note,
        created_at=row.created_at,
        created_by=row.created_by,
        size_bytes=len(row.document_json) + len(row.files_json),
        base=row.base,
    )


def _files_json(files: Collection[FileEntry]) -> str:
    rows = [[file.path, file.sha256, file.size_bytes, file.mode] for file in files]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
