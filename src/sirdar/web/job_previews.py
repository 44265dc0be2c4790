"""``/jobs/{id}/preview/{path}``: a page, or the part of one, that shows what is in an input or output of a job."""

from typing import IO, Annotated, Any, cast
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.app import FileRef
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import files
from sirdar.services.blob_ranges import BlobFile
from sirdar.services.context import Services
from sirdar.services.job_files import InlineFile
from sirdar.services.jobs import show_job
from sirdar.web import previews
from sirdar.web.job_words import SMALL_BYTES
from sirdar.web.pages import Page, PageRoute, open_page, show, show_part
from sirdar.web.previews import Kind
from sirdar.wire.archives import Limits, Member, list_archive, list_zip

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Text = Annotated[str, Query(max_length=200)]
TAR_BYTES_MAX = (
    64 * 2**20
)  # a packed tar must be unpacked to be listed; of a zip of any size its directory alone is read
ZIPS = (".zip", ".jar", ".whl")
DRAWING_BYTES_MAX = 5 * 10**6
ZIP_LIMITS = Limits(members=20_000, total_bytes=4 * 2**30)
TAR_LIMITS = Limits(members=20_000, total_bytes=256 * 2**20)
_ONE_AT_A_TIME: list[
    anyio.CapacityLimiter
] = []  # so that listings leave the store's threads to those who read and upload
# A drawing may carry scripts: as a picture none of them runs, and opened by itself it is a page of nobody's.
DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


@router.get("/jobs/{job_id}/preview/{path:path}")
async def preview(job_id: str, path: str, page: PageDep, share: Text = "") -> Response:
    """For whoever may see the job; only the part of the page where it is loaded into another."""
    caller, link = _viewer(page, share), share or None
    shown = await show_job(page.services, caller, job_id, link=link)
    found = await files.find_job_file(page.services, caller, shown.job.id, path, link=link)
    suffix = f"?share={quote(share, safe='')}" if share else ""
    place = f"{shown.job.id}/{{}}/{quote(path, safe='/')}{suffix}"
    values = {
        "job": shown.job,
        "share": share,
        "job_address": f"/jobs/{shown.job.id}{suffix}",
        "name": found.name,
        "size_bytes": _size(found),
        "small": _size(found) <= SMALL_BYTES,
        "uri": f"/api/files/jobs/{shown.job.id}/{quote(path, safe='/')}{suffix}",
        "drawing": "/jobs/" + place.format("drawing"),
        "address": "/jobs/" + place.format("preview"),
        **await _content(page.services, found),
    }
    if page.request.headers.get("hx-request"):
        return show_part(page, "preview.html", "content", part=True, **values)
    return show(page, "preview.html", part=False, **values)


@router.get("/jobs/{job_id}/drawing/{path:path}")
async def drawing(job_id: str, path: str, page: PageDep, share: Text = "") -> Response:
    """An SVG, so that a page can show it as a picture."""
    caller, link = _viewer(page, share), share or None
    found = await files.find_job_file(page.services, caller, job_id, path, link=link)
    if previews.kind_of(found.name) is not Kind.DRAWING or _size(found) > DRAWING_BYTES_MAX:
        raise Problem("not_found", f"{found.name[:80]} is not shown as a drawing.")
    headers = {"content-security-policy": DRAWING_POLICY, "cache-control": "private, no-cache"}
    content = await _head(page.services, found, DRAWING_BYTES_MAX)
    return Response(content, headers=headers, media_type="image/svg+xml")


def _viewer(page: Page, share: str) -> Caller | None:
    return page.caller if share else page.user


def _size(found: FileRef | InlineFile) -> int:
    return found.size_bytes if isinstance(found, FileRef) else len(found.content)


async def _head(services: Services, found: FileRef | InlineFile, most: int) -> bytes:
    if isinstance(found, InlineFile):
        return found.content[:most]
    pieces = [piece async for piece in services.blobs.read(found.sha256, 0, min(most, found.size_bytes))]
    return b"".join(pieces)


async def _content(services: Services, found: FileRef | InlineFile) -> dict[str, Any]:
    """``kind`` and what belongs to it."""
    if previews.kind_of(found.name) is Kind.ARCHIVE and isinstance(found, FileRef):
        return await _archive(services, found)
    most = previews.JSON_BYTES if found.name.lower().endswith(previews.JSONS) else previews.HEAD_BYTES
    quick = previews.kind_of(found.name) in {Kind.PICTURE, Kind.DRAWING}
    content = b"" if quick else await _head(services, found, most)
    return await services.blobs.in_thread(_read, found.name, content, not quick and _size(found) > most)


def _read(name: str, content: bytes, more: bool) -> dict[str, Any]:
    kind = previews.kind_of(name, content)
    if kind is Kind.TABLE and (table := previews.table_of(content, name, more=more)) is not None:
        return {"kind": kind, "table": table}
    if kind is Kind.JSON and not more and (tree := previews.tree_of(content)) is not None:
        return {"kind": kind, "tree": tree}
    if kind is Kind.MARKDOWN:
        return {"kind": kind, "text": previews.plain(previews.decoded(content)), "cut": more}
    if kind in {Kind.PICTURE, Kind.DRAWING, Kind.NOTHING}:
        return {"kind": kind}
    return {"kind": Kind.TEXT, "text": previews.text_of(content, more=more)}


def _limiter() -> anyio.CapacityLimiter:
    if not _ONE_AT_A_TIME:
        _ONE_AT_A_TIME.append(anyio.CapacityLimiter(1))
    return _ONE_AT_A_TIME[0]


async def _of_zip(services: Services, found: FileRef) -> list[Member]:
    file = cast(IO[bytes], BlobFile(services.blobs, found.sha256, found.size_bytes))
    return await anyio.to_thread.run_sync(list_zip, file, found.name, found.size_bytes, ZIP_LIMITS, limiter=_limiter())


async def _of_tar(services: Services, found: FileRef) -> list[Member]:
    async with services.blobs.file(found.sha256) as path:
        return await anyio.to_thread.run_sync(list_archive, path, TAR_LIMITS, limiter=_limiter())


async def _archive(services: Services, found: FileRef) -> dict[str, Any]:
    is_zip = found.name.lower().endswith(ZIPS)
    if not is_zip and found.size_bytes > TAR_BYTES_MAX:
        return {"kind": Kind.NOTHING}
    try:
        members = await (_of_zip if is_zip else _of_tar)(services, found)
    except Problem as problem:
        if problem.code != "invalid_archive":
            raise
        return {"kind": Kind.ARCHIVE, "members": [], "count": 0, "total_bytes": 0, "fault": problem.detail}
    files_ = [member for member in members if not member.is_dir]
    return {
        "kind": Kind.ARCHIVE,
        "members": [(previews.plain(member.name), member) for member in members[: previews.NAMES_SHOWN]],
        "count": len(members),
        "total_bytes": sum(member.size_bytes for member in files_),
        "fault": None,
    }
