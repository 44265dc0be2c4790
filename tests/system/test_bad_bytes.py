# ruff: noqa: E501  (tables; fixtures that are imported)
"""Bad bytes, through the real product: archives, words that a shell would obey, names of all scripts, broken requests."""

import contextlib
import io
import re
import socket
import stat
import struct
import tarfile
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.system.bad_world import World
from tests.system.product import Product, await_that, problem, readable

# ---------------------------------------------------------------- archives


def zipped(members: dict[str, bytes], **attributes: int) -> bytes:
    """A zip; ``attributes`` are the external attributes of the member ``link``."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name in attributes:
                info.create_system, info.external_attr = 3, attributes[name] << 16
            archive.writestr(info, content)
    return raw.getvalue()


def tarred(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """A tar of (name, type, content, link name)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, kind, content, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def lying_zip(size: int) -> bytes:
    """A zip whose directory announces other sizes than its member has."""
    raw = bytearray(zipped({"a.txt": b"x" * 1000}))
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(raw)


YAML = b"sirdar: 1\nalias: zipped\ncommand: 'true'\n"
ARCHIVES = {
    "a path that climbs": zipped({"sirdar.yaml": YAML, "../../evil": b"x"}),
    "an absolute path": zipped({"sirdar.yaml": YAML, "/tmp/evil": b"x"}),
    "a path with a backslash": zipped({"sirdar.yaml": YAML, "..\\evil": b"x"}),
    "a symbolic link": zipped({"sirdar.yaml": YAML, "link": b"/etc/passwd"}, link=stat.S_IFLNK | 0o777),
    "a zip bomb": zipped({"sirdar.yaml": YAML, "bomb": b"\0" * 300_000_000}),
    "sizes that lie": lying_zip(5),
    "half of it": zipped({"sirdar.yaml": YAML, "a": b"x" * 1000})[:150],
    "no zip": b"PK\x03\x04 and no more",
    "nothing": b"",
    "a tar with a device": tarred(("sirdar.yaml", tarfile.REGTYPE, YAML, ""), ("dev", tarfile.CHRTYPE, b"", "")),
    "a tar with a link outside": tarred(("sirdar.yaml", tarfile.REGTYPE, YAML, ""), ("l", tarfile.SYMTYPE, b"", "/etc/passwd")),
    "a tar with a hard link outside": tarred(("sirdar.yaml", tarfile.REGTYPE, YAML, ""), ("l", tarfile.LNKTYPE, b"", "../../etc/passwd")),
    "a tar with a pipe": tarred(("sirdar.yaml", tarfile.REGTYPE, YAML, ""), ("p", tarfile.FIFOTYPE, b"", "")),
    "a tar with a path that climbs": tarred(("sirdar.yaml", tarfile.REGTYPE, YAML, ""), ("../evil", tarfile.REGTYPE, b"x", "")),
}  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("what", ARCHIVES)
def test_an_application_in_a_bad_archive(world: World, what: str) -> None:
    reply = world.clients["admin"].post("/api/apps/import", files={"file": ("app.zip", ARCHIVES[what])})
    assert reply.status_code in {413, 422}, reply.text
    problem(reply, reply.status_code, reply.json()["code"])
    assert reply.json()["code"] in {"invalid_archive", "too_large", "invalid_description"}
    assert not list((world.product.home / "tmp").glob("*"))


@pytest.mark.parametrize("what", [what for what in ARCHIVES if what != "nothing"])
def test_a_directory_from_a_bad_archive_fails_the_job_and_leaves_nothing(world: World, what: str) -> None:
    """A directory is unpacked where it runs: there the same archives end the job, and nothing stands outside."""
    product = world.product
    name = "d.tar.gz" if "tar" in what else "d.zip"
    uri = product.upload(name, ARCHIVES[what])
    product.publish("unpack", 'ls -lR "$d"', shell=True, inputs={"d": {"type": "directory", "required": True}})
    reply = product.admin.post("/api/apps/me/unpack?wait=60", json={"inputs": {"d": uri}})
    if reply.status_code == 422:
        problem(reply, 422, reply.json()["code"], "d")
        return
    job = reply.json()
    assert job["state"] == "FAILED", product.admin.get(job["stdout"]).text
    assert job["outcome"]["reason"] in {"stage_in", "input_invalid"}, job["outcome"]
    assert len(job["info"]) > 20
    assert not list(product.root.rglob("evil"))
    assert product.admin.get("/healthz").status_code == 200


