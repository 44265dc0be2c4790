"""The way out through a proxy: ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as other programs read them.

Loopback is always reached directly. A proxy is spoken to by plain HTTP; for https it is asked for a tunnel (CONNECT), through which
the server's own certificate is checked.
"""

import base64
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

HEAD_MOST_BYTES = 64 << 10
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Where systems keep their certificates, for a Python that was built for another one.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class ProxyRefused(OSError):
    """The proxy does not let the connection through."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens, and what proves who asks (a header's value; empty: nothing)."""

    host: str
    port: int
    authorization: str = ""

    @property
    def header(self) -> str:
        return f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy through which an address is reached; None: directly. Raises ValueError for one that cannot be used."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or _is_excepted(host, parts.port, _variable("NO_PROXY", environ)):
        return None
    given = _variable(f"{parts.scheme.upper()}_PROXY", environ) or _variable("ALL_PROXY", environ)
    return _parse(given) if given else None


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What programs need to take the same way."""
    names = [*VARIABLES, *(name.lower() for name in VARIABLES)]
    return {name: environ[name] for name in names if environ.get(name)}


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name.lower()) or environ.get(name) or ""


def _parse(text: str) -> Proxy:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy {parts.scheme}://{parts.hostname} cannot be used: http://HOST:PORT is expected")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_excepted(host: str, port: int | None, no_proxy: str) -> bool:
    return any(_matches(host, port, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry == "*":
        return True
    if (address := _address(host)) is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            return False
    name, _, entry_port = entry.partition(":")
    if entry_port and entry_port != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def open_tunnel(proxy: Proxy, host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection through the proxy to the server. Blocks. Raises OSError (ProxyRefused where the proxy says no)."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = socket.create_connection((proxy.host, proxy.port), timeout_s)
    try:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{proxy.header}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # one at a time: what follows belongs to the server
            piece = connection.recv(1)
            if not piece or len(head) > HEAD_MOST_BYTES:
                raise ProxyRefused(f"the proxy {proxy.host}:{proxy.port} closed the connection")
            head += piece
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if len(words) < 2 or not words[1].startswith("2"):
            raise ProxyRefused(f"the proxy {proxy.host}:{proxy.port} answers {' '.join(words[1:])[:80]!r}")
        connection.setblocking(False)
        return connection
    except BaseException:
        connection.close()
        raise


def tls_context() -> ssl.SSLContext:
    """Checks servers by the system's certificates, or those that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        bundle = next((path for path in BUNDLES if Path(path).exists()), None)
        if bundle is not None:
            context.load_verify_locations(bundle)
    return context
