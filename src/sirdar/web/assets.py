"""Style sheet and mark, from the package's own data: addressed by their content, so browsers keep them for a year."""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from sirdar.domain.problems import Problem

router = APIRouter(include_in_schema=False)
TYPES = {"sirdar.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}


@cache
def content(name: str) -> bytes:
    return (files("sirdar.web") / "static" / name).read_bytes()


@cache
def address(name: str) -> str:
    """``/assets/sirdar.0123456789ab.css``: another content is another address."""
    stem, _, suffix = name.rpartition(".")
    return f"/assets/{stem}.{hashlib.sha256(content(name)).hexdigest()[:12]}.{suffix}"


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    for known, kind in TYPES.items():
        if address(known) == f"/assets/{name}":
            headers = {"cache-control": "public, max-age=31536000, immutable"}
            return Response(content(known), media_type=kind, headers=headers)
    raise Problem("not_found", "There is no such asset.")
