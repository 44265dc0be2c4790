"""The TCP port on which a running program talks to its agent: status messages, and variables shared by a job's tasks.

The client sends a length, a byte 0 (mode: messages) and its task id, which is its only credential; thereafter frames
go both ways: ``VAR_GET NAME``, ``VAR_SET NAME VALUE``, ``VAR_SET_MD NAME VALUE``, answered or announced by ``VAR_VALUE NAME
VALUE``; any other text is the task's status message.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.events import get_logger
from sirdar.agent.frames import HEADER_BYTES, Decoder, FrameError, encode
from sirdar.wire.agent import VarsReply, VarsRequest

log = get_logger(__name__)

GREETING_MOST_BYTES = 256
GREETING_PATIENCE_S = 10.0
REST_S = 0.05
UNSET = "NULL"

Operation = tuple[Literal["get", "set", "set_md"], str, str | None]


class Client:
    """One connection of a task."""

    def __init__(self, attempt: Attempt, writer: asyncio.StreamWriter) -> None:
        self.attempt = attempt
        self._writer = writer
        self._told: dict[str, str] = {}

    def tell(self, name: str, value: str) -> None:
        """Announces a variable, unless the task knows this value already."""
        if self._told.get(name) != value:
            self.answer(name, value)

    def answer(self, name: str, value: str | None) -> None:
        if value is not None:
            self._told[name] = value
        self._writer.write(encode(f"VAR_VALUE {name} {UNSET if value is None else value}"))

    def knows(self, name: str, value: str) -> None:
        self._told[name] = value


class TaskPort:
    """Listens for the programs of this agent. ``on_message`` is told of each status message."""

    def __init__(
        self,
        attempts: Attempts,
        ask: Callable[[VarsRequest], Awaitable[VarsReply]],
        on_message: Callable[[Attempt, str], None],
    ) -> None:
        self._attempts = attempts
        self._ask = ask
        self._on_message = on_message
        self._clients: dict[str, set[Client]] = {}
        self._latest: dict[str, dict[str, tuple[int, str]]] = {}  # by job and name: the latest change that was heard of
        self._catching_up: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self, address: str, port: int, preferred: int = 0) -> int:
        """Listens, where possible on the port of the agent's last life, which running programs know."""
        for candidate in dict.fromkeys([port or preferred, port or 0]):
            try:
                self._server = await asyncio.start_server(self._serve, address, candidate)
            except OSError as error:
                if candidate == port:
                    raise
                log.warning("task_port_taken", port=candidate, error=str(error))
            else:
                break
        assert self._server is not None
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [*self._connections, *([self._catching_up] if self._catching_up else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def push(self, changes: Iterable[tuple[str, str, str, int]]) -> None:
        """Announces variables that other agents' tasks have changed. One that is older than what is known here is dropped."""
        for job, name, value, version in changes:
            if job in self._clients and self._is_news(job, name, value, version):
                for client in self._clients[job]:
                    client.tell(name, value)

    def catch_up(self) -> None:
        """News may have been lost: asks for all variables of the jobs whose tasks are connected."""
        if self._clients and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = asyncio.create_task(self._ask_for_all(list(self._clients)))

    async def _ask_for_all(self, jobs: list[str]) -> None:
        for job in jobs:
            reply = await self._ask(VarsRequest(job=job, ops=[], all=True))
            self.push((job, name, value, version) for name, value, version in reply.all)

    def _is_news(self, job: str, name: str, value: str, version: int) -> bool:
        """Notes the change, unless a later one is known."""
        latest = self._latest.setdefault(job, {})
        if version <= latest.get(name, (0, ""))[0]:
            return False
        latest[name] = (version, value)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            async with asyncio.timeout(GREETING_PATIENCE_S):
                attempt = await self._greet(reader)
            if attempt is not None:
                await self._talk(Client(attempt, writer), reader, writer)
        except (OSError, FrameError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("task_connection_ended", error=str(error))
        finally:
            self._connections.discard(task)
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader) -> Attempt | None:
        length = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
        if not 1 < length <= GREETING_MOST_BYTES:
            return None
        greeting = await reader.readexactly(length)
        return self._attempts.get(greeting[1:].decode(errors="replace")) if greeting[0] == 0 else None

    async def _talk(self, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients = self._clients.setdefault(client.attempt.job, set())
        clients.add(client)
        decoder = Decoder()
        reading: asyncio.Task[bytes] | None = None
        try:
            while True:
                reading = reading or asyncio.create_task(reader.read(1 << 16))
                await asyncio.wait([reading], timeout=REST_S if decoder.undecided else None)
                if not reading.done():
                    texts = decoder.rest()
                    if not texts:
                        await asyncio.wait([reading])
                else:
                    raw = reading.result()
                    reading = None
                    texts = decoder.feed(raw) if raw else decoder.rest()
                    if not raw and not texts:
                        return
                for text in texts:
                    await self._take(client, text)
                await writer.drain()
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            clients.discard(client)
            if not clients:
                self._clients.pop(client.attempt.job, None)
                self._latest.pop(client.attempt.job, None)

    async def _take(self, client: Client, text: str) -> None:
        verb, _, rest = text.partition(" ")
        name, _, value = rest.partition(" ")
        match verb:
            case "VAR_GET" if name:
                client.answer(name, await self._operate(client, ("get", name, None)))
            case "VAR_SET" if name:
                await self._change(client, ("set", name, value))
            case "VAR_SET_MD" if name:
                await self._change(client, ("set_md", name, value))
            case _:
                self._on_message(client.attempt, text)

    async def _change(self, client: Client, operation: Operation) -> None:
        """Sets, and tells the job's other tasks here; those elsewhere hear of it through the server."""
        _, name, asked = operation
        value = await self._operate(client, operation)
        if value is None:
            return
        if value == asked:
            client.knows(name, value)
        for other in self._clients.get(client.attempt.job, ()):
            if other is not client or value != asked:
                other.tell(name, value)

    async def _operate(self, client: Client, operation: Operation) -> str | None:
        """The variable's value afterwards: the server's, or a later one that was announced meanwhile. None where it is unset."""
        job, (_, name, _) = client.attempt.job, operation
        reply = await self._ask(VarsRequest(job=job, ops=[operation]))
        value = reply.values[0] if reply.values else None
        if value is None or self._is_news(job, name, value, reply.versions[0]):
            return value
        return self._latest[job][name][1]
