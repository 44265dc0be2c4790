"""A publication in the making: what is wrong with it, and what publishing it would change. Nothing is written but files' bytes."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace

from sirdar.domain.app import App, FileEntry
from sirdar.domain.app_diff import Change, FileChange, changes, file_changes
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import access, apps, publish
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.blob_texts import read_text
from sirdar.services.context import Services
from sirdar.services.publish import Plan, Publication
from sirdar.store import publishing
from sirdar.wire.description import parse_yaml, to_document
from sirdar.wire.description_checks import file_doubts, option_doubts

TEXT_BYTES = 256 * 1024  # of a file that is edited as text
FAULTS = frozenset({"invalid_description", "invalid_field", "conflict", "too_large"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. ``errors`` or, where there are none, all the rest.

    ``number``: the version that it would become, or is already where ``plan.version`` says so; ``current``: the one that there is.
    """

    errors: tuple[FieldError, ...] = ()
    doubts: tuple[FieldError, ...] = ()  # nothing that forbids it, but it may be a mistake
    app: App | None = None
    plan: Plan | None = None
    number: int = 1
    current: LoadedVersion | None = None
    changes: tuple[Change, ...] = ()
    files: tuple[FileChange, ...] = ()


async def check(services: Services, caller: Caller, publication: Publication, coming: Collection[str] = ()) -> Checked:
    """A dry run of ``publish``. ``coming``: digests that publishing brings. Raises Problem ``forbidden`` only."""
    access.require_publish(caller)
    try:
        plan = await publish.plan(services, caller, publication)
    except Problem as problem:
        if problem.code not in FAULTS:
            raise
        return Checked(errors=errors_of(problem))
    if missing := {*plan.missing} - {*coming}:
        lost = [file for file in publication.files if file.sha256 in missing]
        return Checked(
            errors=tuple(FieldError(f"files.{file.path}", "its bytes are not here: add it again") for file in lost)
        )
    checked = await _compared(services, caller, publication, plan)
    doubts = file_doubts(checked.app, {file.path for file in publication.files}) if checked.app else ()
    return replace(checked, doubts=(*doubts, *(option_doubts(checked.app) if checked.app else ())))


def errors_of(problem: Problem) -> tuple[FieldError, ...]:
    """What is wrong, as a list; the next step, where there is only a sentence."""
    if problem.errors:
        return tuple(problem.errors)
    return (FieldError(problem.field or "", problem.detail, problem.expected or problem.hint),)


async def _compared(services: Services, caller: Caller, publication: Publication, plan: Plan) -> Checked:
    app = parse_yaml(publication.description)
    try:
        current = await apps.resolve_app(services, caller, plan.reference, need=apps.VIEW)
        _, newest = await apps.list_versions(services, caller, plan.reference, limit=1)
    except Problem as problem:
        if problem.code != "not_found":
            raise
        return Checked(app=app, plan=plan, files=tuple(file_changes((), publication.files)))
    files = (
        ()
        if publish.is_fetched(app)
        else file_changes(current.version.files, publish.checked_files(services, publication.files))
    )
    return Checked(
        app=app,
        plan=plan,
        number=plan.version or newest[0].number + 1,
        current=current,
        changes=tuple(changes(current.version.document, to_document(app))),
        files=tuple(files),
    )


# ---------------------------------------------------------------- files


async def put_file(
    services: Services, caller: Caller, path: str, chunks: AsyncIterator[bytes], mode: int = 0o644
) -> FileEntry:
    """Keep the bytes for the publication that comes next. Raises Problem ``too_large``, ``quota_exceeded``, ``forbidden``."""
    access.require_publish(caller)
    async with services.blobs.writer(max_bytes=services.settings.publish_bytes) as writer:
        async for chunk in chunks:
            if chunk:
                await writer.write(chunk)
        blob = await writer.finish()
    await publish.put_blob(services, caller, blob.sha256, blob.size_bytes)
    return FileEntry(path, blob.sha256, blob.size_bytes, mode)


async def put_text(services: Services, caller: Caller, path: str, text: str, mode: int = 0o644) -> FileEntry:
    async def chunks() -> AsyncIterator[bytes]:
        yield text.encode()

    return await put_file(services, caller, path, chunks(), mode)


async def text_of(services: Services, caller: Caller, file: FileEntry) -> str | None:
    """The text of a file that the caller has brought or published; None where it is none, or too large to be edited.

    Naming the digest of somebody's file must not give it away. Raises Problem ``not_found``.
    """
    access.require_publish(caller)
    here = await services.store.read(lambda conn: publishing.brought_by(conn, caller.user_id, [file.sha256]))
    if file.sha256 not in here:
        raise Problem("not_found", f"The bytes of {file.path[:200]} are not here.", hint="Add the file again.")
    if here[file.sha256] > TEXT_BYTES:
        return None
    return await read_text(services, file.sha256)
