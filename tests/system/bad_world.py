"""What the tables of bad input speak of: applications, jobs, files, people and tokens of a running server."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.system.product import Product, await_that


@dataclass
class World:
    """What the tables speak of."""

    product: Product
    words: dict[str, str]
    clients: dict[str, httpx.Client]

    @property
    def canary(self) -> Path:
        return Path(self.words["canary"])

    def fill(self, value: Any) -> Any:
        """The value with ``<name>`` replaced, inside too."""
        if isinstance(value, str):
            return re.sub(r"<([a-z ]+)>", lambda found: self.words.get(found[1], found[0]), value)
        if isinstance(value, bytes) and b"<" in value and len(value) < 10_000:
            return self.fill(value.decode("latin-1")).encode("latin-1")
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.fill(item) for item in value)
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        return value

    @property
    def kinds(self) -> str:
        return "me/kinds"


KINDS: dict[str, Any] = {
    "s": {"type": "string", "required": True, "pattern": "[^A-Z]*"},
    "t": {"type": "text"},
    "x": {"type": "number", "minimum": 0, "maximum": 10},
    "n": {"type": "integer"},
    "b": {"type": "boolean"},
    "e": {"type": "enum", "values": ["red", "green"]},
    "f": {"type": "file", "suffixes": [".csv"], "max_size": "1 KiB"},
    "fs": {"type": "files"},
    "d": {"type": "directory"},
    "j": {"type": "json"},
    "l": {"type": "list", "items": {"type": "integer"}, "max_length": 10},
    "k": {"type": "secret", "env": "KEY"},
}


@contextmanager
def world_of(sirdar: Product) -> Iterator[World]:
    """Makes what the tables speak of."""
    admin, anna, boris = sirdar.admin, sirdar.user("anna", canPublish=True), sirdar.user("boris")
    sirdar.publish("kinds", "true", inputs=KINDS, resources={"override": ["time"]}, params="params.json")
    admin.put("/api/apps/me/kinds/share/user:boris", json={"permission": "run"})
    sirdar.publish("gone", "true")
    admin.post("/api/apps/me/gone/archive", json={"archived": True})
    sirdar.publish("private", "true", who=anna)
    sirdar.publish(
        "token",
        "echo $EVEREST_TASK_TOKEN > token.txt",
        shell=True,
        outputs={"token": {"type": "string", "from": "token.txt"}},
    )
    task = sirdar.run("me/token")["result"]["token"]
    upload = admin.post("/api/files/uploads", json={"filename": "half.csv", "length": 50}).json()["id"]
    revoked = admin.post("/api/tokens", json={"label": "revoked"}).json()
    admin.delete(f"/api/tokens/{revoked['id']}")
    expired = admin.post("/api/tokens", json={"label": "expired", "lifetime": 0.01}).json()
    reader = admin.post("/api/tokens", json={"label": "reader", "scopes": ["read"]}).json()
    annas_content = b"annas!\n"
    words = {
        "canary": str(sirdar.root / "canary"),
        "job": sirdar.run("me/kinds", {"s": "a"})["id"],
        "annas job": sirdar.run("me/private", who=anna)["id"],
        "annas uri": sirdar.upload("annas.csv", annas_content, anna),
        "annas sha": hashlib.sha256(annas_content).hexdigest(),
        "uri": sirdar.upload("own.csv", b"1,2\n"),
        "exe uri": sirdar.upload("own.exe", b"MZ"),
        "large uri": sirdar.upload("large.csv", b"x" * 2000),
        "bad lines": sirdar.upload("sets.jsonl", b'{"n": 1}\n{"n": \n'),
        "upload": upload,
        "revoked": revoked["access_token"],
        "expired": expired["access_token"],
        "reader": reader["access_token"],
        "boris": boris.headers["authorization"][7:],
        "task": task,
        "forged": re.sub(r"-0-0", "-1-0", task)
        if "-0-0" in task
        else task[:-2] + ("aa" if task[-2:] != "aa" else "bb"),
        "resource": admin.get("/api/resources").json()[0]["id"],
        "agent": agent_token(sirdar),
    }
    with sirdar.client() as nobody, sirdar.client(words["agent"]) as agent:
        await_that(lambda: nobody.get("/api/me", headers={"authorization": f"Bearer {task}"}).status_code == 401)
        yield World(sirdar, words, {"admin": admin, "anna": anna, "boris": boris, "": nobody, "agent": agent})
    admin.delete(f"/api/files/uploads/{upload}")


def agent_token(product: Product) -> str:
    """A token for the embedded agent's place, got as the agent gets it: by a signature with its key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    identity = json.loads((product.home / "agent/identity.json").read_text())
    raw = next(value for name, value in identity.items() if "private" in name or name in {"key", "seed"})
    key = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    at, nonce = time.time(), "bad-input-tests"
    signature = base64.urlsafe_b64encode(
        key.sign(f"sirdar-agent-token:{identity['resource_id']}:{at}:{nonce}".encode())
    )
    body = {
        "resource_id": identity["resource_id"],
        "at": at,
        "nonce": nonce,
        "signature": signature.decode().rstrip("="),
    }
    with product.client() as client:
        reply = client.post("/agent/v1/token", json=body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])
