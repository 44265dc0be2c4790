"""Status messages to the agent over its TCP port, as Everest's programs send them.

After connecting: a 4-byte big-endian length, a byte 0 (mode: messages) and the task's id. Then each message is a 4-byte
big-endian length and its text in UTF-8.
"""

import os
import socket


class AgentPort:
    """Keeps a connection and makes it anew after a break; outside of a task ``tell`` does nothing."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def tell(self, text: str) -> bool:
        """True where the message is on its way; False where the agent is away, so that the caller tries again."""
        if "EVEREST_AGENT_PORT" not in os.environ:
            return True
        try:
            if self._socket is None:
                address = os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])
                self._socket = socket.create_connection(address, timeout=5)
                self._send(b"\0" + os.environ["EVEREST_AGENT_TASK_ID"].encode())
            self._send(text.encode())
        except OSError:
            self.close()
            return False
        return True

    def _send(self, body: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(len(body).to_bytes(4, "big") + body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
