"""Fetching a file by its address: streamed, capped in size and time, each redirect checked, tried again when it may help."""

import hashlib
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import anyio
import anyio.to_thread
import httpx

from sirdar.domain.problems import Problem
from sirdar.services.outbound.addresses import AddressPolicy, parse_url
from sirdar.services.outbound.names import name_of
from sirdar.services.outbound.retry import ATTEMPTS, Transient, raise_if_transient, with_retries
from sirdar.services.outbound.transport import http_client

MAX_REDIRECTS = 5
IDLE_TIMEOUT_S = 30.0
CHUNK_BYTES = 256 * 1024
SECRET_HEADERS = frozenset({"authorization", "private-token", "job-token", "cookie"})


class Sink(Protocol):
    """Where fetched bytes go."""

    async def write(self, chunk: bytes) -> None:
        """Takes the next bytes; an exception ends the fetch and reaches the caller as it is."""

    async def restart(self) -> None:
        """Forgets all that was written: the other server broke off, and the file comes again from its beginning."""


class FileSink:
    """A sink that writes a local file. Use it as a context manager; the file is there after it, whole or not."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")

    async def write(self, chunk: bytes) -> None:
        await anyio.to_thread.run_sync(self._file.write, chunk)

    async def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def __enter__(self) -> "FileSink":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched: a safe file name, size and digest of the bytes that went to the sink, and the final address."""

    name: str
    size_bytes: int
    sha256: str
    content_type: str | None
    url: str


async def fetch(
    url: str,
    *,
    policy: AddressPolicy,
    max_bytes: int,
    timeout_s: float,
    sink: Sink,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    attempts: int = ATTEMPTS,
) -> Fetched:
    """Fetches a file into the sink.

    ``timeout_s`` bounds the whole, retries among it. ``headers`` that hold secrets go to the first origin only.
    Problem: ``address_not_allowed``, ``too_large``, ``fetch_failed``.
    """
    start = parse_url(url)

    async def attempt() -> Fetched:
        return await _fetch_once(client, start, headers or {}, max_bytes, sink)

    try:
        with anyio.fail_after(timeout_s):
            async with http_client(policy, timeout_s=min(timeout_s, IDLE_TIMEOUT_S), tls=tls) as client:
                return await with_retries(attempt, attempts=attempts)
    except TimeoutError as error:
        raise Problem(
            "fetch_failed",
            f"{start.host} did not deliver the file within {timeout_s:g} s.",
            hint="Upload the file instead, or try again later.",
        ) from error


@asynccontextmanager
async def open_get(
    client: httpx.AsyncClient, url: str | httpx.URL, *, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.Response]:
    """The answer to a GET after at most five redirects, its body not read yet. The client's policy checks each address.

    Problem for a forbidden address or endless redirects; Transient where the connection fails, here or while the body
    of the ``async with`` reads it.
    """
    current, sent = parse_url(url), dict(headers or {})
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = await client.send(client.build_request("GET", current, headers=sent), stream=True)
            try:
                onward = _redirect(response)
                if onward is None:
                    yield response
                    return
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise Transient(f"The connection to {current.host} failed: {_reason(error)}.") from error
        if _origin(onward) != _origin(current):
            sent = {name: value for name, value in sent.items() if name.lower() not in SECRET_HEADERS}
        current = onward
    raise Problem("fetch_failed", f"{current.host} redirects more than {MAX_REDIRECTS} times.")


async def read_body(response: httpx.Response, *, max_bytes: int, keep_gzip: bool = False) -> AsyncIterator[bytes]:
    """The body in chunks, decoded if it came as gzip, never more than ``max_bytes`` of it: Problem ``too_large``.

    ``keep_gzip``: the file itself is a .gz that the server only labels so.
    """
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise _too_large(response.url.host, max_bytes)
    total = 0
    async for chunk in _decoded(response, keep_gzip):
        total += len(chunk)
        if total > max_bytes:
            raise _too_large(response.url.host, max_bytes)
        yield chunk


async def _fetch_once(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str], max_bytes: int, sink: Sink
) -> Fetched:
    digest, size = hashlib.sha256(), 0
    async with open_get(client, url, headers=headers) as response:
        raise_if_transient(response)
        if response.status_code != 200:
            raise _not_given(response)
        name = name_of(response.headers.get("Content-Disposition"), response.url.path)
        try:
            async for chunk in read_body(response, max_bytes=max_bytes, keep_gzip=name.endswith((".gz", ".tgz"))):
                digest.update(chunk)
                size += len(chunk)
                await sink.write(chunk)
        except (httpx.TransportError, Transient):
            await sink.restart()
            raise
        return Fetched(name, size, digest.hexdigest(), response.headers.get("Content-Type"), str(response.url))


async def _decoded(response: httpx.Response, keep_gzip: bool) -> AsyncIterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"} or (keep_gzip and encoding in {"gzip", "x-gzip"}):
        async for chunk in response.aiter_raw(CHUNK_BYTES):
            yield chunk
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise Problem(
            "fetch_failed", f"{response.url.host} sent the file as {encoding[:40]!r}, which was not asked for."
        )
    decoder = zlib.decompressobj(wbits=31)
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        pending = chunk
        while pending and not decoder.eof:
            try:
                # Never the whole at once: a few kilobytes of gzip may stand for gigabytes.
                yield decoder.decompress(pending, CHUNK_BYTES)
            except zlib.error as error:
                raise Problem("fetch_failed", f"{response.url.host} sent damaged gzip data.") from error
            pending = decoder.unconsumed_tail
    if not decoder.eof:
        raise Transient(f"{response.url.host} broke off in the middle of the file.")


def _redirect(response: httpx.Response) -> httpx.URL | None:
    location = response.headers.get("Location")
    if response.status_code not in {301, 302, 303, 307, 308} or not location:
        return None
    try:
        onward = parse_url(response.url.join(location))
    except httpx.InvalidURL as error:
        raise Problem("fetch_failed", f"{response.url.host} redirects to what is no address.") from error
    if response.url.scheme == "https" and onward.scheme == "http":
        raise Problem(
            "address_not_allowed",
            f"{response.url.host} redirects from https to plain http on {onward.host}.",
            hint="Give the final address, if you trust it.",
        )
    return onward


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    return str(error).rstrip(".") or type(error).__name__


def _not_given(response: httpx.Response) -> Problem:
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    hints = {401: "It asks for a password or a token.", 403: "It does not give this file to everybody."}
    return Problem(
        "fetch_failed",
        f"{response.url.host} answered {status}.",
        hint=hints.get(response.status_code, "Check the address."),
    )


def _too_large(host: str, max_bytes: int) -> Problem:
    return Problem("too_large", f"The file from {host} is larger than the limit of {max_bytes} bytes.")
