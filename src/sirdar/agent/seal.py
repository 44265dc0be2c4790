"""Encrypts what is secret in the journal, by a key beside it that only its owner can read."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sirdar.agent.home import write_private

KEY_NAME = "journal.key"
NONCE_BYTES = 12


class Seal:
    """Encrypts and decrypts JSON values (AES-256-GCM)."""

    def __init__(self, home: Path) -> None:
        path = home / KEY_NAME
        key = path.read_bytes() if path.exists() else b""
        if not key:
            key = base64.b64encode(os.urandom(32))
            write_private(path, key.decode())
        self._cipher = AESGCM(hashlib.sha256(key).digest())

    def close(self, value: Any) -> str:
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, json.dumps(value).encode(), None)).decode()

    def open(self, text: str) -> Any:
        """The value; None where the key does not fit any more."""
        try:
            raw = base64.b64decode(text, validate=True)
            return json.loads(self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None))
        except (InvalidTag, ValueError):
            return None
