"""The small files that travel in finals: they reach the blob store before the ends that name them are written."""

import hashlib
from base64 import b64decode
from collections.abc import Mapping

from sirdar.blobs.base import BlobStore
from sirdar.wire.agent import SyncRequest

NONE: Mapping[str, int] = {}


async def bring_small(blobs: BlobStore, request: SyncRequest) -> Mapping[str, int]:
    """Sizes in bytes of the files, by digest, that lie in the blob store now, and have no row yet.

    What was damaged on its way is left out: an end that names it is not DONE. Raises Problem ``disk_full``.
    """
    if not any(final.files for final in request.finals):
        return NONE
    contents: dict[str, bytes] = {}
    for final in request.finals:
        for sha256, text in final.files.items():
            content = _decoded(text)
            if hashlib.sha256(content).hexdigest() == sha256:
                contents[sha256] = content
    await blobs.put_all(contents)
    return {sha256: len(content) for sha256, content in contents.items()}


def _decoded(text: str) -> bytes:
    """The bytes; none where it is no base64."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""
