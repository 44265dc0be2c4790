"""What protects a browser's session: requests that another site sends with our cookie are refused.

A browser says where a request comes from (``Sec-Fetch-Site``, else ``Origin``); programs with the cookie, such as Everest's C++
client, say nothing and are let through, because no browser lets a foreign page leave those headers out. Plain ASGI: it stands
before the hot routes too, and costs them a look at the method and, where they change something, at the headers.
"""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sirdar.api.errors import ProblemResponse
from sirdar.domain.problems import Problem
from sirdar.services.context import Services

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Kinds of content in which a browser would run a stranger's script under our address.
ACTIVE = (b"text/html", b"image/svg+xml", b"application/xhtml+xml", b"text/xml", b"application/xml")
FILES = "/api/files/"
_SANDBOX = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox")


class CrossSiteGuard:
    """Wraps the application; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["method"] not in SAFE_METHODS:
                if is_foreign(scope):
                    await _refuse(scope, receive, send)
                    return
            elif scope["path"].startswith(FILES):
                send = _sandboxing(send)
        await self._app(scope, receive, send)


def is_foreign(scope: Scope) -> bool:
    """Whether a browser says that a page of another site sends this, with nothing but our cookie to prove who asks."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if b"cookie" not in headers or b"authorization" in headers:
        return False
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in {b"same-origin", b"none"}
    origin = headers.get(b"origin")
    if origin is None:
        return False
    host = urlsplit(origin.decode("latin-1")).netloc
    return host != headers.get(b"host", b"").decode("latin-1") and host != _public_host(scope)


def _public_host(scope: Scope) -> str:
    """Behind a proxy the name that users see may be another than the one that the proxy asks for."""
    services: Services = scope["app"].state.services
    return urlsplit(services.settings.url).netloc


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(
        "csrf",
        "Another site sent this request with your session's cookie.",
        hint="Programs send 'Authorization: Bearer TOKEN' instead of the cookie.",
    )
    await ProblemResponse(problem)(scope, receive, send)


def _sandboxing(send: Send) -> Send:
    """A user's file that holds a page is shown without scripts, and as from a site of its own."""

    async def sandboxed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if any(name == b"content-type" and value.lower().startswith(ACTIVE) for name, value in headers):
                message = {**message, "headers": [*headers, _SANDBOX]}
        await send(message)

    return sandboxed
