"""Encrypts what is secret in the journal, by a key beside it that only its owner can read."""

import json
import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

KEY_NAME = "journal.key"


class Seal:
    """Encrypts and decrypts JSON values."""

    def __init__(self, home: Path) -> None:
        path = home / KEY_NAME
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = Fernet.generate_key()
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
        self._fernet = Fernet(key)

    def close(self, value: Any) -> str:
        return self._fernet.encrypt(json.dumps(value).encode()).decode()

    def open(self, text: str) -> Any:
        """The value; None where the key does not fit any more."""
        try:
            return json.loads(self._fernet.decrypt(text))
        except InvalidToken:
            return None
