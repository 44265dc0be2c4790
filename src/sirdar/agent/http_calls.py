"""HTTP/1.1 to one server, over connections that are used again: as little as the agent's protocol needs.

A general client costs half a millisecond for each call, 180 ms at start and 10 MB, and a short task makes three calls. What is
spoken here: requests with a length; answers with a length, in chunks, or up to the end of the connection; no redirects, no
compression, no cookies. A proxy is spoken to where one is given (``agent/proxies.py``). What goes wrong on the way is an OSError
(``TimeoutError`` is one) or a ``BadAnswer``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from sirdar.agent.proxies import Proxy, open_tunnel, tls_context

HEAD_MOST_BYTES = 64 << 10
ANSWER_MOST_BYTES = 256 << 20
PIECE_BYTES = 1 << 20
IDLE_MOST = 8


class BadAnswer(Exception):
    """What came back is not HTTP, or more than anybody should send."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of a file, to be sent as a body. ``stop`` None: up to its end."""

    path: Path
    start: int = 0
    stop: int | None = None


class FileFault(Exception):
    """The file that was to be sent cannot be read, for this ``error``."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class Head:
    """The beginning of an answer. ``headers``: names in lower case. ``length``: of the body; None: not told."""

    status: int
    headers: Mapping[str, str]
    length: int | None

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"


@dataclass(slots=True)
class Connection:
    """One connection. ``used``: it has carried a call, so the server may have closed it since. ``whole``: request and
    answer came to their ends, so that it can carry another."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False
    whole: bool = True


