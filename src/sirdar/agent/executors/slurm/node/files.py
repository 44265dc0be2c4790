# ruff: noqa: PTH104
"""Small files that are there whole or not at all."""

import json
import os
from typing import Any


def write_json(path: str, content: Any, *, durable: bool = False) -> None:
    """Replaces the file; only its owner may read it. Raises OSError."""
    raw = json.dumps(content, separators=(",", ":")).encode()
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(raw)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def read_json(path: str) -> Any:
    """None where there is no such file. Raises ValueError where it is not JSON."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None
