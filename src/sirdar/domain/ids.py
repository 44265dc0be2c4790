"""Names of things: typed ids and the key of an attempt."""

import re
from base64 import b32encode
from dataclasses import dataclass
from typing import NewType

UserId = NewType("UserId", str)
AppId = NewType("AppId", str)
VersionId = NewType("VersionId", str)
JobId = NewType("JobId", str)
ResourceId = NewType("ResourceId", str)
Sha256 = NewType("Sha256", str)

# Crockford's base 32 in lower case: no i, l, o, u, so an id survives being read aloud.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_BYTES = 10
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())
_WORD = re.compile(r"[0-9A-Za-z]+")
_NUMBER = re.compile(r"[0-9]{1,9}")  # fits the columns


def encode_id(raw: bytes) -> str:
    """Text of an id: 16 characters for 10 bytes (80 bits). It holds no dash, so ids can be joined by dashes."""
    if len(raw) != ID_BYTES:
        raise ValueError(f"an id is made of {ID_BYTES} bytes, not {len(raw)}")
    return b32encode(raw).translate(_CROCKFORD).decode()


@dataclass(frozen=True, slots=True, order=True)
class AttemptKey:
    """One try at one task of a job. ``attempt`` counts from 1 and is the fencing token; ``task`` counts from 0."""

    job: JobId
    task: int
    attempt: int

    @property
    def text(self) -> str:
        """``JOB-TASK-RESTART``, the task id that programs and Everest's clients see (restart = attempt - 1)."""
        return f"{self.job}-{self.task}-{self.attempt - 1}"

    @classmethod
    def parse(cls, text: str) -> "AttemptKey":
        """Inverse of ``text``. Raises ValueError where it is not of that form."""
        parts = text.rsplit("-", 2)
        if len(parts) != 3 or not _WORD.fullmatch(parts[0]) or not all(map(_NUMBER.fullmatch, parts[1:])):
            raise ValueError(f"{text!r} is not a task id of the form JOB-TASK-RESTART")
        return cls(JobId(parts[0]), int(parts[1]), int(parts[2]) + 1)
