"""Fetching by address from real servers on loopback, honest and otherwise."""

import asyncio
import gzip
import hashlib
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sirdar.blobs.base import Blob
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.outbound.blob_sink import fetch_blob
from sirdar.services.outbound.fetch import Fetched, FileSink, fetch


class MemorySink:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    async def restart(self) -> None:
        self.chunks.clear()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def run(url: str, policy: AddressPolicy, **changes: Any) -> tuple[Fetched, bytes]:
    sink = MemorySink()
    settings = {"max_bytes": 10_000_000, "timeout_s": 10.0, **changes}
    fetched = asyncio.run(fetch(url, policy=policy, sink=sink, **settings))
    return fetched, sink.body


def fails(url: str, policy: AddressPolicy, code: str, **changes: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        run(url, policy, **changes)
    assert caught.value.code == code, caught.value.detail
    return caught.value


def test_a_file_comes_whole_with_name_type_and_digest(web: Any, loopback: AddressPolicy, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4000
    web.routes["/data/a.bin"] = lambda x: x.reply(200, body, content_type="application/x-thing")
    fetched, got = run(web.url("/data/a.bin?x=1#top"), loopback)
    assert got == body
    assert fetched == Fetched(
        "a.bin", len(body), hashlib.sha256(body).hexdigest(), "application/x-thing", web.url("/data/a.bin?x=1")
    )
    with FileSink(tmp_path / "f") as sink:
        asyncio.run(fetch(web.url("/data/a.bin"), policy=loopback, max_bytes=2**30, timeout_s=10, sink=sink))
    assert (tmp_path / "f").read_bytes() == body


def test_without_permission_loopback_is_refused_and_nothing_is_sent(web: Any) -> None:
    fails(web.url("/"), AddressPolicy(), "address_not_allowed")
    assert web.seen == []


def test_redirects_are_followed_and_each_is_checked(web: Any, other_web: Any) -> None:
    web.routes["/start"] = lambda x: x.reply(302, location="/next")
    web.routes["/next"] = lambda x: x.reply(307, location=other_web.url("/inner"))
    other_web.routes["/inner"] = lambda x: x.reply(200, b"inner", content_disposition='attachment; filename="../n.csv"')
    both = AddressPolicy(allow=(f"127.0.0.1:{web.port}", f"127.0.0.1:{other_web.port}"))
    fetched, got = run(web.url("/start"), both)
    assert (fetched.name, got, fetched.url) == ("n.csv", b"inner", other_web.url("/inner"))
    other_web.seen.clear()
    fails(web.url("/start"), AddressPolicy(allow=(f"127.0.0.1:{web.port}",)), "address_not_allowed")
    assert other_web.seen == []


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
    ],
)
def test_a_redirect_to_what_may_not_be_fetched_is_refused(web: Any, loopback: AddressPolicy, location: str) -> None:
    web.routes["/"] = lambda x: x.reply(301, location=location)
    fails(web.url("/"), loopback, "address_not_allowed")
    assert len(web.seen) == 1


def test_redirects_end_after_five(web: Any, loopback: AddressPolicy) -> None:
    web.routes["/"] = lambda x: x.reply(302, location="/")
    assert "redirects more than 5 times" in fails(web.url("/"), loopback, "fetch_failed").detail
    assert len(web.seen) == 6


def test_a_name_that_resolves_otherwise_at_the_second_look_gains_nothing(web: Any) -> None:
    """DNS rebinding: were the name resolved again to connect, the connection would go to the second address."""
    looks: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        looks.append(host)
        return ["127.0.0.1"] if len(looks) == 1 else ["127.0.0.2"]

    web.routes["/a"] = lambda x: x.reply(200, x.headers["Host"].encode())
    policy = AddressPolicy(allow=("127.0.0.1",), resolve=resolve)
    _, got = run(web.url("/a", host="rebind.example"), policy)
    assert got == f"rebind.example:{web.port}".encode()
    assert looks == ["rebind.example"]
    fails(web.url("/a", host="rebind.example"), policy, "address_not_allowed")


def test_the_next_address_is_tried_where_the_first_does_not_answer(web: Any) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.9", "127.0.0.1"]

    web.routes["/a"] = lambda x: x.reply(200, b"ok")
    assert run(web.url("/a", host="two.example"), AddressPolicy(allow=("127.0.0.0/8",), resolve=resolve))[1] == b"ok"


