"""Style sheets, scripts and the mark, from the package's own data: addressed by their content, so browsers keep them for a year."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from sirdar.domain.problems import Problem

router = APIRouter(include_in_schema=False)
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
LITTLE_BYTES = 500  # below this a compressed copy saves nothing


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served. ``address``: its path on the server; another content is another address."""

    address: str
    kind: str
    content: bytes
    compressed: bytes | None


@cache
def all_assets() -> dict[str, Asset]:
    """By name, such as ``app.js``. Read once: a build that comes later needs a new process."""
    static = files("sirdar.web") / "static"
    built = static / "built"
    places = [*static.iterdir(), *(built.iterdir() if built.is_dir() else ())]
    found = [_read(place) for place in places if place.name.rpartition(".")[2] in TYPES]
    return dict(found)


def _read(place: Traversable) -> tuple[str, Asset]:
    content = place.read_bytes()
    stem, _, suffix = place.name.rpartition(".")
    address = f"/assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
    compressed = gzip.compress(content, 9, mtime=0) if len(content) > LITTLE_BYTES else None
    return place.name, Asset(address, TYPES[suffix], content, compressed)


def address(name: str) -> str:
    """``/assets/app.0123456789ab.js``. Raises KeyError where there is none: the scripts were not built (``make assets``)."""
    return all_assets()[name].address


@cache
def _by_address() -> dict[str, Asset]:
    return {asset.address: asset for asset in all_assets().values()}


@router.get("/assets/{name}")
async def asset(name: str, request: Request) -> Response:
    found = _by_address().get(f"/assets/{name}")
    if found is None:
        raise Problem("not_found", "There is no such asset.")
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if found.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.compressed, media_type=found.kind, headers={**headers, "content-encoding": "gzip"})
    return Response(found.content, media_type=found.kind, headers=headers)
