"""A Sirdar of one's own: ``sirdar up`` in a temporary home on a free port, which leaves nothing behind.

The demo and the tests of the examples use it.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
LINGER_S = 1.0
MARKER = "SIRDAR_DEMO_ID"


class Failed(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``sirdar up``: its process, its address, and what else it said."""

    process: subprocess.Popen[bytes]
    url: str
    said: tuple[str, ...]


# ---------------------------------------------------------------- the server


def surroundings(home: Path) -> dict[str, str]:
    """Our environment, with this project's programs first and nothing of the user's own Sirdar in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIRDAR_", "EVEREST_"))}
    if test := os.environ.get("SIRDAR_TEST_ID"):
        kept["SIRDAR_TEST_ID"] = test
    return {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SIRDAR_CONFIG_DIR": str(home / "config"),
        MARKER: uuid.uuid4().hex,
        "NO_COLOR": "1",
    }


@contextmanager
def running(home: Path, environment: dict[str, str], slots: int) -> Iterator[Server]:
    """``sirdar up`` on a free port. It is stopped at the end, with all that it started."""
    words = [str(BIN / "sirdar"), "up", "--home", str(home / "server"), "--port", "0", "--slots", str(slots)]
    with (home / "up.err").open("w") as errors:
        # In a session of its own: Ctrl-C is for the demo, which then ends the server in good order.
        # Unbuffered: select sees the pipe only, not what a buffer has taken out of it.
        process = subprocess.Popen(
            words, env=environment, cwd=home, stdout=subprocess.PIPE, stderr=errors, bufsize=0, start_new_session=True
        )
    try:
        yield await_ready(process, home / "up.err")
    finally:
        stop(process)


def await_ready(process: subprocess.Popen[bytes], errors: Path) -> Server:
    """Reads the server's lines until ``ready URL``. Raises Failed with its last words where it does not come."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_WITHIN_S
    said: list[str] = []
    while (left := deadline - time.monotonic()) > 0 and select.select([process.stdout], [], [], left)[0]:
        line = process.stdout.readline().decode(errors="replace")
        if not line:
            break
        if line.startswith("ready "):
            # What the server has said besides is complete with this line or the few that follow at once.
            while select.select([process.stdout], [], [], 0.3)[0] and (more := process.stdout.readline()):
                said.append(more.decode(errors="replace").strip())
            return Server(process, line.split(maxsplit=1)[1].strip(), tuple(said))
        said.append(line.strip())
    raise Failed("sirdar up did not get ready:\n" + "\n".join([*said, *errors.read_text().splitlines()[-20:]]))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and, by the second signal, also the programs and the porter, which would wait for its next start."""
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


# ---------------------------------------------------------------- leaving nothing behind


def await_none(marker: str, home: Path, within_s: float) -> dict[int, str]:
    """Waits for the end of all that ``processes`` finds; what is still there after that time."""
    deadline = time.monotonic() + within_s
    while (left := processes(marker, home)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _signal(found: dict[int, str], number: signal.Signals) -> None:
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def processes(marker: str, home: Path) -> dict[int, str]:
    """Living processes that inherited the demo's marker, work below its home, or name it in their command."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if not command or int(entry.name) == os.getpid():
                continue
            marked = f"{MARKER}={marker}".encode() in (entry / "environ").read_bytes()
            if marked or (entry / "cwd").readlink().is_relative_to(home) or os.fsencode(home) in command:
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def leave_nothing(marker: str, home: Path) -> list[str]:
    """Ends the last processes, removes the home. Gives back what had to be ended by force.

    A porter without tasks waits some minutes for an agent that may come back; none will come back to this home, so it is
    asked to end.
    """
    await_none(marker, home, LINGER_S)
    _signal(processes(marker, home), signal.SIGTERM)
    left = await_none(marker, home, STOP_WITHIN_S)
    _signal(left, signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)
    return [f"still running at the end, and ended by force: {command} (pid {pid})" for pid, command in left.items()]
