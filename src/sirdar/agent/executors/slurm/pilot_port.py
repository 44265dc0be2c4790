"""Where pilots call in: a port of the login node. Each proves that it knows the token, and has the agent prove it."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.node import handshake

log = get_logger(__name__)

HELLO_PATIENCE_S = 10.0
HELLO_MOST_BYTES = 1 << 16

Serve = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PilotPort:
    """``serve`` gets each pilot that has proved itself, and returns when its connection is over."""

    def __init__(self, token: str, serve: Serve) -> None:
        self._token = token
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self, address: str, preferred: int) -> None:
        """Where possible on the port of the agent's last life. Raises OSError."""
        for port in dict.fromkeys([preferred, 0]):
            try:
                self._server = await asyncio.start_server(self._accept, address, port, limit=HELLO_MOST_BYTES)
                break
            except OSError as error:
                if port == 0:
                    raise
                log.warning("pilot_port_taken", port=port, error=str(error))
        assert self._server is not None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            pilot = await self._greet(reader, writer)
            if pilot is not None:
                handshake.keep_alive(writer.get_extra_info("socket"))
                await self._serve(pilot, reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.warning("pilot_connection_broke", error=f"{type(error).__name__}: {error}")
        except asyncio.CancelledError:
            return  # the agent ends: asyncio would complain of a connection's task that was cancelled
        finally:
            self._connections.discard(task)
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        async with asyncio.timeout(HELLO_PATIENCE_S):
            hello = json.loads(await reader.readline() or b"{}")
            pilot, challenge = hello.get("pilot"), hello.get("nonce")
            if not isinstance(pilot, str) or not isinstance(challenge, str):
                return None
            own = handshake.nonce()
            answer = {"mac": handshake.proof(self._token, "agent", challenge, pilot), "nonce": own}
            writer.write(json.dumps(answer).encode() + b"\n")
            given = json.loads(await reader.readline() or b"{}")
        if not handshake.proves(given.get("mac"), self._token, "pilot", own, pilot):
            log.warning("pilot_without_token", pilot=pilot[:40])
            return None
        return pilot