def test_tls_asks_for_and_verifies_the_name_though_it_connects_to_the_address(tls_web: Any, certificates: Any) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    tls_web.routes["/a"] = lambda x: x.reply(200, b"ok")
    policy = AddressPolicy(allow=("127.0.0.1",), resolve=resolve)
    assert run(tls_web.url("/a", host="files.example"), policy, tls=certificates.client)[1] == b"ok"
    wrong = fails(tls_web.url("/a", host="other.example"), policy, "fetch_failed", tls=certificates.client, attempts=1)
    assert "certificate" in wrong.detail.lower()
    fails(tls_web.url("/a", host="files.example"), policy, "fetch_failed", attempts=1)


def test_a_redirect_from_https_to_http_is_refused(tls_web: Any, web: Any, certificates: Any) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    tls_web.routes["/"] = lambda x: x.reply(302, location=web.url("/"))
    policy = AddressPolicy(allow=("127.0.0.1",), resolve=resolve)
    problem = fails(tls_web.url("/", host="files.example"), policy, "address_not_allowed", tls=certificates.client)
    assert "plain http" in problem.detail
    assert web.seen == []


def test_secret_headers_stay_with_the_first_origin(web: Any, other_web: Any, loopback: AddressPolicy) -> None:
    web.routes["/"] = lambda x: x.reply(302, location="/same")
    web.routes["/same"] = lambda x: x.reply(302, location=other_web.url("/far"))
    other_web.routes["/far"] = lambda x: x.reply(200, b"ok")
    run(web.url("/"), loopback, headers={"Authorization": "Bearer s", "PRIVATE-TOKEN": "t", "Accept": "text/csv"})
    assert [seen.headers.get("Authorization") for seen in web.seen] == ["Bearer s", "Bearer s"]
    far = other_web.seen[0].headers
    assert far.get("Accept") == "text/csv"
    assert not {"authorization", "private-token"} & {name.lower() for name in far}


def test_what_is_too_large_is_cut_whether_announced_or_not(web: Any, loopback: AddressPolicy, lies: Any) -> None:
    web.routes["/announced"] = lambda x: x.reply(200, b"x" * 5000)
    web.routes["/endless"] = lies.endless
    for path in ("/announced", "/endless"):
        assert "limit of 4096 bytes" in fails(web.url(path), loopback, "too_large", max_bytes=4096).detail


def test_a_slow_server_is_cut_at_the_time_limit(web: Any, loopback: AddressPolicy, lies: Any) -> None:
    web.routes["/slow"] = lies.slow
    started = time.monotonic()
    assert "within 0.5 s" in fails(web.url("/slow"), loopback, "fetch_failed", timeout_s=0.5).detail
    assert time.monotonic() - started < 3


def test_a_server_that_says_nothing_is_cut_at_the_time_limit(loopback: AddressPolicy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fails(f"http://127.0.0.1:{silent.getsockname()[1]}/", loopback, "fetch_failed", timeout_s=0.3)


def test_lengths_that_lie(web: Any, loopback: AddressPolicy, lies: Any) -> None:
    web.routes["/longer"] = lies.longer_than_said
    assert run(web.url("/longer"), loopback)[1] == b"abcd"
    web.routes["/shorter"] = lies.shorter_than_said
    fails(web.url("/shorter"), loopback, "fetch_failed", attempts=2)
    web.routes["/headers"] = lies.huge_headers
    fails(web.url("/headers"), loopback, "fetch_failed", attempts=1)


def test_a_connection_that_breaks_is_tried_again_from_the_beginning(
    web: Any, loopback: AddressPolicy, lies: Any
) -> None:
    def twice(exchange: Any) -> None:
        lies.shorter_than_said(exchange) if len(web.seen) == 1 else exchange.reply(200, b"whole")

    web.routes["/a"] = twice
    assert run(web.url("/a"), loopback)[1] == b"whole"


def test_429_and_503_are_tried_again_after_what_they_ask(web: Any, loopback: AddressPolicy) -> None:
    def grudging(exchange: Any) -> None:
        answers = {1: (429, {"retry_after": "1"}), 2: (503, {})}
        status, headers = answers.get(len(web.seen), (200, {}))
        exchange.reply(status, b"ok", **headers)

    web.routes["/a"] = grudging
    started = time.monotonic()
    assert run(web.url("/a"), loopback)[1] == b"ok"
    assert time.monotonic() - started >= 1
    assert len(web.seen) == 3


def test_a_wait_longer_than_the_time_limit_fails_at_once_and_says_so(web: Any, loopback: AddressPolicy) -> None:
    web.routes["/a"] = lambda x: x.reply(429, retry_after="3600")
    started = time.monotonic()
    problem = fails(web.url("/a"), loopback, "fetch_failed", timeout_s=5)
    assert time.monotonic() - started < 3
    assert problem.retry_after_s == 3600
    assert "wait 3600 s" in problem.detail


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 304])
def test_other_answers_are_final_and_told(web: Any, loopback: AddressPolicy, status: int) -> None:
    web.routes["/a"] = lambda x: x.reply(status)
    assert str(status) in fails(web.url("/a"), loopback, "fetch_failed").detail
    assert len(web.seen) == 1


