"""Uploads: small files in one request, large ones in portions that go on where the connection broke."""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sirdar.client.errors import ApiError, ServerUnreachable, SirdarError
from sirdar.client.exchange import FilePart, Flow, Pause
from sirdar.client.flows.basic import document
from sirdar.client.requests import files as requests
from sirdar.client.retry import RetryPolicy

RESUMABLE_FROM_BYTES = 64 * 1024 * 1024
PORTION_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """From which size uploads are resumable, how large a portion is, and how breaks are borne."""

    resumable_from_bytes: int = RESUMABLE_FROM_BYTES
    portion_bytes: int = PORTION_BYTES
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(retries=8))


def upload_path(path: Path, name: str | None, limits: UploadLimits) -> Flow[dict[str, Any]]:
    """Upload a file; ``{uri, filename, length, sha256}``. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        uploaded = yield from upload_file(file, name or path.name, limits)
        if uploaded.get("length", size_of(file)) != size_of(file):
            raise SirdarError(f"{path} changed while it was uploaded", "upload it again when it is no longer written")
        return uploaded


def upload_file(file: BinaryIO, name: str, limits: UploadLimits) -> Flow[dict[str, Any]]:
    """Upload an open binary file from its beginning; one that cannot seek from where it stands, without retries."""
    size = size_of(file)
    if size is None:
        return (yield from document(requests.put_temp(name, FilePart(file))))
    if size < limits.resumable_from_bytes:
        return (yield from document(requests.put_temp(name, FilePart(file, 0, size))))
    return (yield from _upload_in_portions(file, name, size, limits))


def size_of(file: BinaryIO) -> int | None:
    """Bytes in an open file, or None where it cannot seek."""
    try:
        return file.seek(0, os.SEEK_END)
    except (OSError, io.UnsupportedOperation, AttributeError):
        return None


def _upload_in_portions(file: BinaryIO, name: str, size: int, limits: UploadLimits) -> Flow[dict[str, Any]]:
    upload = str((yield from document(requests.start_upload(name, size)))["id"])
    offset = 0
    while offset < size:
        portion = min(limits.portion_bytes, size - offset)
        offset = yield from _send_portion(upload, FilePart(file, offset, portion), limits.policy)
    return (yield from document(requests.complete_upload(upload)))


def _send_portion(upload: str, part: FilePart, policy: RetryPolicy) -> Flow[int]:
    """Send one portion; where the server stands after it. After a break the server is asked, never guessed."""
    for failures in range(1, policy.retries + 2):
        try:
            reply = yield from document(requests.continue_upload(upload, part, part.offset or 0))
            return int(reply["offset"])
        except ServerUnreachable:
            if failures > policy.retries:
                raise
            yield Pause(policy.pause_s(failures))
        except ApiError as error:
            if error.code != "offset_mismatch" or failures > policy.retries:
                raise
        state = yield from document(requests.upload_state(upload))
        if int(state["offset"]) != part.offset:
            return int(state["offset"])
    raise AssertionError("the last try returns or raises")
