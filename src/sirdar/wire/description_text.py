"""A canonical description as an author would write it: a line for each input and output, sizes and times with units."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from sirdar.domain.command import as_line
from sirdar.domain.problems import Problem
from sirdar.wire.description import parse_yaml, to_document
from sirdar.wire.yaml_write import key_text, mapping, quoted

LONGEST_LINE = 110
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]*")
_SIZES = frozenset({"memory", "disk", "max_size"})
_SPANS = frozenset({"time", "grace", "retention", "idle"})
_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))


def author_yaml(document: Mapping[str, Any]) -> str:
    """Text that ``parse_yaml`` reads back to the same document."""
    text = "\n".join([*(line for key, value in document.items() for line in _lines(key, value)), ""])
    try:
        same = to_document(parse_yaml(text)) == document
    except Problem:
        same = False
    return text if same else canonical_yaml(document)


def canonical_yaml(document: Mapping[str, Any]) -> str:
    """The document as it is, one value on a line."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


def _lines(key: str, value: Any) -> list[str]:
    if key in {"inputs", "outputs"}:
        return [f"{key}:", *(line for spec in value for line in _spec(spec))]
    if key == "examples":
        return ["examples:", *(line for example in value for line in _example(example))]
    if key == "command":
        line = as_line(value)
        return [f"command: {quoted(line) if _needs_quotes(line) else line}"]
    if isinstance(value, str) and "\n" in value:
        return _literal(key, value)
    return [f"{key}: {_flow(key, value)}"]


def _example(example: Mapping[str, Any]) -> list[str]:
    pairs = [f"{key}: {_flow(key, value)}" for key, value in example.items()]
    return [f"  - {pairs[0]}", *(f"    {pair}" for pair in pairs[1:])]


def _needs_quotes(line: str) -> bool:
    """A command's line stands plain where YAML reads it as it is."""
    return (
        not line
        or not (line[0].isalpha() or line[0] in "./")
        or any(part in line for part in (": ", " #", "\n"))
        or line[-1] in ": "
    )


def _spec(spec: Mapping[str, Any]) -> list[str]:
    pairs = {key: _flow(key, value) for key, value in spec.items() if key != "name"}
    line = f"  {key_text(spec['name'])}: {mapping(pairs)}"
    if len(line) <= LONGEST_LINE:
        return [line]
    return [f"  {key_text(spec['name'])}:", *(f"    {key_text(key)}: {text}" for key, text in pairs.items())]


def _literal(key: str, text: str) -> list[str]:
    lines = text.split("\n")
    whole = text.endswith("\n") and not text.endswith("\n\n") and lines[0][:1] not in {"", " ", "\t"} and text.isascii()
    printable = all(line.isprintable() and line == line.rstrip() for line in lines)
    if not whole or not printable:
        return [f"{key}: {json.dumps(text, ensure_ascii=False)}"]
    return [f"{key}: |", *(f"  {line}" if line else "" for line in lines[:-1])]


def _flow(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return mapping({name: _flow(name, item) for name, item in value.items()})
    if isinstance(value, list):
        return f"[{', '.join(_flow('', item) for item in value)}]"
    if isinstance(value, str):
        return value if _SUFFIX.fullmatch(value) else quoted(value)
    if isinstance(value, int) and not isinstance(value, bool) and key in _SIZES:
        return next((f"{value // unit} {name}" for unit, name in _UNITS if value % unit == 0), str(value))
    if isinstance(value, int | float) and not isinstance(value, bool) and key in _SPANS:
        return next(
            (f"{int(value // unit)} {name}" for unit, name in _TIMES if value and value % unit == 0), json.dumps(value)
        )
    return json.dumps(value)
