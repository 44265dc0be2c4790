"""Files: temporary uploads, uploads in pieces, and what a file's URI means.

The way of an upload: bytes go to the blob store as they arrive, then one transaction registers the blob and writes the file's
row. A URI of this server (``/api/files/...``) is resolved by ``resolve_uri``, which checks that the caller may read it.
"""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from sirdar.blobs.base import check_sha256, too_large
from sirdar.domain.app import FileRef
from sirdar.domain.names import MAX_NAME_BYTES, file_name_fault
from sirdar.domain.people import Caller, Scope
from sirdar.domain.plan_app import MADE, planned
from sirdar.domain.problems import Problem
from sirdar.services import job_files
from sirdar.services.access import require_scope
from sirdar.services.context import Services
from sirdar.services.job_files import InlineFile
from sirdar.services.quotas import check_bytes
from sirdar.store import blobs as blobs_store
from sirdar.store import files as files_store
from sirdar.store import job_views
from sirdar.store.engine import Tx
from sirdar.store.files import File, Upload

TEMP_PREFIX = "/api/files/temp/"
JOBS_PREFIX = "/api/files/jobs/"


@dataclass(frozen=True, slots=True)
class Progress:
    """An upload in pieces: its row, and how many bytes have arrived."""

    upload: Upload
    offset: int


def check_name(name: str, *, field: str = "filename") -> str:
    """The name as it was given, or Problem ``invalid_field``."""
    if fault := file_name_fault(name):
        raise Problem(
            "invalid_field",
            f"The file name {name[:80].encode(errors='replace').decode()!r} {fault}.",
            field=field,
            expected=f"a name without slashes and control characters, of at most {MAX_NAME_BYTES} bytes in UTF-8",
        )
    return name


def uri_of(file: File) -> str:
    return f"{TEMP_PREFIX}{file.id}/{quote(file.name, safe='')}"


def to_json(file: File) -> dict[str, Any]:
    """What an upload answers."""
    return {"uri": uri_of(file), "filename": file.name, "length": file.size_bytes, "sha256": file.sha256}


# ---------------------------------------------------------------- whole uploads


async def upload(
    services: Services,
    caller: Caller,
    name: str | Callable[[], str],
    chunks: AsyncIterator[bytes],
    *,
    announced: int | None = None,
    sha256: str | None = None,
) -> File:
    """Keep a file as it arrives. ``announced``: its size, where the sender says it. ``name``: a function where it is known
    only after the last chunk.

    Raises Problem ``too_large``, ``quota_exceeded``, ``disk_full``, ``invalid_field`` (name, digest), ``invalid_request``
    (fewer bytes than announced).
    """
    if isinstance(name, str):
        check_name(name)
    max_bytes = await room(services, caller, announced)
    async with services.blobs.writer(max_bytes=max_bytes, expected_sha=sha256) as writer:
        async for chunk in chunks:
            if chunk:
                await writer.write(chunk)
        if announced is not None and writer.size_bytes != announced:
            raise Problem("invalid_request", f"{writer.size_bytes} bytes arrived of {announced}.")
        kept_name = check_name(name if isinstance(name, str) else name())
        blob = await writer.finish()
    ref = FileRef(kept_name, blob.sha256, blob.size_bytes)
    return await add_file(services, caller, ref, counted=announced is not None)


async def room(services: Services, caller: Caller, announced: int | None) -> int:
    """How many bytes the caller's next file may have. Raises ``too_large`` or ``quota_exceeded`` where more is announced."""
    require_scope(caller, Scope.RUN)
    most = services.settings.file_bytes
    if announced is not None and announced > most:
        raise too_large(most)
    now = services.store.clock()
    await services.store.read(
        lambda conn: check_bytes(conn, caller.user_id, announced or 0, services.settings, now=now)
    )
    return most


async def add_file(services: Services, caller: Caller, ref: FileRef, *, counted: bool = False) -> File:
    """A temporary file of a blob that was just put. ``counted``: ``room`` was asked for its very size."""
    settings = services.settings

    def add(tx: Tx) -> File:
        if not counted:
            check_bytes(tx.conn, caller.user_id, ref.size_bytes, settings, now=tx.now)
        return files_store.add_file(
            tx,
            owner_id=caller.user_id,
            name=ref.name,
            sha256=ref.sha256,
            size_bytes=ref.size_bytes,
            lifetime_s=settings.temp_file_s,
        )

    return await services.store.write(add)


