"""Blobs over the agent's protocol: what tasks need, and what they made. Content is addressed by its digest, so every call may
be repeated; a download continues by ``Range``.
"""

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from sirdar.api.agent_auth import resource_of
from sirdar.api.blob_response import blob_response
from sirdar.api.deps import ServicesDep
from sirdar.api.files import announced_length
from sirdar.blobs.base import check_sha256
from sirdar.domain.app import FileRef
from sirdar.domain.problems import Problem
from sirdar.services import agent_files
from sirdar.store.resources import ResourceRow
from sirdar.wire.agent import RegisterReply, RegisterRequest, SmallReply, SmallRequest, UploadRequest

router = APIRouter(
    prefix="/agent/v1/blobs", tags=["agent"], include_in_schema=False, dependencies=[Depends(resource_of)]
)


ResourceDep = Annotated[ResourceRow, Depends(resource_of)]


class LocalBlob(BaseModel):
    """``POST /agent/v1/blobs/{sha256}/local``: the agent has put the blob into the shared directory itself."""

    size: int = Field(ge=0)


@router.get("/{sha256}")
@router.head("/{sha256}")
async def get_blob(sha256: str, request: Request, services: ServicesDep) -> Response:
    """The bytes. HEAD also makes the blob young: an agent that sees it here need not send it."""
    check_sha256(sha256)
    size = await agent_files.find(services, sha256, renew=request.method == "HEAD")
    if size is None:
        raise Problem("not_found", f"There is no blob {sha256}.")
    return blob_response(request, services.blobs, FileRef(sha256, sha256, size))


@router.post("/small")
async def small_blobs(body: SmallRequest, services: ServicesDep) -> Response:
    digests = [check_sha256(sha256) for sha256 in body.digests]
    found = await agent_files.read_small(services, digests)
    files = {sha256: b64encode(content).decode() for sha256, content in found.items()}
    return Response(SmallReply(files=files).model_dump_json(), media_type="application/json")


@router.get("/{sha256}/address")
async def blob_address(sha256: str, services: ServicesDep) -> dict[str, str | None]:
    """Where the agent may fetch the blob without us: a signed address; null where it comes from here."""
    return {"url": await services.blobs.address(check_sha256(sha256))}


@router.put("/{sha256}", status_code=204)
async def put_blob(sha256: str, request: Request, services: ServicesDep) -> None:
    check_sha256(sha256)
    await agent_files.put(services, sha256, request.stream(), announced=announced_length(request))


@router.post("/{sha256}/upload")
async def begin_upload(
    sha256: str, body: UploadRequest, resource: ResourceDep, services: ServicesDep
) -> dict[str, Any]:
    """How far the upload of a large blob is, and how it goes on."""
    upload = agent_files.AgentUpload(resource.id, check_sha256(sha256), body.size)
    return (await agent_files.begin_upload(services, upload, direct=body.direct)).model_dump()


@router.patch("/{sha256}/upload", status_code=204)
async def continue_upload(
    sha256: str,
    request: Request,
    resource: ResourceDep,
    services: ServicesDep,
    offset: Annotated[int, Query(ge=0, le=2**53)],
    size: Annotated[int, Query(ge=0, le=2**53)],
) -> None:
    upload = agent_files.AgentUpload(resource.id, check_sha256(sha256), size)
    await agent_files.continue_upload(services, upload, offset, request.stream())


@router.post("/{sha256}/complete", status_code=204)
async def complete_upload(sha256: str, body: UploadRequest, resource: ResourceDep, services: ServicesDep) -> None:
    await agent_files.complete_upload(services, agent_files.AgentUpload(resource.id, check_sha256(sha256), body.size))


@router.post("/{sha256}/spoiled", status_code=204)
async def doubt_blob(sha256: str, services: ServicesDep) -> None:
    """A program wrote into a file that it shared with the blob: the server looks for itself."""
    check_sha256(sha256)
    await agent_files.doubt(services, sha256)


@router.post("/local")
async def adopt_blobs(body: RegisterRequest, services: ServicesDep) -> RegisterReply:
    return RegisterReply(here=await agent_files.adopt_all(services, body.blobs))


@router.post("/{sha256}/local", status_code=204)
async def adopt_blob(sha256: str, body: LocalBlob, services: ServicesDep) -> None:
    check_sha256(sha256)
    await agent_files.adopt(services, sha256, body.size)
