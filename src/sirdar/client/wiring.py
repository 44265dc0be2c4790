"""What both drivers share: the settings of httpx, and its errors as ours."""

import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from sirdar import __version__
from sirdar.client.errors import NotConfigured, ServerUnreachable
from sirdar.client.exchange import FilePart, Reply, Request
from sirdar.client.profile import is_loopback

CHUNK_BYTES = 256 * 1024
CONNECT_TIMEOUT_S = 10.0
WRAPPERS = frozenset({"httpx", "httpcore"})
NETWORK = WRAPPERS | {"ssl", "socket", "selectors", "anyio", "asyncio", "trio", "socksio", "gevent", "eventlet"}


def settings(url: str, token: str | None) -> dict[str, Any]:
    """Arguments of ``httpx.Client`` and its twin.

    Redirects are not followed, so that a token goes to no server but the one that was named. A proxy of the
    environment is not asked for loopback.
    """
    check_url(url)
    headers = {"User-Agent": f"sirdar/{__version__}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return {
        "base_url": url,
        "headers": headers,
        "follow_redirects": False,
        "timeout": httpx.Timeout(30.0, connect=CONNECT_TIMEOUT_S),
        "limits": httpx.Limits(max_connections=32, max_keepalive_connections=16),
        # Certificates take 20 ms to load, and over plain HTTP to this machine, past any proxy, nothing asks for them.
        "verify": not (is_loopback(url) and urlsplit(url).scheme == "http"),
        "mounts": {f"all://{_host_pattern(url)}": None} if is_loopback(url) else None,
    }


def _host_pattern(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def check_url(url: str) -> None:
    """Raises NotConfigured where it is no http(s) address."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotConfigured(f"{url!r} is no address of a server", "write it as http://host:port or https://host")


def build(
    http: httpx.Client | httpx.AsyncClient, request: Request, content: Iterator[bytes] | AsyncIterator[bytes] | None
) -> httpx.Request:
    """The request as httpx sends it; ``content`` stands for a body that is part of a file."""
    headers = dict(request.headers)
    if isinstance(request.body, FilePart) and request.body.length is not None:
        headers["Content-Length"] = str(request.body.length)
    return http.build_request(
        request.method,
        request.path,
        params=dict(request.params) or None,
        json=request.json,
        content=content if content is not None else (request.body if isinstance(request.body, bytes) else None),
        headers=headers,
        timeout=httpx.Timeout(request.timeout_s, connect=CONNECT_TIMEOUT_S),
    )


def reply_of(response: httpx.Response, body: bytes) -> Reply:
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


@contextmanager
def connection_errors(url: str) -> Iterator[None]:
    """Turns what httpx raises when no whole answer came into ServerUnreachable."""
    try:
        with _errors_of_callers():
            yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        message = f"no server answers at {url.rstrip('/')} ({_words(error)})"
        raise ServerUnreachable(message, "is it running? `sirdar up` starts one here", sent=False) from error
    except httpx.TimeoutException as error:
        raise ServerUnreachable(f"the server at {url.rstrip('/')} did not answer in time") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise ServerUnreachable(f"the connection to {url.rstrip('/')} broke ({_words(error)})") from error
    except httpx.InvalidURL as error:
        raise NotConfigured(f"{url!r} is no address of a server ({error})") from error


@contextmanager
def _errors_of_callers() -> Iterator[None]:
    """Lets through what a handler of a signal raised in the midst of a call, such as the TimeoutError of somebody's alarm.

    httpx takes any OSError for one of the network's. (It drops those that are no TimeoutError where they come in the midst of
    sending, and reads on.) What the caller was dealing with when it called is the context of all, and nobody's doing here.
    """
    before = sys.exc_info()[1]
    try:
        yield
    except httpx.TransportError as error:
        own = _of_a_handler(error, before)
        if own is None:
            raise
    else:
        return
    raise own


def _of_a_handler(error: httpx.TransportError, before: BaseException | None) -> BaseException | None:
    """Python runs handlers in the main thread; what they raise begins in none of the modules of the network.

    ``before``: an exception that was there before the call, and whose own causes are not looked at.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    first: BaseException | None = error
    while first is not None and first is not before and type(first).__module__.partition(".")[0] in WRAPPERS:
        first = first.__cause__ or first.__context__  # httpcore hides the cause, its context stays
    begun = first.__traceback__ if isinstance(first, OSError) and first is not before else None
    while begun is not None and begun.tb_next is not None:
        begun = begun.tb_next
    if begun is None or str(begun.tb_frame.f_globals.get("__name__")).partition(".")[0] in NETWORK:
        return None
    return first


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
