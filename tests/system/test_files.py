"""Files over real HTTP, with a server of files in a process of its own: uploads, downloads, restarts, full disks, agents."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

SERVER = Path(__file__).parents[1] / "unit/files/serve_files.py"
CONTENT = b"0123456789" * 1000
NAMES = [
    "data.csv",
    "\u0434\u0430\u043d\u043d\u044b\u0435 \u2116 1.csv",
    "\U0001f9ea e\u0301 \u00e9.txt",
    'quo"te & <tag> %41 +plus;semi,comma.txt',
    " spaces at both ends ",
    "-rf",
    "a" * 255,
    "$(reboot)`;|",
    "\u05e2\u05d1\u05e8\u05d9\u05ea\u202e.txt",
]
BAD_NAMES = ["a/b", "..", ".", "a\nb", "nul\0byte", "\u0434" * 128, "bell\x07"]


@dataclass
class Site:
    """A running server, and a client for each person."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(SERVER), str(self.home), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **self.environment})
        assert self.process.stdout is not None
        self.tokens = json.loads(self.process.stdout.readline())

    def stop(self, how: int = signal.SIGTERM) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        self.process.wait(timeout=20)
        self.process.stdout.close()

    @contextlib.contextmanager
    def client(self, who: str = "alice", **more: Any) -> Iterator[httpx.Client]:
        headers = {"authorization": f"Bearer {self.tokens[who]}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **more) as client:
            yield client

    def peak_kib(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("files") / "home") as running:
        yield running


@pytest.fixture
def alice(site: Site) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


@contextlib.contextmanager
def serve(home: Path, **settings: object) -> Iterator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    site = Site(home, port, {f"SIRDAR_{name.upper()}": str(value) for name, value in settings.items()})
    try:
        site.start()
        yield site
    finally:
        site.stop()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _code(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    body = reply.json()
    assert body["status"] == reply.status_code
    return str(body["code"])


def _put(client: httpx.Client, name: str, content: bytes = CONTENT, **params: str) -> dict[str, Any]:
    reply = client.put(f"/api/files/temp/{quote(name, safe='')}", content=content, params=params)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


def _await(holds: Callable[[], object], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + 3 * within_s
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


# ---------------------------------------------------------------- up and down


@pytest.mark.parametrize("name", NAMES)
def test_names_are_kept_exactly(alice: httpx.Client, name: str) -> None:
    for made in (
        _put(alice, name),
        alice.post("/api/files/temp", files={"file": (name, CONTENT)}).json(),
        _in_pieces(alice, name, CONTENT, 7000),
    ):
        assert made == {"uri": made["uri"], "filename": name, "length": len(CONTENT), "sha256": _sha(CONTENT)}
        assert made["uri"].startswith("/api/files/temp/")
        reply = alice.get(made["uri"])
        assert reply.content == CONTENT
        disposition = reply.headers["content-disposition"]
        if not (name.isascii() and name.isprintable() and not set(name) & set('"\\%')):
            assert disposition.endswith(f"filename*=UTF-8''{quote(name, safe='')}")
        else:
            assert disposition.endswith(f'filename="{name}"')


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_cannot_be_are_refused(alice: httpx.Client, name: str) -> None:
    assert _code(alice.post("/api/files/uploads", json={"filename": name, "length": 1})) == "invalid_field"
    if name not in {".", ".."}:  # clients resolve these before they send
        reply = alice.put(f"/api/files/temp/{quote(name, safe='')}", content=b"x", follow_redirects=True)
        assert _code(reply) in {"invalid_field", "not_found", "method_not_allowed"}  # no route holds the end of a line
    if name.isprintable():
        assert _code(alice.post("/api/files/temp", files={"file": (name, b"x")})) == "invalid_field"


def test_a_name_that_is_no_utf8_is_refused(site: Site, alice: httpx.Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    headers = {"Authorization": alice.headers["authorization"]}
    connection.request("PUT", "/api/files/temp/a%FFb", body=b"x", headers=headers)
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["code"]) == (422, "invalid_field")
    connection.close()


def test_the_part_may_be_named_sendfile_and_have_text_parts_around(alice: httpx.Client) -> None:
    """As Everest's C++ client sends it."""
    form = {"filename": "solution.sol", "submit": "send"}
    made = alice.post("/api/files/temp", data=form, files={"sendfile": ("local.sol", CONTENT)}).json()
    assert made["filename"] == "local.sol"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="sendfile"\r\n\r\nbytes\r\n--b\r\n'
        b'Content-Disposition: form-data; name="filename"\r\n\r\nsolution.sol\r\n--b--\r\n'
    )
    made = alice.post(
        "/api/files/temp", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    ).json()
    assert (made["filename"], made["length"], made["sha256"]) == ("solution.sol", 5, _sha(b"bytes"))


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"x", "application/json", "invalid_request"),
        (b"x", "multipart/form-data", "invalid_request"),
        (b"no form", "multipart/form-data; boundary=b", "invalid_request"),
        (b"", "multipart/form-data; boundary=b", "invalid_request"),
        (
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "invalid_request",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n1\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "invalid_field",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1',
            "multipart/form-data; boundary=b",
            "invalid_request",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            "invalid_request",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\n1\r\n' * 40,
            "multipart/form-data; boundary=b",
            "invalid_request",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1\r\n' * 2 + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            "invalid_request",
        ),
    ],
)
def test_forms_that_are_none(alice: httpx.Client, site: Site, body: bytes, content_type: str, code: str) -> None:
    reply = alice.post("/api/files/temp", content=body, headers={"content-type": content_type})
    assert _code(reply) == code
    assert list((site.home / "blobs/tmp").iterdir()) == []


