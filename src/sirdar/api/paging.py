"""How lists leave the server: bare arrays, ``?limit=&after=``, and a ``Link`` header to the next page. And times, as text."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import JSONResponse

T = TypeVar("T")
DEFAULT_LIMIT = 40
MAX_LIMIT = 1000
LONGEST_CURSOR = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most")]
After = Annotated[str, Query(max_length=LONGEST_CURSOR, description="Where to go on: taken from the Link header")]


def page(
    request: Request, found: Sequence[T], limit: int, *, cursor: Callable[[T], str], show: Callable[[T], Any]
) -> JSONResponse:
    """A page of a list. ``found`` was asked for with ``limit + 1``: one more than fits says that there is a next page."""
    shown = found[:limit]
    headers = {}
    if len(found) > limit:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        address = f"{request.url.path}?{urlencode([*query, ('after', cursor(shown[-1]))])}"
        headers["link"] = f'<{address}>; rel="next"'
    return JSONResponse([show(item) for item in shown], headers=headers)


def iso(at: float | None) -> str | None:
    """``2026-11-22T06:40:00.123Z``, or None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
