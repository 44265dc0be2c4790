"""Carries flows out with blocking calls."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from sirdar.client import wiring
from sirdar.client.errors import SirdarError
from sirdar.client.exchange import Effect, Emit, Fetch, FilePart, Flow, Once, Open, Pause, Read, Reply, Request
from sirdar.client.retry import RetryPolicy, exchange

T = TypeVar("T")


@dataclass(slots=True)
class Stream:
    """A reply whose body is being read."""

    response: httpx.Response
    chunks: Iterator[bytes]
    head: Reply


class SyncDriver:
    """Runs flows over one ``httpx.Client``. Safe to use from several threads, as httpx is."""

    def __init__(self, http: httpx.Client, policy: RetryPolicy) -> None:
        self.http = http
        self.policy = policy

    def run(self, flow: Flow[T]) -> T:
        """Result of a flow; what it emits is dropped."""
        steps = self._steps(flow)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def iterate(self, flow: Flow[Any]) -> Iterator[Any]:
        """What a flow emits. Closing the iterator closes the flow and its streams."""
        yield from self._steps(flow)

    def _steps(self, flow: Flow[T]) -> Any:
        streams: list[Stream] = []
        answer: Any = None
        failure: SirdarError | None = None
        try:
            while True:
                try:
                    effect = flow.throw(failure) if failure is not None else flow.send(answer)
                except StopIteration as stop:
                    return stop.value
                answer, failure = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    answer = self._perform(effect, streams)
                except SirdarError as error:
                    failure = error
        finally:
            flow.close()
            for stream in streams:
                stream.response.close()

    def _perform(self, effect: Effect, streams: list[Stream]) -> Any:
        match effect:
            case Request():
                return self.run(exchange(effect, self.policy))
            case Once(request):
                return self._once(request)
            case Fetch():
                return self._fetch(effect)
            case Open(request):
                return self._open(request, streams)
            case Read(stream):
                assert isinstance(stream, Stream)
                return self._read(stream)
            case Pause(seconds):
                time.sleep(seconds)
        return None

    def _once(self, request: Request) -> Reply:
        with wiring.connection_errors(str(self.http.base_url)):
            response = self.http.send(self._build(request))
        return wiring.reply_of(response, response.content)

    def _fetch(self, effect: Fetch) -> Reply:
        with wiring.connection_errors(str(self.http.base_url)):
            response = self.http.send(self._build(effect.request), stream=True)
            try:
                if not response.is_success:
                    return wiring.reply_of(response, response.read())
                head = wiring.reply_of(response, b"")
                effect.sink.start(head)
                for chunk in response.iter_bytes(wiring.CHUNK_BYTES):
                    effect.sink.write(chunk)
                return head
            finally:
                response.close()

    def _open(self, request: Request, streams: list[Stream]) -> Stream:
        with wiring.connection_errors(str(self.http.base_url)):
            response = self.http.send(self._build(request), stream=True)
            body = b"" if response.is_success else response.read()
        for old in streams:  # a flow reads one stream at a time; the older one is over
            old.response.close()
        streams[:] = [Stream(response, response.iter_raw(), wiring.reply_of(response, body))]
        return streams[0]

    def _read(self, stream: Stream) -> bytes:
        with wiring.connection_errors(str(self.http.base_url)):
            return next(stream.chunks, b"")

    def _build(self, request: Request) -> httpx.Request:
        content = blocks_of(request.body) if isinstance(request.body, FilePart) else None
        return wiring.build(self.http, request, content)


def blocks_of(part: FilePart) -> Iterator[bytes]:
    """The bytes of a part of a file, read as they are sent."""
    if part.offset is not None:
        part.file.seek(part.offset)
    left = part.length
    while left is None or left > 0:
        block = part.file.read(wiring.CHUNK_BYTES if left is None else min(left, wiring.CHUNK_BYTES))
        if not block:
            return
        if left is not None:
            left -= len(block)
        yield block
