"""Carries flows out under asyncio or trio (through anyio, which httpx brings)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from sirdar.client import wiring
from sirdar.client.driver_sync import blocks_of
from sirdar.client.errors import SirdarError
from sirdar.client.exchange import Effect, Emit, Fetch, FilePart, Flow, Once, Open, Pause, Read, Reply, Request
from sirdar.client.retry import RetryPolicy, exchange

T = TypeVar("T")


@dataclass(slots=True)
class Stream:
    """A reply whose body is being read."""

    response: httpx.Response
    chunks: AsyncIterator[bytes]
    head: Reply


@dataclass(slots=True)
class Result:
    """The last step of a flow: what it returned (asynchronous generators cannot return values)."""

    value: Any


class AsyncDriver:
    """Runs flows over one ``httpx.AsyncClient``."""

    def __init__(self, http: httpx.AsyncClient, policy: RetryPolicy) -> None:
        self.http = http
        self.policy = policy

    async def run(self, flow: Flow[T]) -> T:
        """Result of a flow; what it emits is dropped."""
        steps = self._steps(flow)
        try:
            async for step in steps:
                if isinstance(step, Result):
                    result: T = step.value
                    return result
        finally:
            await steps.aclose()
        raise AssertionError("a flow ends by returning or raising")

    async def iterate(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """What a flow emits. Closing the iterator closes the flow and its streams."""
        steps = self._steps(flow)
        try:
            async for step in steps:
                if not isinstance(step, Result):
                    yield step.value
        finally:
            await steps.aclose()

    async def _steps(self, flow: Flow[Any]) -> Any:
        streams: list[Stream] = []
        answer: Any = None
        failure: SirdarError | None = None
        try:
            while True:
                try:
                    effect = flow.throw(failure) if failure is not None else flow.send(answer)
                except StopIteration as stop:
                    yield Result(stop.value)
                    return
                answer, failure = None, None
                if isinstance(effect, Emit):
                    yield effect
                    continue
                try:
                    answer = await self._perform(effect, streams)
                except SirdarError as error:
                    failure = error
        finally:
            flow.close()
            for stream in streams:
                await stream.response.aclose()

    async def _perform(self, effect: Effect, streams: list[Stream]) -> Any:
        match effect:
            case Request():
                return await self.run(exchange(effect, self.policy))
            case Once(request):
                return await self._once(request)
            case Fetch():
                return await self._fetch(effect)
            case Open(request):
                return await self._open(request, streams)
            case Read(stream):
                assert isinstance(stream, Stream)
                return await self._read(stream)
            case Pause(seconds):
                await anyio.sleep(seconds)
        return None

    async def _once(self, request: Request) -> Reply:
        with wiring.connection_errors(str(self.http.base_url)):
            response = await self.http.send(self._build(request))
        return wiring.reply_of(response, response.content)

    async def _fetch(self, effect: Fetch) -> Reply:
        with wiring.connection_errors(str(self.http.base_url)):
            response = await self.http.send(self._build(effect.request), stream=True)
            try:
                if not response.is_success:
                    return wiring.reply_of(response, await response.aread())
                head = wiring.reply_of(response, b"")
                effect.sink.start(head)
                async for chunk in response.aiter_bytes(wiring.CHUNK_BYTES):
                    await anyio.to_thread.run_sync(effect.sink.write, chunk)
                return head
            finally:
                await response.aclose()

    async def _open(self, request: Request, streams: list[Stream]) -> Stream:
        with wiring.connection_errors(str(self.http.base_url)):
            response = await self.http.send(self._build(request), stream=True)
            body = b"" if response.is_success else await response.aread()
        for old in streams:  # a flow reads one stream at a time; the older one is over
            await old.response.aclose()
        streams[:] = [Stream(response, response.aiter_raw(), wiring.reply_of(response, body))]
        return streams[0]

    async def _read(self, stream: Stream) -> bytes:
        with wiring.connection_errors(str(self.http.base_url)):
            return await anext(stream.chunks, b"")

    def _build(self, request: Request) -> httpx.Request:
        content = _blocks(request.body) if isinstance(request.body, FilePart) else None
        return wiring.build(self.http, request, content)


async def _blocks(part: FilePart) -> AsyncIterator[bytes]:
    blocks = blocks_of(part)
    while block := await anyio.to_thread.run_sync(next, blocks, b""):
        yield block
