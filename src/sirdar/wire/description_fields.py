"""Reads the fields of a description one by one, and gathers everything that is wrong with its line."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.names import closest
from sirdar.domain.problems import FieldError
from sirdar.domain.units import DURATION_EXPECTED, SIZE_EXPECTED, parse_duration, parse_size
from sirdar.wire.yaml_lines import Node

MAX_SECONDS = 10**10

# Words that other languages use, and what they are called here.
_SYNONYMS = {
    "cmd": "command",
    "script": "shell",
    "run": "command",
    "label": "title",
    "file": "from",
    "source": "from",
    "min": "minimum",
    "max": "maximum",
    "choices": "values",
    "enum": "values",
    "options": "values",
    "cpu": "cpus",
    "cores": "cpus",
    "ram": "memory",
    "mem": "memory",
    "gpu": "gpus",
    "walltime": "time",
    "timeout": "time",
    "environ": "env",
    "parameters": "inputs",
    "results": "outputs",
    "summary": "annotation",
    "optional": "required",
    "extensions": "suffixes",
    "help": "description",
}
_NOT_BOOLEAN = frozenset({"yes", "no", "on", "off", "y", "n"})
WHOLE = "sirdar.yaml"  # the field of what is wrong with the text as a whole


class Report:
    """The errors of one description, and the lines of its fields."""

    def __init__(self) -> None:
        self.lines: dict[str, int | None] = {}
        self._found: list[tuple[int, FieldError]] = []

    def add(self, field: str, detail: str, expected: str | None = None) -> None:
        """Notes an error; its line is that of the field, or of the nearest field around it."""
        self.add_at(self.line_of(field), field, detail, expected)

    def add_at(self, line: int | None, field: str, detail: str, expected: str | None = None) -> None:
        """Notes an error whose line is known."""
        where = f"line {line}: " if line is not None else ""
        self._found.append((line or 0, FieldError(field or WHOLE, f"{where}{detail}", expected)))

    def line_of(self, field: str) -> int | None:
        at = field
        while at:
            if (line := self.lines.get(at)) is not None:
                return line
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        return None

    @property
    def errors(self) -> list[FieldError]:
        """In the order of lines."""
        return [error for _, error in sorted(self._found, key=lambda found: found[0])]


class Fields:
    """One mapping of the description. Each method reads one key, notes what is wrong, and gives a default then."""

    def __init__(self, report: Report, node: Node, where: str, known: Sequence[str]) -> None:
        self.report = report
        self.where = where
        self.nodes: Mapping[str, Node] = {}
        self.is_mapping = isinstance(node.value, dict)
        if not self.is_mapping:
            report.add(where, f"{shown(node)} is not a mapping", f"keys such as {', '.join(known[:5])}")
            return
        for key, child in node.value.items():
            report.lines[self.at(key)] = child.line
            if key not in known:
                self._refuse_key(key, known)
        self.nodes = {key: child for key, child in node.value.items() if key in known}

    def at(self, key: str) -> str:
        """The field's full name, as errors call it."""
        return f"{self.where}.{key[:80]}" if self.where else key[:80]

    def _refuse_key(self, key: str, known: Sequence[str]) -> None:
        near = _SYNONYMS.get(key.lower())
        near = near if near in known else closest(key, known)
        meant = f"; did you mean {near}?" if near is not None else ""
        self.report.add(self.at(key), f"there is no such key{meant}", f"one of {', '.join(known)}")

    def get(self, key: str) -> Node | None:
        """The node of ``key``, or None where it is absent or null."""
        node = self.nodes.get(key)
        return None if node is None or node.value is None else node

    def text(self, key: str, limit: int = 200, *, lines: bool = False) -> str | None:
        node = self.get(key)
        return None if node is None else text_of(self.report, node, self.at(key), limit, lines=lines)

    def texts(self, key: str, limit: int = 100, *, split: bool = True) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        node = self.get(key)
        if node is None:
            return ()
        one = [node] if split and not isinstance(node.value, dict) else None
        items = node.value if isinstance(node.value, list) else one
        if items is None or len(items) > limit:
            self.report.add(self.at(key), f"{shown(node)} is not a list of at most {limit} texts")
            return ()
        found = []
        for position, item in enumerate(items):
            field = f"{self.at(key)}[{position}]"
            self.report.lines[field] = item.line
            found.append(text_of(self.report, item, field, 1000))
        return tuple(text for text in found if text is not None)

    def text_map(self, key: str, limit: int = 200) -> dict[str, str]:
        """A mapping of texts to texts."""
        node = self.get(key)
        if node is None:
            return {}
        if not isinstance(node.value, dict) or len(node.value) > limit:
            self.report.add(self.at(key), f"{shown(node)} is not a mapping of at most {limit} texts")
            return {}
        found: dict[str, str] = {}
        for name, item in node.value.items():
            field = f"{self.at(key)}.{name[:80]}"
            self.report.lines[field] = item.line
            text = "" if item.value is None else text_of(self.report, item, field, 32_768, lines=True)
            if text is not None:
                found[name] = text
        return found

    def flag(self, key: str) -> bool | None:
        node = self.get(key)
        if node is None or isinstance(node.value, bool):
            return None if node is None else node.value
        hint = " (yes, no, on and off are text here)" if node.text.lower() in _NOT_BOOLEAN else ""
        self.report.add(self.at(key), f"{shown(node)} is not true or false{hint}", "true or false")
        return None

    def integer(self, key: str, minimum: int, maximum: int) -> int | None:
        node = self.get(key)
        if node is None:
            return None
        value = node.value
        if type(value) is int and minimum <= value <= maximum:
            return value
        expected = f"an integer from {minimum} to {maximum}"
        self.report.add(self.at(key), f"{shown(node)} is not {expected}", expected)
        return None

    def number(self, key: str) -> float | None:
        node = self.get(key)
        if node is None:
            return None
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        self.report.add(self.at(key), f"{shown(node)} is not a number", "a number")
        return None

    def size(self, key: str) -> int | None:
        node = self.get(key)
        if node is None:
            return None
        try:
            size = parse_size(_scalar_text(node))
            if size < 1:
                raise ValueError("the size is zero")
        except ValueError as error:
            self.report.add(self.at(key), str(error), SIZE_EXPECTED)
            return None
        return size

    def duration(self, key: str, *, zero: bool = False) -> float | None:
        node = self.get(key)
        if node is None:
            return None
        try:
            number = node.value if type(node.value) in {int, float} else None
            duration = parse_duration(_scalar_text(node)) if number is None else _seconds(number)
            if duration <= 0 and not zero:
                raise ValueError("the duration is zero")
            if duration > MAX_SECONDS:
                raise ValueError(f"{shown(node)} is longer than {MAX_SECONDS} seconds")
        except ValueError as error:
            self.report.add(self.at(key), str(error), DURATION_EXPECTED)
            return None
        return duration

    def choice(self, key: str, choices: Sequence[str], synonyms: Mapping[str, str] | None = None) -> str | None:
        text = self.text(key)
        if text is None or text in choices:
            return text
        near = (synonyms or {}).get(text.lower()) or closest(text, choices)
        meant = f"; did you mean {near}?" if near is not None else ""
        self.report.add(self.at(key), f"{text[:60]} is none of the choices{meant}", f"one of {', '.join(choices)}")
        return None


