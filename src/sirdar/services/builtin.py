"""Applications that come with Sirdar: published when a server starts, where they are not there as they are in this release.

A start that finds them all reads one row for each and writes nothing. Several servers that start at once do this one after another.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

import sirdar
from sirdar.domain.app import FileEntry
from sirdar.domain.people import SYSTEM_NAME, SYSTEM_USER
from sirdar.services import audit
from sirdar.services.access import RUN
from sirdar.services.app_cache import cache_of
from sirdar.services.context import Services
from sirdar.store import app_rights, builtin, people, publishing
from sirdar.store import apps as rows
from sirdar.store.apps import Draft
from sirdar.store.engine import Tx
from sirdar.store.schema import one_by_one
from sirdar.wire.description import check_files, parse_yaml, to_document, version_digest

PLACE = Path(sirdar.__file__).parent / "builtin"
DESCRIPTION = "sirdar.yaml"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Folder:
    """A built-in application as this release has it: its files by their paths, the description among them."""

    alias: str
    files: dict[str, bytes]

    @property
    def mark(self) -> str:
        """A short digest of all bytes, kept as the version's code version: equal marks need no look at the description."""
        whole = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            whole.update(f"{path}\n{len(content)}\n".encode() + content)
        return whole.hexdigest()[:16]


async def publish_builtin(services: Services, place: Path = PLACE) -> list[str]:
    """Publish what has changed since the last start; gives its aliases. Anybody may run them, unless that was taken back."""
    marks = services.store.read_now(builtin.marks)
    changed = [folder for folder in read_folders(place) if marks.get(folder.alias) != folder.mark]
    for folder in changed:
        brought = [await services.blobs.put_bytes(content) for content in _own_files(folder).values()]
        sizes = {blob.sha256: blob.size_bytes for blob in brought}
        app_id = services.store.write_now(partial(_write, folder=folder, sizes=sizes))
        cache_of(services.store).forget(app_id)
        log.info("builtin_published", app=f"{SYSTEM_NAME}/{folder.alias}", mark=folder.mark)
    return [folder.alias for folder in changed]


def read_folders(place: Path = PLACE) -> list[Folder]:
    """The built-in applications of this release, by their names."""
    found = []
    for description in sorted(place.glob(f"*/{DESCRIPTION}")):
        root = description.parent
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        found.append(Folder(root.name, files))
    return found


def draft_of(folder: Folder) -> Draft:
    """The version that the folder is. Raises Problem where its description is wrong."""
    app = parse_yaml(folder.files[DESCRIPTION])
    files = tuple(_entry(path, content) for path, content in sorted(_own_files(folder).items()))
    check_files(app, [file.path for file in files])
    document = to_document(app)
    return Draft(
        owner_id=SYSTEM_USER,
        owner_name=SYSTEM_NAME,
        alias=app.alias,
        name=app.name or app.alias,
        annotation=app.annotation,
        keywords=app.keywords,
        digest=version_digest(document, files),
        document_json=json.dumps(document, ensure_ascii=False, separators=(",", ":")),
        files=files,
        code_version=folder.mark,
        note=f"Comes with Sirdar {sirdar.__version__}",
        created_by=SYSTEM_NAME,
    )


def _own_files(folder: Folder) -> dict[str, bytes]:
    return {path: content for path, content in folder.files.items() if path != DESCRIPTION}


def _entry(path: str, content: bytes) -> FileEntry:
    """A wheel keeps no permissions: what begins as a script does is a program."""
    mode = 0o755 if content[:2] == b"#!" else 0o644
    return FileEntry(path, hashlib.sha256(content).hexdigest(), len(content), mode)


def _write(tx: Tx, *, folder: Folder, sizes: dict[str, int]) -> str:
    one_by_one(tx.conn)
    people.ensure_system_user(tx)
    for sha256, size_bytes in sizes.items():
        publishing.hold_for_publisher(tx, SYSTEM_USER, sha256, size_bytes)
    inserted = rows.insert_version(tx, draft_of(folder))
    publishing.release_publisher(tx, SYSTEM_USER, sizes)
    builtin.set_mark(tx, inserted.version_id, folder.mark)
    if inserted.first:
        app_rights.put_share(tx, inserted.app.id, "everyone", RUN)
    if inserted.created or inserted.returned:
        audit.record(tx, None, "app.publish", f"app:{inserted.app.reference}", version=inserted.number)
    tx.hints.rights.add(f"app:{inserted.app.id}")
    return inserted.app.id
