"""The container engine of this machine: podman, docker or apptainer, and how its commands are run."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed

KINDS = ("podman", "docker", "apptainer")
PROBE_PATIENCE_S = 30.0
RUN_ROOT_MOST = (
    50  # letters of podman's own, with which it starts what tidies up after a container, but takes no longer one
)
BREAK_OFF_S = 5.0  # for a command that is not wanted any more
OUTPUT_MOST_BYTES = 256 << 10  # of what a command says, the last ones are kept
COLUMNS = 200
# What an engine itself goes by. Nothing of a task's environment is among it: its command runs outside of the container.
OWN_VARIABLES = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS", "CONTAINER_HOST", "SSL_CERT_FILE",
        "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }
)  # fmt: skip
OWN_PREFIXES = ("XDG_", "CONTAINERS_", "DOCKER_", "BUILDAH_", "STORAGE_", "APPTAINER_", "SINGULARITY_")


@dataclass(frozen=True, slots=True)
class Engine:
    """``controllers``: what it can limit here (``cpu``, ``memory``, ``pids``). ``env``: of its own process, one object for all."""

    kind: str
    command: str
    version: str = ""
    rootless: bool = False
    controllers: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict)
    seccomp: str = ""  # the profile of system calls that it has for containers, or ours that was made of it


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and the end of what it wrote."""

    code: int
    text: str

    @property
    def last(self) -> str:
        """Its last line, without the word that says that it is an error."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1].removeprefix("Error: ") if lines else "no word why"


def find_engine(wanted: str = "auto") -> Engine:
    """The one that is wanted, or the first that works. Asks it what it can do. Blocks; raises EnvironmentFailed."""
    kinds = KINDS if wanted == "auto" else (wanted,)
    faults = []
    for kind in kinds:
        if (path := shutil.which(kind)) is not None:
            try:
                return _asked(kind, path, own_environment(os.environ))
            except subprocess.TimeoutExpired:
                faults.append(f"{kind} does not work here: it gave no answer in {PROBE_PATIENCE_S:g} s")
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                faults.append(f"{kind} does not work here: {error}")
    raise EnvironmentFailed("; ".join(faults) or f"this machine has no container engine ({', '.join(kinds)})")


def own_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Of the agent's environment what concerns an engine."""
    return {name: value for name, value in given.items() if name in OWN_VARIABLES or name.startswith(OWN_PREFIXES)}


def _asked(kind: str, path: str, env: Mapping[str, str]) -> Engine:
    if kind == "apptainer":
        return Engine(kind, path, _output([path, "--version"], env).split()[-1], rootless=True, env=env)
    if kind == "docker":
        version = _output([path, "version", "--format", "{{.Server.Version}}"], env).strip()
        return Engine(kind, path, version, controllers=frozenset({"cpu", "memory", "pids"}), env=env)
    found = json.loads(_output([path, "info", "--format", "json"], env))
    host, run_root = found["host"], found.get("store", {}).get("runRoot", "")
    if len(run_root) > RUN_ROOT_MOST:
        raise ValueError(
            f"its runroot {run_root} is longer than {RUN_ROOT_MOST} letters: set a shorter one in storage.conf"
        )
    rootless = bool(host.get("security", {}).get("rootless"))
    useless = rootless and host.get("cgroupVersion") == "v1"  # they are listed, but an ordinary user may not set them
    controllers = frozenset(() if useless else host.get("cgroupControllers") or ())
    version, profile = found["version"]["Version"], host.get("security", {}).get("seccompProfilePath", "")
    return Engine(kind, path, version, rootless=rootless, controllers=controllers, env=env, seccomp=profile)


def _output(words: Sequence[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, env=dict(env), timeout=PROBE_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(Said(done.returncode, done.stderr).last)
    return done.stdout


async def run(
    engine: Engine,
    words: Sequence[str],
    *,
    heard: Callable[[str], None] | None = None,
    started: Callable[[int], None] | None = None,
    terminal: bool = False,
    cwd: str | None = None,
) -> Said:
    """Runs one command of the engine's to its end. ``heard``: gets what it writes, as it comes; ``started``: its pid.

    ``terminal``: it writes to one, since podman and docker tell their progress to nothing else.
    It is ended where the caller is cancelled.
    """
    ours, theirs = _terminal() if terminal else os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            engine.command, *words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=dict(engine.env), cwd=cwd
        )  # fmt: skip
    except OSError as error:
        os.close(ours)
        raise EnvironmentFailed(f"{engine.kind} cannot be run: {error}") from None
    finally:
        os.close(theirs)
    try:
        if started is not None:
            started(process.pid)
        text = await _read(ours, heard)
        return Said(await process.wait(), text)
    finally:
        if process.returncode is None:
            await _break_off(process)


async def _break_off(process: asyncio.subprocess.Process) -> None:
    """With what it has started, as a build's step is, which would outlive it: that is ended first, so that it can tidy up."""
    below = _below(process.pid)
    _kill(pid for pid in below if not _below(pid))
    if not below:
        _kill([process.pid])
    with contextlib.suppress(ProcessLookupError):
        try:
            async with asyncio.timeout(BREAK_OFF_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            _kill(below)
    await process.wait()


def end_tree(pid: int) -> None:
    """The same for a command of an agent that was killed. Blocks."""
    below = _below(pid)
    _kill([one for one in below if not _below(one)] or [pid])
    last = time.monotonic() + BREAK_OFF_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < last:
        time.sleep(0.05)
    _kill([pid, *below])


def _below(pid: int) -> list[int]:
    """The descendants of a process that live."""
    found: list[int] = []
    if sys.platform != "win32":
        from sirdar.agent.porter.leftovers import children_of

        found += children_of(pid)
        for child in found:
            found += children_of(child)
    return found


def _kill(pids: Iterable[int]) -> None:
    if sys.platform != "win32":
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _terminal() -> tuple[int, int]:
    if sys.platform == "win32":
        raise EnvironmentFailed("containers need Unix")
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    return ours, theirs


async def _read(number: int, heard: Callable[[str], None] | None) -> str:
    """All that comes, up to the end of the last who can write; the last of it is returned."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(number, "rb"))
    kept = b""
    try:
        while part := await reader.read(1 << 16):
            kept = (kept + part)[-OUTPUT_MOST_BYTES:]
            if heard is not None:
                heard(part.decode(errors="replace"))
    except OSError:  # a terminal says so at its end
        pass
    finally:
        transport.close()
    return kept.decode(errors="replace").replace("\r\n", "\n")
