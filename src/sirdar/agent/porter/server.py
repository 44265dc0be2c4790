# ruff: noqa: E402, PTH101, PTH108
"""What the porter and its agent say to each other: lines of JSON over a unix socket, one agent at a time.

Agent to porter: ``{"op": "start", "bases": [env, ..], "tasks": [{id, argv, base, env, cwd, in, out, err, cpus, mem,
time, grace, keep: {as, home, words, env, idle, most}}]}`` (``keep``: see ``task.Keep``), ``{"op": "stop", "ids": [..], "grace":
s}``, ``{"op": "withdraw", "ids": [..]}`` (those that wait), ``{"op": "signal", "id": .., "signum": n}``,
``{"op": "forget", "ids": [..]}``, ``{"op": "keep", "on": bool}`` (whether programs are kept between tasks), ``{"op": "list"}``,
``{"op": "slots", "n": n}``, ``{"op": "shutdown", "kill": bool, "grace": s}``.

Porter to agent: ``{"ev": "state", ..}`` (first of all, and the answer to ``list``) and ``{"ev": "facts", "started":
[..], "ended": [..], "gone": [..]}`` (``gone``: names of homes of which no kept program lives any more). Ends are in the log before
they are told, and on the disk soon after.
"""

import sys

assert sys.platform != "win32"

import json
import os
import select
import socket
import threading
import time
from typing import Any

from sirdar.agent.porter import facts_log
from sirdar.agent.porter.facts_log import FactsLog
from sirdar.agent.porter.table import Table, not_noted, unknown_end
from sirdar.agent.porter.task import ENDED, Task

SEND_PATIENCE_MS = 5000
# Under load, facts are gathered for this long: one message for several. The first end is never kept back.
GATHER_S = 0.002
# The log outlives the porter by itself. For the day when the machine stops it goes to the disk, though not for each end.
SYNC_EVERY_S = 0.05


