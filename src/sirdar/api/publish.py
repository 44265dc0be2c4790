"""Publishing over HTTP: plan, bring the missing bytes, publish; or all at once as a zip. And the way back: export."""

from contextlib import AsyncExitStack
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from sirdar.api import shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.multipart import FormFile
from sirdar.blobs.base import check_sha256, too_large
from sirdar.domain.app import FileEntry
from sirdar.domain.problems import Problem
from sirdar.services import access, publish
from sirdar.services.app_archives import export_archive, import_archive, workplace
from sirdar.services.publish import Publication, Published

router = APIRouter(tags=["applications"])

MAX_SIZE = 2**53
RAW_BODY = {
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
FORM_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            }
        },
    }
}

AppPath = Annotated[str, Path(description="owner/alias, me/alias or an id; with @N one version", max_length=300)]


class File(BaseModel):
    """One of the application's files. The mode's execute bits count, nothing else of it."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(max_length=2000)]
    sha256: Annotated[str, Field(max_length=64)]
    size: Annotated[int, Field(ge=0, le=MAX_SIZE, strict=True)]
    mode: Annotated[int, Field(ge=0, le=0o177777, strict=True)] = 0o644


class Wanted(BaseModel):
    """What is to be published."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[str, Field(description="the text of sirdar.yaml (YAML or JSON)")]
    files: list[File] = []
    note: str | None = None
    secrets: Annotated[
        dict[str, str], Field(description="kept sealed with the application, as PUT .../secrets/NAME would")
    ] = {}

    def publication(self) -> Publication:
        files = tuple(FileEntry(file.path, file.sha256, file.size, file.mode) for file in self.files)
        return Publication(self.description, files, self.note or "", self.secrets)


# ---------------------------------------------------------------- the three steps


@router.post("/api/apps/publish/plan", summary="Check a publication, and learn which bytes are missing")
async def plan(body: Wanted, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """Creates nothing. All errors of the description come at once, each with its line."""
    found = await publish.plan(services, caller, body.publication())
    return {
        "app": found.reference,
        "digest": found.digest,
        "missing": list(found.missing),
        "unchanged": found.unchanged,
        "version": found.version,
    }


@router.put(
    "/api/apps/publish/blobs/{sha256}",
    status_code=204,
    summary="Bring the bytes of a missing file",
    openapi_extra=RAW_BODY,
)
async def put_blob(sha256: str, request: Request, caller: CallerDep, services: ServicesDep) -> Response:
    """The digest is checked; bringing the same bytes again is no error."""
    access.require_publish(caller)
    check_sha256(sha256)
    most = services.settings.publish_bytes
    _check_announced(request, most)
    async with services.blobs.writer(max_bytes=most, expected_sha=sha256) as writer:
        async for chunk in request.stream():
            if chunk:
                await writer.write(chunk)
        blob = await writer.finish()
    await publish.put_blob(services, caller, blob.sha256, blob.size_bytes)
    return Response(status_code=204)


@router.post(
    "/api/apps/publish",
    summary="Make a version",
    responses={200: {"model": shapes.Published}, 201: {"model": shapes.Published, "description": "A new version"}},
)
async def make_version(body: Wanted, response: Response, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """200 where the same bytes were published before: then there is no new version."""
    return _answer(response, await publish.publish(services, caller, body.publication()), services.settings.url)


# ---------------------------------------------------------------- as a zip


@router.post(
    "/api/apps/import",
    summary="Publish a zip: an export of Sirdar's or Everest's, or a zipped folder",
    responses={200: {"model": shapes.Published}, 201: {"model": shapes.Published, "description": "A new version"}},
    openapi_extra=FORM_BODY,
)
async def import_app(request: Request, response: Response, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """`notes` says what could not be taken over as it was."""
    access.require_publish(caller)
    most = services.settings.publish_bytes
    _check_announced(request, most)
    form = FormFile(request)
    with workplace(services) as directory:
        archive, files = FilePath(directory, "archive"), FilePath(directory, "files")
        await _receive(form, archive, most)
        published = await import_archive(services, caller, archive, files)
    return _answer(response, published, services.settings.url)


@router.get(
    "/api/apps/{app:path}/export",
    summary="The application as a zip",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export_app(app: AppPath, caller: CallerDep, services: ServicesDep) -> Response:
    """Everest can read it too; the same version gives the same bytes."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(workplace(services))
        target = FilePath(directory, "app.zip")
        loaded = await export_archive(services, caller, app, target)
        name = f"{loaded.version.alias}-{loaded.version.number}.zip"
        return _Export(target, name, stack.pop_all())


class _Export(FileResponse):
    """A file that goes when it has been sent, or when the client has gone."""

    def __init__(self, path: FilePath, name: str, stack: AsyncExitStack) -> None:
        super().__init__(path, media_type="application/zip", filename=name)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


def _answer(response: Response, published: Published, url: str) -> dict[str, Any]:
    inserted = published.inserted
    response.status_code = 201 if inserted.created else 200
    location = f"/api/apps/{quote(published.reference)}@{inserted.number}"
    response.headers["location"] = location
    return {
        "id": inserted.app.id,
        "owner": inserted.app.owner_name,
        "alias": inserted.app.alias,
        "version": inserted.number,
        "digest": published.digest,
        "codeVersion": published.code_version,
        "created": inserted.created,
        "notes": list(published.notes),
        "url": url + location,
    }


def _check_announced(request: Request, most: int) -> None:
    """Refuse what is too large before it is sent."""
    text = request.headers.get("content-length", "")
    if text.isascii() and text.isdecimal() and int(text[:20]) > most:
        raise too_large(most)


async def _receive(form: FormFile, target: FilePath, most: int) -> None:
    size = 0
    async with await anyio.open_file(target, "wb") as file:
        async for chunk in form.chunks():
            size += len(chunk)
            if size > most:
                raise too_large(most)
            await file.write(chunk)
    if not size:
        raise Problem("invalid_archive", "The file is empty.", expected="a zip archive")
