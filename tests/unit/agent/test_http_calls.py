"""The agent's HTTP against servers that answer as they like, over real sockets."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.agent import http_calls
from sirdar.agent.http_calls import BadAnswer, FileFault, FilePart, HttpCalls

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def with_server(talk: Talk, ask: Callable[[HttpCalls], Awaitable[Any]], *, timeout_s: float = 5.0) -> tuple[Any, int]:
    """What the question brought, and how many connections it took."""

    async def work() -> tuple[Any, int]:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            with contextlib.suppress(ConnectionError, EOFError, asyncio.CancelledError):
                await talk(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        calls = HttpCalls(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/at", timeout_s=timeout_s, agent="a")
        try:
            return await ask(calls), connections
        finally:
            await calls.close()
            server.close()

    return asyncio.run(work())


def always(*answers: bytes, read_body: bool = True, hang: bool = False) -> Talk:
    """Gives these answers, one for each request, and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if read_body:
                await reader.readexactly(length)
            writer.write(answer)
            await writer.drain()
        if hang:
            await reader.read()

    return talk


async def post(calls: HttpCalls) -> tuple[int, bytes]:
    return await calls.call("POST", "/x", b"body", {"Content-Type": "text/plain"})


def test_a_connection_is_used_again() -> None:
    async def twice(calls: HttpCalls) -> list[Any]:
        return [await post(calls), await post(calls)]

    assert with_server(always(OK, OK, hang=True), twice) == ([(200, b"ok"), (200, b"ok")], 1)


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async def twice(calls: HttpCalls) -> list[Any]:
        return [await post(calls), await post(calls), await post(calls)]

    answers, connections = with_server(always(OK), twice)
    assert answers == [(200, b"ok")] * 3
    assert connections == 3


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n",
            (200, b"abcde"),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", (200, b"until the end")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH:3\r\nConnection: close\r\n\r\nnot", (404, b"not")),
    ],
)
def test_answers(answer: bytes, found: Any) -> None:
    assert with_server(always(answer), post)[0] == found


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", BadAnswer),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswer),
        (b"x" * 3_000_000, BadAnswer),
    ],
)
def test_what_is_no_answer(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        with_server(always(answer), post)


def test_silence_has_an_end() -> None:
    with pytest.raises(TimeoutError):
        with_server(always(b"HTTP/1.1 200 OK\r\n", hang=True), post, timeout_s=0.1)


def test_patience_is_for_the_answers_beginning() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(OK)
        await writer.drain()

    found, _ = with_server(slow, lambda calls: calls.call("POST", "/x", b"", {}, patience_s=5.0), timeout_s=0.1)
    assert found == (200, b"ok")


def test_a_file_is_sent_and_a_server_that_does_not_want_it_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (8 << 20))

    async def send(calls: HttpCalls) -> tuple[int, bytes]:
        return await calls.call("PUT", "/x", FilePart(path), {})

    assert with_server(always(OK), send)[0] == (200, b"ok")
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    assert with_server(always(refusal, read_body=False, hang=True), send)[0] == (413, b"big")
    path.unlink()
    with pytest.raises(FileFault):
        with_server(always(OK), send)


def test_a_download_comes_in_pieces_and_may_be_broken_off() -> None:
    body = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def read(calls: HttpCalls) -> list[int]:
        async with calls.stream("/x", {}) as (status, pieces):
            sizes = [len(piece) async for piece in pieces]
            assert status == 200 and sum(sizes) == len(body)
        with pytest.raises(LookupError):
            async with calls.stream("/x", {}) as (_, pieces):
                async for _ in pieces:
                    raise LookupError
        return sizes

    sizes, connections = with_server(always(answer, answer), read)
    assert max(sizes) <= 1 << 20 and connections == 1


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="not the address of a server"):
        HttpCalls("localhost:80", timeout_s=1, agent="a")


def test_a_write_to_a_connection_that_was_closed_meanwhile_is_a_connections_error() -> None:
    """uvloop has a RuntimeError for it, which nobody expects of a network."""

    async def write_late() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            http_calls._write(writer, b"late")
        server.close()

    uvloop = pytest.importorskip("uvloop")
    uvloop.run(write_late())