# ---------------------------------------------------------------- shell metacharacters


ATTACKS = [
    "; touch {canary}", "$(touch {canary})", "`touch {canary}`", "| touch {canary}", "&& touch {canary}", "> {canary}",
    "'; touch {canary}; '", '"; touch {canary}; "', "${{IFS}}touch {canary}", "-o {canary}", "--help", "$HOME", "${{s}}", "%s%n",
    "a  b\tc", "*", "~", "!!", "\\", "\u202ertl", "e\u0301", "\U0001f9ea", "null", "../../x", "é'\"",
]  # fmt: skip


@pytest.mark.parametrize("how", ["argument", "variable", "parameters", "template", "shell"])
def test_nothing_in_a_value_is_executed(world: World, how: str) -> None:
    """Every attack arrives as it was given, by each way in which a value reaches a program, and does nothing."""
    product = world.product
    program = (
        "import json, os, sys\n"
        "how = sys.argv[1]\n"
        "got = {'argument': lambda: sys.argv[2], 'variable': lambda: os.environ['SAID'], 'shell': lambda: sys.argv[2],\n"
        "       'parameters': lambda: json.load(open('params.json'))['s'], 'template': lambda: open('filled.txt').read()}[how]()\n"
        "json.dump(got, open('got.json', 'w'))\n"
    )
    more: dict[str, Any] = {
        "files": {"say.py": program, "t.txt": "${s}"},
        "inputs": {"s": {"type": "string", "required": True, "env": "SAID"}},
    }
    more["outputs"] = {"got": {"type": "json", "from": "got.json"}}
    if how == "shell":
        app = product.publish("meta-shell", 'python3 say.py shell "$SAID"', shell=True, **more)
    else:
        app = product.publish(
            f"meta-{how}",
            f"python3 say.py {how} ${{s}}",
            params="params.json",
            templates={"filled.txt": "t.txt"},
            **more,
        )
    values = [attack.format(canary=world.canary) for attack in ATTACKS]
    job = product.run(app, foreach=[{"s": value} for value in values])
    assert [one["got"] for one in job["result"]] == values
    assert not world.canary.exists()


def test_nothing_in_a_files_name_is_executed(world: World) -> None:
    product = world.product
    product.publish(
        "cat",
        'cat "$f"',
        shell=True,
        inputs={"f": {"type": "file", "required": True}},
        outputs={"said": {"type": "string", "from": "stdout"}},
    )
    product.publish(
        "cat2",
        "cat ${f}",
        inputs={"f": {"type": "file", "required": True}},
        outputs={"said": {"type": "string", "from": "stdout"}},
    )
    names = [
        "; touch canary",
        "$(touch canary)",
        "`touch canary`",
        "-n",
        "--version",
        "a b",
        "'",
        '"',
        "é\u0301.txt",
        "\u202etxt.exe",
        "\U0001f9ea",
        "*",
        "~root",
        "a" * 255,
    ]
    for name in names:
        uri = (
            product.upload(name, b"content\n")
            if '"' not in name
            else product.admin.put("/api/files/temp/%22", content=b"content\n").json()["uri"]
        )
        for app in ("me/cat", "me/cat2"):
            job = product.run(app, {"f": uri})
            assert job["result"] == {"said": "content"}, (name, job)
    assert not list(product.root.rglob("canary*"))


# ---------------------------------------------------------------- headers, Unicode


def test_names_of_all_scripts_come_back_as_they_went(world: World) -> None:
    product = world.product
    for name in (
        "данные № 1.csv",
        "\u05e2\u05d1\u05e8\u05d9\u05ea\u202e.csv",
        "\U0001f9ea e\u0301.csv",
        "a;b,c=d.csv",
        "100%.csv",
        " .csv",
    ):
        reply = product.admin.post("/api/files/temp", files={"file": (name, b"1\n")})
        assert reply.status_code == 200, (name, reply.text)
        assert reply.json()["filename"] == name
        got = product.admin.get(reply.json()["uri"])
        assert got.content == b"1\n"
        assert "\r" not in str(got.headers) and "\n" not in got.headers["content-disposition"]
        job = product.run("me/kinds", {"s": "a", "f": reply.json()["uri"]}, name=f"job \u202e{name}"[:400])
        assert job["name"] == f"job \u202e{name}"
        assert product.admin.get(job["inputs"]["f"]).content == b"1\n"
        product.admin.delete(reply.json()["uri"])


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs?limit=1&x=%0d%0aSet-Cookie:%20a=b",
        "/api/files/temp/aaaaaaaaaaaaaaaa/%0d%0aX-Evil:1",
        "/api/jobs/%0d%0aX-Evil:1",
    ],
)
def test_no_header_is_injected(world: World, path: str) -> None:
    reply = world.clients["admin"].get(path)
    assert reply.status_code in {200, 404}
    assert "x-evil" not in reply.headers
    assert "a=b" not in reply.headers.get("set-cookie", "")
    assert "\n" not in reply.headers.get("link", "")


