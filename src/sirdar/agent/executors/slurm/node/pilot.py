# ruff: noqa: E402
"""An allocation that runs many tasks: ``main([pilot's directory])``. A porter whose agent is on another machine.

The porter's log lies on the shared disk: whoever reads it knows what became of each task, also when the node is gone. The
connection is made from here, again and again, to where the agent says it listens; only names of files, wishes and facts travel
on it. Commands and environments are read from the shared disk, so that nobody on the network can see or make them.
"""

import sys

assert sys.platform != "win32"

import json
import os
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
from typing import Any

from sirdar.agent.executors.slurm.node import claim, handshake
from sirdar.agent.executors.slurm.node.cut_off import Held, Told
from sirdar.agent.executors.slurm.node.files import read_json, write_json
from sirdar.agent.executors.slurm.node.one import given_by_slurm, job_id, node_name
from sirdar.agent.porter import facts_log, leftovers
from sirdar.agent.porter.cgroups import Groups
from sirdar.agent.porter.facts_log import FactsLog
from sirdar.agent.porter.server import Server, Writer
from sirdar.agent.porter.table import Table

CONNECT_PATIENCE_S = 10.0
AGAIN_LEAST_S, AGAIN_MOST_S = 0.1, 5.0
STACK_BYTES = 256 << 10
LINE_MOST = 1 << 16
NAME_SIGNS = set("0123456789.json")


def main(argv: list[str]) -> int:
    """Lives until it is told to end, or nobody has needed it for a while."""
    folder = argv[0]
    given = read_json(f"{folder}/pilot.json")
    if given is None or not claim.take(f"{folder}/claim", f"job {job_id()}"):
        return 0
    threading.stack_size(STACK_BYTES)
    leftovers.adopt_orphans()
    local = tempfile.mkdtemp(prefix="sirdar-pilot-")
    groups = Groups.find(f"pilot{os.getpid()}") if given["memory"] == "auto" else None
    try:
        _serve(folder, given, f"{local}/porter.sock", groups)
    finally:
        if groups is not None:
            groups.close()
        shutil.rmtree(local, ignore_errors=True)
        write_json(f"{folder}/over", {"at": time.time()}, durable=True)
    return 0


def _serve(folder: str, given: dict[str, Any], socket_path: str, groups: Groups | None) -> None:
    writer = Writer(FactsLog(f"{folder}/{facts_log.NAME}"))
    table = Table(given["slots"], groups, writer.tell, writer.note)
    told = Told()
    Held(table, told)
    memory = f"cgroup{groups.version}" if groups is not None else "rlimit"
    server = Server(socket_path, table, writer, given["idle_s"], memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # see ``Told``
    threading.Thread(
        target=lambda: told.within(None) and os.write(server.wake_write, b"t"), name="told", daemon=True
    ).start()
    write_json(f"{folder}/begun", {"at": time.time(), "job": job_id(), "node": node_name()})
    relay = Relay(folder, given["id"], given["where"], socket_path)
    threading.Thread(target=relay.run, name="relay", daemon=True).start()
    server.run()


class Relay:
    """Carries lines between the agent and the porter. Where either side is gone, both connections are made anew."""

    def __init__(self, folder: str, pilot: str, where: str, socket_path: str) -> None:
        self.folder, self.pilot, self.where, self.socket_path = folder, pilot, where, socket_path
        self.own = given_by_slurm(os.environ)

    def run(self) -> None:
        rest_s = AGAIN_LEAST_S
        while True:
            try:
                with self._connected() as agent, socket.socket(socket.AF_UNIX) as porter:
                    porter.connect(self.socket_path)
                    rest_s = AGAIN_LEAST_S
                    self._carry(agent, porter)
            except (OSError, ValueError, KeyError) as error:
                print(f"pilot {self.pilot}: {type(error).__name__}: {error}", flush=True)  # noqa: T201
            time.sleep(rest_s)
            rest_s = min(AGAIN_MOST_S, 2 * rest_s)

    def _connected(self) -> socket.socket:
        """To an agent that knows the token. Raises OSError or ValueError."""
        where = read_json(self.where)
        if where is None:
            raise ValueError("nobody listens yet")
        agent = socket.create_connection((where["address"], where["port"]), CONNECT_PATIENCE_S)
        try:
            handshake.keep_alive(agent)
            challenge = handshake.nonce()
            _say(agent, {"pilot": self.pilot, "nonce": challenge})
            answer = json.loads(_line(agent))
            if not handshake.proves(answer.get("mac"), where["token"], "agent", challenge, self.pilot):
                raise ValueError("whoever listens there is not the agent")
            _say(agent, {"mac": handshake.proof(where["token"], "pilot", answer["nonce"], self.pilot)})
            agent.settimeout(None)
        except BaseException:
            agent.close()
            raise
        return agent

    def _carry(self, agent: socket.socket, porter: socket.socket) -> None:
        """Until one of them is gone."""
        buffer = b""
        while True:
            ready, _, _ = select.select([agent, porter], [], [])
            if porter in ready:
                if not (raw := porter.recv(1 << 20)):
                    return
                agent.sendall(raw)
            if agent in ready:
                if not (raw := agent.recv(1 << 20)):
                    return
                *lines, buffer = (buffer + raw).split(b"\n")
                for line in lines:
                    porter.sendall(self._order(line))

    def _order(self, line: bytes) -> bytes:
        """What the porter is to hear: the agent's words, or those in the file that it names. Nothing starts by words alone."""
        message = json.loads(line)
        if message["op"] == "start":
            raise ValueError("tasks are read from the shared disk only")
        if message["op"] != "read":
            return line + b"\n"
        name = message["file"]
        if not set(name) <= NAME_SIGNS or name.startswith("."):
            raise ValueError(f"{name!r} is no name of a batch")
        batch = read_json(f"{self.folder}/in/{name}")
        if batch is None:
            raise ValueError(f"the batch {name} is not there")
        batch["bases"] = [{**self.own, **base} for base in batch["bases"]]
        return json.dumps(batch).encode() + b"\n"


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _line(connection: socket.socket) -> bytes:
    raw = b""
    while not raw.endswith(b"\n"):
        part = connection.recv(1)  # what follows is not ours
        if not part or len(raw) > LINE_MOST:
            raise ValueError("the agent closed the connection")
        raw += part
    return raw
