"""The curve of what a program uses of cpu and memory: kept short while it grows, whatever the program's age. Pure.

CPU time adds up, so that the difference of two rows is exact however many samples lay between them; of memory each row has the
most since the row before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Row = tuple[float, float, int]  # seconds since the start, CPU seconds until then, the most bytes since the row before

MOST_ROWS = 300
PIECE_ROWS = 12
OPENNESS = 0.9  # of a step: samples do not come at exact times


@dataclass(frozen=True, slots=True)
class Point:
    """What was used in the time that ends at ``at_s`` seconds after the start: cores on average, bytes at most."""

    at_s: float
    cpus: float
    memory_bytes: int


@dataclass(slots=True)
class Curve:
    """Takes samples. When its rows get too many, neighbours become one, and so do later samples.

    ``piece``: the newest rows, which are told while the program runs. A piece that is full stays as it is; the next begins.
    """

    most: int = MOST_ROWS
    rows: list[Row] = field(default_factory=list)
    piece: list[Row] = field(default_factory=list)
    step_s: float = 0.0
    _seen_s: float = 0.0
    _gone_s: float = 0.0

    def add(self, at_s: float, cpu_s: float, memory_bytes: int) -> None:
        """A sample. ``cpu_s`` is of the processes that live: what of it is gone was still spent."""
        self._gone_s += max(0.0, self._seen_s - cpu_s)
        self._seen_s = cpu_s
        row = (round(at_s, 2), round(cpu_s + self._gone_s, 2), memory_bytes)
        if self.rows and row[0] <= self.rows[-1][0]:  # a clock that was set back
            return
        if len(self.piece) >= PIECE_ROWS and not _is_open(self.piece, self.step_s):
            self.piece = []
        _put(self.rows, row, self.step_s)
        _put(self.piece, row, self.step_s)
        if len(self.rows) > self.most:
            self.rows = halved(self.rows)
            self.step_s = self.rows[-1][0] / len(self.rows)


def _put(rows: list[Row], row: Row, step_s: float) -> None:
    if _is_open(rows, step_s):
        rows[-1] = _merged(rows[-1], row)
    else:
        rows.append(row)


def _is_open(rows: Sequence[Row], step_s: float) -> bool:
    """Whether the last row's time is not over yet."""
    return len(rows) > 1 and rows[-1][0] - rows[-2][0] < step_s * OPENNESS


def _merged(before: Row, after: Row) -> Row:
    return after[0], after[1], max(before[2], after[2])


def halved(rows: Sequence[Row]) -> list[Row]:
    """Each two neighbours as one; the last stays alone where their number is odd."""
    return [_merged(rows[n], rows[min(n + 1, len(rows) - 1)]) for n in range(0, len(rows), 2)]


def joined(pieces: Iterable[Sequence[Row]], most: int = MOST_ROWS) -> list[Row]:
    """One curve of its pieces, in whatever order. What an earlier agent has told goes before what a later one tells."""
    rows: list[Row] = []
    for piece in sorted((piece for piece in pieces if piece), key=lambda piece: piece[0][0]):
        rows = [row for row in rows if row[0] < piece[0][0]]
        rows += piece
    while len(rows) > most:
        rows = halved(rows)
    return rows


def points(rows: Sequence[Row]) -> list[Point]:
    """The curve as people read it."""
    pairs = pairwise([(0.0, 0.0, 0), *rows])
    return [
        Point(at_s, round(max(0.0, cpu_s - before[1]) / (at_s - before[0]), 3), memory_bytes)
        for before, (at_s, cpu_s, memory_bytes) in pairs
        if at_s > before[0]
    ]
