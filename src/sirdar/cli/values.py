"""Inputs from the command line: text to what the application declares; ``@path`` is a file to upload."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sirdar.cli.session import UsageError

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
REMOTE = ("http://", "https://", "/api/files/")
Schema = Mapping[str, Any]


def read_inputs(given: Sequence[str], declared: Schema) -> dict[str, Any]:
    """Values of ``name=value`` words; a name that stands twice makes a list. Raises UsageError with the input's name."""
    texts: dict[str, list[str]] = {}
    for word in given:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise UsageError(f"-i {word!r} is not of the form name=value", "-i power=2 or -i data=@a.csv")
        texts.setdefault(name, []).append(text)
    values: dict[str, Any] = {}
    for name, found in texts.items():
        spec = schema_of(name, declared)
        if spec.get("type") == "array":
            values[name] = _list(name, found, spec)
        elif len(found) > 1:
            raise UsageError(f"{name} is given {len(found)} times, and it is no list")
        else:
            values[name] = read_value(name, found[0], spec)
    return values


def schema_of(name: str, declared: Schema) -> Schema:
    """The declared input. Raises UsageError with the nearest name."""
    if name in declared:
        spec: Schema = declared[name]
        return spec
    from difflib import get_close_matches

    near = get_close_matches(name, list(declared), 1)
    known = ", ".join(declared) or "it has none"
    raise UsageError(
        f"the application has no input {name!r}; its inputs: {known}", f"-i {near[0]}=..." if near else None
    )


def read_value(name: str, text: str, spec: Schema) -> Any:
    """One value as the schema wants it."""
    if is_file(spec):
        return _file(name, text)
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@"):
        text = _content(name, text[1:])
    match spec.get("type"):
        case "integer":
            return _integer(name, text)
        case "number":
            return _number(name, text)
        case "boolean":
            return _boolean(name, text)
        case "object":
            return _json(name, text, "an object")
        case "string":
            return text
        case _:
            return _enumerated(text, spec)


def is_file(spec: Schema) -> bool:
    return spec.get("type") == "string" and spec.get("format") == "uri"


def read_inputs_file(path: Path, declared: Schema) -> dict[str, Any]:
    """Inputs of a JSON object; ``"@path"`` (relative to the file) in place of a file is uploaded."""
    content = _json(str(path), _text_of(path), "an object")
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no JSON object of inputs")
    return {name: _uploadable(value, declared.get(name, {}), path.parent) for name, value in content.items()}


def read_rows(path: Path, declared: Schema) -> list[dict[str, Any]]:
    """Sets of inputs, one JSON object in each line (or one JSON list of objects)."""
    return [
        {name: _uploadable(value, declared.get(name, {}), path.parent) for name, value in row.items()}
        for row in _rows(path)
    ]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    text = _text_of(path)
    if text.lstrip().startswith("["):
        rows = [(1, row) for row in _json(str(path), text, "a list of objects")]
    else:
        lines = enumerate(text.splitlines(), 1)
        rows = [(number, _json(f"{path} line {number}", line, "an object")) for number, line in lines if line.strip()]
    for number, row in rows:
        if not isinstance(row, dict):
            raise UsageError(f"{path} line {number} is no JSON object of inputs")
        yield row


def _uploadable(value: Any, spec: Schema, folder: Path) -> Any:
    """``"@path"`` as a path, where a file (or a list of files) is declared."""
    if isinstance(value, list):
        return [_uploadable(member, spec.get("items") or {}, folder) for member in value]
    if is_file(spec) and isinstance(value, str) and value.startswith("@"):
        return folder / value[1:]
    return value


def _list(name: str, texts: list[str], spec: Schema) -> list[Any]:
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        values = _json(name, texts[0], "a list")
        return values if isinstance(values, list) else [values]
    items = spec.get("items") or {"type": "string"}
    return [read_value(name, text, items) for text in texts]


def _file(name: str, text: str) -> Any:
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        if not path.exists():
            raise UsageError(f"{name}: there is no file {path}")
        return path
    if text.startswith(REMOTE):
        return text
    raise UsageError(f"{name} is a file, and {text!r} is neither @path nor an address", f"-i {name}=@{text or 'PATH'}")


def _content(name: str, path: str) -> str:
    return _text_of(Path(path).expanduser(), name).removesuffix("\n")


def _text_of(path: Path, name: str | None = None) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{name or path}: {path} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{name or path}: cannot read {path}: {error.strerror}") from None


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name} is an integer, and {text!r} is not") from None


def _number(name: str, text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{name} is a number, and {text!r} is not") from None
    if not math.isfinite(value):
        raise UsageError(f"{name} is a number, and {text!r} is not a finite one")
    return value


def _boolean(name: str, text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise UsageError(f"{name} is true or false, and {text!r} is neither")


def _json(name: str, text: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is {expected} in JSON: {error}") from None


def _enumerated(text: str, spec: Schema) -> Any:
    """A value of an enum without a type: the one that is written so."""
    return next((value for value in spec.get("enum") or () if str(value) == text), text)
