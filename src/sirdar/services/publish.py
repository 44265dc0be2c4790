"""Publishing: a description and its files become an immutable version.

The client plans (everything is checked, and it learns which bytes are missing), brings those bytes, and publishes (everything
is checked again). The version, its secrets and the line in the audit log are one transaction: it stands whole or not at all.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anyio.to_thread import run_sync

from sirdar.domain.app import App, CodeKind, FileEntry
from sirdar.domain.names import path_fault
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import access, appsecrets, audit, quotas
from sirdar.services.app_cache import cache_of
from sirdar.services.code_tokens import token_of_environment
from sirdar.services.context import Services
from sirdar.services.publish_code import Resolved, fetch_code, resolve_code
from sirdar.store import app_rights, publishing
from sirdar.store import apps as rows
from sirdar.store.apps import AppRecord, Draft, Inserted
from sirdar.store.engine import Tx
from sirdar.store.people import Conn
from sirdar.wire.description import check_files, parse_yaml, to_document, version_digest

__all__ = ["Plan", "Prepared", "Publication", "Published", "Resolved", "plan", "publish", "put_blob", "resolve_code"]

MAX_NOTE = 1000
MAX_ERRORS = 50
FETCHED = frozenset({CodeKind.GIT, CodeKind.GITLAB})

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Publication:
    """What a client sends: the text of ``sirdar.yaml``, the files beside it, a note for the list of versions, secrets to keep."""

    description: str | bytes
    files: tuple[FileEntry, ...] = ()
    note: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A publication that is right in itself. ``fetched``: its files stand on the server, put there by the server."""

    app: App
    document: Mapping[str, Any]
    files: tuple[FileEntry, ...]
    note: str = ""
    ciphers: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""
    fetched: bool = False

    @property
    def digest(self) -> str:
        return version_digest(self.document, self.files)


