"""What the machine and this stack can do at best: a bare ASGI application under the same uvicorn settings as ``sirdar up``.

``python -m bench.bare FOLDER`` prints ``ready URL``. Routes: ``POST /row`` answers when one row is committed (SQLite in WAL mode,
``synchronous=FULL``, a writer thread that commits all that has queued up at once); ``POST /spawn`` answers when ``/bin/true`` has
run and three small writes are on the disk; ``POST /reply`` answers.
"""

import asyncio
import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from sirdar.server.process import _config

ROOT = Path(__file__).resolve().parent.parent
MAX_BATCH = 256
SYNCS = 3
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;"
TABLE = (
    "CREATE TABLE jobs (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, owner TEXT, name TEXT, inputs TEXT, created_at REAL)"
)
INSERT = "INSERT INTO jobs (id, owner, name, inputs, created_at) VALUES (?, ?, ?, ?, ?)"


class Rows:
    """One table, and the thread that commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[tuple[Any, ...], asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._write_forever, daemon=True).start()

    async def add(self, body: bytes) -> str:
        """The id of a row that is durable."""
        made: asyncio.Future[None] = self._loop.create_future()
        row_id = os.urandom(10).hex()
        self._queue.put(((row_id, "0123456789abcdef", "true", body.decode(), time.time()), made))
        await made
        return row_id

    def _write_forever(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.executescript(PRAGMAS + TABLE)
        while True:
            batch = [self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [row for row, _ in batch])
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_answer, [made for _, made in batch])


def _answer(futures: list["asyncio.Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class Bare:
    """The application."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: Rows | None = None
        self._facts = os.open(folder / "facts", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        content = await self._content(scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        self._rows = Rows(self._folder / "bare.db")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _content(self, path: str, body: bytes) -> bytes:
        if path == "/row":
            assert self._rows is not None
            return b'{"id":"%s"}' % (await self._rows.add(body)).encode()
        if path == "/spawn":
            self._spawn_and_sync()
        return b"{}"

    def _spawn_and_sync(self) -> None:
        """A program, and three facts on the disk, with nothing between them that could be left out."""
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        for _ in range(SYNCS):
            os.write(self._facts, b"x" * 400)
            os.fdatasync(self._facts)


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(_config(Bare(Path(sys.argv[1]))))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))


@contextmanager
def running(work: Path) -> Iterator[str]:
    """The bare server as a process of its own; its address. It has answered once when this begins."""
    folder = work / "bare"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) != 2:
            raise RuntimeError("the bare server did not start")
        yield words[1].decode()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    main()