async def find_file(services: Services, caller: Caller, file_id: str, name: str | None = None) -> File:
    """A temporary file of the caller's. Raises ``not_found``, also where it is another's or has expired."""
    require_scope(caller, Scope.READ)
    now = services.store.clock()
    file = await services.store.read(lambda conn: files_store.find_file(conn, file_id, now=now))
    if file is None or not _may_use(caller, file.owner_id) or (name is not None and name != file.name):
        raise Problem(
            "not_found",
            f"There is no file {TEMP_PREFIX}{file_id[:80]}/{(name or '')[:80]}.",
            hint="Temporary files expire; upload it again.",
        )
    return file


async def find_temporary(services: Services, caller: Caller, uris: Collection[str]) -> dict[str, FileRef]:
    """The caller's temporary files among these paths of URIs, found together. What is missing is what ``resolve_uri`` tells of."""
    require_scope(caller, Scope.READ)
    named = {uri: uri.removeprefix(TEMP_PREFIX).partition("/") for uri in uris if uri.startswith(TEMP_PREFIX)}
    now = services.store.clock()
    ids = {file_id for file_id, _, _ in named.values() if file_id.isascii() and file_id.isalnum()}
    rows = await services.store.read(lambda conn: files_store.find_files(conn, ids, now=now)) if ids else {}
    found = {}
    for uri, (file_id, _, name) in named.items():
        file = rows.get(file_id)
        if file is not None and _may_use(caller, file.owner_id) and (not name or unquote(name) == file.name):
            found[uri] = FileRef(file.name, file.sha256, file.size_bytes)
    return found


async def delete_file(services: Services, caller: Caller, file_id: str, name: str | None = None) -> None:
    require_scope(caller, Scope.RUN)
    file = await find_file(services, caller, file_id, name)
    await services.store.write(lambda tx: files_store.delete_files(tx, file.id))


# ---------------------------------------------------------------- uploads in pieces


async def begin_upload(services: Services, caller: Caller, name: str, length: int, sha256: str | None) -> Upload:
    check_name(name)
    if sha256 is not None:
        check_sha256(sha256)
    await room(services, caller, length)
    return await services.store.write(
        lambda tx: files_store.add_upload(
            tx,
            owner_id=caller.user_id,
            name=name,
            length=length,
            sha256=sha256,
            lifetime_s=services.settings.upload_s,
        )
    )


async def find_upload(services: Services, caller: Caller, upload_id: str) -> Progress:
    """An upload of the caller's, and how far it is. Raises ``not_found``."""
    require_scope(caller, Scope.RUN)
    now = services.store.clock()
    upload = await services.store.read(lambda conn: files_store.find_upload(conn, upload_id, now=now))
    if upload is None or not _may_use(caller, upload.owner_id):
        raise Problem(
            "not_found",
            f"There is no upload {upload_id[:80]}: it is complete, was removed, or has expired.",
            hint="Begin another: POST /api/files/uploads.",
        )
    return Progress(upload, await services.blobs.uploads.offset(upload.id))


async def continue_upload(
    services: Services, caller: Caller, upload_id: str, offset: int, chunks: AsyncIterator[bytes]
) -> int:
    """Append what arrives; gives the new offset. What arrived before an error or a cut stays."""
    progress = await find_upload(services, caller, upload_id)
    uploads = services.blobs.uploads
    async with uploads.append(upload_id, offset=offset, length=progress.upload.length) as writer:
        async for chunk in chunks:
            if chunk:
                await writer.write(chunk)
    return await uploads.offset(upload_id)


