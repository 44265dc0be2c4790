"""Keeps secrets out of streams: each is replaced by as many asterisks, so that byte offsets stay what they are."""

from collections.abc import Iterable

LEAST_CHARS = 4


def secrets_of(values: Iterable[str]) -> list[bytes]:
    """What is to be hidden, longest first; what is shorter than four characters would hide too much else."""
    return sorted({value.encode() for value in values if len(value) >= LEAST_CHARS}, key=len, reverse=True)


def redact(raw: bytes, secrets: Iterable[bytes]) -> bytes:
    for secret in secrets:
        if secret in raw:
            raw = raw.replace(secret, b"*" * len(secret))
    return raw


def safe_length(raw: bytes, secrets: list[bytes]) -> int:
    """How much of a growing stream may be sent now: a secret may have begun at its end."""
    if not secrets or not raw:
        return len(raw)
    held = len(secrets[0]) - 1
    begin = max(0, len(raw) - held)
    line_end = raw.rfind(b"\n", begin)
    return line_end + 1 if line_end >= 0 else begin
