"""What stands in a .nl file after its header, one item after another: as text (``g``) or as bytes (``b``)."""

import re
import struct


class Truncated(ValueError):
    """The file ends, or breaks off, before its problem is complete."""


class TextTokens:
    """Items of the text form. The letter of an item and its first number are one word there: ``J0 3``."""

    def __init__(self, body: bytes) -> None:
        if b"#" in body:  # names, written beside the numbers for people
            body = re.sub(rb"#[^\n]*", b"", body)
        self._words = body.split()
        self._at = 0
        self._rest = b""  # of a word whose letter has been read

    def ended(self) -> bool:
        return self._at >= len(self._words) and not self._rest

    def letter(self) -> str:
        word = self._word()
        self._rest = word[1:]
        return chr(word[0])

    def integer(self) -> int:
        return int(self._word())

    def short(self) -> float:
        return float(self._word())

    def number(self) -> float:
        return float(self._word())

    def string(self) -> str:
        return self._word().decode("utf-8", "replace")

    def pairs(self, n: int, *, whole: bool = False) -> tuple[list[int], list[float]]:
        """``n`` lines of an index and a number. ``whole``: the numbers are integers."""
        words = self._words[self._at : self._at + 2 * n]
        if len(words) < 2 * n:
            raise Truncated("it ends within a list of numbers")
        self._at += 2 * n
        return list(map(int, words[::2])), list(map(float, words[1::2]))

    def _word(self) -> bytes:
        if self._rest:
            word, self._rest = self._rest, b""
            return word
        if self._at >= len(self._words):
            raise Truncated("it ends too early")
        self._at += 1
        return self._words[self._at - 1]


class ByteTokens:
    """Items of the binary form. ``order``: ``<`` or ``>``, as the machine wrote that made it."""

    def __init__(self, body: bytes, order: str) -> None:
        self._body = body
        self._at = 0
        self._order = order
        self._integer = struct.Struct(order + "i")
        self._short = struct.Struct(order + "h")
        self._number = struct.Struct(order + "d")

    def ended(self) -> bool:
        return self._at >= len(self._body)

    def letter(self) -> str:
        self._at += 1
        if self._at > len(self._body):
            raise Truncated("it ends too early")
        return chr(self._body[self._at - 1])

    def integer(self) -> int:
        return int(self._take(self._integer))

    def short(self) -> float:
        return float(self._take(self._short))

    def number(self) -> float:
        return float(self._take(self._number))

    def string(self) -> str:
        size = self.integer()
        text = self._body[self._at : self._at + size]
        self._at += size
        return text.decode("utf-8", "replace")

    def pairs(self, n: int, *, whole: bool = False) -> tuple[list[int], list[float]]:
        """``n`` times an index and a number. ``whole``: the numbers are integers."""
        each = struct.Struct(self._order + ("ii" if whole else "id"))
        end = self._at + n * each.size
        if end > len(self._body):
            raise Truncated("it ends within a list of numbers")
        items = list(each.iter_unpack(self._body[self._at : end]))
        self._at = end
        return [index for index, _ in items], [float(value) for _, value in items]

    def _take(self, form: struct.Struct) -> float:
        try:
            (value,) = form.unpack_from(self._body, self._at)
        except struct.error:
            raise Truncated("it ends too early") from None
        self._at += form.size
        number: float = value
        return number


Tokens = TextTokens | ByteTokens