@dataclass(frozen=True, slots=True)
class Plan:
    """What publishing would do. ``digest`` None: it is known only when the code has been fetched."""

    reference: str
    digest: str | None
    missing: tuple[str, ...]
    unchanged: bool  # the current version has these bytes
    version: int | None  # the version that has these bytes already


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did."""

    inserted: Inserted
    digest: str
    code_version: str
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return self.inserted.app.reference


# ---------------------------------------------------------------- the three steps


async def plan(services: Services, caller: Caller, publication: Publication) -> Plan:
    """Check everything, create nothing. Raises what ``publish`` would, but for missing bytes."""
    access.require_publish(caller)
    prepared = await prepare(services, publication)
    digest = None if is_fetched(prepared.app) else prepared.digest

    def look(conn: Conn) -> tuple[int | None, bool, Mapping[str, int]]:
        app = _own_app(conn, caller, prepared.app.alias)
        number = rows.find_digest(conn, app.id, digest) if app and digest else None
        here = publishing.brought_by(conn, caller.user_id, (file.sha256 for file in prepared.files))
        return number, bool(app and number == app.latest), here

    number, unchanged, here = await services.store.read(look)
    check_sizes(prepared.files, here)
    missing = sorted({file.sha256 for file in prepared.files} - here.keys())
    return Plan(f"{caller.name}/{prepared.app.alias}", digest, tuple(missing), unchanged, number)


async def put_blob(services: Services, caller: Caller, sha256: str, size_bytes: int) -> None:
    """Keep bytes that were just put into the blob store, for the publication of the same caller that comes next."""
    access.require_publish(caller)
    settings, user_id = services.settings, caller.user_id

    def hold(tx: Tx) -> None:
        quotas.check_bytes(tx.conn, user_id, size_bytes, settings, now=tx.now)
        publishing.hold_for_publisher(tx, user_id, sha256, size_bytes)

    await services.store.write(hold)


async def publish(services: Services, caller: Caller, publication: Publication) -> Published:
    """Make the version. The same bytes make none: the version that has them is, or becomes again, the current one."""
    access.require_publish(caller)
    prepared = await prepare(services, publication)
    if is_fetched(prepared.app):
        await services.store.read(lambda conn: _own_app(conn, caller, prepared.app.alias))  # before the long way
        files, version = await fetch_code(services, caller, prepared.app, publication.secrets)
        files = checked_files(services, files)
        prepared = replace(prepared, files=files, code_version=version, fetched=True)
    return await write(services, caller, prepared)


# ---------------------------------------------------------------- what is checked


async def prepare(services: Services, publication: Publication) -> Prepared:
    """The publication, parsed and checked as far as it can be without the database. In a thread: YAML takes its time."""
    return await run_sync(_prepare, services, publication)


def _prepare(services: Services, publication: Publication) -> Prepared:
    app = parse_yaml(publication.description)
    files = checked_files(services, publication.files)
    if app.code.kind is not CodeKind.FOLDER and files:
        raise Problem(
            "invalid_field",
            f"The code comes from {app.code.kind}, as the description says; {len(files)} files were sent besides.",
            field="files",
            expected="no files",
            hint="Take 'code' out of the description to publish the folder.",
        )
    check_files(app, [file.path for file in files])
    ciphers = {name: appsecrets.seal(services, name, value) for name, value in publication.secrets.items()}
    return Prepared(app, to_document(app), files, checked_note(publication.note), ciphers)


def is_fetched(app: App) -> bool:
    """The server fetches the files when the application is published."""
    return app.code.kind in FETCHED and not app.code.at_submission


def checked_note(note: str) -> str:
    if len(note) > MAX_NOTE or "\0" in note or (not note.isascii() and note != note.encode(errors="replace").decode()):
        raise Problem(
            "invalid_field", "The note cannot be kept.", field="note", expected=f"text up to {MAX_NOTE} characters"
        )
    return note


def checked_files(services: Services, files: Sequence[FileEntry]) -> tuple[FileEntry, ...]:
    """The files in the order of their paths, with modes 0644 or 0755: the same folder is the same on every machine."""
    settings = services.settings
    if len(files) > settings.publish_files:
        limit = f"at most {settings.publish_files} files"
        raise Problem(
            "too_large", f"{len(files)} files are too many for one application.", field="files", expected=limit
        )
    errors = _file_errors(files)
    if errors:
        first = errors[0]
        raise Problem("invalid_field", f"{first.field}: {first.detail}", field=first.field, errors=errors[:MAX_ERRORS])
    total = sum(file.size_bytes for file in files)
    if total > settings.publish_bytes:
        limit = f"at most {settings.publish_bytes} bytes"
        hint = "Give large data as a file input, or lay it down on the resource."
        raise Problem("too_large", f"The files have {total} bytes.", field="files", expected=limit, hint=hint)
    ordered = sorted(files, key=lambda file: file.path)
    return tuple(replace(file, mode=0o755 if file.mode & 0o111 else 0o644) for file in ordered)


def _file_errors(files: Sequence[FileEntry]) -> list[FieldError]:
    errors = []
    paths: set[str] = set()
    for number, file in enumerate(files):
        if fault := _file_fault(file, paths):
            errors.append(FieldError(f"files[{number}]", fault))
        paths.add(file.path)
    for number, file in enumerate(files):
        parts = file.path.split("/")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            errors.append(FieldError(f"files[{number}]", f"{file.path[:200]!a} lies in what is itself a file"))
    return errors


def _file_fault(file: FileEntry, before: Collection[str]) -> str | None:
    shown = ascii(file.path[:200])
    if fault := path_fault(file.path):
        return f"the path {shown} {fault}"
    if any(part in {"", "."} or len(part.encode()) > 255 for part in file.path.split("/")):
        return f"the path {shown} has an empty, needless or too long part"
    if file.path in before:
        return f"the path {shown} stands twice"
    if not _SHA256.fullmatch(file.sha256):
        return "sha256 is not 64 lower-case hexadecimal digits"
    return "the size is negative" if file.size_bytes < 0 else None


def check_sizes(files: Sequence[FileEntry], here: Mapping[str, int]) -> None:
    """Raises where the size that was announced is not that of the bytes."""
    for number, file in enumerate(files):
        found = here.get(file.sha256, file.size_bytes)
        if found != file.size_bytes:
            detail = f"{file.path} has {found} bytes, not {file.size_bytes}."
            raise Problem("invalid_field", detail, field=f"files[{number}].size")


def _own_app(conn: Conn, caller: Caller, alias: str) -> AppRecord | None:
    """The caller's application of that alias, if it may have a new version."""
    app = rows.find_app(conn, caller.name, alias)
    if caller.apps is not None and (app is None or app.id not in caller.apps):
        raise Problem("forbidden", f"This token is not for {caller.name}/{alias}.")
    if app is not None and app.archived_at is not None:
        raise Problem(
            "conflict",
            f"{app.reference} is archived.",
            hint="Take it out of the archive first, or choose another alias.",
        )
    return app


