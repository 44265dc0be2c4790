"""A TCP proxy on loopback that counts what passes, and cuts or spoils it where it is told to. Tests and benches use it."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field

PIECE_BYTES = 1 << 18


@dataclass
class Fault:
    """At the byte ``at`` of what has gone ``down`` (to the client) or up, of all connections together: once."""

    at: int
    what: str  # "cut" or "spoil"
    down: bool = True
    happened: threading.Event = field(default_factory=threading.Event)


class Wire:
    """Listens on a free port and passes on to ``host:port``. ``up`` and ``down``: bytes that came from clients and went to them."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.up = 0
        self.down = 0
        self.connections = 0
        self.faults: list[Fault] = []
        self._target = (host, port)
        self._blocked = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, what: str, after: int, *, down: bool = True) -> Fault:
        """A fault ``after`` so many more bytes in that direction."""
        with self._lock:
            fault = Fault((self.down if down else self.up) + after, what, down)
            self.faults.append(fault)
        return fault

    def block(self) -> None:
        """Nothing passes: connections break, and new ones are closed at once."""
        self._blocked = True
        self._break()

    def unblock(self) -> None:
        self._blocked = False

    def _break(self) -> None:
        with self._lock:
            for connection in self._open:
                _shut(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break()
        for thread in self._threads:
            thread.join(10)

    # ------------------------------------------------------------ in threads

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._blocked:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self.connections += 1
                self._open |= {client, server}
            for source, target, down in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._pass, args=(source, target, down), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        try:
            while size := source.recv_into(buffer):
                if not self._count(buffer[:size], down):
                    break
                target.sendall(buffer[:size])
        except OSError:
            pass
        with self._lock:
            for connection in (source, target):
                _shut(connection)
            self._open -= {source, target}
        source.close()  # the other end is closed by the thread that reads from it

    def _count(self, piece: memoryview, down: bool) -> bool:
        """False where the line is cut here."""
        with self._lock:
            before = self.down if down else self.up
            if down:
                self.down += len(piece)
            else:
                self.up += len(piece)
            met = [f for f in self.faults if f.down is down and before <= f.at < before + len(piece)]
            self.faults = [fault for fault in self.faults if fault not in met]
        for fault in met:
            fault.happened.set()
            if fault.what == "cut":
                return False
            piece[fault.at - before] ^= 0xFF
        return True


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
