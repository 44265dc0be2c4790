"""Keeps secrets out of streams: each is replaced by as many asterisks, so that byte offsets stay what they are."""

from collections.abc import Iterable

LEAST_CHARS = 4


def secrets_of(values: Iterable[str]) -> list[bytes]:
    """What is to be hidden, longest first; what is shorter than four characters would hide too much else."""
    return sorted({value.encode() for value in values if len(value) >= LEAST_CHARS}, key=len, reverse=True)


def redact(raw: bytes, secrets: Iterable[bytes]) -> bytes:
    """Hides each occurrence, also where they overlap: what is hidden at a place does not depend on where the bytes were cut."""
    hidden = bytearray()
    for secret in secrets:
        begin = raw.find(secret)
        while begin >= 0:
            hidden = hidden or bytearray(raw)
            end = begin + len(secret)
            hidden[begin:end] = b"*" * len(secret)
            begin = raw.rfind(secret, begin + 1, end + len(secret))  # the last one that overlaps or touches it
            if begin < 0:
                begin = raw.find(secret, end)
    return bytes(hidden) if hidden else raw


def safe_length(raw: bytes, secrets: Iterable[bytes]) -> int:
    """How much of a growing stream, not yet redacted, may be sent now: at its end a secret may have begun.

    What is sent must be redacted together with the bytes before it, as many as the longest secret has.
    """
    safe, view = len(raw), memoryview(raw)
    for secret in secrets:
        begin = raw.find(secret[0], max(0, len(raw) - len(secret) + 1))
        while 0 <= begin < safe:
            if secret.startswith(view[begin:]):
                safe = begin
            else:
                begin = raw.find(secret[0], begin + 1)
    return safe