# ---------------------------------------------------------------- writing


async def write(services: Services, caller: Caller, prepared: Prepared) -> Published:
    """Write a version whose bytes are here."""
    digest = prepared.digest
    draft = _draft(caller, prepared, digest)
    shas = {file.sha256 for file in prepared.files}

    def run(tx: Tx) -> tuple[Inserted, tuple[str, ...]]:
        _own_app(tx.conn, caller, draft.alias)
        if not prepared.fetched:
            _check_present(prepared, publishing.brought_by(tx.conn, caller.user_id, shas))
        inserted = rows.insert_version(tx, draft)
        tx.hints.rights.add(f"app:{inserted.app.id}")
        publishing.release_publisher(tx, caller.user_id, shas)
        publishing.drop_stale_uploads(tx, tx.now - services.settings.upload_s)
        appsecrets.put_sealed(tx, caller, inserted.app, prepared.ciphers)
        if inserted.created or inserted.returned:
            action = "app.publish" if inserted.created else "app.publish_again"
            audit.record(tx, caller, action, f"app:{inserted.app.reference}", version=inserted.number, digest=digest)
        return inserted, app_rights.secret_names(tx.conn, inserted.app.id)

    inserted, secrets = await services.store.write(run)
    cache_of(services.store).forget(inserted.app.id)
    return Published(inserted, digest, prepared.code_version, _notes(prepared.app, inserted, secrets))


def _draft(caller: Caller, prepared: Prepared, digest: str) -> Draft:
    app = prepared.app
    return Draft(
        owner_id=caller.user_id,
        owner_name=caller.name,
        alias=app.alias,
        name=app.name or app.alias,
        annotation=app.annotation,
        keywords=app.keywords,
        digest=digest,
        document_json=json.dumps(prepared.document, ensure_ascii=False, separators=(",", ":")),
        files=prepared.files,
        code_version=prepared.code_version,
        note=prepared.note,
        created_by=caller.name,
    )


def _check_present(prepared: Prepared, here: Mapping[str, int]) -> None:
    check_sizes(prepared.files, here)
    missing = [file for file in prepared.files if file.sha256 not in here]
    if missing:
        errors = [
            FieldError(file.path, f"sha256 {file.sha256}: the bytes are not here") for file in missing[:MAX_ERRORS]
        ]
        raise Problem(
            "conflict",
            f"The bytes of {len(missing)} files are not here, the first: {missing[0].path}.",
            field="files",
            errors=errors,
            hint="Send each with PUT /api/apps/publish/blobs/SHA256, then publish again.",
        )


def _notes(app: App, inserted: Inserted, secrets: Collection[str]) -> tuple[str, ...]:
    notes = []
    if inserted.returned:
        notes.append(f"These are the bytes of version {inserted.number}; it is the current version again.")
    wanted = set(app.secrets)
    if app.code.token_secret and token_of_environment(app.code) is None:
        wanted.add(app.code.token_secret)
    if unset := sorted(wanted - set(secrets)):
        one = len(unset) == 1
        notes.append(f"Secret{'' if one else 's'} without a value yet: {', '.join(unset)}.")
    return tuple(notes)
