"""Plain drawing for terminals and pipes: tables, states, pairs. No library: it must be quick."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sirdar.cli.session import Terminal

SHAPES = {"DONE": "✓", "FAILED": "✕", "CANCELLED": "⊘", "RUNNING": "●", "SUBMITTED": "○", "READY": "○"}
COLOURS = {"DONE": "32", "FAILED": "31", "CANCELLED": "90", "RUNNING": "34", "SUBMITTED": "33", "READY": "33"}
NONE_SUCCEEDED = "! Done, none succeeded"
SHORTEST_CELL = 12


def state(name: str, terminal: Terminal) -> str:
    """A shape and the word: ``● Running``; in colour where the terminal has it."""
    return paint(f"{SHAPES.get(name, '◌')} {name.capitalize()}", COLOURS.get(name, "35"), terminal)


def state_words(job: Mapping[str, Any]) -> str:
    """A job's shape and word. One whose failures are ignored is done though no task of it is: that is no reason for a tick."""
    name = str(job.get("state"))
    tasks = job.get("tasks") or {}
    if name == "DONE" and tasks.get("failed") and not tasks.get("done"):
        return NONE_SUCCEEDED
    return f"{SHAPES.get(name, '◌')} {name.capitalize()}"


def paint(text: str, code: str, terminal: Terminal) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if terminal.colour else text


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], terminal: Terminal) -> list[str]:
    """Lines of a table. Columns whose header ends with ``>`` are set flush right; on a terminal the widest is cut."""
    names = [header.rstrip(">") for header in headers]
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([width(name), *(width(row[i]) for row in cells)]) for i, name in enumerate(names)]
    if terminal.columns is not None:
        _fit(widths, terminal.columns)
    right = [header.endswith(">") for header in headers]
    lines = [_line([name.upper() for name in names], widths, right)]
    lines[0] = paint(lines[0], "90", terminal)
    for row in cells:
        line = _line(row, widths, right)
        lines.append(_coloured(line, row, terminal))
    return lines


def pairs(values: Mapping[str, Any], terminal: Terminal) -> list[str]:
    """``name   value`` lines; values that are empty are left out."""
    shown = {name: _cell(value) for name, value in values.items() if value not in (None, "", [], {})}
    longest = max((width(name) for name in shown), default=0)
    return [f"{paint(name + ' ' * (longest - width(name)), '90', terminal)}  {value}" for name, value in shown.items()]


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """The text in so many columns, with an ellipsis where it was longer."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() or c == "\u2009" else " " for c in text)


def _fit(widths: list[int], columns: int) -> None:
    while sum(widths) + 2 * (len(widths) - 1) > columns and max(widths) > SHORTEST_CELL:
        widths[widths.index(max(widths))] -= 1


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for text, columns, flush in zip(row, widths, right, strict=True):
        shown = cut(text, columns)
        space = " " * (columns - width(shown))
        parts.append(space + shown if flush else shown + space)
    return "  ".join(parts).rstrip()


def _coloured(line: str, row: Sequence[str], terminal: Terminal) -> str:
    """The state in a row gets its colour after the widths are settled."""
    if terminal.colour:
        words = {f"{shape} {name.capitalize()}": COLOURS[name] for name, shape in SHAPES.items()}
        for word, colour in {**words, NONE_SUCCEEDED: "33"}.items():
            if word in row:
                return line.replace(word, paint(word, colour, terminal), 1)
    return line
