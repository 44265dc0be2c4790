"""Applications as zip files: Sirdar's own export, Everest's, or simply a zipped folder.

An export holds ``sirdar.yaml`` (what Sirdar reads back), ``application.json`` (what Everest reads) and the application's files
under ``ApplicationFiles/``. The same version exported twice gives the same bytes.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync

from sirdar.domain.app import App, CodeKind, FileEntry
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import access
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.apps import VIEW, resolve_app
from sirdar.services.context import Services
from sirdar.services.publish import Prepared, Published, checked_files, is_fetched, write
from sirdar.services.publish_code import fetch_code, register_blobs
from sirdar.wire.archives import Limits, ZipEntry, pack_zip, unpack, walk
from sirdar.wire.description import check_files, parse_yaml, to_document
from sirdar.wire.description_text import canonical_yaml
from sirdar.wire.everest import import_everest
from sirdar.wire.everest_export import export_everest

FILES = "ApplicationFiles/"
OWN = "sirdar.yaml"
EVERESTS = "application.json"
MAX_DOCUMENT_BYTES = 4 * 2**20
PREFIX = "app-"
STALE_S = 86400.0


def workplace(services: Services) -> AbstractContextManager[str]:
    """A directory of one's own on the disk of the blobs, so that files move there without being copied."""
    root = services.settings.home / "tmp"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{PREFIX}*"):  # by a server that was killed
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=PREFIX, dir=root, ignore_cleanup_errors=True)


# ---------------------------------------------------------------- export


async def export_archive(services: Services, caller: Caller, reference: str, target: Path) -> LoadedVersion:
    """Write the version's zip to a new file."""
    loaded = await resolve_app(services, caller, reference, need=VIEW)
    async with AsyncExitStack() as stack:
        paths = {sha: await stack.enter_async_context(services.blobs.file(sha)) for sha in _digests(loaded)}
        await run_sync(_pack, loaded, paths, target)
    return loaded


def _digests(loaded: LoadedVersion) -> set[str]:
    return {file.sha256 for file in loaded.version.files}


def _pack(loaded: LoadedVersion, paths: Mapping[str, Path], target: Path) -> None:
    version, app = loaded.version, loaded.app
    everests, _ = export_everest(app, version.number)
    everests["codeVersion"] = version.code_version
    entries = [
        ZipEntry(OWN, canonical_yaml(version.document).encode()),
        ZipEntry(EVERESTS, json.dumps(everests, ensure_ascii=False, indent=2).encode()),
        *(ZipEntry(FILES + file.path, paths[file.sha256], file.mode) for file in version.files),
    ]
    with target.open("wb") as sink:
        pack_zip(entries, sink)


# ---------------------------------------------------------------- import


@dataclass(frozen=True, slots=True)
class _Opened:
    """An archive, unpacked and read: the application, where its files lie, what a person should know."""

    app: App
    files: tuple[tuple[ZipEntry, Path], ...]
    notes: tuple[str, ...] = ()
    code_version: str = ""


async def import_archive(services: Services, caller: Caller, archive: Path, directory: Path) -> Published:
    """Publish what a zip holds as the caller's application. ``directory`` is empty and on the disk of the blobs.

    Raises Problem ``invalid_archive``, ``invalid_description``, ``too_large``, and what publishing raises.
    """
    access.require_publish(caller)
    opened = await run_sync(_open, services, archive, directory)
    app = opened.app
    files, version = await _keep(services, opened), opened.code_version
    if is_fetched(app) and not files:
        files, version = await fetch_code(services, caller, app)
    checked = checked_files(services, files)
    check_files(app, [file.path for file in checked])
    prepared = Prepared(app, to_document(app), checked, code_version=version, fetched=True)
    published = await write(services, caller, prepared)
    return Published(published.inserted, published.digest, version, (*opened.notes, *published.notes))


def _open(services: Services, archive: Path, directory: Path) -> _Opened:
    settings = services.settings
    unpack(archive, directory, Limits(members=settings.publish_files + 1000, total_bytes=settings.publish_bytes))
    root = _root(directory)
    own, everests = root / OWN, root / EVERESTS
    if own.is_file():
        app = parse_yaml(_read(own), filename=OWN)
        return _Opened(app, tuple(_files(root, app)), code_version=_code_version(everests, app))
    if everests.is_file():
        names = [entry.name for entry, _ in _files(root)]
        app, notes = import_everest(_json(everests), names)
        return _Opened(app, tuple(_files(root)), tuple(notes))
    raise Problem(
        "invalid_archive",
        f"The archive holds neither {OWN} nor {EVERESTS}.",
        expected=f"{OWN} or {EVERESTS} at its top, with the files under {FILES} or beside it",
    )


def _root(directory: Path) -> Path:
    """The top of the archive; the one folder in it, where somebody has zipped the folder itself."""
    children = list(directory.iterdir())
    only = children[0] if len(children) == 1 else directory
    return only if only.is_dir() and not only.is_symlink() and only.name != FILES.rstrip("/") else directory


def _files(root: Path, app: App | None = None) -> list[tuple[ZipEntry, Path]]:
    """The application's own files. Code that is fetched for each job, or lies on the resource, is not among them."""
    if app is not None and (app.code.kind is CodeKind.PATH or app.code.at_submission):
        return []
    packed = root / FILES
    base = packed if packed.is_dir() else root
    beside = {OWN, EVERESTS} if base == root else set()
    found = [entry for entry in walk(base) if isinstance(entry.source, Path) and entry.name not in beside]
    return [(entry, entry.source) for entry in found if isinstance(entry.source, Path)]


def _code_version(everests: Path, app: App) -> str:
    """Which commit the files of an export are, as it says itself."""
    if app.code.kind is CodeKind.FOLDER or not everests.is_file():
        return ""
    version = _json(everests).get("codeVersion")
    return version[:200] if isinstance(version, str) and version.isprintable() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_archive", f"{path.name} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Problem("invalid_archive", f"{path.name} is not a JSON object.")
    return found


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise Problem("invalid_archive", f"{path.name} is larger than {MAX_DOCUMENT_BYTES} bytes.")
    return path.read_bytes()


async def _keep(services: Services, opened: _Opened) -> tuple[FileEntry, ...]:
    """Move the files into the blob store and write down that they are there."""
    if not opened.files:
        return ()
    found = await _put_all(services, opened.files)
    await register_blobs(services, found)
    return tuple(found)


async def _put_all(services: Services, files: Sequence[tuple[ZipEntry, Path]]) -> list[FileEntry]:
    """Blobs by moving, except where links name one file twice."""
    times = Counter(path for _, path in files)
    found = []
    for entry, path in files:
        blob = await services.blobs.put_path(path, move=times[path] == 1)
        found.append(FileEntry(entry.name, blob.sha256, blob.size_bytes, entry.mode))
    return found
