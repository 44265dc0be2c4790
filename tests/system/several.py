"""Several ``sirdar serve`` over one PostgreSQL and one home, agents that attach by tokens, a balancer that turns at every call."""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.faults.proxy import PATIENCE_S, Call, Proxy
from tests.faults.rig import LooseAgent
from tests.system.attached import Machine, create
from tests.system.product import Product, await_that, processes_below

# Loops look seldom, so that what a test waits for comes by what servers tell one another, not by chance.
SEVERAL = {
    "heartbeat_s": 200,
    "lease_s": 900,
    "accept_s": 300,
    "expire_every_s": 300,
    "sweep_every_s": 300,
    "claim_wait_s": 300,
}
QUICK = {"heartbeat_s": 0.3, "expire_every_s": 0.2, "accept_s": 3, "lease_s": 4, "claim_wait_s": 5}


@dataclass
class Served(Product):
    """One ``sirdar serve``. ``place``: the home, which it shares with others."""

    database: str = ""
    place: Path = Path()

    @property
    def home(self) -> Path:
        return self.place

    def command(self) -> list[str]:
        return ["serve", *(["--database", self.database] if self.database else [])]

    def stop(self, within_s: float = 30.0, number: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(within_s)
            assert process.stdout is not None
            process.stdout.close()

    def log(self) -> str:
        return (self.root / "up.err").read_text(errors="replace")


class Balancer(Proxy):
    """Each call goes to another server; one that is not there is passed over."""

    def __init__(self, *servers: Served) -> None:
        super().__init__(servers[0].port)
        self._turns = itertools.cycle([server.port for server in servers])
        self._n = len(servers)
        self.by_port: dict[int, int] = dict.fromkeys((server.port for server in servers), 0)

    def _send(self, call: Call, headers: dict[str, str]) -> dict[str, str] | None:
        for _ in range(self._n):
            with self._lock:
                port = next(self._turns)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            try:
                connection.connect()
            except OSError:
                continue
            try:
                connection.request(call.method, call.path, call.body or None, headers)
                reply = connection.getresponse()
                call.status, call.answer = reply.status, reply.read()
                self.by_port[port] += 1
                return dict(reply.getheaders())
            except (OSError, http.client.HTTPException):
                return None
            finally:
                connection.close()
        return None


@dataclass
class Site:
    """The servers ``a``, ``b``, .. and what is attached to them."""

    root: Path
    database: str
    settings: dict[str, Any] = field(default_factory=dict)
    servers: list[Served] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    balancers: list[Balancer] = field(default_factory=list)
    agents: list[LooseAgent] = field(default_factory=list)

    @property
    def a(self) -> Served:
        return self.servers[0]

    @property
    def b(self) -> Served:
        return self.servers[1]

    def serve(self, n: int = 1) -> Served:
        """Start so many more servers; the last one."""
        for _ in range(n):
            root = self.root / f"server{len(self.servers)}"
            root.mkdir()
            settings = {**SEVERAL, **self.settings}
            served = Served(root, settings, database=self.database, place=self.root / "home")
            self.servers.append(served)
            served.start()
        return self.servers[-1] if n else None  # type: ignore[return-value]

    def attach(self, server: Served, name: str, slots: int = 2, url: str = "") -> Machine:
        """A machine whose agent calls that server (or ``url``), by a token of its own resource. It is ready."""
        create(server, name)
        reply = server.admin.post(f"/api/resources/{name}/tokens", json={})
        assert reply.status_code == 201, reply.text
        own = {"SIRDAR_AGENT_CLAIM_WAIT_S": "300"}
        known = own | {"SIRDAR_URL": url or server.url, "SIRDAR_TOKEN": reply.json()["token"], "MAX_TASKS": str(slots)}
        machine = Machine(server, self.root / name, known)
        self.machines.append(machine)
        machine.start()
        return machine

    def join(self, server: Served, name: str, slots: int = 1) -> LooseAgent:
        """An agent with a home and a key of its own, of which more can be seen."""
        agent = LooseAgent(self.root / name / "home", server.url, create(server, name)["join"]["token"], slots=slots)
        self.agents.append(agent.start())
        await_that((agent.home / "agent.json").exists, what="an agent's start")
        return agent

    def balancer(self) -> Balancer:
        made = Balancer(*self.servers)
        self.balancers.append(made)
        return made

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.replace("+psycopg", ""), autocommit=True) as db:
            return list(db.execute(statement.encode(), values or None))

    def close(self) -> None:
        for attached in (*self.machines, *self.agents):
            attached.close()
        for balancer in self.balancers:
            balancer.close()
        logs = []
        for server in self.servers:
            server.close_clients()
            server.stop()
            logs.append(server.log())
        left = processes_below(self.root)
        drafts = [path for path in (self.root / "home/blobs/tmp").rglob("*") if path.is_file()]
        shutil.rmtree(self.root)
        assert not left, f"processes were left behind: {left}"
        assert not drafts, f"half files were left behind: {drafts}"
        broken = [line for log in logs for line in log.splitlines() if "Traceback" in line]
        assert not broken, json.loads(broken[0]).get("exception", broken[0])


@contextlib.contextmanager
def site(root: Path, database: str, servers: int = 2, **settings: Any) -> Iterator[Site]:
    root.mkdir(parents=True, exist_ok=True)
    made = Site(root, database, settings)
    try:
        made.serve(servers)
        yield made
    finally:
        made.close()


def kill(server: Served) -> None:
    """``kill -9``."""
    assert server.process is not None and server.process.stdout is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(10)
    server.process.stdout.close()
    server.process = None
