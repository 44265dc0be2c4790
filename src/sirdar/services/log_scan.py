"""Finding one's way in a stream of any size without holding it: lines in each block, lines that hold a text or tell of an error.

Pure: it is fed with bytes in order. A line ends with a newline; carriage returns do not end it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK_BYTES = 64 * 1024
MOST_LINES = 2000  # that one search gives; the others are counted by asking again from where it stopped
LONGEST_LINE = 1 << 20  # beyond this a line is searched in pieces

# What programs say when something went wrong, found by words first: one pass over the bytes must be cheap.
_HINT = re.compile(
    rb"[Ee]rror|ERROR|[Ee]xception|Traceback|[Ff]atal|FATAL|[Pp]anic|PANIC|CRITICAL"
    rb"|Segmentation fault|Bus error|Killed|Aborted"
    rb"|command not found|No such file or directory|Permission denied|annot allocate memory|ut of memory"
)
_ALONE = frozenset({b"command not found", b"No such file or directory", b"Permission denied"}) | {
    b"annot allocate memory",
    b"ut of memory",
}
_FIRST = frozenset({b"Segmentation fault", b"Bus error", b"Killed", b"Aborted"})
# 'error: 0.186', 'error = 3' and '0 errors' are results, not errors.
_SAYS = re.compile(rb"(?: error)?\s*:(?!\s*[-+]?(?:\.?\d|nan\b|inf\b))\s*\S")
_SHOUTS = re.compile(rb"(?![\w=-])(?!\s*[:=]?\s*[-+.\d])")
_COLOURS = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")


def is_error(line: bytes) -> bool:
    """Whether a line of a log looks like the report of an error."""
    if _HINT.search(line) is None:
        return False
    plain = _COLOURS.sub(b"", line[:4000]).strip()
    return any(_tells(plain, found) for found in _HINT.finditer(plain))


def _tells(line: bytes, found: re.Match[bytes]) -> bool:
    word, before = found[0], line[found.start() - 1 : found.start()]
    joined = before.isalnum() or before in {b"_", b"-", b"."}
    if word in _ALONE:
        return True
    if word in _FIRST:
        return found.start() == 0
    if word == b"Traceback":
        return line.startswith(b" (most recent call last)", found.end())
    if word.isupper():
        return not joined and _SHOUTS.match(line, found.end()) is not None
    if word[:1].isupper():  # KeyError, java.lang.RuntimeException
        named = joined and found.end() == len(line) and b" " not in line
        return named or _SAYS.match(line, found.end()) is not None
    return not joined and _SAYS.match(line, found.end()) is not None


@dataclass(slots=True)
class LineIndex:
    """Counts the newlines of each block. ``begins``: the number of the first byte that it is fed with; a multiple of a block.

    ``mark``: a byte that is to come; ``before_mark``: newlines before it, from ``begins`` on.
    """

    begins: int = 0
    mark: int | None = None
    before_mark: int = 0
    counts: list[int] = field(default_factory=list)
    size: int = 0  # how much it was fed with
    open: bool = False  # the last line has no newline yet

    def feed(self, content: bytes) -> None:
        if self.mark is not None:
            self.before_mark += content.count(b"\n", 0, max(0, self.mark - self.begins - self.size))
        place = 0
        while place < len(content):
            filled = self.size % BLOCK_BYTES
            if filled == 0:
                self.counts.append(0)
            stop = min(len(content), place + BLOCK_BYTES - filled)
            self.counts[-1] += content.count(b"\n", place, stop)
            self.size += stop - place
            place = stop
        if content:
            self.open = not content.endswith(b"\n")


@dataclass(slots=True)
class LineSearch:
    """Numbers of the lines that hold ``text`` (in any case, whatever its colours), or, without a text, that look like errors.

    ``line``: the number of the line that is fed first, from 0. ``offset``: where the line begins that is not whole yet; from there
    a later search goes on. ``full``: there may be more than ``MOST_LINES``.
    """

    text: str = ""
    line: int = 0
    offset: int = 0
    lines: list[int] = field(default_factory=list)
    full: bool = False
    _rest: bytes = b""
    _hit: bool = False  # in the part of a very long line that was let go
    _let_go: int = 0

    def feed(self, content: bytes) -> None:
        if self.full:
            return
        whole = self._rest + content
        stop = whole.rfind(b"\n") + 1
        self._take(whole[:stop])
        self._rest = b"" if self.full else whole[stop:]
        if len(self._rest) > LONGEST_LINE:
            keep = len(self.text.encode()) * 2 + 100
            self._hit = self._hit or self._holds(self._rest)
            self._let_go += len(self._rest) - keep
            self._rest = self._rest[-keep:]

    def finish(self) -> None:
        """The last line counts too, though it may grow: the next search begins with it."""
        if not self.full and (self._rest or self._let_go) and (self._hit or self._holds(self._rest)):
            self.lines.append(self.line)

    def _take(self, content: bytes) -> None:
        if not content:
            return
        first, _, _ = content.partition(b"\n")
        if self._let_go and self._hit and not self._holds(first):
            self.lines.append(self.line)  # the hit lay in what was let go
        plain = _COLOURS.sub(b"", content) if b"\x1b" in content else content  # newlines stay
        begin, place = self.line, 0
        for at in self._hits(plain):
            self.line += plain.count(b"\n", place, at)
            place = at
            if not self.lines or self.lines[-1] != self.line:
                if len(self.lines) >= MOST_LINES:
                    self.offset += _after_newlines(content, self.line - begin) + self._let_go
                    self.full = True
                    return
                self.lines.append(self.line)
        self.line += plain.count(b"\n", place)
        self.offset += len(content) + self._let_go
        self._let_go, self._hit = 0, False

    def _hits(self, content: bytes) -> list[int]:
        if self.text:
            return self._text_hits(content)
        found, place = [], 0
        while (hint := _HINT.search(content, place)) is not None:
            start = content.rfind(b"\n", 0, hint.start()) + 1
            stop = content.find(b"\n", hint.end())
            stop = len(content) if stop < 0 else stop
            if is_error(content[start:stop]):
                found.append(start)
            place = stop
        return found

    def _text_hits(self, content: bytes) -> list[int]:
        """One place for each line. Beyond ASCII a letter's other case may have another length: line by line."""
        if not self.text.isascii():
            wanted = self.text.lower()
            return [at for at, line in _lines(content) if wanted in line.decode(errors="replace").lower()]
        found, lowered, wanted_bytes = [], content.lower(), self.text.lower().encode()
        at = lowered.find(wanted_bytes)
        while at >= 0:
            found.append(at)
            stop = lowered.find(b"\n", at)
            at = lowered.find(wanted_bytes, stop) if stop >= 0 else -1
        return found

    def _holds(self, part: bytes) -> bool:
        if self.text:
            return self.text.lower() in _COLOURS.sub(b"", part).decode(errors="replace").lower()
        return is_error(part)


def _after_newlines(content: bytes, count: int) -> int:
    """Where the line after that many newlines begins."""
    place = 0
    for _ in range(count):
        place = content.find(b"\n", place) + 1
    return place


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(content):
        stop = content.find(b"\n", place)
        stop = len(content) if stop < 0 else stop
        yield place, content[place:stop]
        place = stop + 1
