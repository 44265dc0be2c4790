"""A PostgreSQL server of a bench's own, on a Unix socket, as durable as it is by default."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database. Raises RuntimeError where PostgreSQL is not installed."""
    found = shutil.which("initdb") or next(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        raise RuntimeError("PostgreSQL's initdb is not installed")
    binaries, user = Path(found).resolve().parent, None
    directory = Path(tempfile.mkdtemp(prefix="sirdar-bench-pg-"))
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("postgres").pw_name
        shutil.chown(directory, user)
    log = (directory / "log").open("wb")
    extra = {"user": user, "group": user, "extra_groups": []} if user else {}
    quiet = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "cwd": directory}
    place = str(directory / "data")
    made = [str(binaries / "initdb"), "-D", place, "-U", "sirdar", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(made, check=True, **quiet, **extra)  # type: ignore[call-overload]
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}", "-c", "max_connections=100"]
    process = subprocess.Popen([str(binaries / "postgres"), "-D", place, *options], **quiet, **extra)  # type: ignore[call-overload]
    try:
        _await_ready(directory, process)
        yield f"postgresql://sirdar@/bench?host={directory}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()
        shutil.rmtree(directory)


def _await_ready(directory: Path, process: "subprocess.Popen[bytes]", within_s: float = 30.0) -> None:
    import psycopg

    deadline = time.monotonic() + within_s
    while True:
        try:
            with psycopg.connect(f"host={directory} user=sirdar dbname=postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start for {getpass.getuser()}") from error
            time.sleep(0.05)