class HttpCalls:
    """Calls to the server at a base address. ``timeout_s`` bounds a call; of a transfer only each wait for the network."""

    def __init__(self, base: str, *, timeout_s: float, agent: str, proxy: Proxy | None = None) -> None:
        """Raises ValueError where the address is none."""
        parts = urlsplit(base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{base!r} is not the address of a server: http://HOST:PORT or https://HOST")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/")
        self._proxy = proxy
        place = parts.netloc.rpartition("@")[2]
        self._common = f"Host: {place}\r\nUser-Agent: {agent}\r\n"
        if proxy is not None and self._tls is None:  # the whole address goes to the proxy
            self._path = f"http://{place}{self._path}"
            self._common += proxy.header
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await connection.writer.wait_closed()

    async def call(
        self, method: str, path: str, body: bytes | FilePart, headers: Mapping[str, str], *, patience_s: float = 0.0
    ) -> tuple[int, bytes]:
        """One call: its status and whole answer, for which the server may take ``patience_s`` longer. A file is sent in pieces."""
        if isinstance(body, FilePart):
            connection, head = await self._begin(method, path, body, headers)
            async with asyncio.timeout(self._timeout_s):
                return head.status, await self._finish(connection, head)
        async with asyncio.timeout(self._timeout_s + patience_s):
            connection, head = await self._begin(method, path, body, headers)
            return head.status, await self._finish(connection, head)

    @contextlib.asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """GET: the status, and the body piece by piece."""
        async with asyncio.timeout(self._timeout_s):
            connection, head = await self._begin("GET", path, b"", headers)
        connection.whole = False
        try:
            yield head.status, self._pieces(connection, head)
        except BaseException:
            connection.writer.close()
            raise
        self._keep(connection, head)

    # ------------------------------------------------------------ connections

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        async with asyncio.timeout(self._timeout_s):
            reader, writer = await self._open()
        return Connection(reader, writer)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        proxy = self._proxy
        if proxy is None:
            return await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=PIECE_BYTES)
        if self._tls is None:
            return await asyncio.open_connection(proxy.host, proxy.port, limit=PIECE_BYTES)
        raw = await asyncio.to_thread(open_tunnel, proxy, self._host, self._port, self._timeout_s)
        return await asyncio.open_connection(sock=raw, ssl=self._tls, server_hostname=self._host, limit=PIECE_BYTES)

    def _keep(self, connection: Connection, head: Head) -> None:
        told = head.chunked or head.length is not None
        closes = head.headers.get("connection", "").lower() == "close"
        if connection.whole and told and not closes and len(self._idle) < IDLE_MOST:
            connection.used = True
            self._idle.append(connection)
        else:
            connection.writer.close()

    # ------------------------------------------------------------ the request

    async def _begin(
        self, method: str, path: str, body: bytes | FilePart, headers: Mapping[str, str]
    ) -> tuple[Connection, Head]:
        """Sends the request; once more where a connection that was used before turns out to be closed."""
        while True:
            connection = await self._connection()
            try:
                if isinstance(body, FilePart):
                    head = await self._send_file(connection, self._request(method, path, headers), body)
                else:
                    request = f"{self._request(method, path, headers)}Content-Length: {len(body)}\r\n\r\n"
                    _write(connection.writer, request.encode() + body)
                    head = await _read_head(connection.reader, method)
            except (ConnectionError, EOFError) as error:
                connection.writer.close()
                if not connection.used:
                    raise ConnectionResetError(f"the server closed the connection ({error})") from error
            except BaseException:
                connection.writer.close()
                raise
            else:
                return connection, head

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"{method} {self._path}{path} HTTP/1.1\r\n{self._common}{lines}"

    async def _send_file(self, connection: Connection, request: str, part: FilePart) -> Head:
        """A server that does not want the file says so before its end: then the rest is not sent."""
        file = await asyncio.to_thread(_open, part.path)
        answer = asyncio.create_task(_read_head(connection.reader, "PUT"))
        try:
            left = (file.seek(0, 2) if part.stop is None else part.stop) - part.start
            file.seek(part.start)
            _write(connection.writer, f"{request}Content-Length: {left}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionError):  # the answer says why; without one it raises the same
                while left and not answer.done():
                    piece = await asyncio.to_thread(_read, file, min(PIECE_BYTES, left))
                    left -= len(piece)
                    _write(connection.writer, piece)
                    async with asyncio.timeout(self._timeout_s):
                        await connection.writer.drain()
                    if file.tell() - part.start > PIECE_BYTES:
                        connection.used = False  # it was open: what breaks now is no reason to send all of this again
            connection.whole = not left
            async with asyncio.timeout(self._timeout_s):
                return await answer
        finally:
            file.close()
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    # ------------------------------------------------------------ the answer

    async def _finish(self, connection: Connection, head: Head) -> bytes:
        """The whole body; the connection is free then, or closed."""
        try:
            body = await self._whole(connection, head)
        except BaseException:
            connection.writer.close()
            raise
        self._keep(connection, head)
        return body

    async def _whole(self, connection: Connection, head: Head) -> bytes:
        if head.length is not None:
            if head.length > ANSWER_MOST_BYTES:
                raise BadAnswer(f"an answer of {head.length} bytes")
            if not head.length:
                return b""
            try:
                return await connection.reader.readexactly(head.length)
            except asyncio.IncompleteReadError as error:
                raise ConnectionResetError("the answer broke off") from error
        read, size = [], 0
        async for piece in self._pieces(connection, head):
            read.append(piece)
            size += len(piece)
            if size > ANSWER_MOST_BYTES:
                raise BadAnswer(f"an answer of more than {ANSWER_MOST_BYTES} bytes")
        return b"".join(read)

    async def _pieces(self, connection: Connection, head: Head) -> AsyncIterator[bytes]:
        """The body. Raises ConnectionError where it breaks off."""
        pieces = _chunks(connection.reader) if head.chunked else _counted(connection.reader, head.length)
        try:
            while True:
                async with asyncio.timeout(self._timeout_s):
                    piece = await anext(pieces, b"")
                if not piece:
                    break
                yield piece
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the answer broke off") from error
        connection.whole = True


def _write(writer: asyncio.StreamWriter, raw: bytes) -> None:
    """Raises ConnectionError where the connection is closed already, for which event loops have words of their own."""
    try:
        writer.write(raw)
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from error


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise FileFault(error) from error


def _read(file: BinaryIO, count_bytes: int) -> bytes:
    try:
        piece = file.read(count_bytes)
    except OSError as error:
        raise FileFault(error) from error
    if not piece:
        raise FileFault(OSError(f"{file.name} has become shorter while it was sent"))
    return piece


async def _counted(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """Without a length the end of the connection is the end of the answer."""
    left = length
    while left is None or left:
        piece = await reader.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
        if not piece:
            if left is None:
                return
            raise ConnectionResetError("the answer broke off")
        left = left - len(piece) if left is not None else None
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while left := _number((await _line(reader)).partition(b";")[0].decode("latin-1"), 16):
        while left:
            piece = await reader.readexactly(min(left, PIECE_BYTES))
            left -= len(piece)
            yield piece
        if await reader.readexactly(2) != b"\r\n":
            raise BadAnswer("a chunk without its end")
    while await _line(reader):  # trailers
        pass


async def _read_head(reader: asyncio.StreamReader, method: str) -> Head:
    """The next answer's status and headers; interim answers are passed over."""
    while True:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raw = b""
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if (
            len(words) < 2
            or words[0] not in {"HTTP/1.1", "HTTP/1.0"}
            or not words[1].isdecimal()
            or len(raw) > HEAD_MOST_BYTES
        ):
            raise BadAnswer(f"an answer that does not begin as HTTP does: {first[:80]!r}")
        status = int(words[1])
        if status >= 200:
            headers = {
                name.strip().lower(): value.strip() for name, _, value in [line.partition(":") for line in lines]
            }
            if words[0] == "HTTP/1.0":
                headers.setdefault("connection", "close")
            told = "0" if method == "HEAD" or status in {204, 304} else headers.get("content-length")
            chunked = "transfer-encoding" in headers
            return Head(status, headers, None if told is None or (chunked and told != "0") else _number(told, 10))


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.LimitOverrunError:
        raise BadAnswer("an endless line") from None


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if number < 0:
        raise BadAnswer(f"a length that is none: {text[:40]!r}")
    return number
