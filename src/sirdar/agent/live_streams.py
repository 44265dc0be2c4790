"""How far a program's stream has been sent while it runs, and when its bytes were first seen. Files are read here, nothing is sent.

The head of a stream is sent whole. Of what comes after it the newest is sent: where the program writes faster than can be sent,
the sender jumps ahead, and says in which line it goes on.
"""

from dataclasses import dataclass, field
from pathlib import Path

PIECE_BYTES = 1 << 20  # sent at a time
BEHIND_BYTES = 2 << 20  # further behind than this, the sender jumps ahead ...
AHEAD_BYTES = 256 << 10  # ... to so much before the end
MARKS = 512  # of one stream that are kept
LATE_S = 1.0  # two looks further apart than this do not tell when a byte came


@dataclass(slots=True)
class Seen:
    """Marks: from which byte on, and when (seconds since 1970) what stands there was first seen; None where nobody knows.

    ``looked_at``: when the stream was looked at last, at first when the program started.
    """

    looked_at: float
    size_bytes: int = 0
    marks: list[tuple[int, float | None]] = field(default_factory=list)
    untold: list[tuple[int, float | None]] = field(default_factory=list)  # to the server

    def look(self, size_bytes: int, now: float) -> None:
        """The stream has that size now."""
        late = now - self.looked_at > LATE_S
        self.looked_at = now
        if size_bytes <= self.size_bytes:
            return
        mark = (self.size_bytes, None if late else round(now, 1))
        self.marks.append(mark)
        self.untold = [*self.untold[-MARKS:], mark]
        self.size_bytes = size_bytes
        if len(self.marks) > MARKS:
            del self.marks[1::2]


@dataclass(slots=True)
class Newest:
    """The end of a stream of which the middle is not sent. ``line``: newlines before ``sent_bytes``."""

    sent_bytes: int
    line: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a stream. ``line``: newlines before them, where the middle may be left out before them."""

    offset: int
    raw: bytes
    line: int | None = None


def read_piece(path: Path, offset: int, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(min(most_bytes, PIECE_BYTES))
    except OSError:
        return b""


def count_lines(path: Path, start: int, stop: int) -> int:
    """Newlines between two places. Raises OSError."""
    found = 0
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(PIECE_BYTES, stop - start))):
            found += piece.count(b"\n")
            start += len(piece)
    return found


def jump_ahead(path: Path, newest: Newest) -> Newest:
    """Where to go on: where it is, or, too far behind, near the end, at the beginning of a line if there is one. Raises OSError."""
    size = path.stat().st_size
    if size - newest.sent_bytes <= BEHIND_BYTES:
        return newest
    start = size - AHEAD_BYTES
    start += read_piece(path, start, AHEAD_BYTES).find(b"\n") + 1
    return Newest(start, newest.line + count_lines(path, newest.sent_bytes, start))
