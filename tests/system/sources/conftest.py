"""Other people's servers, over real sockets on loopback: a web server whose handlers write what they like, its TLS, git."""

import asyncio
import base64
import datetime
import hashlib
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sirdar.domain.app import Code
from sirdar.domain.problems import Problem
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.resolve import Resolved, resolve
from sirdar.services.code.sources import Sources
from sirdar.services.outbound.addresses import AddressPolicy

LOOPBACK = ("127.0.0.0/8", "::1")


class Exchange(BaseHTTPRequestHandler):
    """One request; handlers answer through ``reply``, or write to ``wfile`` what no honest server would."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), "connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def wait_for_stop(self, seconds: float) -> None:
        self.server.web.stopping.wait(seconds)

    def do_GET(self) -> None:
        self.server.web.seen.append(Seen(self.command, self.path, dict(self.headers.items())))
        self.close_connection = True
        path = self.path.partition("?")[0]
        routes = self.server.web.routes
        found = routes.get(path) or next(
            (h for p, h in routes.items() if p.endswith("*") and path.startswith(p[:-1])), None
        )
        try:
            found(self) if found else self.reply(404, b"nothing here")
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # the client had enough, which is what many tests want

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Web:
    """A running web server."""

    port: int = 0
    scheme: str = "http"
    routes: dict[str, Callable[[Exchange], None]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    web: Web

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(web: Web, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    server = _Server(("127.0.0.1", 0), Exchange)
    server.web = web
    web.port = server.server_address[1]
    if tls is not None:
        web.scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as started:
        yield started


@pytest.fixture
def other_web() -> Iterator[Web]:
    with serving(Web()) as started:
        yield started


@pytest.fixture
def loopback() -> AddressPolicy:
    return AddressPolicy(allow=LOOPBACK)


@dataclass(frozen=True)
class Certificates:
    """A server context with a certificate for ``files.example``, and a client context that trusts its authority."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    authority: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "files.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("files.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = directory / "cert.pem", directory / "key.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority, private)
    return Certificates(server, ssl.create_default_context(cafile=str(authority)), authority)


@pytest.fixture
def tls_web(certificates: Certificates) -> Iterator[Web]:
    with serving(Web(), certificates.server) as started:
        yield started


@pytest.fixture
def lies() -> SimpleNamespace:
    """Handlers that break the rules of HTTP, by name."""

    def longer_than_said(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdEXTRA")

    def shorter_than_said(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nabcd")

    def endless(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not exchange.server.web.stopping.is_set():
            exchange.wfile.write(b"x" * 65536)

    def slow(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            exchange.wfile.write(b"x")
            exchange.wfile.flush()
            exchange.wait_for_stop(0.05)
            if exchange.server.web.stopping.is_set():
                break

    def huge_headers(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"y" * 300_000 + b"\r\n\r\n")

    return SimpleNamespace(
        longer_than_said=longer_than_said,
        shorter_than_said=shorter_than_said,
        endless=endless,
        slow=slow,
        huge_headers=huge_headers,
    )


# ---------------------------------------------------------------- git over smart HTTP

DAY = 1_795_132_800  # 2026-11-20 00:00 UTC


@dataclass
class GitRepository:
    """A bare repository that ``web`` serves under ``/git/NAME.git``; with a ``token`` only to who gives it."""

    web: Web
    path: Path
    token: str | None = None

    @property
    def url(self) -> str:
        return self.web.url(f"/git/{self.path.name}")

    def git(self, *arguments: str, body: bytes | None = None) -> str:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_AUTHOR_DATE": f"{DAY} +0300",
            "GIT_COMMITTER_DATE": f"{DAY} +0300",
        }
        command = ["git", f"--git-dir={self.path}", *arguments]
        done = subprocess.run(command, input=body, env=env, capture_output=True, check=True, timeout=30)
        return done.stdout.decode().strip()

    def commit(self, branch: str, files: dict[str, bytes | str], parent: str | None = None) -> str:
        """A commit of exactly these files; a text is a link's target, ``!`` before a name makes it executable."""
        script = b"reset refs/heads/scratch\n" + f"commit refs/heads/{branch}\n".encode()
        script += f"committer A <a@example.org> {DAY} +0300\ndata 1\nx\n".encode()
        script += f"from {parent}\n".encode() if parent else b""
        script += b"deleteall\n"
        for name, content in files.items():
            mode = "120000" if isinstance(content, str) else "100755" if name.startswith("!") else "100644"
            raw = content.encode() if isinstance(content, str) else content
            script += f"M {mode} inline {name.removeprefix('!')}\ndata {len(raw)}\n".encode() + raw + b"\n"
        self.git("fast-import", "--quiet", "--force", body=script)
        return self.git("rev-parse", f"refs/heads/{branch}")

    def serve(self, exchange: Exchange) -> None:
        """What a web server does for ``git http-backend``."""
        expected = "Basic " + base64.b64encode(f"oauth2:{self.token}".encode()).decode()
        if self.token is not None and exchange.headers.get("Authorization") != expected:
            exchange.reply(401, www_authenticate='Basic realm="git"')
            return
        path, _, query = exchange.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_PROJECT_ROOT": str(self.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path.removeprefix("/git"),
            "QUERY_STRING": query,
            "REQUEST_METHOD": exchange.command,
            "CONTENT_TYPE": exchange.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": exchange.headers.get("Content-Length", "0"),
            "HTTP_CONTENT_ENCODING": exchange.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": exchange.headers.get("Git-Protocol", ""),
        }
        command = ["git", "http-backend"]
        done = subprocess.run(command, input=exchange.body(), env=env, capture_output=True, check=False, timeout=30)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(fields.pop("Status", "200").split()[0])
        exchange.reply(status, body, **{name.replace("-", "_").lower(): value for name, value in fields.items()})


@pytest.fixture
def repository(web: Web, tmp_path: Path) -> GitRepository:
    made = GitRepository(web, tmp_path / "served" / "model.git")
    made.path.parent.mkdir()
    made.git("init", "--quiet", "--bare", "--initial-branch=main", str(made.path))
    web.routes["/git/model.git/*"] = made.serve
    return made


# ---------------------------------------------------------------- resolving code


class Blobs:
    """Keeps what is put, by digest."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, path: Path) -> tuple[str, int]:
        body = await anyio.Path(path).read_bytes()
        sha256 = hashlib.sha256(body).hexdigest()
        self.kept[sha256] = body
        return sha256, len(body)


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


@pytest.fixture
def sources(loopback: AddressPolicy) -> Sources:
    return Sources(loopback, timeout_s=30)


@pytest.fixture
def cache(tmp_path: Path) -> ArchiveCache:
    return ArchiveCache(tmp_path / "cache")


@pytest.fixture
def take(sources: Sources, cache: ArchiveCache, blobs: Blobs) -> Callable[..., Resolved]:
    def take(code: Code, values: dict[str, Any] | None = None, **changes: Any) -> Resolved:
        settings = {"secrets": {}, "sources": sources, "cache": cache, "put_blob": blobs.put, **changes}
        return asyncio.run(resolve(code, values=values or {}, **settings))

    return take


@pytest.fixture
def fails(take: Callable[..., Resolved]) -> Callable[..., Problem]:
    """Resolves code that cannot be, and gives the Problem, whose code and words it has checked."""

    def fails(code: Code, expected: str, *words: str, **changes: Any) -> Problem:
        with pytest.raises(Problem) as caught:
            take(code, **changes)
        assert caught.value.code == expected, caught.value.detail
        for word in words:
            assert word in caught.value.detail
        return caught.value

    return fails
