"""What is in a file, shown on a page: tables, JSON, Markdown, text. Pure: from the file's first bytes, whoever wrote them.

Whatever is shown is bounded: rows, columns, letters, depth. What cannot be read as its name promises is shown as text, and a file
that is no text is not shown.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

HEAD_BYTES = 256 * 1024  # of a file that are looked at
JSON_BYTES = 1 << 20  # JSON is whole or not at all
ROWS = 50
COLUMNS = 60
CELL_CHARS = 200
LINES = 500
LINE_CHARS = 2000
NODES = 2000
DEPTH = 12
NAMES_SHOWN = 500  # of an archive

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif")
DRAWING = ".svg"
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".jar", ".whl")
MARKDOWN = (".md", ".markdown")
JSONS = (".json", ".geojson", ".ipynb")
_NUMBER = re.compile(
    r"\s*[-+]?(?:\d[\d_ ]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?\s*|\s*[-+]?(?:nan|inf|infinity)\s*|\s*", re.IGNORECASE
)
_HIDDEN = re.compile(
    r"[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


class Kind(StrEnum):
    """How a file is shown; NOTHING: only a link."""

    PICTURE = "picture"
    DRAWING = "drawing"
    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    ARCHIVE = "archive"
    TEXT = "text"
    NOTHING = "nothing"


def kind_of(name: str, head: bytes = b"") -> Kind:
    """By the name; without a known ending by the first bytes, which must be text then."""
    lowered = name.lower()
    if lowered.endswith(PICTURES):
        return Kind.PICTURE
    if lowered.endswith(DRAWING):
        return Kind.DRAWING
    if lowered.endswith(ARCHIVES):
        return Kind.ARCHIVE
    if not is_text(head):
        return Kind.NOTHING
    if lowered.endswith(tuple(TABLES)):
        return Kind.TABLE
    if lowered.endswith(JSONS):
        return Kind.JSON
    return Kind.MARKDOWN if lowered.endswith(MARKDOWN) else Kind.TEXT


def is_text(head: bytes) -> bool:
    """A file with a zero byte is none, unless it says that it is UTF-16."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return b"\0" not in head and not head.startswith((b"%PDF-", b"PK\x03\x04", b"\x1f\x8b"))


def decoded(content: bytes) -> str:
    """Text of any encoding that says which it is, else UTF-8; what is no text becomes a sign that says so."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def plain(text: str) -> str:
    """Without letters that nobody sees, such as those that turn the direction of writing."""
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


# ---------------------------------------------------------------- text


@dataclass(frozen=True, slots=True)
class TextView:
    """``cut``: there is more than is shown."""

    text: str
    cut: bool


def text_of(content: bytes, *, more: bool = False) -> TextView:
    lines = plain(decoded(content)).split("\n")
    cut = more or len(lines) > LINES or any(len(line) > LINE_CHARS for line in lines[:LINES])
    return TextView("\n".join(_shortened(line, LINE_CHARS) for line in lines[:LINES]), cut)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class TableView:
    """``header``: empty where the first row is no header; ``numeric``: for each column, whether it holds numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    cut_rows: bool
    cut_columns: bool


def table_of(content: bytes, name: str, *, more: bool = False) -> TableView | None:
    """The first rows; None where it is no table."""
    text = plain(decoded(content))
    if more:  # the last line is most likely a part
        text = text.rpartition("\n")[0] or text
    separator = _separator(text, TABLES.get(name[name.rfind(".") :].lower(), ","))
    try:
        reader = csv.reader(text.split("\n"), delimiter=separator)
        found = [row for row, _ in zip((row for row in reader if row), range(ROWS + 2), strict=False)]
    except csv.Error:  # a field longer than any table has
        return None
    if not found or max(map(len, found)) > 10_000:
        return None
    width = min(COLUMNS, max(map(len, found)))
    rows = [tuple(_shortened(cell.strip(), CELL_CHARS) for cell in _padded(row, width)) for row in found]
    header, body = (rows[0], rows[1:]) if _is_header(rows[0][: len(found[0])], len(found)) else ((), rows)
    shown = tuple(body[:ROWS])
    numeric = tuple(bool(shown) and all(_NUMBER.fullmatch(row[at]) for row in shown) for at in range(width))
    return TableView(header, shown, numeric, more or len(body) > ROWS, max(map(len, found)) > COLUMNS)


def _padded(row: Sequence[str], width: int) -> list[str]:
    return [*row[:width], *[""] * (width - len(row))]


def _separator(text: str, usual: str) -> str:
    """What the first line is divided by, where that is not what the name promises."""
    first = text.partition("\n")[0]
    counts = {sign: first.count(sign) for sign in (usual, ",", ";", "\t", "|")}
    return usual if counts[usual] else max(counts, key=lambda sign: counts[sign])


def _is_header(first: Sequence[str], lines: int) -> bool:
    """``first``: the cells of the first line as they are shown, for a pattern over a cell as it came may take minutes."""
    return lines > 1 and all(first) and not any(_NUMBER.fullmatch(cell) for cell in first)


# ---------------------------------------------------------------- JSON


@dataclass(frozen=True, slots=True)
class Node:
    """A value of JSON. ``kind``: object, array, string, number, word; ``size``: of its members; ``cut``: not all are shown."""

    key: str
    kind: str
    text: str
    size: int
    members: tuple["Node", ...]
    cut: bool


def tree_of(content: bytes) -> Node | None:
    """The value as a tree; None where it cannot be read."""
    try:
        value = json.loads(decoded(content))
    except (ValueError, RecursionError):
        return None
    return _node("", value, DEPTH, [NODES])


def _node(key: str, value: Any, depth: int, left: list[int]) -> Node:
    """``left``: how many more nodes may be made, shared by all."""
    left[0] -= 1
    name = _shortened(plain(key), CELL_CHARS)
    if not isinstance(value, dict | list):
        return Node(name, _kind(value), _shortened(plain(_word(value)), LINE_CHARS), 0, (), False)
    entries = value.items() if isinstance(value, dict) else ((str(at), member) for at, member in enumerate(value))
    members = []
    if depth > 0:
        for label, member in entries:
            if left[0] <= 0:
                break
            members.append(_node(label, member, depth - 1, left))
    kind = "object" if isinstance(value, dict) else "array"
    return Node(name, kind, "", len(value), tuple(members), len(members) < len(value))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "word"


def _word(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # a whole number of more digits than Python writes
        return "…"