class Writer:
    """One thread that takes all starts and ends since its last turn, writes them to the log and tells the agent."""

    def __init__(self, log: FactsLog) -> None:
        self.log = log
        self.pending: list[tuple[str, dict[str, Any]]] = []
        self.ready = threading.Condition()
        self.busy = threading.Lock()  # held while a batch is written, and while the log is replaced
        self.agent: socket.socket | None = None
        threading.Thread(target=self._write_for_ever, name="writer", daemon=True).start()

    def tell(self, kind: str, fact: dict[str, Any]) -> None:
        with self.ready:
            self.pending.append((kind, fact))
            self.ready.notify()

    def forgot(self, ids: list[str]) -> None:
        """Where this cannot be noted, the next porter tells these ends once more, and the agent that it knows them."""
        try:
            with self.busy:
                self.log.append([{"r": "forget", "ids": ids}])
        except OSError as error:
            complain(error)

    def got(self, ids: list[str]) -> None:
        """Notes that these were taken over, before any of them starts. Raises OSError."""
        self.note({"r": "got", "ids": ids})

    def note(self, record: dict[str, Any]) -> None:
        """Raises OSError."""
        with self.busy:
            self.log.append([record])

    def attach(self, agent: socket.socket | None) -> None:
        with self.busy:
            self.agent = agent

    def say(self, message: dict[str, Any]) -> None:
        with self.busy:
            self._send(message)

    def compact(self, table: Table) -> None:
        """Leaves out of the log what has been forgotten, when it has grown."""
        if self.log.size_bytes < facts_log.COMPACT_OVER_BYTES:
            return
        with self.busy, table.lock:
            records: list[dict[str, Any]] = [{"r": "got", "ids": list(table.tasks)}, *table.workers.records()]
            for task in table.tasks.values():
                if task.end is not None:
                    records.append({"r": "end", **task.end})
                elif task.pid:
                    records.append({"r": "start", **task.started_fact()})
            try:
                self.log.rewrite(records)
            except OSError as error:
                complain(error)

    def flushed(self) -> bool:
        with self.busy, self.ready:
            return not self.pending

    def _write_for_ever(self) -> None:
        last = 0.0
        sync_at: float | None = None
        while True:
            with self.ready:
                while not self.pending and (sync_at is None or time.monotonic() < sync_at):
                    self.ready.wait(None if sync_at is None else max(0.0, sync_at - time.monotonic()))
                told = bool(self.pending)
            if told:
                early = GATHER_S - (time.monotonic() - last)
                if early > 0:
                    time.sleep(early)
                with self.busy:
                    with self.ready:
                        batch, self.pending = self.pending, []
                    self._write(batch)
                if any(kind == "end" for kind, _ in batch):
                    last = time.monotonic()
            if sync_at is None and self.log.unsynced:
                sync_at = time.monotonic() + SYNC_EVERY_S
            elif sync_at is not None and time.monotonic() >= sync_at:
                self._sync()
                sync_at = None

    def _sync(self) -> None:
        with self.busy:
            try:
                self.log.sync()
            except OSError as error:
                complain(error)

    def _write(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        """Encodes each fact once for both readers; a start whose end is here too is not worth a line."""
        over = {fact["id"] for kind, fact in batch if kind == "end"}
        ends = [_encode(fact) for kind, fact in batch if kind == "end"]
        starts = [_encode(fact) for kind, fact in batch if kind == "start" and fact["id"] not in over]
        kept = [(kind, _encode(fact)) for kind, fact in batch if kind in {"worker", "gone"}]
        try:
            self.log.append_encoded([*kept, *(("start", text) for text in starts), *(("end", text) for text in ends)])
        except OSError as error:  # a full disk: the agent is told all the same, its journal decides
            complain(error)
        gone = [fact["home"] for kind, fact in batch if kind == "gone" and "home" in fact]
        if starts or ends or gone:
            more = f',"gone":{_encode(gone)}' if gone else ""
            self._send_raw(
                f'{{"ev":"facts","started":[{",".join(starts)}],"ended":[{",".join(ends)}]{more}}}\n'.encode()
            )

    def _send(self, message: dict[str, Any]) -> None:
        self._send_raw(_encode(message).encode() + b"\n")

    def _send_raw(self, encoded: bytes) -> None:
        agent = self.agent
        if agent is None:
            return
        raw = memoryview(encoded)
        poll = select.poll()
        poll.register(agent, select.POLLOUT)
        try:
            while raw:
                if not poll.poll(SEND_PATIENCE_MS):
                    raise TimeoutError
                raw = raw[agent.send(raw) :]
        except OSError:  # it will connect again and ask for everything
            self.agent = None
            try:
                agent.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes an encoder for each call


def complain(error: OSError) -> None:
    """To the file for errors, which may lie on the same full disk."""
    try:
        os.write(2, f"porter: the log cannot be written: {error}\n".encode())
    except OSError:
        return


class Server:
    """Listens on the socket and carries out what the agent says, until it is told to end or nobody needs it."""

    def __init__(self, socket_path: str, table: Table, writer: Writer, idle_s: float, memory: str) -> None:
        self.table = table
        self.writer = writer
        self.idle_s = idle_s
        self.memory = memory
        self.ending = False
        self.ending_by_signal = False
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.unlink(socket_path)
        except FileNotFoundError:
            pass
        self.listener.bind(socket_path)
        os.chmod(socket_path, 0o600)
        self.listener.listen(4)
        self.listener.setblocking(False)

    def run(self) -> None:
        """Returns when the porter should end; nothing runs any more then."""
        agent: socket.socket | None = None
        buffer = b""
        lonely_since = time.monotonic()
        while True:
            poll = select.poll()
            poll.register(self.listener, select.POLLIN)
            poll.register(self.wake_read, select.POLLIN)
            if agent is not None:
                poll.register(agent, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(self._patience_ms(agent))}
            if self.wake_read in ready:
                os.read(self.wake_read, 4096)
                self.shutdown(kill=True, grace_s=2.0, by="porter")
            if self.listener.fileno() in ready:
                agent, buffer = self._accept(agent), b""
            elif agent is not None and agent.fileno() in ready:
                raw = _receive(agent)
                if raw:
                    *lines, buffer = (buffer + raw).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))
                else:
                    self.writer.attach(None)
                    agent.close()
                    agent, lonely_since = None, time.monotonic()
            if self._over(agent, lonely_since):
                return

    def shutdown(self, *, kill: bool, grace_s: float, by: str = "stop") -> None:
        """Ends the porter when nothing runs any more; ``kill``: sees to that."""
        self.ending = True
        with self.table.lock:
            self.table.workers.keep(keeping=False)
        if kill:
            self.table.stop_all(grace_s, by=by)

    def _patience_ms(self, agent: socket.socket | None) -> int | None:
        if self.ending:
            return 20
        return None if agent is not None else max(20, min(1000, int(self.idle_s * 250)))

    def _over(self, agent: socket.socket | None, lonely_since: float) -> bool:
        if self.table.active() or not self.writer.flushed():
            return False
        if not self.ending and (agent is not None or time.monotonic() - lonely_since <= self.idle_s):
            return False
        with self.table.lock:
            self.table.workers.keep(keeping=False)
            live = len(self.table.workers.live)
        return not live and self.writer.flushed()

    def _accept(self, before: socket.socket | None) -> socket.socket:
        agent, _ = self.listener.accept()
        agent.setblocking(False)
        agent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.writer.attach(agent)
        with self.table.lock:
            self.table.workers.keep(keeping=not self.ending)
        if before is not None:
            before.close()
        self._say_state()
        return agent

    def _say_state(self) -> None:
        """Under the writer's lock, so that no end falls between the list and the facts that follow it."""
        with self.writer.busy:
            message = {
                "ev": "state",
                "porter": os.getpid(),
                "boot": self.writer.log.boot,
                "memory": self.memory,
                "slots": self.table.slots,
                "tasks": self.table.carried(),
                "kept": self.table.workers.homes(),
            }
            self.writer._send(message)

    def _obey(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "start":
                self._start(message)
            case "stop":
                for task_id in message["ids"]:
                    self.table.stop(task_id, message.get("grace"))
            case "withdraw":
                for task_id in message["ids"]:
                    self.table.withdraw(task_id)
            case "signal":
                self.table.signal(message["id"], message["signum"])
            case "forget":
                self.table.forget(message["ids"])
                self.writer.forgot(message["ids"])
                self.writer.compact(self.table)
            case "keep":
                with self.table.lock:
                    self.table.workers.keep(keeping=message["on"])
            case "list":
                self._say_state()
            case "slots":
                self.table.resize(message["n"])
            case "shutdown":
                self.shutdown(kill=message.get("kill", False), grace_s=message.get("grace", 10.0))

    def _start(self, message: dict[str, Any]) -> None:
        bases = message["bases"]
        tasks = [Task(order, bases[order.get("base", 0)]) for order in message["tasks"]]
        try:
            self.writer.got([task.id for task in tasks])
        except OSError as error:  # what is not noted must not start: nobody could find it after our death
            complain(error)
            for task in tasks:
                self.writer.tell("end", not_noted(task, error))
            return
        for task in self.table.add(tasks):
            carried = self.table.tasks.get(task.id)
            if carried is None:
                self.writer.tell("end", unknown_end(task))
            elif carried.place == ENDED and carried.end is not None:
                self.writer.tell("end", carried.end)


def _receive(agent: socket.socket) -> bytes:
    """What has arrived; empty when the agent is gone."""
    try:
        return agent.recv(1 << 20)
    except BlockingIOError:
        return b""
    except OSError:
        return b""
