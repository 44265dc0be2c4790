"""Which way out an agent takes, and what it says to a proxy."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from sirdar.agent.http_calls import HttpCalls
from sirdar.agent.identity import Identity
from sirdar.agent.link import Link
from sirdar.agent.proxies import Proxy, ProxyRefused, open_tunnel, proxy_for
from sirdar.agent.settings import Settings

OUT = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "plain:80"}


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        ("https://sirdar.org", OUT, "proxy"),
        ("http://sirdar.org:8200", OUT, "plain"),
        ("https://sirdar.org", {}, None),
        ("https://sirdar.org", {"HTTP_PROXY": "http://plain"}, None),
        ("https://sirdar.org", {"ALL_PROXY": "http://any:1"}, "any"),
        ("https://sirdar.org", {"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower"}, "lower"),
        ("http://127.0.0.1:8200", OUT, None),
        ("http://localhost:8200", OUT, None),
        ("http://[::1]:8200", OUT, None),
        ("https://sirdar.org", {**OUT, "NO_PROXY": "example.com, sirdar.org"}, None),
        ("https://sirdar.org", {**OUT, "no_proxy": ".org"}, None),
        ("https://sirdar.org", {**OUT, "NO_PROXY": "*"}, None),
        ("https://sirdar.org", {**OUT, "NO_PROXY": "*.sirdar.org"}, None),
        ("https://notsirdar.org", {**OUT, "NO_PROXY": "sirdar.org"}, "proxy"),
        ("https://sirdar.org:8443", {**OUT, "NO_PROXY": "sirdar.org:443"}, "proxy"),
        ("https://10.1.2.3", {**OUT, "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {**OUT, "NO_PROXY": "10.0.0.0/8,words"}, "proxy"),
    ],
)
def test_the_way_out(url: str, environ: dict[str, str], host: str | None) -> None:
    found = proxy_for(url, environ)
    assert (found.host if found else None) == host


def test_who_asks_is_told_to_the_proxy() -> None:
    found = proxy_for("https://a", {"https_proxy": "http://us%40er:pass@p:1"})
    assert found == Proxy("p", 1, "Basic " + base64.b64encode(b"us@er:pass").decode())


def test_a_proxy_that_cannot_be_used_is_named_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"socks5://p cannot be used: http://HOST:PORT") as told:
        proxy_for("https://a", {"ALL_PROXY": "socks5://u:secret@p:1"})
    assert "secret" not in str(told.value)


def test_plain_http_goes_through_a_proxy_by_its_whole_address() -> None:
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def work() -> Any:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1], "Basic eA==")
        calls = HttpCalls("http://sirdar.test:8200/at", timeout_s=5, agent="a", proxy=proxy)
        answers = [await calls.call("GET", "/here", b"", {}) for _ in range(2)]
        await calls.close()
        server.close()
        return answers

    assert asyncio.run(work()) == [(200, b"ok")] * 2
    assert heads[0].startswith("GET http://sirdar.test:8200/at/here HTTP/1.1\r\nHost: sirdar.test:8200\r\n")
    assert "Proxy-Authorization: Basic eA==\r\n" in heads[1]


def test_a_proxy_that_says_no_is_named() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(ProxyRefused, match="answers '407 Proxy Authentication Required'"):
            await asyncio.to_thread(open_tunnel, proxy, "sirdar.test", 443, 5.0)
        server.close()

    asyncio.run(work())


def test_the_blob_store_is_reached_by_the_same_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        writer.close()

    async def fetch() -> bytes:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            monkeypatch.setenv("http_proxy", f"http://us:pass@127.0.0.1:{port}")
            link = Link(Settings(home=tmp_path, server="http://127.0.0.1:1"), Identity(b"k" * 32))
            try:
                pieces = link.get_blob("ab" * 32, start=0, size_bytes=3, address="http://store.invalid/ab?signed=1")
                return b"".join([piece async for piece in pieces])
            finally:
                await link.close()

    assert asyncio.run(fetch()) == b"abc"
    assert heads[0].startswith("GET http://store.invalid/ab?signed=1 HTTP/1.1\r\n")
    assert "Authorization: Bearer" not in heads[0]
