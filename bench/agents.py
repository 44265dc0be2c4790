"""Agents for the benches: simulated ones, which speak the real protocol and run nothing, and real processes.

A simulated agent signs for its token, says hello, beats, and holds a claim, each over a kept connection as the real one does. What
it is offered it accepts, and reports as done in another call. One asyncio process drives a thousand of them.
"""

import asyncio
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from bench.product import Product
from sirdar.agent.identity import Identity
from sirdar.services import attach
from sirdar.services.settings import Settings
from sirdar.store import people
from sirdar.store import tables as t
from sirdar.store.engine import Store

CLAIM_WAIT_S = 50.0  # as the real agent's
HEARTBEAT_S = 15.0
RETRY_LEAST_S, RETRY_MOST_S = 1.0, 60.0


class Broken(Exception):
    """The connection is gone."""


class Connection:
    """A kept HTTP/1.1 connection that sends JSON."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        self._host, self._port = split.hostname or "127.0.0.1", split.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Any, token: str = "") -> tuple[int, Any]:
        """Status and reply. Raises Broken."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
            reply = await reader.readexactly(length)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(str(error)) from error
        return int(lines[0].split()[1]), json.loads(reply) if reply else None

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass(slots=True)
class Simulated:
    """One agent. ``instant``: what it is offered is done at once; else it keeps it in ``owned`` until ``finish``."""

    url: str
    identity: Identity
    slots: int = 1
    instant: bool = True
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    token: str = ""
    owned: list[str] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)  # to be reported
    acked: int = 0
    greeted: int = 0  # hellos that were answered
    held: bool = False  # the server holds a claim of ours
    _fresh: bool = True
    _told: asyncio.Event = field(default_factory=asyncio.Event)  # there is something to report

    async def run(self) -> None:
        """Until cancelled. Whatever breaks is tried again, a little later each time."""
        others = [asyncio.create_task(loop) for loop in (self._beat(), self._persist(self._report))]
        try:
            await self._persist(self._claim)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def finish(self) -> None:
        """What it has is done, and is reported."""
        self.finals += self.owned
        self.owned.clear()
        self._told.set()

    async def _persist(self, turn: Callable[[Connection], Awaitable[None]]) -> None:
        """One call after the other over a connection of their own."""
        calls, wait_s = Connection(self.url), RETRY_LEAST_S
        try:
            while True:
                try:
                    await turn(calls)
                    wait_s = RETRY_LEAST_S
                except Broken:
                    await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                    wait_s = min(RETRY_MOST_S, 2 * wait_s)
        finally:
            calls.close()

    async def _claim(self, calls: Connection) -> None:
        if not self.token:
            await self.sign(calls)
        if self._fresh:
            await self.hello(calls)
        self.held = True
        try:
            room = max(0, self.slots - len(self.owned) - len(self.finals))
            reply = await self._call(calls, "/agent/v1/sync", self._says(claim={"max_n": room, "wait_s": CLAIM_WAIT_S}))
        finally:
            self.held = False
        if reply is None or not (offers := [offer["key"] for offer in reply.get("offers", ())]):
            return
        reply = await self._call(calls, "/agent/v1/sync", self._says(accepts=offers)) or {}
        self.owned += reply.get("accepted", [])
        if self.instant:
            self.finish()

    async def _report(self, calls: Connection) -> None:
        await self._told.wait()
        if self._fresh or not self.token:
            raise Broken("hello comes first")
        now = time.time()
        finals = [
            {"key": key, "reason": "ok", "message": "", "exit_code": 0, "started_at": now, "ended_at": now,
             "reported_at": now}
            for key in self.finals
        ]  # fmt: skip
        reply = await self._call(calls, "/agent/v1/sync", self._says(finals=finals))
        if reply is None:
            raise Broken("hello comes first")
        acked = set(reply.get("acked", ()))
        self.acked += len(acked)
        self.finals = [key for key in self.finals if key not in acked]
        if not self.finals:
            self._told.clear()

    def _says(self, **parts: Any) -> dict[str, Any]:
        return {"session": self.session, **parts}

    async def _beat(self) -> None:
        calls = Connection(self.url)
        try:
            await asyncio.sleep(random.uniform(0, HEARTBEAT_S))
            while True:
                owned = [{"key": key, "state": "RUNNING"} for key in (*self.owned, *self.finals)]
                with suppress(Broken):
                    if self.token:
                        body = {"session": self.session, "owned": owned, "load": {"load_1m": 0.5, "slots_free": 1.0}}
                        await self._call(calls, "/agent/v1/heartbeat", body)
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            calls.close()

    async def sign(self, calls: Connection) -> None:
        status, reply = await calls.post("/agent/v1/token", self.identity.token_request().model_dump())
        if status != 200:
            raise Broken(f"token: {status} {reply}")
        self.token = reply["access_token"]

    async def hello(self, calls: Connection) -> None:
        has = {"cpus": self.slots, "memory_bytes": 1 << 33, "slots": self.slots, "platform": "linux", "hostname": "sim"}
        owned = [{"key": key, "state": "RUNNING"} for key in (*self.owned, *self.finals)]
        body = {"protocols": [1], "agent_version": "0", "session": self.session, "capabilities": has, "owned": owned,
                "renews": self.greeted > 0}  # fmt: skip
        if await self._call(calls, "/agent/v1/hello", body) is not None:
            self._fresh = False
            self.greeted += 1

    async def _call(self, calls: Connection, path: str, body: Any) -> Any:
        """The reply; None where the server wants another hello or token first. Raises Broken."""
        status, reply = await calls.post(path, body, self.token)
        if status == 200:
            return reply
        if status == 409 and reply.get("code") == "unknown_session":
            self._fresh = True
            return None
        if status == 401:
            self.token = ""
            return None
        raise Broken(f"{path}: {status} {reply}")


