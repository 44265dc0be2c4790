"""Digests of files."""

import hashlib
from pathlib import Path


def digest_of(path: Path) -> tuple[str, int]:
    """The file's sha256 and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
