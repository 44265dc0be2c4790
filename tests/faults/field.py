"""A server, a network that fails on demand, and an agent of the test's own behind it: where phases are held by real means."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.proxy import Call, Proxy, Rule
from tests.faults.rig import LooseAgent, Rig
from tests.system.product import await_that

from sirdar.agent import operate
from sirdar.services import attach
from sirdar.services.settings import Settings
from sirdar.store import people
from sirdar.store.engine import Store

SCRIPT = """echo "$SIRDAR_TASK_ID" >> "$1"
if [ "$2" != - ]; then while [ ! -e "$2" ]; do sleep 0.02; done; fi
if [ -e given ]; then tac given > answer; else echo 42 > answer; fi
"""
LINES = [b"line %d\n" % number for number in range(60_000)]


@dataclass
class Field:
    """``server`` runs without an agent; ``agent`` reaches it through ``network`` only."""

    server: Rig
    network: Proxy
    agent: LooseAgent
    root: Path
    resource: str
    number: int = 0

    # ------------------------------------------------------------ jobs

    def submit(self, *, gate: bool = False, given: bool = False, **more: Any) -> "Held":
        """A job that says in a file of its own that it started; with ``gate`` it runs until ``Held.open``."""
        self.number += 1
        place = self.root / f"job{self.number}"
        place.mkdir()
        inputs: dict[str, Any] = {"diary": str(place / "diary"), "gate": str(place / "gate") if gate else "-"}
        lines = [b"job %d\n" % self.number, *LINES] if given else []  # its own: an agent keeps what it has fetched
        if given:
            inputs["given"] = self.server.upload("given", b"".join(lines))
        made = self.server.submit("me/field", inputs, **more)
        return Held(self, made["id"], place, b"".join(reversed(lines)) if given else b"42\n")

    def publish(self, **more: Any) -> None:
        texts = {name: {"type": "string"} for name in ("diary", "gate")}
        given = {"given": {"type": "file", "required": False, "path": "given"}}
        self.server.publish(
            "field", ["sh", "field.sh", "${diary}", "${gate}"], files={"field.sh": SCRIPT}, inputs={**texts, **given},
            outputs={"answer": {"type": "file", "from": "answer"}}, **more,
        )  # fmt: skip

    def end_all(self) -> None:
        """No job waits at its gate any more, and all have ended."""
        for place in self.root.glob("job*"):
            (place / "gate").touch()
        live = "SELECT id FROM jobs WHERE ended_at IS NULL"
        await_that(lambda: not self.server.rows(live), 20, f"the end of {self.server.rows(live)}")

    # ------------------------------------------------------------ deaths

    def kill(self, which: str) -> None:
        """``kill -9`` and another start: ``server``, ``agent``, ``porter`` or ``all``."""
        if which in ("porter", "all") and (porter := self.agent.porter_pid):
            os.kill(porter, 9)
        if which in ("agent", "all"):
            self.agent.kill()
        if which in ("server", "all"):
            self.server.kill("server")
            self.server.again()
        self.network.break_connections()
        if which in ("agent", "all"):
            self.agent.start()

    # ------------------------------------------------------------ where a phase is held

    def hold(self, phase: str) -> Rule | None:
        """Stops the next task in a phase: the rule that does it (None for ``running``: the gate does)."""
        if phase == "running":
            return None
        what, fits, before = PHASES[phase]
        return self.network.add(what, fits, before=before)

    def seen(self) -> dict[str, Any]:
        """What the ledger says of the resource."""
        query = "SELECT unreachable_since, lease_until, session FROM resources WHERE id = ?"
        since, lease, session = self.server.rows(query, self.resource)[0]
        return {"unreachable_since": since, "lease_until": lease, "session": session}

    def leased(self, job_id: str) -> bool:
        return bool(self.server.rows("SELECT 1 FROM jobs WHERE id = ? AND leased > 0", job_id))

    def set_mode(self, mode: str) -> None:
        """``drain`` or ``active``."""
        self._change(mode=mode)

    @contextlib.contextmanager
    def patience(self, lost_after_s: float) -> Iterator[None]:
        """The resource's patience with a silent agent is another one meanwhile."""
        before = float(self.server.settings["lost_after_s"])
        self._change(lostAfterS=lost_after_s)
        yield
        self._change(lostAfterS=before)

    def _change(self, **values: Any) -> None:
        reply = self.server.patient("PATCH", f"/api/resources/{self.resource}", json=values)
        assert reply.status_code == 200, reply.text

    def join_again(self) -> None:
        """The machine, whose agent was detached, is attached once more as the same resource."""
        reply = self.server.patient("POST", f"/api/resources/{self.resource}/join")
        assert reply.status_code == 201, reply.text
        operate.join(self.agent.home, self.network.url, reply.json()["command"].split()[-1])
        self.agent.start()

    def await_agent(self) -> None:
        """The agent's process that was started last has said hello."""

        def attached() -> bool:
            assert self.agent.process is not None
            status = self.agent.status()
            return status.get("pid") == self.agent.process.pid and status.get("session") == self.seen()["session"]

        await_that(attached, 20, "the agent's hello")

    def unreachable(self) -> bool:
        return self.seen()["unreachable_since"] is not None


