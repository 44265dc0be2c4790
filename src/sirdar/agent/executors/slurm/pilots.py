"""Runs programs inside of allocations: pilots, each a Slurm job with a porter in it, as many as the queue needs.

A task that was given to a pilot stays with it until the pilot says how it ended, or is gone: then its log on the shared disk tells
which of its tasks ended, which ran (they are lost with it), and which never started (another pilot gets them).
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sirdar.agent.events import get_logger
from sirdar.agent.executors.base import Ability, Facts, Handle, Launch, ProgramEnd, ProgramStart
from sirdar.agent.executors.process import end_of as end_of_fact
from sirdar.agent.executors.process import order_of
from sirdar.agent.executors.slurm.commands import CommandFailed
from sirdar.agent.executors.slurm.fleet import Fleet
from sirdar.agent.executors.slurm.news import News
from sirdar.agent.executors.slurm.pilot import Item, Pilot, batch_of
from sirdar.agent.executors.slurm.pilot_port import PilotPort
from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.executors.slurm.watch import SILENCE
from sirdar.domain.units import format_size

log = get_logger(__name__)

HANDLE_VERSION = 1
AHEAD_S = 0.5  # of work that a pilot has beside what runs in it
AHEAD_MOST = 256
BATCH_MOST = 128
CLOSE_PATIENCE_S = 30.0


class PilotExecutor:
    """``slots`` bounds how much the agent takes; ``address``: where pilots reach this machine."""

    def __init__(self, home: Path, slots: int, settings: SlurmSettings, *, address: str) -> None:
        self._slots = slots
        self._settings = settings
        self._address = address
        self._news = News()
        self._queue: deque[Item] = deque()  # with no pilot yet
        self._seen: set[str] = set()
        self._mean_s: float | None = None
        self._memory = "rlimit"  # how pilots bound a task's memory, by the last one that called in
        self._asked: dict[str, tuple[str, float | None]] = {}  # what was wanted of tasks that have a pilot
        self._loops: list[asyncio.Task[None]] = []
        self._handing = asyncio.Lock()
        self.fleet = Fleet(
            home,
            settings,
            waiting=self._cpus_waiting,
            on_gone=self._bury,
            on_note=self._note_queue,
            on_change=lambda text: self._note_queue(text, told_only=True),
        )
        self._folders = self.fleet.folders
        self._port: PilotPort | None = None

    # ------------------------------------------------------------ the protocol

    async def recover(self, handles: Mapping[str, Handle]) -> set[str]:
        """Pilots live on; what they were given is answered for."""
        await asyncio.to_thread(self._folders.make)
        token = await asyncio.to_thread(self._folders.token)
        await asyncio.to_thread(self.fleet.load, set(handles))
        known = {key for pilot in self.fleet.pilots.values() for key in pilot.items}
        self._seen |= known
        self._port = PilotPort(token, self._serve)
        await self._port.listen(self._address, await asyncio.to_thread(self._folders.last_port))
        await asyncio.to_thread(self._folders.say_where, self._address, self._port.port, token)
        for work in (self.fleet.manage(), self.fleet.query_for_ever()):
            self._loops.append(self._news.watch(asyncio.create_task(work)))
        return known

    async def probe(self) -> Ability:
        return Ability("slurm", self._slots, self._memory, self.status())

    async def start(self, launches: Sequence[Launch]) -> list[Handle]:
        for launch in launches:
            if launch.key not in self._seen:
                self._seen.add(launch.key)
                if why := self._too_large(launch):
                    self._news.end(ProgramEnd(launch.key, ended_at=time.time(), cause="refused", error=why))
                    continue
                task = {name: value for name, value in order_of(launch, 0).items() if name != "keep"}
                self._queue.append(Item(task, launch.base_env))
        await self._hand_out()
        self.fleet.kick()
        return [{"v": HANDLE_VERSION, "executor": "slurm"} for _ in launches]

    def _too_large(self, launch: Launch) -> str:
        """Why no pilot can run it; empty where one can. With more cpus than one has, it gets them all."""
        most, asked = self._settings.pilots.memory_bytes, launch.memory_bytes
        if most is None or asked is None or asked <= most:
            return ""
        asks, has = format_size(asked), format_size(most)
        return f"it asks for {asks} of memory, and a pilot has {has} (pilots.memory in slurm.yaml)"

    async def facts(self) -> Facts:
        return await self._news.take()

    async def stop(self, keys: Sequence[str], grace_s: float | None = None, *, waiting_only: bool = False) -> None:
        by = "withdraw" if waiting_only else "stop"
        wanted = set(keys)
        for item in [item for item in self._queue if item.key in wanted]:
            self._queue.remove(item)
            self._news.end(ProgramEnd(item.key, by=by, dropped=True, ended_at=time.time()))
        for pilot in self.fleet.pilots.values():
            if own := [key for key in keys if key in pilot.items]:
                self._asked.update(dict.fromkeys(own, (by, grace_s)))
                pilot.say(_wish(own, by, grace_s))

    async def destroy(self, keys: Sequence[str]) -> None:
        for pilot in self.fleet.all():
            own = [key for key in keys if key in pilot.over_keys]
            if own:
                pilot.say({"op": "forget", "ids": own})
                for name in pilot.destroyed(own):
                    await asyncio.to_thread(self._folders.drop_batch, pilot.id, name)
                await self.fleet.let_go(pilot)

    async def close(self, *, end_programs: bool) -> None:
        if end_programs:
            await self._end_all()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, self.fleet.close(), return_exceptions=True)
        if self._port is not None:
            await self._port.close()

    def status(self) -> dict[str, Any]:
        """How the pilots and the watching go, for a person."""
        return {**self.fleet.status(), "waiting": len(self._queue)}

    # ------------------------------------------------------------ out to the pilots

    def _cpus_waiting(self) -> int:
        return sum(item.cpus for item in self._queue)

    def _ahead(self, pilot: Pilot) -> int:
        """Cpus of short tasks that a pilot may have at hand beside what runs: so that it is never idle between two words."""
        if self._mean_s is None:
            return 0
        return min(AHEAD_MOST, int(pilot.slots * AHEAD_S / max(self._mean_s, 0.001)))

    async def _hand_out(self) -> None:
        """To the emptiest first, in order; none gets work ahead while another has a free cpu."""
        async with self._handing:
            for ahead in (False, True):
                for pilot in sorted(self.fleet.pilots.values(), key=lambda one: one.cpus_in_hand() / one.slots):
                    while items := self._take_for(pilot, self._ahead(pilot) if ahead else 0):
                        await self._give(pilot, items)

    def _take_for(self, pilot: Pilot, ahead: int) -> list[Item]:
        room = pilot.room(ahead)
        items: list[Item] = []
        while self._queue and room > 0 and len(items) < BATCH_MOST and pilot.lasts(self._queue[0].task.get("time")):
            item = self._queue.popleft()
            room -= min(item.cpus, pilot.slots)
            items.append(item)
        return items

    async def _give(self, pilot: Pilot, items: Sequence[Item]) -> None:
        number, pilot.next_batch = pilot.next_batch, pilot.next_batch + 1
        name = f"{number}.json"
        for item in items:
            item.batch = name
        pilot.items.update({item.key: item for item in items})
        pilot.batches[name] = {item.key for item in items}
        await asyncio.to_thread(self._folders.write_batch, pilot.id, number, batch_of(items))
        pilot.say({"op": "read", "file": name})
        for item in items:  # asked while it was on its way
            if item.key in self._asked:
                pilot.say(_wish([item.key], *self._asked[item.key]))

    # ------------------------------------------------------------ in from the pilots

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pilot = self.fleet.pilots.get(name)
        if pilot is None:  # its tasks were all settled long ago
            writer.write(b'{"op":"shutdown","kill":true}\n')
            await writer.drain()
            return
        before, pilot.writer = pilot.writer, writer
        pilot.idle_since = time.monotonic()  # it has waited for Slurm until now, and not for work
        if before is not None:
            before.close()
        buffer = b""
        try:
            while raw := await reader.read(1 << 20):
                *lines, buffer = (buffer + raw).split(b"\n")
                for line in lines:
                    await self._hear(pilot, json.loads(line))
        finally:
            if pilot.writer is writer:
                pilot.writer = None
                self.fleet.kick()

    async def _hear(self, pilot: Pilot, message: Mapping[str, Any]) -> None:
        if message["ev"] == "state":
            await self._take_state(pilot, message)
        else:
            for fact in message["started"]:
                self._begin(pilot, fact)
            for fact in message["ended"]:
                self._finish(pilot, fact)
        if not pilot.items:
            pilot.idle_since = time.monotonic()
        await self._hand_out()
        self.fleet.kick()

    async def _take_state(self, pilot: Pilot, state: Mapping[str, Any]) -> None:
        """It has called in: what it has, and what it never got of what it was given."""
        self.fleet.called_in(pilot)
        self._memory = state["memory"]
        carried = {task["id"]: task for task in state["tasks"]}
        strangers = [key for key, task in carried.items() if key not in pilot.items and task["end"] is None]
        settled = [key for key, task in carried.items() if key not in pilot.items | dict.fromkeys(pilot.over_keys)]
        if strangers:  # nobody waits for them
            log.warning("pilot_has_unknown_tasks", pilot=pilot.id, attempts=strangers)
            pilot.say(_wish(strangers, "stop", None))
        if gone := [key for key in settled if key not in strangers]:
            pilot.say({"op": "forget", "ids": gone})
        missing = [item for key, item in pilot.items.items() if key not in carried]
        for task in carried.values():
            if task["end"] is not None:
                self._finish(pilot, task["end"])
            elif task["place"] == "running":
                self._begin(pilot, task)
        if missing:
            await self._give(pilot, missing)
        for key in [key for key in self._asked if key in pilot.items]:
            pilot.say(_wish([key], *self._asked[key]))

    def _begin(self, pilot: Pilot, fact: Mapping[str, Any]) -> None:
        item = pilot.items.get(fact["id"])
        if item is not None and not item.begun:
            item.begun = True
            self._news.start(ProgramStart(item.key, 0, fact["at"]))

    def _finish(self, pilot: Pilot, fact: Mapping[str, Any]) -> None:
        if fact["id"] not in pilot.items:
            return
        if "code" not in fact or fact["by"] == "porter":
            self._end(pilot, _lost_with(end_of_fact(dict(fact)), pilot))
            return
        if fact["at"] and fact["code"] is not None:
            took_s = max(0.0, fact["ended"] - fact["at"])
            self._mean_s = took_s if self._mean_s is None else 0.9 * self._mean_s + 0.1 * took_s
        self._end(pilot, end_of_fact(dict(fact)))

    def _end(self, pilot: Pilot, end: ProgramEnd) -> None:
        if pilot.items.pop(end.key, None) is not None:
            pilot.over_keys.add(end.key)
            self._asked.pop(end.key, None)
            self._news.end(end)

    # ------------------------------------------------------------ a pilot is gone

    async def _bury(self, pilot: Pilot) -> None:
        """Its log has the last word on each of its tasks."""
        past = await asyncio.to_thread(self._folders.past, pilot.id)
        again = []
        for key, item in list(pilot.items.items()):
            if key in past.ends:
                self._finish(pilot, past.ends[key])
            elif key in past.starts or item.begun:
                started = past.starts.get(key, {}).get("at")
                self._end(pilot, _lost_with(ProgramEnd(key, started_at=started, ended_at=time.time()), pilot))
            elif key in self._asked:
                by = self._asked[key][0]
                self._end(pilot, ProgramEnd(key, by=by, dropped=True, ended_at=time.time()))
            else:
                del pilot.items[key]
                if not any(key in other.items or key in other.over_keys for other in self.fleet.all()):
                    again.append(item)  # else another pilot got it in an earlier life of the agent
        log.info("pilot_gone", pilot=pilot.id, job=pilot.job, again=len(again))
        await self.fleet.let_go(pilot)
        self._queue.extendleft(reversed(again))
        await self._hand_out()

    def _note_queue(self, text: str, *, told_only: bool = False) -> None:
        """``told_only``: to those that were told something else before. That Slurm is silent is told once: for how long changes."""
        silence = text.startswith(SILENCE)
        changed = [
            item
            for item in self._queue
            if item.note != text and (item.note or not told_only) and not (silence and item.note.startswith(SILENCE))
        ]
        for item in changed:
            item.note = text
        self._news.note({item.key: text for item in changed})

    async def _end_all(self) -> None:
        waiting = [item.key for item in self._queue]
        await self.stop(waiting)
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self.fleet.end()
        except (TimeoutError, CommandFailed) as error:
            log.warning("pilots_not_ended", error=str(error))


def _wish(keys: Sequence[str], by: str, grace_s: float | None) -> dict[str, Any]:
    return (
        {"op": "withdraw", "ids": list(keys)}
        if by == "withdraw"
        else {"op": "stop", "ids": list(keys), "grace": grace_s}
    )


def _lost_with(end: ProgramEnd, pilot: Pilot) -> ProgramEnd:
    """A task that did not end by itself: its pilot was ended."""
    seen = pilot.seen
    place = f" on {seen.nodes}" if seen is not None and seen.nodes else ""
    words = f" ({seen.state})" if seen is not None and seen.ended else ""
    node = seen is not None and seen.state in {"NODE_FAIL", "BOOT_FAIL"}
    what = "failed with its node" if node else "was ended by Slurm"
    sentence = f"the allocation that the program ran in{place}, job {pilot.job}, {what}{words}"
    return replace(end, by=None, exit_code=None, cause="node" if node else "preempted", error=sentence)
