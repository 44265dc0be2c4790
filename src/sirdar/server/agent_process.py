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
from sirdar.wire.solvers import DIRECTORY_VARIABLE

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
        """Ask it to end the programs too; ``leave`` sees to it that this happens, also where it has left already."""
        self._cancelling.set()
        self._ask(Ending.CANCEL)

    async def leave(self) -> int:
        """Ask it to leave the programs running and end; how many run on. After ``cancel``: none."""
        self._leaving = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if not self._cancelling.is_set():
            self._ask(Ending.LEAVE)
            await self._await_end(LEAVE_S, unless=self._cancelling)
        if self._cancelling.is_set():
            await self._end_programs()
        return self._left

    async def _end_programs(self) -> None:
        """It was asked to cancel. Where it had left by then, or did not hear it, another one is started that does."""
        await self._await_end(CANCEL_S)
        if self._all_ended:
            return
        await self._spawn()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._ready.wait()
        self._ask(Ending.CANCEL)
        await self._await_end(CANCEL_S)

    async def _await_end(self, within_s: float, unless: asyncio.Event | None = None) -> None:
        """Wait for its end and its last words; one that does not end is killed. ``unless``: give up waiting when that is set."""
        process = self._process
        if process is None:
            return
        ended = asyncio.create_task(process.wait())
        other = {asyncio.create_task(unless.wait())} if unless is not None else set()
        await asyncio.wait({ended, *other}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in other:
            task.cancel()
        if unless is not None and unless.is_set():
            ended.cancel()
            return
        if not ended.done():
            log.warning("agent_did_not_leave", pid=process.pid)
            process.kill()
        await ended
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=1.0)

    # ------------------------------------------------------------ its processes

    async def _spawn(self) -> None:
        await self._evict()
        self._ready.clear()
        self._left, self._all_ended = 0, False
        with (self._home.parent / "agent.err").open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sirdar.agent", "--with-parent"),
                *("--home", str(self._home)),
                *("--server", self._address()),
                *("--slots", str(self._slots)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is for us to pass on
            )
        self._reading = asyncio.create_task(self._read(self._process))
        log.info("agent_started", pid=self._process.pid)

    async def _evict(self) -> None:
        """The agent of a ``sirdar up`` that died may not have left yet: it is asked to, and ended where it does not answer."""
        began, before, asked = time.monotonic(), None, set()
        while (pid := holder(self._home)) is not None:
            late = time.monotonic() - began > self._settings.agent_evict_s
            # Seen twice: between taking the lock and writing its id, a new holder shows its forerunner's.
            if pid and pid == before and (pid, late) not in asked and _is_agent(pid):
                asked.add((pid, late))
                log.warning("old_agent_asked_to_leave", pid=pid, by_force=late)
                with contextlib.suppress(ProcessLookupError):
                    if late and sys.platform != "win32":
                        os.kill(pid, signal.SIGKILL)
                    else:
                        request_end(pid, Ending.LEAVE)
            before = pid
            await asyncio.sleep(LOOK_S)

    def _environment(self) -> dict[str, str]:
        # What the server was told, passwords and tokens among it, is no business of the agent's, whose programs could read it.
        environment = {key: value for key, value in os.environ.items() if _is_agents(key)}
        if self._join:
            environment["SIRDAR_JOIN"] = self._join  # not on the command line, which others on the machine may read
        return environment

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


def _is_agents(variable: str) -> bool:
    """Whether the agent may see it."""
    if variable.startswith("SIRDAR_AGENT_") or variable == DIRECTORY_VARIABLE:
        return True
    return not variable.startswith(("SIRDAR_", "AWS_")) and variable != "EVEREST_TOKEN"


def _is_agent(pid: int) -> bool:
    """Whether a process looks like an agent; True where the system does not tell."""
    try:
        return b"sirdar.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc/self").exists()