def test_digests_are_checked(alice: httpx.Client, site: Site) -> None:
    assert _put(alice, "a", sha256=_sha(CONTENT))["length"] == len(CONTENT)
    reply = alice.put("/api/files/temp/a", content=b"other", params={"sha256": _sha(CONTENT)})
    assert _code(reply) == "invalid_field" and _sha(b"other") in reply.json()["detail"]
    assert _code(alice.put("/api/files/temp/a", content=b"x", params={"sha256": "../x"})) == "invalid_field"
    assert not (site.home / "blobs" / _sha(b"other")[:2] / _sha(b"other")).exists()
    assert list((site.home / "blobs/tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-4", 206, (0, 5)),
        ("bytes=9990-", 206, (9990, 10000)),
        ("bytes=-7", 206, (9993, 10000)),
        ("bytes=5-50000", 206, (5, 10000)),
        ("bytes=10000-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,5-6", 200, (0, 10000)),
        ("lines=1-2", 200, (0, 10000)),
    ],
)
def test_ranges(alice: httpx.Client, header: str, status: int, expected: tuple[int, int] | None) -> None:
    uri = _put(alice, "ranges.bin")["uri"]
    reply = alice.get(uri, headers={"range": header})
    assert reply.status_code == status
    if expected is None:
        assert _code(reply) == "range_not_satisfiable"
        return
    start, stop = expected
    assert reply.content == CONTENT[start:stop]
    assert reply.headers["content-length"] == str(stop - start)
    assert reply.headers.get("content-range") == (f"bytes {start}-{stop - 1}/10000" if status == 206 else None)
    head = alice.head(uri, headers={"range": header})
    assert (head.status_code, head.content, head.headers["content-length"]) == (status, b"", str(stop - start))


