"""Pieces of addresses and parameters that all builders use."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from sirdar.client.exchange import Reply, Request


def piece(text: str) -> str:
    """One segment of a path, with everything in it quoted."""
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot stand in an address")
    return quote(text, safe="@:~")


def params(values: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Query parameters as text; those that are None are left out, a list is named once for each of its members."""
    return {
        name: [_text(one) for one in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request, without what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def local_path(uri: str, base_url: str = "") -> str:
    """Path (with query) of a URI of the server's own. Raises ValueError for an address elsewhere.

    The token goes along with every request, so a URI from a reply must not lead it to another server.
    """
    parts = urlsplit(uri)
    base = urlsplit(base_url)
    if (parts.scheme or parts.netloc) and (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
        raise ValueError(f"{uri!r} is not an address of this server")
    if not parts.path.startswith("/"):
        raise ValueError(f"{uri!r} is not an address of a file")
    return parts.path + (f"?{parts.query}" if parts.query else "")


def next_page(request: Request, reply: Reply) -> Request | None:
    """The request for the page after this one, by the ``Link`` header, or None at the last."""
    for link in reply.headers.get("link", "").split(","):
        target, _, rest = link.strip().partition(">")
        if 'rel="next"' in rest or "rel=next" in rest:
            parts = urlsplit(target.lstrip("<"))
            return Request("GET", f"{parts.path}?{parts.query}", headers=request.headers)
    return None


def instant(text: str | None) -> datetime | None:
    """A time of the API (ISO-8601, UTC) as an aware datetime."""
    if not text:
        return None
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