def _offers(call: Call) -> bool:
    return call.path.endswith("/sync") and bool(call.heard.get("offers"))


def _accepts(call: Call) -> bool:
    return call.path.endswith("/sync") and bool(call.said.get("accepts"))


def finals(call: Call) -> bool:
    return call.path.endswith("/sync") and bool(call.said.get("finals"))


def _fetch(call: Call) -> bool:
    return call.method == "GET" and "/blobs/" in call.path


def _bring(call: Call) -> bool:
    return call.method in ("PUT", "HEAD") and "/blobs/" in call.path


# phase -> what is done to which call, and whether already the request is stopped
PHASES = {
    "offered": ("lose", _offers, False),
    "accepted": ("lose", _accepts, False),
    "staging_in": ("hold", _fetch, True),
    "staging_out": ("hold", _bring, True),
    "final_sent": ("lose", finals, False),
    "final_held": ("lose", finals, True),
}


@dataclass
class Held:
    """A job whose course a test looks at."""

    field: Field
    id: str
    place: Path
    answer: bytes

    @property
    def starts(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.place / "diary").read_text().split()
        return []

    def await_start(self, within_s: float = 20.0) -> None:
        await_that(lambda: self.starts, within_s, "the program's start")

    def await_state(self, *states: str) -> None:
        """The ledger's word of the newest attempt: the offer of an earlier one may have expired on a busy machine."""
        server = self.field.server

        def is_there() -> bool:
            found = server.attempts(self.id)
            return bool(found) and found[-1][2] in states

        try:
            await_that(is_there, 20, f"{self.id} {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{server.picture(self.id)}") from None

    def open(self) -> None:
        (self.place / "gate").touch()

    def await_end(self) -> None:
        self.field.server.await_end(self.id)

    def processes(self) -> list[int]:
        """Those that name its place in their command."""
        word, found = str(self.place).encode(), []
        for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]:
            with contextlib.suppress(OSError):
                if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def await_done(self, starts: int | None = 1) -> dict[str, Any]:
        """Its one true end, with the right output, after so many starts."""
        server = self.field.server
        ended = server.await_end(self.id)
        assert ended["state"] == "DONE", f"{ended}\n{server.picture(self.id)}"
        answer = server.patient("GET", ended["result"]["answer"]).content
        assert hashlib.sha256(answer).digest() == hashlib.sha256(self.answer).digest(), answer[:100]
        assert len(set(self.starts)) == len(self.starts), self.starts
        if starts is not None:
            assert len(self.starts) == starts, f"{self.starts}\n{server.picture(self.id)}"
        server.check_story(self.id)
        return ended


@contextlib.contextmanager
def field_of(
    root: Path,
    *,
    agent: dict[str, Any] | None = None,
    embedded: bool = False,
    around_server: dict[str, str] | None = None,
    around_agent: dict[str, str] | None = None,
    inside: tuple[str, ...] = (),
    **settings: Any,
) -> Iterator[Field]:
    """A field, checked at its end: nothing lives in the ledger, on the disk or among the processes.

    ``around_..``: environment of the server and of the agent; ``inside``: a command that starts the agent's.
    """
    server = Rig(root / "up", settings, slots=0, environment=around_server or {})
    server.root.mkdir(parents=True)
    server.start()
    network = Proxy(server.port)
    resource, join = _resource(server, embedded=embedded)
    around = around_agent or {}
    loose = LooseAgent(root / "agent/home", network.url, join, settings=agent or {}, environment=around, inside=inside)
    loose.start()
    field = Field(server, network, loose, root, resource)
    try:
        field.publish(retries=20)
        field.await_agent()
        yield field
        network.clear()
        server.check_quiet()
        work = [*loose.home.glob("work/*/dir/*"), *loose.home.glob("cache/tmp/*")]
        assert not work, work
    finally:
        network.clear()
        loose.close()
        network.close()
        server.again()
        server.close()


def _resource(server: Rig, *, embedded: bool) -> tuple[str, str]:
    """A resource and its join token, made beside the server as an administrator's tool would."""
    database = str(server.settings.get("database", ""))
    settings = Settings(home=server.home, database=database, lost_after_s=float(server.settings["lost_after_s"]))
    store = Store(settings.database_url)
    try:
        owner = store.read_now(lambda conn: people.user_by_name(conn, "admin"))
        assert owner is not None
        return store.write_now(
            lambda tx: attach.create_resource(tx, settings, name="away", owner_id=owner.id, embedded=embedded)
        )
    finally:
        store.close()
