"""The agent's TCP port, as Everest's programs speak to it: a variable that all tasks of the job share.

After connecting: a 4-byte big-endian length, a byte 0 (mode: messages) and the task's id. Then each message, either way, is a
4-byte big-endian length and its text in UTF-8. ``VAR_SET_MD NAME NUMBER:TEXT`` counts only where the number is less than the old
one; every change is told to the job's other tasks, on whichever machine, as ``VAR_VALUE NAME NUMBER:TEXT``.
"""

import os
import socket
import threading


class Incumbent:
    """The best value that any task has found, and who found it. Outside of a task it is this program's own."""

    def __init__(self, name: str, *, shared: bool) -> None:
        self.value = float("inf")
        self.by = ""
        self.me = os.environ.get("EVEREST_AGENT_TASK_ID", "")
        self._name = name
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        if shared and self.me:
            self._connect()

    def offer(self, value: float, text: str) -> None:
        """Tell of a better one."""
        if self._take(value, self.me) and self._socket is not None:
            self._send(f"VAR_SET_MD {self._name} {value!r}:{self.me} {text}".encode())

    def close(self) -> None:
        """What was sent is on its way before the connection ends: the answer to a question comes after it."""
        if self._socket is not None:
            self._answered.clear()
            self._send(f"VAR_GET {self._name}".encode())
            self._answered.wait(10)
            self._socket.close()

    def _connect(self) -> None:
        address = os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])
        self._socket = socket.create_connection(address, timeout=10)
        self._socket.settimeout(None)
        self._answered = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(b"\0" + self.me.encode())
        self._send(f"VAR_GET {self._name}".encode())
        self._answered.wait(10)

    def _take(self, value: float, by: str) -> bool:
        with self._lock:
            if value >= self.value:
                return False
            self.value, self.by = value, by
            return True

    def _send(self, body: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(len(body).to_bytes(4, "big") + body)

    def _listen(self) -> None:
        assert self._socket is not None
        frames = self._socket.makefile("rb")
        try:
            while header := frames.read(4):
                word, name, said = frames.read(int.from_bytes(header, "big")).decode().split(" ", 2)
                if (word, name) == ("VAR_VALUE", self._name) and said != "NULL":
                    number, _, payload = said.partition(":")
                    self._take(float(number), payload.split(" ")[0])
                self._answered.set()
        except OSError:
            pass  # without its agent the program searches on, with what it knows
