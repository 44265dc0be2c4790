"""Runs programs as processes of this machine, through the porter. Keeps the connection to it, and replaces it if it dies."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Ability, Facts, Handle, Keep, Launch, ProgramEnd, ProgramStart, Wrap
from sirdar.agent.executors.porter_orphans import end_orphans
from sirdar.agent.porter import facts_log
from sirdar.agent.porter.launch import PorterStartError, held, launch

log = get_logger(__name__)

READ_LIMIT_BYTES = 256 << 20
HANDLE_VERSION = 1
CONNECT_TRIES = 100
ATTACH_LEAST_S, ATTACH_MOST_S = 0.1, 10.0
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class ProcessExecutor:
    """The agent's side of the porter. Home must be locked by the caller.

    ``end_containers`` ends those of this home, which outlive a porter; returns how many. Blocks.
    """

    def __init__(
        self,
        home: Path,
        slots: int,
        *,
        idle_s: float,
        memory: str = "auto",
        end_containers: Callable[[], int] = lambda: 0,
    ) -> None:
        self._end_containers = end_containers
        self._home = home
        self._slots = slots
        self._idle_s = idle_s
        self._memory = memory
        self._ability = Ability("process", slots)
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._listener: asyncio.Task[None] | None = None
        self._carried: set[str] = set()  # handed over and not ended
        self._ended: set[str] = set()  # told and not destroyed
        self._connected = asyncio.Event()
        self._keeping = True
        self.kept: set[str] = set()  # names of homes of kept programs that may live
        self._stopping: dict[str, float | None] = {}
        self._facts = Facts()
        self._news = asyncio.Event()
        self._boot = facts_log.boot_id()
        self.porter_pid = 0

    # ------------------------------------------------------------ the protocol's methods

    async def recover(self, handles: Mapping[str, Handle]) -> set[str]:
        """Connects to the porter that lives, or clears up after a dead one and starts another."""
        # What was handed over before the machine restarted has ended with it. An end in the porter's log does not count: what
        # it wrote may not have come to the disk, and its place may have been another's since.
        before_boot = {key for key, one in handles.items() if one.get("boot", self._boot) != self._boot}
        self._carried = set(handles) - before_boot
        known = await self._attach() | before_boot
        self._carried |= before_boot
        self._tell_lost(before_boot)
        self._carried -= set(handles) - known
        self._listener = asyncio.create_task(self._listen())
        return known & set(handles)

    async def probe(self) -> Ability:
        return self._ability

    async def start(self, launches: Sequence[Launch]) -> list[Handle]:
        bases: list[Mapping[str, str]] = []
        tasks = []
        for item in launches:
            if not bases or bases[-1] is not item.base_env:
                bases.append(item.base_env)
            tasks.append(order_of(item, len(bases) - 1))
            self._carried.add(item.key)
            if item.keep is not None:
                self.kept.add(Path(item.keep.home).name)
        await self._send({"op": "start", "bases": [dict(base) for base in bases], "tasks": tasks})
        return [{"v": HANDLE_VERSION, "executor": "process", "boot": self._boot}] * len(tasks)

    async def facts(self) -> Facts:
        while not self._news.is_set():
            await self._news.wait()
        self._news.clear()
        facts, self._facts = self._facts, Facts()
        return facts

    async def stop(self, keys: Sequence[str], grace_s: float | None = None, *, waiting_only: bool = False) -> None:
        if waiting_only:  # a porter of an earlier release does not know the word: it starts them in their turn
            await self._send({"op": "withdraw", "ids": list(keys)})
            return
        self._stopping.update(dict.fromkeys(keys, grace_s))
        await self._send({"op": "stop", "ids": list(keys), "grace": grace_s})

    async def destroy(self, keys: Sequence[str]) -> None:
        self._ended.difference_update(keys)
        await self._send({"op": "forget", "ids": list(keys)})

    async def keep(self, *, keeping: bool) -> None:
        """Whether programs are kept between tasks from now on; where not, the idle ones end."""
        self._keeping = keeping
        await self._send({"op": "keep", "on": keeping})

    async def close(self, *, end_programs: bool) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._connected.is_set() and (end_programs or not self._carried):
            await self._send(
                {"op": "shutdown", "kill": end_programs}
            )  # a porter that carries nothing is not left behind
            while held(self._home):  # noqa: ASYNC110  (the end of another process)
                await asyncio.sleep(0.02)
            self.kept.clear()
        elif self._connected.is_set() and self.kept:
            await self._send({"op": "keep", "on": False})
        if self._writer is not None:
            self._writer.close()
            await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)
        if self._process is not None and self._process.poll() is None:
            # It lives on in its session; this only tells Popen not to complain about a child that was not waited for.
            self._process.returncode = 0

    # ------------------------------------------------------------ connection

    async def _attach_for_ever(self) -> set[str]:
        """Without a porter nothing can be done: it is tried until one comes up (the disk may be full for a while)."""
        wait_s = ATTACH_LEAST_S
        while True:
            try:
                return await self._attach()
            except (PorterStartError, OSError) as error:
                log.error("porter_does_not_start", error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(ATTACH_MOST_S, 2 * wait_s)

    async def _attach(self) -> set[str]:
        """Connects, to a new porter if need be; returns the ids that it answers for."""
        for attempt in range(CONNECT_TRIES):
            if not held(self._home):
                await self._bury()
                self._process = await asyncio.to_thread(
                    launch, self._home, self._slots, self._idle_s, memory=self._memory
                )
            try:
                return await self._connect()
            except (OSError, EOFError) as error:
                if attempt == CONNECT_TRIES - 1:
                    raise PorterStartError(f"the porter does not answer: {error}") from error
                await asyncio.sleep(0.05)
        raise PorterStartError("the porter does not answer")

    async def _connect(self) -> set[str]:
        if sys.platform == "win32":
            raise PorterStartError("the process executor needs Unix")
        folder = os.open(self._home, os.O_RDONLY)
        try:
            path = str(self._home / "porter.sock")
            if len(os.fsencode(path)) > 100 and sys.platform == "linux":
                path = f"/proc/self/fd/{folder}/porter.sock"  # a socket's path has at most 108 bytes
            self._reader, self._writer = await asyncio.open_unix_connection(path, limit=READ_LIMIT_BYTES)
        finally:
            os.close(folder)
        line = await self._reader.readline()
        if not line:
            raise EOFError("the porter closed the connection")
        known = self._take_state(json.loads(line))
        self._connected.set()
        return known

    def _take_state(self, state: dict[str, Any]) -> set[str]:
        self.porter_pid = state["porter"]
        self._ability = Ability("process", self._slots, state["memory"], {"porter": state["porter"]})
        if state["slots"] != self._slots and self._writer is not None:
            self._writer.write(b'{"op":"slots","n":%d}\n' % self._slots)
        if not self._keeping and self._writer is not None:
            self._writer.write(b'{"op":"keep","on":false}\n')
        started, ended, unknown = [], [], []
        for task in state["tasks"]:
            if task["id"] in self._ended:  # told before, and about to be written down
                continue
            if task["id"] not in self._carried:
                if task["end"] is None:
                    log.warning("porter_carries_unknown_task", attempt=task["id"])
                    unknown.append(task["id"])
                else:
                    ended.append(task["end"])
            elif task["end"] is not None:
                ended.append(task["end"])
            elif task["place"] == "running":
                started.append(task)
        if unknown and self._writer is not None:  # nobody waits for them
            self._writer.write(json.dumps({"op": "stop", "ids": unknown, "grace": None}).encode() + b"\n")
        kept = set(state.get("kept", ()))
        self._tell(started, ended, sorted(self.kept - kept))
        self.kept |= kept
        return {task["id"] for task in state["tasks"]}

    async def _bury(self) -> None:
        """Ends the processes that a dead porter left; the next one tells from the log how its tasks ended."""
        if self._process is not None:
            self._process.wait()
            self._process = None
        past = await asyncio.to_thread(facts_log.Past, str(self._home / facts_log.NAME))
        killed = await asyncio.to_thread(end_orphans, past) + await asyncio.to_thread(self._end_containers)
        if lost := set(past.got) - set(past.ends):
            log.warning("porter_lost", attempts=len(lost), ended_orphans=killed)

    def _tell_lost(self, keys: set[str]) -> None:
        now = time.time()
        self._add(Facts((), [ProgramEnd(key, lost=True, ended_at=now) for key in keys if key in self._carried]))

    async def _listen(self) -> None:
        while True:
            line = await self._read_line()
            if line:
                message = json.loads(line)
                if message["ev"] == "facts":
                    self._tell(message["started"], message["ended"], message.get("gone", []))
                else:
                    self._take_state(message)
                continue
            log.warning("porter_connection_lost", porter=self.porter_pid)
            self._connected.clear()
            if self._writer is not None:
                self._writer.close()
            before = set(self._carried)
            known = await self._attach_for_ever()
            self._tell_lost(before - known)
            for key in [key for key in self._stopping if key in self._carried]:
                await self.stop([key], self._stopping[key])

    async def _read_line(self) -> bytes:
        """The next message; empty when the connection is gone."""
        assert self._reader is not None
        try:
            line = await self._reader.readline()
        except OSError:
            return b""
        return line if line.endswith(b"\n") else b""

    async def _send(self, message: dict[str, Any]) -> None:
        await self._connected.wait()
        assert self._writer is not None
        self._writer.write(_to_json(message).encode() + b"\n")
        try:
            await self._writer.drain()
        except OSError:
            return  # `_listen` sees it too, and tells what is lost

    # ------------------------------------------------------------ facts

    def _tell(self, started: list[dict[str, Any]], ended: list[dict[str, Any]], gone: list[str]) -> None:
        self.kept.difference_update(gone)
        starts = [ProgramStart(fact["id"], fact["pid"], fact["at"], fact.get("used", 0.0)) for fact in started]
        ends = [end_of(fact) for fact in ended if fact["id"] in self._carried]
        forget = [fact["id"] for fact in ended if fact["id"] not in self._carried and fact["id"] not in self._ended]
        if forget and self._writer is not None:
            self._writer.write(json.dumps({"op": "forget", "ids": forget}).encode() + b"\n")
        self._add(Facts(starts, ends, gone))

    def _add(self, facts: Facts) -> None:
        for end in facts.ended:
            self._carried.discard(end.key)
            self._stopping.pop(end.key, None)
            self._ended.add(end.key)
        if facts.started or facts.ended or facts.gone:
            before = self._facts
            self._facts = Facts(
                [*before.started, *facts.started], [*before.ended, *facts.ended], [*before.gone, *facts.gone]
            )
            self._news.set()


def order_of(item: Launch, base: int) -> dict[str, Any]:
    """As the porter takes it. ``base``: number of its base environment."""
    return {
        "id": item.key,
        "argv": list(item.argv),
        "base": base,
        "env": dict(item.env),
        "cwd": item.cwd,
        "in": item.stdin,
        "out": item.stdout,
        "err": item.stderr,
        "cpus": item.cpus,
        "mem": item.memory_bytes,
        "time": item.time_s,
        "grace": item.grace_s,
        **({"keep": _keep(item.keep)} if item.keep is not None else {}),
        **({"wrap": _wrap(item.wrap)} if item.wrap is not None else {}),
    }


def _keep(keep: Keep) -> dict[str, Any]:
    return {
        "as": keep.identity,
        "home": keep.home,
        "words": keep.words,
        "env": dict(keep.env),
        "idle": keep.idle_s,
        "most": keep.most,
    }


def _wrap(wrap: Wrap) -> dict[str, Any]:
    return {
        "kind": wrap.kind,
        "words": list(wrap.words),
        "inside": wrap.inside,
        "end": list(wrap.end),
        "opens": dict(wrap.opens),
    }


def end_of(fact: dict[str, Any]) -> ProgramEnd:
    """From the porter's words."""
    return ProgramEnd(
        key=fact["id"],
        exit_code=fact["code"],
        started_at=fact["at"] or None,
        ended_at=fact["ended"],
        cpu_user_s=fact.get("u", 0.0),
        cpu_system_s=fact.get("s", 0.0),
        max_rss_bytes=fact.get("rss", 0),
        by=fact["by"],
        out_of_memory=fact.get("oom", False),
        dropped=fact.get("dropped", False),
        lost=fact.get("lost", False),
        error_number=fact.get("errno"),
        error_at=fact.get("what", ""),
        error=fact.get("error", ""),
    )
