"""A PostgreSQL of the bench's own, on a Unix socket, as durable as it comes: what is committed is on the disk."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

SETTINGS = {"listen_addresses": "", "max_connections": "100", "shared_buffers": "128MB", "log_min_messages": "error"}
SAMPLE_EVERY_S = 0.05
_WAITS = (
    "SELECT coalesce(wait_event_type || ' ' || wait_event, 'on a core') FROM pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = %s"
)


@dataclass
class Postgres:
    directory: Path
    binaries: Path
    user: Any = None
    process: "subprocess.Popen[bytes] | None" = None
    _numbers: list[int] = field(default_factory=lambda: [0])

    def url(self, database: str) -> str:
        return f"postgresql://sirdar@/{database}?host={self.directory}"

    def new_database(self) -> str:
        self._numbers[0] += 1
        name = f"bench{self._numbers[0]}"
        with self.connect("postgres") as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        return name

    def connect(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.url(database), autocommit=True)

    def deadlocks(self, database: str) -> int:
        with self.connect(database) as db:
            row = db.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", (database,)).fetchone()
        return int(row[0]) if row else 0

    def pids(self) -> list[int]:
        """The server and all its processes."""
        assert self.process is not None
        own = self.process.pid
        return [own, *(pid for pid, parent in _parents().items() if parent == own)]

    def start(self) -> None:
        if self.user is not None:
            shutil.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        data = str(self.directory / "data")
        options = ["-U", "sirdar", "-A", "trust", "-E", "UTF8", "--locale=C"]
        if self._spawn("initdb", "-D", data, *options).wait(120) != 0:
            raise RuntimeError((self.directory / "log").read_text()[-2000:])
        words = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self.process = self._spawn("postgres", "-D", data, "-c", f"unix_socket_directories={self.directory}", *words)
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.connect("postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, program: str, *words: str) -> "subprocess.Popen[bytes]":
        who: dict[str, Any] = {}
        if self.user is not None:
            who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self.binaries / program), *words], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, **who,
            )  # fmt: skip


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A started one. Raises RuntimeError where its programs are missing."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL is missing here: scripts/debian-packages tests")
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
    made = Postgres(Path(tempfile.mkdtemp(prefix="sirdar-bench-pg-")), Path(initdb).resolve().parent, user)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def waits(postgres: Postgres, database: str) -> Iterator["Counter[str]"]:
    """What connections that were at work waited for, looked at again and again within the block."""
    seen: Counter[str] = Counter()
    over = Event()

    def look() -> None:
        with postgres.connect(database) as db:
            while not over.wait(SAMPLE_EVERY_S):
                seen.update(row[0] for row in db.execute(_WAITS, (database,)))

    thread = Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of processes, and of children that they waited for."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(part) for part in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def idle_s() -> float:
    """Seconds for which the machine's cores have had nothing to do, all together."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found
