"""Files over REST: temporary uploads (a form, raw, or in pieces), downloads with ranges, files of jobs, archives' contents.

Bodies stream through in constant memory, so the handlers take them from the request themselves.
"""

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from sirdar.api.blob_response import blob_response, inline_response
from sirdar.api.deps import CallerDep, ServicesDep, bearer
from sirdar.api.job_table import write_csv
from sirdar.api.multipart import FormFile
from sirdar.blobs.base import check_sha256
from sirdar.domain.app import FileRef
from sirdar.domain.people import Caller
from sirdar.domain.plan_app import MADE, TABLE
from sirdar.domain.problems import Problem
from sirdar.services import files, plan_results, task_table
from sirdar.services.apps import load_version
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.services.plans import is_planned
from sirdar.store.task_table import TaskFilter
from sirdar.wire.archives import list_archive

router = APIRouter(tags=["files"])


async def caller_or_link(request: Request, services: ServicesDep, share: str | None = None) -> Caller | None:
    """The caller; None where the request carries the token of a shared link instead of one."""
    token = bearer(request)
    if token:
        return await services.auth.caller(token)
    if not share:
        raise Problem("unauthenticated", "This address needs a token.", hint="Send 'Authorization: Bearer TOKEN'.")
    return None


LinkCallerDep = Annotated[Caller | None, Depends(caller_or_link)]
ListQuery = Annotated[bool, Query(alias="list", description="the contents of an archive, as JSON")]

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, or the listing", "content": {"*/*": {"schema": {}}}},
    206: {"description": "A range of them", "content": {"*/*": {"schema": {}}}},
    304: {"description": "Not changed"},
}
_RAW_BODY = {
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
_FORM_BODY = {
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


class Uploaded(BaseModel):
    """A file that is on the server now."""

    uri: str
    filename: str
    length: int
    sha256: str


class NewUpload(BaseModel):
    """What an upload in pieces will be; the digest, where it is given, is checked at the end."""

    filename: str
    length: Annotated[int, Field(ge=0, le=2**53)]
    sha256: str | None = None


class UploadState(BaseModel):
    """How far an upload in pieces is."""

    id: str
    offset: int
    length: int
    filename: str
    uri: str = Field(description="where its pieces go: PATCH ?offset=N")


class ArchiveMember(BaseModel):
    name: str
    size: int
    isDir: bool


# ---------------------------------------------------------------- temporary files


@router.post("/api/files/temp", summary="Upload a file as a form", openapi_extra=_FORM_BODY)
async def upload_form(request: Request, services: ServicesDep, caller: CallerDep) -> Uploaded:
    form = FormFile(request)
    file = await files.upload(services, caller, lambda: form.filename, form.chunks())
    return Uploaded.model_validate(files.to_json(file))


@router.put("/api/files/temp/{filename:path}", summary="Upload a file's bytes", openapi_extra=_RAW_BODY)
async def upload_raw(
    filename: str,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    sha256: Annotated[str | None, Query(description="refuse bytes that have another digest")] = None,
) -> Uploaded:
    _check_encoding(request)
    if sha256 is not None:
        check_sha256(sha256)
    announced = announced_length(request)
    file = await files.upload(services, caller, filename, request.stream(), announced=announced, sha256=sha256)
    return Uploaded.model_validate(files.to_json(file))


@router.get(
    "/api/files/temp/{file_id}/{name:path}",
    summary="Download a temporary file (ranges, ETag), or list the archive that it is",
    response_class=Response,
    responses=_BYTES,
)
@router.head("/api/files/temp/{file_id}/{name:path}", include_in_schema=False)
async def download(
    request: Request, services: ServicesDep, caller: CallerDep, *, file_id: str, name: str, listing: ListQuery = False
) -> Response:
    file = await files.find_file(services, caller, file_id, name)
    ref = FileRef(file.name, file.sha256, file.size_bytes)
    return await _listing(services, ref) if listing else blob_response(request, services.blobs, ref)


@router.delete("/api/files/temp/{file_id}/{name:path}", summary="Remove a temporary file")
async def delete(file_id: str, name: str, services: ServicesDep, caller: CallerDep) -> dict[str, bool]:
    """Everest's clients take 200 alone for a success."""
    await files.delete_file(services, caller, file_id, name)
    return {"deleted": True}


# ---------------------------------------------------------------- uploads in pieces


@router.post("/api/files/uploads", status_code=201, summary="Begin an upload in pieces")
async def begin_upload(new: NewUpload, response: Response, services: ServicesDep, caller: CallerDep) -> UploadState:
    upload = await files.begin_upload(services, caller, new.filename, new.length, new.sha256)
    state = _state(files.Progress(upload, 0))
    response.headers["location"] = state.uri
    return state


@router.get("/api/files/uploads/{upload_id}", summary="How far an upload is")
async def upload_state(upload_id: str, services: ServicesDep, caller: CallerDep) -> UploadState:
    return _state(await files.find_upload(services, caller, upload_id))


@router.patch("/api/files/uploads/{upload_id}", summary="Append to an upload", openapi_extra=_RAW_BODY)
async def continue_upload(
    upload_id: str,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    offset: Annotated[int, Query(ge=0, le=2**53, description="where these bytes belong: what has arrived so far")],
) -> dict[str, int]:
    return {"offset": await files.continue_upload(services, caller, upload_id, offset, request.stream())}


@router.post("/api/files/uploads/{upload_id}/complete", summary="Make a complete upload a temporary file")
async def complete_upload(upload_id: str, services: ServicesDep, caller: CallerDep) -> Uploaded:
    return Uploaded.model_validate(files.to_json(await files.complete_upload(services, caller, upload_id)))


@router.delete("/api/files/uploads/{upload_id}", status_code=204, summary="Give an upload up")
async def remove_upload(upload_id: str, services: ServicesDep, caller: CallerDep) -> None:
    await files.remove_upload(services, caller, upload_id)


def _state(progress: files.Progress) -> UploadState:
    upload = progress.upload
    return UploadState(
        id=upload.id,
        offset=progress.offset,
        length=upload.length,
        filename=upload.name,
        uri=f"/api/files/uploads/{upload.id}",
    )


# ---------------------------------------------------------------- files of jobs


@router.get(
    "/api/files/jobs/{job_id}/{path:path}",
    summary="Download a file of a job, or list the archive that it is",
    response_class=Response,
    responses=_BYTES,
)
@router.head("/api/files/jobs/{job_id}/{path:path}", include_in_schema=False)
async def download_of_job(
    request: Request,
    services: ServicesDep,
    caller: LinkCallerDep,
    *,
    job_id: str,
    path: str,
    listing: ListQuery = False,
    share: str | None = None,
) -> Response:
    if path in MADE and (made := await _made(services, caller, job_id, path, share)) is not None:
        return made
    found = await files.find_job_file(services, caller, job_id, path, link=share)
    if not isinstance(found, FileRef):
        return inline_response(request, found.name, found.content)
    return await _listing(services, found) if listing else blob_response(request, services.blobs, found)


async def _made(services: Services, caller: Caller | None, job_id: str, path: str, link: str | None) -> Response | None:
    """The results or the table of a job that a plan describes; None for any other job."""
    job = await services.store.read(lambda conn: find_seen(conn, caller, job_id, link=link))
    loaded = await load_version(services, job.version_id)
    if not is_planned(loaded):
        return None
    headers = {"content-disposition": f'attachment; filename="{path}"', "cache-control": "no-store"}
    if path == TABLE:
        found = await task_table.table(services, caller, job_id, TaskFilter(), link=link)
        return StreamingResponse(write_csv(found), headers=headers, media_type="text/csv; charset=utf-8")
    pieces = plan_results.results_zip(services, job, loaded)
    return StreamingResponse(pieces, headers=headers, media_type="application/zip")


async def _listing(services: Services, ref: FileRef) -> Response:
    async with services.blobs.file(ref.sha256) as path:
        members = await services.blobs.in_thread(list_archive, path)
    body = [ArchiveMember(name=m.name, size=m.size_bytes, isDir=m.is_dir).model_dump() for m in members]
    return JSONResponse(body)


# ---------------------------------------------------------------- requests


def announced_length(request: Request) -> int | None:
    """What the header Content-Length says."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _check_encoding(request: Request) -> None:
    """A name whose bytes are no UTF-8 would be kept changed: refuse it."""
    raw: Any = request.scope.get("raw_path") or b""
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Problem(
            "invalid_field", "The file name in the address is no UTF-8.", field="filename", expected="UTF-8, %-encoded"
        ) from None
