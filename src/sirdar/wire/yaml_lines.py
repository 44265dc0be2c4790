"""YAML (or JSON) text as a tree that remembers lines.

It takes the part of YAML that people mean to write: no aliases, no tags, and the plain words of YAML 1.2, where ``yes``,
``no``, ``on`` and ``off`` are text. Text is read as a stream of events, so nesting cannot exhaust the stack.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from sirdar.domain.names import is_text

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG = "tag:yaml.org,2002:str"
_INTEGER = re.compile(r"[-+]?[0-9]{1,1200}")
_BASED = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,400}|[0-9]{1,400}(\.[0-9]{0,400})?)([eE][-+]?[0-9]{1,6})?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}


class TextError(Exception):
    """The text is no YAML that is taken here; ``line`` counts from 1 and is None where it is not known.

    ``malformed``: it is no YAML at all.
    """

    def __init__(self, detail: str, line: int | None = None, field: str = "", *, malformed: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line
        self.field = field
        self.malformed = malformed


@dataclass(slots=True)
class Node:
    """A value of the tree. ``line`` is that of its key where it has one.

    ``value``: a scalar's Python value, a list of nodes, or a dict of nodes. ``text`` is the scalar as written; ``plain``
    says that it stood without quotes, so that ``1.10`` can still be read as the text that it is.
    """

    line: int | None
    value: Any
    text: str = ""
    plain: bool = False

    def to_python(self) -> Any:
        """The value without lines (depth is limited, so recursion is safe)."""
        if isinstance(self.value, list):
            return [node.to_python() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.to_python() for key, node in self.value.items()}
        return self.value


def load(text: str | bytes) -> tuple[Node, list[TextError]]:
    """The tree of ``text``, and what is wrong without hindering its reading (keys given twice).

    Raises TextError where there is no tree at all.
    """
    decoded = _decode(text)
    try:
        return _Builder().build(decoded)
    except TextError:
        if decoded.lstrip()[:1] != "{":
            raise
        if (tree := _load_json(decoded)) is None:
            raise
        return tree


def _decode(text: str | bytes) -> str:
    if len(text) > MAX_BYTES:
        raise TextError(f"the text has {len(text)} bytes, and at most {MAX_BYTES} are read")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(f"byte {error.start} is not UTF-8 text") from None
    if not is_text(text):
        raise TextError("the text holds half a character")
    return text.removeprefix("\ufeff")


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come: the key that waits for its value, and the last key that got one."""

    node: Node
    key: str | None = None
    key_line: int = 0
    last: str = ""


class _Builder:
    """Builds one tree from the events of YAML."""

    def __init__(self) -> None:
        self.errors: list[TextError] = []
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.nodes = 0

    def build(self, text: str) -> tuple[Node, list[TextError]]:
        documents = 0
        for event in _events(text):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise TextError("there is a second document; only one is read", _line(event))
            elif isinstance(event, yaml.NodeEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
        if self.root is None:
            raise TextError("the text is empty", 1)
        return self.root, self.errors

    def _begin(self, event: Any) -> None:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            raise TextError(f"the alias *{str(event.anchor)[:40]} is not taken here; write the value out", line)
        if event.tag is not None and event.tag not in {"!", _STRING_TAG}:
            raise TextError(f"the tag {str(event.tag)[:60]} is not taken here", line)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TextError(f"there are more than {MAX_NODES} values", line)
        if isinstance(event, yaml.ScalarEvent):
            self._place(_scalar(event, line))
            return
        node = Node(line, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self._place(node)
        if len(self.stack) >= MAX_DEPTH:
            raise TextError(f"the text is nested deeper than {MAX_DEPTH} levels", line)
        self.stack.append(_Open(node))

    def _place(self, node: Node) -> None:
        """Puts a finished scalar or a begun container where it belongs."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.key is None:
            if isinstance(node.value, dict | list):
                raise TextError("a key must be one word, not a list or a mapping (quote ${...} and {...})", node.line)
            top.key, top.key_line = node.text, node.line or 0
        else:
            node.line = top.key_line
            if top.key in top.node.value:
                self._note_twice(top.key, top.key_line)
            top.node.value[top.key] = node
            top.last, top.key = top.key, None

    def _note_twice(self, key: str, line: int) -> None:
        around = [frame.last[:80] for frame in self.stack[:-1] if frame.last]
        self.errors.append(TextError(f"{key[:80]} is given twice", line, ".".join([*around, key[:80]])))


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise TextError(f"this is not YAML: {detail}", mark.line + 1 if mark else None, malformed=True) from None
    except yaml.YAMLError as error:
        raise TextError(f"this is not YAML: {' '.join(str(error).split())[:200]}", malformed=True) from None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any, line: int) -> Node:
    text: str = event.value
    if "\0" in text or not is_text(text):
        raise TextError("the text holds a zero byte or half a character", line)
    plain = event.style in {None, ""} and event.tag is None
    return Node(line, _resolve(text) if plain else text, text, plain)


def _resolve(text: str) -> Any:
    """The value of a plain word by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


# ---------------------------------------------------------------- JSON that is no YAML


def _load_json(text: str) -> tuple[Node, list[TextError]] | None:
    """The tree of JSON that YAML does not read (tabs, escaped surrogate pairs): without lines. None where it is no JSON."""
    errors: list[TextError] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in items:
            if key in seen:
                errors.append(TextError(f"{key[:80]} is given twice", None, key[:80]))
            seen[key] = value
        return seen

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return _from_python(value, 0), errors


def _from_python(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise TextError(f"the text is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(is_text(key) for key in value):
            raise TextError("the text holds a zero byte or half a character")
        return Node(None, {key: _from_python(item, depth + 1) for key, item in value.items()})
    if isinstance(value, list):
        return Node(None, [_from_python(item, depth + 1) for item in value])
    if isinstance(value, str):
        if "\0" in value or not is_text(value):
            raise TextError("the text holds a zero byte or half a character")
        return Node(None, value, value)
    return Node(None, value, json.dumps(value), plain=True)