async def complete_upload(services: Services, caller: Caller, upload_id: str) -> File:
    """Make the upload a file, which gets the upload's id: asking again gives the same file.

    Where the digest is not the announced one, the upload is removed: its bytes are wrong.
    """
    now = services.store.clock()
    done = await services.store.read(lambda conn: files_store.find_file(conn, upload_id, now=now))
    if done is not None and _may_use(caller, done.owner_id):
        return done
    upload = (await find_upload(services, caller, upload_id)).upload
    try:
        blob = await services.blobs.uploads.complete(upload.id, length=upload.length, sha256=upload.sha256)
    except Problem as problem:
        if problem.field == "sha256":
            await remove_upload(services, caller, upload_id)
        raise
    file = await services.store.write(
        lambda tx: _finish(tx, upload, FileRef(upload.name, blob.sha256, blob.size_bytes), services)
    )
    await services.blobs.uploads.discard(upload.id)
    return file


def _finish(tx: Tx, upload: Upload, ref: FileRef, services: Services) -> File:
    if not files_store.delete_upload(tx, upload.id):
        raise Problem("conflict", "The upload was completed or removed by another request.")
    return files_store.add_file(
        tx,
        owner_id=upload.owner_id,
        name=ref.name,
        sha256=ref.sha256,
        size_bytes=ref.size_bytes,
        lifetime_s=services.settings.temp_file_s,
        file_id=upload.id,
    )


async def remove_upload(services: Services, caller: Caller, upload_id: str) -> None:
    upload = (await find_upload(services, caller, upload_id)).upload
    await services.store.write(lambda tx: files_store.delete_upload(tx, upload.id))
    await services.blobs.uploads.discard(upload.id)


# ---------------------------------------------------------------- URIs of this server


async def resolve_uri(services: Services, caller: Caller, uri: str) -> FileRef:
    """The file that a URI of this server names, for an input. Raises ``not_found``, also where the caller may not read it.

    A stream that is kept inside its task's row becomes a blob here.
    """
    path = uri.split("?", 1)[0]
    if path.startswith(TEMP_PREFIX):
        file_id, _, name = path.removeprefix(TEMP_PREFIX).partition("/")
        file = await find_file(services, caller, file_id, unquote(name) if name else None)
        return FileRef(file.name, file.sha256, file.size_bytes)
    if path.startswith(JOBS_PREFIX):
        job_id, _, rest = path.removeprefix(JOBS_PREFIX).partition("/")
        found = await find_job_file(services, caller, job_id, unquote(rest))
        return found if isinstance(found, FileRef) else await _as_blob(services, found)
    raise Problem(
        "not_found",
        f"{uri[:200]!r} is no address of a file on this server.",
        expected=f"{TEMP_PREFIX}ID/NAME or {JOBS_PREFIX}JOB/NAME",
    )


async def find_job_file(
    services: Services, caller: Caller | None, job_id: str, path: str, *, link: str | None = None
) -> FileRef | InlineFile:
    """A file of a job that the caller (or whoever holds its link) may see. Raises ``not_found``."""
    found = await services.store.read(lambda conn: job_files.look_up(conn, caller, job_id, path, link=link))
    if found is None and path in MADE:
        await _refuse_made(services, job_id, path)
    if found is None:
        raise Problem(
            "not_found",
            f"Job {job_id[:80]} has no file {path[:200].encode(errors='replace').decode()!r}.",
            hint=f"GET /api/jobs/{job_id[:80]} names its files.",
        )
    return found


async def _refuse_made(services: Services, job_id: str, path: str) -> None:
    """Raises Problem ``not_found`` for what a plan's job has only as a download."""
    job = await services.store.read(lambda conn: job_views.find_job(conn, job_id))
    if job is not None and planned(job.app_owner, job.app_alias):
        said = "is made when it is downloaded; download it and upload it, or name the files of single tasks"
        raise Problem("not_found", f"{path} of job {job_id} {said}.", hint=f"GET /api/jobs/{job_id} names its files.")


async def _as_blob(services: Services, inline: InlineFile) -> FileRef:
    blob = await services.blobs.put_bytes(inline.content)
    await services.store.write(lambda tx: blobs_store.register(tx, blob.sha256, blob.size_bytes))
    return FileRef(inline.name, blob.sha256, blob.size_bytes)


def _may_use(caller: Caller, owner_id: str) -> bool:
    return caller.user_id == owner_id or caller.administers