def text_of(report: Report, node: Node, field: str, limit: int, *, lines: bool = False) -> str | None:
    """A scalar as the text that was written: ``version: 1.10`` is '1.10'."""
    if isinstance(node.value, dict | list):
        brace = " (a text that begins with { or [ needs quotes)" if node.value else ""
        report.add(field, f"{shown(node)} is not a text{brace}", "a text")
        return None
    if len(node.text) > limit:
        report.add(field, f"the text has {len(node.text)} characters, and at most {limit} are taken")
        return None
    if not lines and ("\n" in node.text.rstrip("\n") or "\r" in node.text):
        report.add(field, "the text has several lines", "one line")
        return None
    return node.text if lines else node.text.rstrip("\n")


def shown(node: Node) -> str:
    """A value for a message."""
    value: Any = node.value
    if isinstance(value, dict | list):
        return f"{'a mapping' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = node.text if node.plain else f'"{node.text}"'
    return text[:60] if text else "null"


def _seconds(number: float) -> float:
    """A plain number stands for seconds, exactly."""
    if not number >= 0:
        raise ValueError(f"{number} is no duration")
    return float(min(number, MAX_SECONDS + 1))


def _scalar_text(node: Node) -> str:
    if isinstance(node.value, dict | list):
        raise ValueError(f"{shown(node)} is not one value")
    return node.text
