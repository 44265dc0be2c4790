"""Flows that are one request, or one list in pages."""

from collections.abc import Callable
from typing import Any, TypeVar

from sirdar.client.errors import BadReply
from sirdar.client.exchange import Emit, Flow, Reply, Request
from sirdar.client.requests.address import next_page

T = TypeVar("T")


def document(request: Request) -> Flow[dict[str, Any]]:
    """The reply's JSON object."""
    reply: Reply = yield request
    return read(reply, Reply.document)


def value(request: Request) -> Flow[Any]:
    """The reply's JSON, whatever it is; None where there is none."""
    reply: Reply = yield request
    return read(reply, Reply.json)


def sent(request: Request) -> Flow[Reply]:
    """The reply as it came."""
    reply: Reply = yield request
    return reply


def text(request: Request) -> Flow[str]:
    """The reply as text."""
    reply: Reply = yield request
    return reply.body.decode(errors="replace")


def pages(request: Request, limit: int | None = None) -> Flow[None]:
    """Emits the members of a paged list, page by page, ``limit`` of them at most."""
    following: Request | None = request
    left = limit
    while following is not None and left != 0:
        reply: Reply = yield following
        for member in read(reply, Reply.json) or []:
            if left == 0:
                return
            yield Emit(member)
            left = None if left is None else left - 1
        following = next_page(following, reply)


def read(reply: Reply, reader: Callable[[Reply], T]) -> T:
    """What a reader makes of a reply; BadReply where it is not what was expected."""
    try:
        return reader(reply)
    except (ValueError, KeyError, TypeError) as error:
        words = reply.body[:80].decode(errors="replace")
        raise BadReply(
            f"the answer is not what a Sirdar server sends: {words!r}", "check the server's address"
        ) from error
