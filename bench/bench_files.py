"""Files: 2 GB up and down against ``cp`` and fsync, the server's memory meanwhile; 10,000 files of 1 KB into a task's directory.

The senders are as thin as they can be (``sendfile`` from the page cache; ``recv`` straight into the file, fsynced), so what is
measured is the server. Both copies lie on the disk of the bench's own directory. ``--quick`` takes a tenth.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.report import Config, Row, alternate, medians, seconds, spread
from sirdar.wire.staging import StageEntry, stage_files

SIZE_BYTES = 2_000_000_000
SMALL_FILES = 10_000
GROWTH_MIB = 64.0
PIECE_BYTES = 1 << 20
SERVER = Path(__file__).parents[1] / "tests/unit/files/serve_files.py"


def run(config: Config) -> list[Row]:
    share = 10 if config.quick else 1
    return _transfer(config, SIZE_BYTES // share) + _stage(config, SMALL_FILES // share)


# ---------------------------------------------------------------- up and down


def _transfer(config: Config, size: int) -> list[Row]:
    source = config.work / "source"
    _fill(source, size)
    digest = _digest(source)
    with _serve(config.work / "home") as (port, token, pid):
        uris: list[str] = []

        def up() -> float:
            reply, took_s = _put(port, token, source)
            assert (reply["length"], reply["sha256"]) == (size, digest), reply
            uris.append(str(reply["uri"]))
            return size / took_s / 1e6

        def down() -> float:
            target = config.work / "target"
            took_s = seconds(lambda: _get(port, token, uris[-1], target))
            assert target.stat().st_size == size and _digest(target) == digest
            target.unlink()
            return size / took_s / 1e6

        def copy() -> float:
            target = config.work / "target"
            took_s = seconds(lambda: _copy(source, target))
            target.unlink()
            return size / took_s / 1e6

        _put(port, token, source, limit_bytes=1_000_000)  # what the server loads at its first file is no growth
        before_kib = _peak_kib(pid)
        figures = alternate(config.rounds, {"copy": copy, "up": up, "down": down})
        growth_mib = (_peak_kib(pid) - before_kib) / 1024
    source.unlink()
    shutil.rmtree(config.work / "home")
    middle = medians(figures)
    rows = [
        Row(
            f"{size / 1e9:g} GB {what}, hashed and durable",
            middle[what],
            "MB/s",
            limit=middle["copy"],
            limit_what="cp and fsync",
            ratio_at_least=0.5,
            note=f"{spread(figures[what])}; cp {spread(figures['copy'])}",
        )
        for what in ("up", "down")
    ]
    note = "peak resident memory after all of them, less that before"
    return [*rows, Row("growth of the server meanwhile", growth_mib, "MiB", at_most=GROWTH_MIB, note=note)]


@contextlib.contextmanager
def _serve(home: Path) -> Iterator[tuple[int, str, int]]:
    """(port, token, process id) of a server without an agent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {**os.environ, "SIRDAR_QUOTA_BYTES": str(10**13)}
    command = [sys.executable, str(SERVER), str(home), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            assert process.stdout is not None
            yield port, json.loads(process.stdout.readline())["alice"], process.pid
        finally:
            process.terminate()


def _put(port: int, token: str, source: Path, *, limit_bytes: int | None = None) -> tuple[dict[str, object], float]:
    """The reply, and the seconds from the first byte to it."""
    with socket.create_connection(("127.0.0.1", port)) as connection, source.open("rb") as file:
        size = limit_bytes or source.stat().st_size
        head = f"PUT /api/files/temp/source HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        reply = b""

        def send() -> None:
            nonlocal reply
            connection.sendall(f"{head}Content-Length: {size}\r\nConnection: close\r\n\r\n".encode())
            connection.sendfile(file, count=size)
            while chunk := connection.recv(65536):
                reply += chunk

        took_s = seconds(send)
    assert reply.startswith(b"HTTP/1.1 200"), reply
    return json.loads(reply.partition(b"\r\n\r\n")[2]), took_s


def _get(port: int, token: str, uri: str, target: Path) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{uri}", headers={"Authorization": f"Bearer {token}"})
    buffer = memoryview(bytearray(PIECE_BYTES))
    with urllib.request.urlopen(request) as reply, target.open("wb", buffering=0) as file:
        written = 0
        while size := reply.readinto(buffer):
            file.write(buffer[:size])
            written += size
            if written >= 16 * PIECE_BYTES:
                os.posix_fadvise(file.fileno(), file.tell() - written, written, os.POSIX_FADV_DONTNEED)
                written = 0
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", source, target], check=True)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _fill(path: Path, size: int) -> None:
    piece = os.urandom(10_000_000)
    with path.open("wb") as file:
        for _ in range(size // len(piece)):
            file.write(piece)
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _peak_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


# ---------------------------------------------------------------- many small files


def _stage(config: Config, count: int) -> list[Row]:
    tree, blobs, task = (config.work / name for name in ("tree", "blobs", "task"))
    entries = _prepare(tree, blobs, task, count)

    def clear() -> None:
        shutil.rmtree(task, ignore_errors=True)

    def timed(run: object) -> float:
        clear()
        took_s = seconds(run)  # type: ignore[arg-type]
        assert sum(len(files) for _, _, files in os.walk(task)) == count
        return took_s

    figures = alternate(
        config.rounds,
        {
            "cp": lambda: timed(lambda: subprocess.run(["cp", "-r", tree, task], check=True)),
            "staged": lambda: timed(lambda: stage_files(entries)),
            "copied": lambda: timed(lambda: stage_files(entries, link_many_over=count)),
        },
    )
    clear()
    middle = medians(figures)
    what = f"{count:,} files of 1 KB into a task's directory"
    note = f"{spread(figures['staged'])}; cp {spread(figures['cp'])}"
    copied = f"as it would be without links; {spread(figures['copied'])}"
    return [
        Row(what, middle["staged"], "s", middle["cp"], "cp -r", at_most=3.0, ratio_at_most=0.5, note=note),
        Row(f"{what}, all copied", middle["copied"], "s", middle["cp"], "cp -r", note=copied),
    ]


def _prepare(tree: Path, blobs: Path, task: Path, count: int) -> list[StageEntry]:
    """The same files twice: as a tree for ``cp``, as blobs for staging."""
    entries = []
    for number in range(count):
        content = os.urandom(1024)
        name = f"{number // 100}/{number}.dat"
        sha256 = hashlib.sha256(content).hexdigest()
        for path in (tree / name, blobs / sha256[:2] / sha256):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        path.chmod(0o444)
        entries.append(StageEntry(str(path), str(task / name), 0o644, 1024))
    return entries
