"""Many small files in one call, for programs that send and fetch hundreds of them: texts as they are, other bytes in base64."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.files import Uploaded
from sirdar.services import file_batches
from sirdar.services.file_batches import Contents
from sirdar.services.inline_files import read_inline

router = APIRouter(tags=["files"])


class BatchFile(BaseModel):
    """A file: its bytes as ``text`` (UTF-8) or ``base64``; or only their digest, where the server may have them from you."""

    filename: str
    text: str | None = None
    base64: str | None = None
    sha256: str | None = None


class Batch(BaseModel):
    files: list[BatchFile]


class Taken(BaseModel):
    """``files``: in the order of the call, null for those whose bytes are ``missing``: send these again, with them."""

    files: list[Uploaded | None]
    missing: list[str] = Field(description="digests")


class Wanted(BaseModel):
    uris: Annotated[list[str], Field(description="addresses of files on this server")]


class Got(BaseModel):
    """A file's bytes as ``text`` or ``base64``; or a ``problem``; or neither, where the answer was full: ask for it again."""

    uri: str
    text: str | None = None
    base64: str | None = None
    problem: dict[str, Any] | None = None


class GotFiles(BaseModel):
    files: list[Got]


@router.post("/api/files/batch", summary="Upload many small files at once, or what the server does not have of them")
async def bring(batch: Batch, services: ServicesDep, caller: CallerDep) -> Taken:
    brought = [
        read_inline(file.model_dump(exclude_none=True), f"files[{number}]") for number, file in enumerate(batch.files)
    ]
    found = await file_batches.bring(services, caller, brought)
    missing = dict.fromkeys(one.sha256 for one, file in zip(brought, found, strict=True) if file is None)
    taken = [None if file is None else Uploaded.model_validate(file_batches.to_json(file)) for file in found]
    return Taken(files=taken, missing=list(missing))


@router.post(
    "/api/files/contents",
    summary="Read many small files at once",
    responses={200: {"model": GotFiles}},
    response_class=Response,
)
async def contents(wanted: Wanted, services: ServicesDep, caller: CallerDep) -> Response:
    """The files in the order of the call, 8 MiB of them at most."""
    found = await file_batches.read(services, caller, wanted.uris)
    return Response(to_json({"files": [_got(one) for one in found]}), media_type="application/json")


def _got(one: Contents) -> dict[str, Any]:
    if one.problem is not None:
        return {"uri": one.uri, "problem": one.problem.to_json()}
    return {"uri": one.uri, **(bytes_of(one.content) if one.content is not None else {})}


def bytes_of(content: bytes) -> dict[str, str]:
    """As JSON has them."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
