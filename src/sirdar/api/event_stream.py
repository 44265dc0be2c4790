"""Server-sent events as a reply: of the API and of the pages."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sirdar.domain.people import Caller
from sirdar.services.context import Services
from sirdar.services.standing import while_allowed

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
RETRY = b"retry: 2000\n\n"
QUIET = b": still here\n\n"
T = TypeVar("T")


class EventStream(StreamingResponse):
    """Messages for as long as the caller may see them, counted among the streams that the caller has open.

    ``caller`` None: whoever watches by the link of the job ``job_id``; all who do are counted together. Where it is one too
    many, the reply is the problem ``too_many_streams``.
    """

    def __init__(
        self,
        services: Services,
        caller: Caller | None,
        messages: AsyncGenerator[T, None],
        render: Callable[[T], bytes],
        *,
        job_id: str = "",
    ) -> None:
        self._services = services
        self._whose = caller.user_id if caller is not None else f"link:{job_id}"
        self._lines = _lines(while_allowed(services, caller, messages), render)
        super().__init__(self._lines, headers=HEADERS, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._lines):
            with self._services.streams.one_more(self._whose, self._services.settings.user_streams):
                await super().__call__(scope, receive, send)


async def _lines(messages: AsyncGenerator[T, None], render: Callable[[T], bytes]) -> AsyncGenerator[bytes, None]:
    yield RETRY
    async with aclosing(messages):
        async for message in messages:
            yield render(message)