def test_validators(alice: httpx.Client) -> None:
    uri = _put(alice, "a.html", b"<script>alert(1)</script>")["uri"]
    reply = alice.get(uri)
    etag = f'"{_sha(b"<script>alert(1)</script>")}"'
    assert reply.headers["etag"] == etag and reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert (
        reply.headers["x-content-type-options"] == "nosniff" and "sandbox" in reply.headers["content-security-policy"]
    )
    unchanged = alice.get(uri, headers={"if-none-match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert alice.get(uri, headers={"range": "bytes=0-1", "if-range": etag}).status_code == 206
    assert alice.get(uri, headers={"range": "bytes=0-1", "if-range": '"older"'}).status_code == 200
    assert alice.get(uri, params={"download": "1"}).headers["content-disposition"].startswith("attachment")
    assert alice.get(_put(alice, "empty", b"")["uri"]).content == b""


def test_files_are_their_owners_alone(site: Site, alice: httpx.Client) -> None:
    uri = _put(alice, "mine.txt")["uri"]
    with site.client("bob") as bob, site.client("read") as reading:
        assert _code(bob.get(uri)) == _code(bob.delete(uri)) == "not_found"
        assert reading.get(uri).status_code == 200
        assert _code(reading.delete(uri)) == _code(reading.put("/api/files/temp/x", content=b"")) == "forbidden"
    assert _code(httpx.get(f"{site.url}{uri}")) == _code(httpx.put(f"{site.url}/api/files/temp/a")) == "unauthenticated"
    assert _code(alice.get(uri + "x")) == _code(alice.get("/api/files/temp/0000000000000000/a")) == "not_found"
    assert _code(alice.get("/api/files/jobs/0000000000000000/a")) == "not_found"
    assert alice.delete(uri).status_code == 200
    assert _code(alice.get(uri)) == _code(alice.delete(uri)) == "not_found"


def test_an_archive_is_listed_without_its_bytes(alice: httpx.Client, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/\u0444.txt", b"12345")
        archive.mkdir("empty")
    uri = _put(alice, "a.zip", (tmp_path / "a.zip").read_bytes())["uri"]
    assert alice.get(uri, params={"list": "1"}).json() == [
        {"name": "folder/\u0444.txt", "size": 5, "isDir": False},
        {"name": "empty/", "size": 0, "isDir": True},
    ]
    assert _code(alice.get(_put(alice, "b.zip", b"no archive")["uri"], params={"list": "1"})) == "invalid_archive"


def test_limits(tmp_path: Path) -> None:
    with serve(tmp_path / "home", file_bytes=1000, quota_bytes=1500) as site, site.client() as alice:
        large = b"x" * 1001
        assert _code(alice.put("/api/files/temp/a", content=large)) == "too_large"
        assert _code(alice.put("/api/files/temp/a", content=iter([large[:500], large[500:]]))) == "too_large"
        assert _code(alice.post("/api/files/temp", files={"file": ("a", large)})) == "too_large"
        assert _code(alice.post("/api/files/uploads", json={"filename": "a", "length": 1001})) == "too_large"
        _put(alice, "a", b"1" * 900)
        assert _code(alice.put("/api/files/temp/b", content=b"2" * 900)) == "quota_exceeded"
        assert _code(alice.put("/api/files/temp/b", content=iter([b"2" * 900]))) == "quota_exceeded"
        assert list((site.home / "blobs/tmp").iterdir()) == []


# ---------------------------------------------------------------- in pieces


def _in_pieces(client: httpx.Client, name: str, content: bytes, step: int) -> dict[str, Any]:
    begun = client.post("/api/files/uploads", json={"filename": name, "length": len(content), "sha256": _sha(content)})
    assert begun.status_code == 201, begun.text
    state = begun.json()
    assert begun.headers["location"] == state["uri"] == f"/api/files/uploads/{state['id']}"
    for at in range(0, len(content), step):
        reply = client.patch(state["uri"], params={"offset": at}, content=content[at : at + step])
        assert reply.json() == {"offset": min(at + step, len(content))}
    made: dict[str, Any] = client.post(f"{state['uri']}/complete").json()
    assert client.post(f"{state['uri']}/complete").json() == made  # the answer was lost: ask again
    return made


def test_an_upload_goes_on_where_it_was_cut(alice: httpx.Client, site: Site) -> None:
    begun = alice.post("/api/files/uploads", json={"filename": "a", "length": 10}).json()
    uri = begun["uri"]
    assert alice.patch(uri, params={"offset": 0}, content=b"0123").json() == {"offset": 4}
    wrong = alice.patch(uri, params={"offset": 0}, content=b"0123")
    assert (wrong.status_code, _code(wrong), wrong.json()["expected"]) == (409, "offset_mismatch", "4")
    assert _code(alice.post(f"{uri}/complete")) == "offset_mismatch"
    assert _code(alice.patch(uri, params={"offset": 4}, content=b"4567890")) == "too_large"
    assert alice.get(uri).json() == {**begun, "offset": 4}
    with site.client("bob") as bob:
        assert _code(bob.get(uri)) == _code(bob.patch(uri, params={"offset": 4}, content=b"4")) == "not_found"
    assert alice.patch(uri, params={"offset": 4}, content=b"456789").json() == {"offset": 10}
    made = alice.post(f"{uri}/complete").json()
    assert alice.get(made["uri"]).content == b"0123456789"
    assert _code(alice.get(uri)) == "not_found"


def test_a_sender_that_hangs_up_loses_nothing(alice: httpx.Client, site: Site) -> None:
    uri = alice.post("/api/files/uploads", json={"filename": "a", "length": 1_000_000}).json()["uri"]
    head = f"PATCH {uri}?offset=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.tokens['alice']}\r\n"
    with socket.create_connection(("127.0.0.1", site.port)) as sender:
        sender.sendall(head.encode() + b"Content-Length: 1000000\r\n\r\n" + b"x" * 300_000)
        _await((site.home / "blobs/uploads" / uri.rpartition("/")[2]).exists)
        assert _code(alice.patch(uri, params={"offset": 0}, content=b"")) in {"conflict", "offset_mismatch"}
    _await(lambda: alice.get(uri).json()["offset"] == 300_000)
    _await(lambda: alice.patch(uri, params={"offset": 300_000}, content=b"x" * 700_000).status_code == 200)
    assert alice.post(f"{uri}/complete").json()["sha256"] == _sha(b"x" * 1_000_000)


def test_a_digest_that_is_wrong_removes_the_upload(alice: httpx.Client, site: Site) -> None:
    state = alice.post("/api/files/uploads", json={"filename": "a", "length": 1, "sha256": _sha(b"a")}).json()
    alice.patch(state["uri"], params={"offset": 0}, content=b"b")
    assert _code(alice.post(f"{state['uri']}/complete")) == "invalid_field"
    assert _code(alice.get(state["uri"])) == "not_found"
    assert not (site.home / "blobs/uploads" / state["id"]).exists()
    empty = _in_pieces(alice, "empty", b"", 1)
    assert alice.get(empty["uri"]).content == b""
    given_up = alice.post("/api/files/uploads", json={"filename": "a", "length": 1}).json()
    assert alice.delete(given_up["uri"]).status_code == 204
    assert _code(alice.delete(given_up["uri"])) == "not_found"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_upload_survives_the_servers_restart(tmp_path: Path, how: signal.Signals) -> None:
    content = os.urandom(12_000_000)
    with serve(tmp_path / "home") as site:
        with site.client() as alice:
            body = {"filename": "a", "length": len(content), "sha256": _sha(content)}
            uri = alice.post("/api/files/uploads", json=body).json()["uri"]
            alice.patch(uri, params={"offset": 0}, content=content[:1_200_000])
            kept = _put(alice, "kept.bin")["uri"]
        head = f"PATCH {uri}?offset=1200000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.tokens['alice']}\r\n"
        with socket.create_connection(("127.0.0.1", site.port)) as sender:
            sender.sendall(head.encode() + b"Content-Length: 10800000\r\n\r\n" + content[1_200_000:9_000_000])
            whole = site.home / "blobs/uploads" / uri.rpartition("/")[2]
            _await(lambda: whole.stat().st_size > 1_200_000)  # the second piece is being written
            if how == signal.SIGTERM:
                sender.close()
            site.stop(how)
        site.start()
        with site.client() as alice:
            offset = alice.get(uri).json()["offset"]
            assert 1_200_000 < offset <= 9_000_000
            assert alice.patch(uri, params={"offset": offset}, content=content[offset:]).json()["offset"] == len(
                content
            )
            made = alice.post(f"{uri}/complete").json()
            assert made["sha256"] == _sha(content) and alice.get(made["uri"]).content == content
            assert alice.get(kept).content == CONTENT
        assert list((site.home / "blobs/tmp").iterdir()) == []


# ---------------------------------------------------------------- memory, disk, time


@pytest.mark.parametrize("kind", ["raw", "form"])
def test_large_files_pass_in_constant_memory(site: Site, alice: httpx.Client, kind: str) -> None:
    """300 MB up and down; the bench has 2 GB."""
    size, piece = 300_000_000, os.urandom(1_000_000)
    before_kib = site.peak_kib()
    if kind == "raw":
        made = _put(alice, "large.bin", iter([piece] * 300))  # type: ignore[arg-type]
    else:
        ends = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n', b"\r\n--b--\r\n"
        body, headers = iter([ends[0], *[piece] * 300, ends[1]]), {"content-type": "multipart/form-data; boundary=b"}
        made = alice.post("/api/files/temp", content=body, headers=headers).json()
    assert made["length"] == size
    digest = hashlib.sha256()
    with alice.stream("GET", made["uri"]) as reply:
        for chunk in reply.iter_bytes(1 << 20):
            digest.update(chunk)
    assert digest.hexdigest() == made["sha256"]
    assert site.peak_kib() - before_kib < 32 * 1024
    alice.delete(made["uri"])


def test_a_download_that_is_cut_ends_on_the_server_too(site: Site, alice: httpx.Client) -> None:
    made = _put(alice, "large.bin", iter([b"x" * 1_000_000] * 50))  # type: ignore[arg-type]
    blob = site.home / "blobs" / made["sha256"][:2] / made["sha256"]
    assert site.process is not None
    handles = Path(f"/proc/{site.process.pid}/fd")

    def is_open() -> bool:
        targets = []
        for handle in handles.iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                targets.append(handle.readlink())
        return blob in targets

    # The kernel may keep tens of megabytes for a reader who does not read, unless told otherwise.
    narrow = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)])
    with site.client(transport=narrow) as slow, slow.stream("GET", made["uri"]) as reply:
        pieces = reply.iter_raw(1000)  # kept: a generator that nobody holds closes its connection
        assert next(pieces)
        _await(is_open)
    _await(lambda: not is_open())
    alice.delete(made["uri"])


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
def test_a_full_disk_is_said_and_left_clean(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "blobs").mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", home / "blobs"], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        with serve(home) as site, site.client() as alice:
            large = os.urandom(6_000_000)
            for reply in (
                alice.put("/api/files/temp/a", content=large),
                alice.post("/api/files/temp", files={"file": ("a", large)}),
            ):
                assert (reply.status_code, _code(reply)) == (507, "disk_full")
                assert list((home / "blobs/tmp").iterdir()) == []
            uri = alice.post("/api/files/uploads", json={"filename": "a", "length": len(large)}).json()["uri"]
            assert _code(alice.patch(uri, params={"offset": 0}, content=large)) == "disk_full"
            offset = alice.get(uri).json()["offset"]  # a part that fitted stays: the sender goes on when there is room
            assert (home / "blobs/uploads" / uri.rpartition("/")[2]).read_bytes() == large[:offset]
            assert alice.delete(uri).status_code == 204
            assert _put(alice, "small", large[:1_000_000])["length"] == 1_000_000  # room again
    finally:
        subprocess.run(["umount", home / "blobs"], check=True)


