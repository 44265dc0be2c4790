"""Publishing: ask what is missing, send that, make the version."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from sirdar.client.errors import FolderError
from sirdar.client.exchange import FilePart, Flow, Reply
from sirdar.client.flows.basic import document, read
from sirdar.client.folder import FolderFile
from sirdar.client.requests import apps as requests
from sirdar.client.views import Published, published_of

Told = Callable[[int, int], None]  # bytes sent so far, bytes to send


def publish(
    description: str, files: Sequence[FolderFile], note: str | None = None, told: Told | None = None
) -> Flow[Published]:
    """Publish a description (its text) and files. ``told`` hears how far the upload is."""
    entries = [file.to_json() for file in files]
    plan = yield from document(requests.plan(description, entries, note))
    by_digest = {file.sha256: file for file in files}
    missing = [by_digest[digest] for digest in dict.fromkeys(plan.get("missing") or ()) if digest in by_digest]
    total = sum(file.size_bytes for file in missing)
    sent = 0
    for file in missing:
        yield from _send(file)
        sent += file.size_bytes
        if told is not None:
            told(sent, total)
    reply: Reply = yield requests.publish(description, entries, note)
    return read(reply, lambda reply: published_of(reply.document(), reply.status))


def _send(file: FolderFile) -> Flow[None]:
    try:
        with file.source.open("rb") as content:
            yield requests.put_blob(file.sha256, FilePart(content, 0, file.size_bytes))
    except OSError as error:
        raise FolderError(f"{file.path} cannot be read: {error.strerror}") from error


def import_archive(path: Path) -> Flow[Published]:
    """Publish what another server (Sirdar's or Everest's) exported."""
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="app.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    ).encode()
    with tempfile.SpooledTemporaryFile(16 * 1024 * 1024) as form:
        form.write(head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode())
        part = FilePart(cast("BinaryIO", form), 0, form.tell())
        reply: Reply = yield requests.import_archive(part, f"multipart/form-data; boundary={boundary}")
        return read(reply, lambda reply: published_of(reply.document(), reply.status))