def simulated(product: Product, number: int, **more: Any) -> list[Simulated]:
    """Resources that have joined, each with its agent, which does not run yet."""
    identities = [Identity(os.urandom(32), f"sim{n:06d}", f"sim{n}") for n in range(number)]
    with ledger_of(product) as store:
        owner = owner_of(store)

        def write(tx: Any) -> None:
            rows = [
                {"id": one.resource_id, "name": one.name, "owner_id": owner, "public_key": one.public_key,
                 "lost_after_s": 600.0, "created_at": tx.now}
                for one in identities
            ]  # fmt: skip
            tx.conn.execute(t.resources.insert(), rows)
            shares = [{"resource_id": row["id"], "subject": "everyone"} for row in rows]
            tx.conn.execute(t.resource_shares.insert(), shares)

        store.write_now(write)
    return [Simulated(product.url, one, **more) for one in identities]


@contextmanager
def driven(agents: Sequence[Simulated]) -> Iterator[Callable[[Callable[[], bool], float], float]]:
    """Runs the agents; the block gets ``until(condition, within_s)``, which lets them run and gives the seconds it took."""
    with asyncio.Runner() as runner:
        tasks: list[asyncio.Task[None]] = []

        async def begin() -> None:
            tasks.extend(asyncio.create_task(agent.run()) for agent in agents)

        async def wait(condition: Callable[[], bool], within_s: float) -> float:
            began = time.perf_counter()
            while not condition():
                if time.perf_counter() - began > within_s:
                    raise RuntimeError(f"not within {within_s} s")
                await asyncio.sleep(0.01)
            return time.perf_counter() - began

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        runner.run(begin())
        try:
            yield lambda condition, within_s: runner.run(wait(condition, within_s))
        finally:
            runner.run(end())


# ---------------------------------------------------------------- the ledger of a product


@contextmanager
def ledger_of(product: Product) -> Iterator[Store]:
    """The product's own database, opened beside it."""
    settings = Settings(home=product.home, database=product.settings.get("SIRDAR_DATABASE", ""))
    store = Store(settings.database_url)
    try:
        yield store
    finally:
        store.close()


def owner_of(store: Store) -> str:
    owner = store.read_now(lambda conn: people.user_by_name(conn, people_admin(conn)))
    if owner is None:
        raise RuntimeError("the server has no administrator")
    return str(owner.id)


def people_admin(conn: Any) -> str:
    return str(conn.execute(sa.select(t.users.c.name).where(t.users.c.is_admin == 1)).scalars().first())


# ---------------------------------------------------------------- real ones


@contextmanager
def processes(product: Product, places: Sequence[Path], slots: int) -> Iterator[list[int]]:
    """Real agents on this machine, one for each place; their ids."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, place in enumerate(places):
            with ledger_of(product) as store:
                owner, name = owner_of(store), f"bench{number}"
                settings = Settings(home=product.home)
                make = lambda tx, o=owner, n=name, s=settings: attach.create_resource(tx, s, name=n, owner_id=o)  # noqa: E731
                _, join = store.write_now(make)
            place.mkdir(parents=True)
            words = [sys.executable, "-m", "sirdar.agent", "--home", str(place / "home"), "--server", product.url]
            with (place / "err").open("wb") as errors:
                words += ["--join", join, "--slots", str(slots)]
                running.append(subprocess.Popen(words, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL))
        yield [process.pid for process in running]
    finally:
        porters = []
        for place, process in zip(places, running, strict=False):
            with suppress(OSError, ValueError, KeyError):
                porters.append(json.loads((place / "home/agent.json").read_text())["porter_pid"])
            process.send_signal(signal.SIGUSR1)
        for process in running:
            process.wait(60)
        for pid in porters:
            with suppress(ProcessLookupError, TypeError):
                os.kill(pid, signal.SIGTERM)
