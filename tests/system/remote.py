"""A server without an agent of its own, and an agent on another disk that reaches it through a wire that counts and breaks."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.faults.field import _resource as new_resource
from tests.faults.rig import LooseAgent, Rig
from wire import Wire


@dataclass
class Remote:
    """A server without an agent of its own, and one that reaches it through ``wire`` only and shares no directory with it."""

    server: Rig
    wire: Wire
    agent: LooseAgent

    def put(self, content: bytes, name: str = "given") -> str:
        reply = self.server.admin.put(f"/api/files/temp/{name}", content=content)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["uri"])

    def submit(self, app: str, inputs: dict[str, Any], **more: Any) -> str:
        return str(self.server.submit(app, inputs, **more)["id"])

    def done(self, job_id: str) -> dict[str, Any]:
        try:
            job = self.server.await_end(job_id)
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe agent:\n{self.agent_log[-4000:]}") from None
        assert job["state"] == "DONE", f"{job}\n{self.server.picture(job_id)}"
        return job

    def download(self, uri: str) -> bytes:
        reply: httpx.Response = self.server.admin.get(uri)
        assert reply.status_code == 200
        return reply.content

    @property
    def cached(self) -> dict[str, int]:
        """Blobs in the agent's cache, and their sizes."""
        return {path.name: path.stat().st_size for path in (self.agent.home / "cache").glob("??/*")}

    @property
    def agent_log(self) -> str:
        return (self.agent.home / "agent.log").read_text()


@contextlib.contextmanager
def remote_of(root: Path, *, agent: dict[str, Any] | None = None, slots: int = 2, **settings: Any) -> Iterator[Remote]:
    server = Rig(root / "up", settings, slots=0)
    server.root.mkdir(parents=True)
    server.start()
    wire = Wire(server.port)
    _, join = new_resource(server, embedded=False)
    loose = LooseAgent(root / "agent/home", wire.url, join, slots=slots, settings=agent or {}).start()
    try:
        server.publish(
            "sum",
            "cat given | sha256sum > sum; sleep ${pause}",
            shell=True,
            inputs={
                "given": {"type": "file", "path": "given"},
                "pause": {"type": "number", "default": 0},
                "n": {"type": "integer", "default": 0},
            },
            outputs={"sum": {"type": "file", "from": "sum"}},
        )
        server.publish(
            "twice",
            "cat given given > taken",
            shell=True,
            inputs={"given": {"type": "file", "path": "given"}},
            outputs={"taken": {"type": "file", "from": "taken"}},
        )
        yield Remote(server, wire, loose)
        left = [*loose.home.glob("work/*/dir/*"), *loose.home.glob("cache/partial/*")]
        assert not left, left
    finally:
        loose.close()
        wire.close()
        server.again()
        server.close()
