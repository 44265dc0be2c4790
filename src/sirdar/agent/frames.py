"""Frames of the task port: a 4-byte big-endian length and UTF-8 text. Pure.

Known clients count characters, not bytes. For ASCII text the two agree; after any other, a length that cannot be (over
1 MiB), or fewer than four bytes that nothing follows, show that the last length meant characters.
"""

MOST_BYTES = 1 << 20
HEADER_BYTES = 4


class FrameError(Exception):
    """The peer does not speak this protocol."""


def encode(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(HEADER_BYTES, "big") + raw


class Decoder:
    """Takes bytes as they come and gives whole texts."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, raw: bytes) -> list[str]:
        """The texts that are complete now. Raises FrameError."""
        self._buffer += raw
        return self._take(at_rest=False)

    def rest(self) -> list[str]:
        """To be called when nothing has come for a while, or the peer is gone: decides what was left open."""
        return self._take(at_rest=True)

    @property
    def undecided(self) -> bool:
        return bool(self._buffer)

    def _take(self, *, at_rest: bool) -> list[str]:
        texts = []
        while len(self._buffer) >= HEADER_BYTES:
            length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
            if length > MOST_BYTES:
                raise FrameError(f"a message of {length} bytes is announced; at most {MOST_BYTES} are accepted")
            if len(self._buffer) < HEADER_BYTES + length:
                break
            size = self._size(length, at_rest=at_rest)
            if size is None:
                break
            texts.append(self._buffer[HEADER_BYTES : HEADER_BYTES + size].decode("utf-8", errors="replace"))
            del self._buffer[: HEADER_BYTES + size]
        return texts

    def _size(self, length: int, *, at_rest: bool) -> int | None:
        """How many bytes the first frame has; None where that cannot be said yet."""
        body = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + length])
        after = self._buffer[HEADER_BYTES + length : HEADER_BYTES + length + HEADER_BYTES]
        if body.isascii():
            return length
        if not _is_whole(body):
            return self._size_of_characters(length, at_rest=at_rest)
        if len(after) == HEADER_BYTES:
            can_be = int.from_bytes(after, "big") <= MOST_BYTES
            return length if can_be else self._size_of_characters(length, at_rest=at_rest)
        if not at_rest:
            return None
        return self._size_of_characters(length, at_rest=True) if after else length

    def _size_of_characters(self, length: int, *, at_rest: bool) -> int | None:
        size = characters = 0
        raw = self._buffer
        while characters < length:
            if HEADER_BYTES + size >= len(raw):
                return size if at_rest and size >= length else None
            size += _width(raw[HEADER_BYTES + size])
            characters += 1
        return size if HEADER_BYTES + size <= len(raw) else None


def _is_whole(raw: bytes) -> bool:
    """True if the bytes do not end within a character."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason != "unexpected end of data"
    return True


def _width(first: int) -> int:
    if first < 0x80:
        return 1
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4
