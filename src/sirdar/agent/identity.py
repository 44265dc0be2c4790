"""Who the agent is to the server: an Ed25519 key that is made here and never leaves, and short-lived tokens."""

import base64
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sirdar.agent.home import write_private
from sirdar.wire.agent import TokenRequest

FILE_NAME = "identity.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """The key pair, and the resource that it was joined to (empty until then)."""

    private_key: bytes
    resource_id: str = ""
    name: str = ""
    server: str = ""  # where it joined

    @property
    def public_key(self) -> str:
        raw = Ed25519PrivateKey.from_private_bytes(self.private_key).public_key().public_bytes_raw()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def token_request(self, *, clock_ahead_s: float = 0.0) -> TokenRequest:
        """A signed request for an access token; ``clock_ahead_s``: how far the server's clock is ahead of ours."""
        at, nonce = time.time() + clock_ahead_s, secrets.token_urlsafe(12)
        text = f"sirdar-agent-token:{self.resource_id}:{at}:{nonce}"
        signature = Ed25519PrivateKey.from_private_bytes(self.private_key).sign(text.encode())
        signed = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        return TokenRequest(resource_id=self.resource_id, at=at, nonce=nonce, signature=signed)


def load_identity(home: Path) -> Identity:
    """The identity in the directory; a new key is made and kept at once, so that a join whose answer was lost can be repeated."""
    try:
        kept = json.loads((home / FILE_NAME).read_text())
        names = {key: str(kept.get(key, "")) for key in ("resource_id", "name", "server")}
        return Identity(base64.b64decode(kept["private_key"]), **names)
    except FileNotFoundError:
        identity = Identity(os.urandom(32))
        save_identity(home, identity)
        return identity


def kept_identity(home: Path) -> Identity | None:
    """The identity of a home that has joined; None where it has not."""
    if not (home / FILE_NAME).exists():
        return None
    identity = load_identity(home)
    return identity if identity.resource_id else None


def save_identity(home: Path, identity: Identity) -> None:
    key = base64.b64encode(identity.private_key).decode()
    names = {"resource_id": identity.resource_id, "name": identity.name, "server": identity.server}
    content = {"private_key": key, **names}
    write_private(home / FILE_NAME, json.dumps(content) + "\n")
