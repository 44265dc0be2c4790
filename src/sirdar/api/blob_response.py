"""Sending a stored file: ranges, validators, a safe type and name, large pieces, constant memory."""

import asyncio
import contextlib
import mimetypes
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sirdar.api.ranges import Span, is_unchanged, span_of
from sirdar.blobs.base import BlobStore
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.app import FileRef
from sirdar.domain.problems import Problem
from sirdar.services import meters

PIECE_BYTES = 1 << 20
OCTETS = "application/octet-stream"

# Shown by a browser as they are. Whatever could carry a script is shown as text, the rest is downloaded.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "audio/", "video/", "application/pdf")
_TEXT = ("text/", "application/json", "application/xml", "application/xhtml+xml", "image/svg+xml", "application/yaml")
_KEPT_TEXT = frozenset({"text/plain", "text/csv", "text/tab-separated-values", "application/json"})

# A stored file is never a page of this site: even where a browser shows it, nothing in it runs or loads.
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'"


def blob_response(request: Request, blobs: BlobStore, ref: FileRef) -> Response:
    """A reply with the blob (or a part of it, or 304). Raises Problem ``range_not_satisfiable``, ``not_found``.

    ``?download=1`` makes a browser save it.
    """
    etag = f'"{ref.sha256}"'
    if is_unchanged(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={"etag": etag, "cache-control": "private, no-cache"})
    file = blobs.open(ref.sha256) if isinstance(blobs, LocalBlobs) else None
    size = os.fstat(file.fileno()).st_size if file is not None else ref.size_bytes
    span = span_of(size, etag, request.headers.get("range"), request.headers.get("if-range"))
    if span is None:
        if file is not None:
            file.close()
        raise Problem(
            "range_not_satisfiable",
            f"The range {request.headers.get('range', '')[:80]!r} lies outside the file.",
            field="range",
            expected=f"bytes of 0 to {size - 1}" if size else "no range: the file is empty",
        )
    headers = {
        "etag": etag,
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-length": str(span.length),
        **describe(ref.name, download=request.query_params.get("download") == "1"),
    }
    if span.partial:
        headers["content-range"] = span.content_range
    if file is not None:
        return FileResponse(file, span, headers, blobs.in_thread)
    return PiecesResponse(blobs.read(ref.sha256, span.start, span.stop), span, headers)


def inline_response(request: Request, name: str, content: bytes) -> Response:
    """A short file that is in memory, with the same headers (without ranges)."""
    download = request.query_params.get("download") == "1"
    return Response(content, headers={"cache-control": "private, no-cache", **describe(name, download=download)})


def describe(name: str, *, download: bool = False) -> dict[str, str]:
    """Content type and disposition of a file by its name, so that no file becomes a page that could act for its reader."""
    media_type = media_type_of(name)
    shown = not download and media_type != OCTETS
    return {
        "content-type": media_type,
        "content-disposition": f"{'inline' if shown else 'attachment'}; {_filename(name)}",
        # Browsers show no PDF inside a sandbox; their viewers are one of their own.
        "content-security-policy": _SANDBOX if media_type == "application/pdf" else f"{_SANDBOX}; sandbox",
    }


def media_type_of(name: str) -> str:
    guessed, encoding = mimetypes.guess_type(name)
    if guessed is None or encoding is not None:  # plot.svg.gz is a gzip file, not a plot
        return "text/plain; charset=utf-8" if name in {"stdout", "stderr"} else OCTETS
    if guessed in _KEPT_TEXT:
        return f"{guessed}; charset=utf-8"
    if guessed.startswith(_TEXT):
        return "text/plain; charset=utf-8"
    return guessed if guessed.startswith(_SHOWN) else OCTETS


def _filename(name: str) -> str:
    """Both spellings of RFC 6266: ASCII for old clients, UTF-8 percent-encoded for the exact name."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'filename="{plain}"{exact}'


class PiecesResponse(Response):
    """Passes on what a blob store gives. It begins with the first piece: an error before that is still told as one."""

    def __init__(self, pieces: AsyncIterator[bytes], span: Span, headers: dict[str, str]) -> None:
        self.status_code = 206 if span.partial else 200
        self.background = None
        self.body = b""
        self.init_headers(headers)
        self._pieces = pieces
        self._length = span.length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = self._length if scope["method"] != "HEAD" else 0
        piece = await anext(self._pieces, b"") if left else b""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if not left:
            await send({"type": "http.response.body", "body": b""})
        cut = asyncio.ensure_future(_disconnected(receive))
        try:
            while left and not cut.done():
                left -= len(piece)
                if not piece or left < 0:
                    raise OSError("the blob has another length than it should have")
                await send({"type": "http.response.body", "body": piece, "more_body": bool(left)})
                piece = await anext(self._pieces, b"") if left else b""
        finally:
            cut.cancel()


class FileResponse(Response):
    """Reads in a thread, a piece ahead of what is being sent; stops where the client hangs up."""

    def __init__(
        self, file: BinaryIO, span: Span, headers: dict[str, str], in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self.status_code = 206 if span.partial else 200
        self.background = None
        self.body = b""
        self.init_headers(headers)
        self._file = file
        self._span = span
        self._in_thread = in_thread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD" or not self._span.length:
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._send_pieces(scope["path"], receive, send)
        finally:
            self._file.close()

    async def _send_pieces(self, path: str, receive: Receive, send: Send) -> None:
        cut = asyncio.ensure_future(_disconnected(receive))
        at, stop = self._span.start, self._span.stop
        reading = self._read(at, stop)
        try:
            while at < stop and not cut.done():
                piece: bytes = await reading
                at += len(piece)
                if not piece:
                    raise OSError("the blob became shorter while it was sent")
                if at < stop:
                    reading = self._read(at, stop)
                await send({"type": "http.response.body", "body": piece, "more_body": at < stop})
                meters.transferred(path, len(piece), inward=False)
        finally:
            cut.cancel()
            with contextlib.suppress(BaseException):
                await reading  # the file may be closed only when no thread reads it

    def _read(self, at: int, stop: int) -> "asyncio.Future[bytes]":
        size = min(PIECE_BYTES, stop - at)
        return asyncio.ensure_future(self._in_thread(_read_at, self._file, at, size))


def _read_at(file: BinaryIO, at: int, size: int) -> bytes:
    """One request reads in order and by one thread at a time, so the file's own position serves, on Windows too."""
    if file.tell() != at:
        file.seek(at)
    return file.read(size)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