def test_what_expires_is_removed_and_what_is_named_stays(tmp_path: Path) -> None:
    settings = {"temp_file_s": 0.5, "upload_s": 0.5, "blob_grace_s": 0.5, "sweep_every_s": 0.1}
    with serve(tmp_path / "home", **settings) as site, site.client() as alice:
        uri = _put(alice, "a")["uri"]
        upload = alice.post("/api/files/uploads", json={"filename": "b", "length": 10}).json()["uri"]
        alice.patch(upload, params={"offset": 0}, content=b"12345")
        blob = site.home / "blobs" / _sha(CONTENT)[:2] / _sha(CONTENT)
        waiting = site.home / "blobs/uploads" / upload.rpartition("/")[2]
        assert blob.exists() and waiting.exists()
        _await(lambda: not waiting.exists() and not blob.exists())
        assert _code(alice.get(uri)) == _code(alice.get(upload)) == "not_found"


def test_many_at_once(alice: httpx.Client, site: Site) -> None:
    """The same and different bytes from many connections; each is whole."""
    contents = [bytes([n % 5]) * (200_000 + n % 3) for n in range(24)]
    failed: list[object] = []

    def send(content: bytes) -> None:
        with site.client() as client:
            made = _put(client, "a", content)
            if client.get(made["uri"]).content != content:
                failed.append(made)

    threads = [threading.Thread(target=send, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# ---------------------------------------------------------------- agents


def test_blobs_of_agents(site: Site) -> None:
    content = os.urandom(2_000_000)
    path = f"/agent/v1/blobs/{_sha(content)}"
    with site.client("agent") as agent:
        assert agent.head(path).status_code == 404 and _code(agent.get(path)) == "not_found"
        wrong = agent.put(path, content=content[:-1])
        assert (wrong.status_code, _code(wrong)) == (422, "invalid_field")
        for _ in range(2):
            assert agent.put(path, content=content).status_code == 204
        head = agent.head(path)
        assert (head.status_code, head.headers["content-length"]) == (200, "2000000")
        assert agent.get(path).content == content
        part = agent.get(path, headers={"range": "bytes=1500000-", "if-range": head.headers["etag"]})
        assert (part.status_code, part.content) == (206, content[1_500_000:])
        assert _code(agent.put("/agent/v1/blobs/..%2f..%2fx", content=b"")) in {"invalid_field", "not_found"}
        assert _code(agent.get("/agent/v1/blobs/ABC")) == "invalid_field"
    with site.client() as alice:
        assert _code(alice.get(path)) == "unauthenticated"
    assert _code(httpx.get(f"{site.url}{path}")) == "unauthenticated"


def test_a_blob_that_the_agent_put_in_place_itself(site: Site) -> None:
    content = os.urandom(1000)
    sha256 = _sha(content)
    path, blob = f"/agent/v1/blobs/{sha256}", site.home / "blobs" / sha256[:2] / sha256
    with site.client("agent") as agent:
        assert _code(agent.post(f"{path}/local", json={"size": 1000})) == "not_found"
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(content)
        assert _code(agent.post(f"{path}/local", json={"size": 999})) == "invalid_field"
        assert _code(agent.post(f"{path}/local", json={"size": -1})) == "invalid_field"
        for _ in range(2):
            assert agent.post(f"{path}/local", json={"size": 1000}).status_code == 204
        assert agent.get(path).content == content and blob.stat().st_mode & 0o777 == 0o444
