"""The embedded agent: the same agent as on any machine, in a process of its own, kept alive while the server runs.

Its standard input is a pipe from us, which ends with us, however we die: then it leaves by itself.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import structlog

from sirdar.agent.control import Ending, request_end
from sirdar.agent.home import holder
from sirdar.services.settings import Settings

log = structlog.get_logger()
LEAVE_S = 15.0
CANCEL_S = 60.0  # programs have their grace, and the server is to be told
LOOK_S = 0.05
HEALTHY_S = 60.0


class AgentProcess:
    """Starts the agent, starts it again when it dies, and asks it to leave."""

    def __init__(self, settings: Settings, slots: int, join: str) -> None:
        self._settings = settings
        self._slots = slots
        self._join = join
        self._home = settings.home / "agent"
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._leaving = False
        self._cancelling = asyncio.Event()
        self._left = 0
        self._all_ended = False  # it said that it ended and left nothing running

    async def start(self) -> None:
        """Start it and watch over it."""
        await self._spawn()
        self._watching = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def cancel(self) -> None:
        """Ask it to end the programs too."""
        self._ask(Ending.CANCEL)

    async def leave(self) -> int:
        """Ask it to leave the programs running and end; how many run on."""
        self._leaving = True
        if self._process is not None and self._process.returncode is None:
            self._ask(Ending.LEAVE)
            try:
                await asyncio.wait_for(self._process.wait(), LEAVE_S)
            except TimeoutError:
                log.warning("agent_did_not_leave", pid=self._process.pid)
                self._process.kill()
                await self._process.wait()
        for task in (self._watching, self._reading):
            if task is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait_for(asyncio.shield(task), 1.0) if task is self._reading else task.cancel()
        return self._left

    async def _spawn(self) -> None:
        arguments = [
            "--home",
            str(self._settings.home / "agent"),
            "--server",
            self._address(),
            "--slots",
            str(self._slots),
        ]
        # What the server was told, passwords and tokens among it, is no business of the agent's, whose programs could read it.
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("SIRDAR_") and key != "EVEREST_TOKEN"
        }
        if self._join:
            environment["SIRDAR_JOIN"] = self._join  # not on the command line, which others on the machine may read
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sirdar.agent",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal is for us to pass on
        )
        self._reading = asyncio.create_task(self._read(self._process))
        log.info("agent_started", pid=self._process.pid)

    def _address(self) -> str:
        host = self._settings.host
        if host in ("0.0.0.0", "::"):  # noqa: S104
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
        return f"http://[{host}]:{self._settings.port}" if ":" in host else f"http://{host}:{self._settings.port}"

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            log.info("agent_said", text=text)
            if text.startswith("agent ready"):
                self._ready.set()
            if found := re.search(r"(\d+) programs run on", text):
                self._left = int(found[1])
            self._all_ended = self._all_ended or text == "agent ended"

    async def _watch(self) -> None:
        """Start it again when it dies; programs go on meanwhile, the new one takes them up."""
        delay_s = self._settings.agent_restart_s
        while True:
            process = self._process
            assert process is not None
            began = time.monotonic()
            code = await process.wait()
            lived_s = time.monotonic() - began
            if lived_s > HEALTHY_S:
                delay_s = self._settings.agent_restart_s
            log.warning("agent_died", code=code, lived_s=round(lived_s, 1), again_in_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(self._settings.agent_restart_max_s, delay_s * 2)
            await self._spawn()

    def _ask(self, ending: Ending) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                request_end(self._process.pid, ending)


def _is_agent(pid: int) -> bool:
    """Whether a process looks like an agent; True where the system does not tell."""
    try:
        return b"sirdar.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc/self").exists()