def test_gzip_is_undone_unless_the_file_is_a_gz(web: Any, loopback: AddressPolicy) -> None:
    packed = gzip.compress(b"1,2\n" * 1000)
    web.routes["/a.csv"] = lambda x: x.reply(200, packed, content_encoding="gzip")
    web.routes["/a.csv.gz"] = lambda x: x.reply(200, packed, content_encoding="gzip")
    web.routes["/brotli"] = lambda x: x.reply(200, b"?", content_encoding="br")
    web.routes["/cut"] = lambda x: x.reply(200, packed[:20], content_encoding="gzip")
    web.routes["/bad"] = lambda x: x.reply(200, b"no gzip at all", content_encoding="gzip")
    assert run(web.url("/a.csv"), loopback)[1] == b"1,2\n" * 1000
    assert run(web.url("/a.csv.gz"), loopback)[1] == packed
    fails(web.url("/brotli"), loopback, "fetch_failed")
    fails(web.url("/cut"), loopback, "fetch_failed", attempts=1)
    fails(web.url("/bad"), loopback, "fetch_failed")


def test_a_gzip_bomb_ends_at_the_limit(web: Any, loopback: AddressPolicy) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    web.routes["/bomb"] = lambda x: x.reply(200, bomb, content_encoding="gzip")
    fails(web.url("/bomb"), loopback, "too_large", max_bytes=1_000_000)


def test_a_sink_that_fails_ends_the_fetch_with_its_own_error(web: Any, loopback: AddressPolicy) -> None:
    class Full(MemorySink):
        async def write(self, chunk: bytes) -> None:
            raise OSError(28, "No space left on device")

    web.routes["/a"] = lambda x: x.reply(200, b"x")
    with pytest.raises(OSError, match="No space"):
        asyncio.run(fetch(web.url("/a"), policy=loopback, max_bytes=10, timeout_s=5, sink=Full()))


def test_a_file_goes_straight_into_the_blob_store_once_and_whole(
    web: Any, loopback: AddressPolicy, lies: Any, tmp_path: Path
) -> None:
    body = b"0123456789" * 50_000

    def second_time(x: Any) -> None:
        lies.shorter_than_said(x) if len(web.seen) == 1 else x.reply(200, body)

    async def into_store(path: str) -> tuple[Fetched, Blob]:
        return await fetch_blob(web.url(path), blobs=store, policy=loopback, max_bytes=2**20, timeout_s=10)

    store = LocalBlobs(tmp_path / "blobs")
    try:
        web.routes["/a.csv"] = second_time
        fetched, blob = asyncio.run(into_store("/a.csv"))
        assert (fetched.name, blob.sha256, blob.size_bytes) == ("a.csv", fetched.sha256, len(body))
        assert store.path(blob.sha256).read_bytes() == body
        web.routes["/endless"] = lies.endless
        with pytest.raises(Problem, match="limit"):
            asyncio.run(into_store("/endless"))
        assert [p.name for p in (tmp_path / "blobs").glob("??/*") if p.is_file()] == [blob.sha256]
    finally:
        store.close()