# ---------------------------------------------------------------- bytes on the wire


def talk(product: Product, raw: bytes, *, close: bool = False) -> bytes:
    """Sends bytes as they are and gives back the whole answer; ``close``: ends the sending side after them."""
    with socket.create_connection(("127.0.0.1", product.port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):  # it may close before it has read all
            connection.sendall(raw)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while readable(connection, 5.0) and (part := _received(connection)):
            answer += part
            if b"\r\n\r\n" in answer and _complete(answer):
                break
        return answer


def _received(connection: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionError):
        return connection.recv(65536)
    return b""


def _complete(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.I)
    return found is not None and len(body) >= int(found[1])


def head(world: World, line: str, **headers: str) -> bytes:
    token = world.clients["admin"].headers["authorization"]
    lines = [
        line,
        "Host: x",
        f"Authorization: {token}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("what", "line", "headers", "body", "status"),
    [
        ("a body that ends early", "POST /api/apps/me/kinds HTTP/1.1", {"Content-Length": "100"}, b'{"inputs"', None),
        ("an upload that ends early", "PUT /api/files/temp/x.csv HTTP/1.1", {"Content-Length": "100"}, b"abc", None),
        ("chunks that end early", "PUT /api/files/temp/x.csv HTTP/1.1", {"Transfer-Encoding": "chunked"}, b"5\r\nab", None),
        ("a huge announced length", "PUT /api/files/temp/x.csv HTTP/1.1", {"Content-Length": str(10**15)}, b"abc", 413),
        ("a huge announced body", "POST /api/apps/me/kinds HTTP/1.1", {"Content-Length": str(10**15)}, b"{", 413),
        ("a length beyond every integer", "POST /api/jobs HTTP/1.1", {"Content-Length": "9" * 40}, b"{", 400),
        ("a negative length", "POST /api/apps/me/kinds HTTP/1.1", {"Content-Length": "-5"}, b"{}", 400),
        ("both lengths", "POST /api/apps/me/kinds HTTP/1.1", {"Content-Length": "2", "Transfer-Encoding": "chunked"}, b"0\r\n\r\n", 400),
        ("no HTTP", "\x16\x03\x01\x02", {}, b"", 400),
        ("an absurd header", "GET /api/jobs HTTP/1.1", {"X": "y" * 2_000_000}, b"", 400),
        ("an absurd address", f"GET /{'x' * 2_000_000} HTTP/1.1", {}, b"", 400),
    ],
)  # fmt: skip
def test_bytes_that_are_wrong(
    world: World, what: str, line: str, headers: dict[str, str], body: bytes, status: int | None
) -> None:
    answer = talk(world.product, head(world, line, **headers) + body, close=status is None)
    if status is None:
        assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), (what, answer[:300])
    else:
        assert re.match(rb"HTTP/1\.1 (%d|4\d\d) " % status, answer), (what, answer[:300])
    await_that(lambda: world.product.counts()["drafts"] == 0, what="the end of the draft")


@pytest.mark.usefixtures("unchanged")
def test_a_slow_body_holds_nobody_up(world: World) -> None:
    product = world.product
    with socket.create_connection(("127.0.0.1", product.port)) as slow:
        slow.sendall(head(world, "PUT /api/files/temp/slow.csv HTTP/1.1", Content_Length="1000") + b"a")
        began = time.monotonic()
        for _ in range(20):
            assert product.admin.get("/healthz").status_code == 200
        assert time.monotonic() - began < 5
    await_that(lambda: product.counts()["drafts"] == 0, what="the end of the draft")


def test_the_guards_words_hold_for_chunked_bodies_too(world: World) -> None:
    """A body that announces no length is cut where the limit is reached."""

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 100_000

    before = world.product.counts()
    with world.product.client(world.clients["admin"].headers["authorization"][7:]) as client:
        try:
            reply = client.post("/api/apps/me/kinds", content=endless())
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            reply = None
    if reply is not None:
        problem(reply, 413, "too_large")
    assert world.product.counts() == before
