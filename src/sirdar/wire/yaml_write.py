"""Values as YAML on one line, and changes of a text that leave its other lines, and their comments, as they are."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sirdar.wire.yaml_lines import Node

_PLAIN = re.compile(r"[A-Za-z][\w./ -]*")
_RESERVED_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_COMMENT = re.compile(r"\s+#[^\"']*$")


def quoted(text: str) -> str:
    """A text in YAML, with quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and not text.endswith(" ") and text.lower() not in _RESERVED_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def snippet(node: Node) -> str:
    """The node on one line, its scalars as they were written."""
    if isinstance(node.value, dict):
        return mapping({key: snippet(child) for key, child in node.value.items()})
    if isinstance(node.value, list):
        return f"[{', '.join(snippet(child) for child in node.value)}]"
    if not node.plain:
        return quoted(node.text)
    safe = not re.search(r"[,\[\]{}#&*!|>'\"%@`\n]|: |:$", node.text)
    return (node.text or "null") if safe else quoted(node.text)


def mapping(pairs: Mapping[str, str]) -> str:
    """``{key: value}`` of values that are written already."""
    return "{" + ", ".join(f"{key_text(key)}: {value}" for key, value in pairs.items()) + "}"


def key_text(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w-]*", key) and key.lower() not in _RESERVED_WORDS else quoted(key)


# ---------------------------------------------------------------- blocks


@dataclass(frozen=True, slots=True)
class Unit:
    """One key of a block with its lines: comments right above, the key with its value, and what is empty below."""

    key: str
    lead: tuple[str, ...]
    body: tuple[str, ...]
    tail: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        return [*self.lead, *self.body, *self.tail]


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of a mapping that has a line for each key. ``head``: what stands before the first key."""

    indent: str
    head: tuple[str, ...]
    units: tuple[Unit, ...]


def block(lines: Sequence[str], start: int, end: int, nodes: Mapping[str, Node]) -> Block | None:
    """The mapping of ``nodes`` in ``lines[start:end]``; None where its keys do not stand each on a line of its own."""
    at = [(node.line or 0) - 1 for node in nodes.values()]
    if not at or at != sorted(set(at)) or at[0] < start or at[-1] >= end:
        return None
    indent = lines[at[0]][: len(lines[at[0]]) - len(lines[at[0]].lstrip())]
    if not all(_begins(lines[line], indent, key) for line, key in zip(at, nodes, strict=True)):
        return None
    begins = [
        _with_comments(lines, line, floor, indent)
        for line, floor in zip(at, [start, *(n + 1 for n in at)], strict=False)
    ]
    ends = [*begins[1:], end]
    units = [
        _unit(key, lines, begin, line, stop) for key, begin, line, stop in zip(nodes, begins, at, ends, strict=True)
    ]
    return Block(indent, tuple(lines[start : begins[0]]), tuple(units))


def _begins(line: str, indent: str, key: str) -> bool:
    rest = line.removeprefix(indent)
    found = next((word for word in (key, f'"{key}"', f"'{key}'") if rest.startswith(word)), None)
    after = rest[len(found) :].lstrip() if found else ""
    return line.startswith(indent) and after.startswith(":") and (len(after) == 1 or after[1].isspace())


def _with_comments(lines: Sequence[str], line: int, floor: int, indent: str) -> int:
    while line > floor and lines[line - 1].startswith(f"{indent}#"):
        line -= 1
    return line


def _unit(key: str, lines: Sequence[str], begin: int, line: int, stop: int) -> Unit:
    last = stop
    while last > line + 1 and not lines[last - 1].strip():
        last -= 1
    return Unit(key, tuple(lines[begin:line]), tuple(lines[line:last]), tuple(lines[last:stop]))


def written(unit: Unit | None, indent: str, key: str, value: str) -> Unit:
    """The key with a value on one line, in place of the unit; the comments above it, and behind a short value, stay."""
    line = f"{indent}{key_text(key)}: {value}"
    if unit is None:
        return Unit(key, (), (line,), ())
    comment = (
        _COMMENT.search(unit.body[0])
        if len(unit.body) == 1 and "'" not in unit.body[0] and '"' not in unit.body[0]
        else None
    )
    return Unit(key, unit.lead, (line + (comment[0] if comment else ""),), unit.tail)
