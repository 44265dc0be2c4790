"""Reads the value of an output from what a program wrote: a whole file, a named key, or a place found by a pattern."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sirdar.domain.app import FILE_OUTPUTS, OutputSpec, OutputType
from sirdar.domain.keyvalue import parse_key_values
from sirdar.domain.names import closest

MAX_VALUE_TEXT = 1_000_000  # characters that a value may have; more belongs into an output of type file
MAX_DEPTH = 64
_TRUTHS = {"true": True, "True": True, "false": False, "False": False}  # as shells and Python write them
MAX_VALUES, MAX_KEY = 1000, 200  # of one output of type values
SHOWN_ENDLESS = 5

_INTEGER = re.compile(r"[+-]?\d{1,1200}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d{1,5})?", re.ASCII)
_STEP = re.compile(r"\[(\d{1,9})\]|\.?([^.\[\]]+)")
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_HALF = re.compile("[\ud800-\udfff]")
_MISSING = object()
_BEFORE = "\ufeff \t\r\n"  # what may stand before a JSON document
_ENDLESS = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def read_value(spec: OutputSpec, text: str) -> Any:
    """The value of ``spec`` in ``text``, the content of its source.

    Raises ValueError, whose sentence says what was found in place of a value; the caller names the output.
    """
    if spec.type in FILE_OUTPUTS:
        raise ValueError("is a file, not a value")
    if spec.type is OutputType.VALUES:
        return read_values(text)
    if spec.regex is not None:
        return _convert(spec, _found(spec.regex, spec.source, text))
    if spec.key is None:
        return _convert(spec, text)
    found = _at_key(spec.key, spec.source, text)
    try:
        return _checked_json(found) if spec.type is OutputType.JSON and _is_json(text) else _convert(spec, found)
    except ValueError as error:
        raise ValueError(f"{spec.key} of {spec.source}: {error}") from None


def read_values(text: str) -> dict[str, Any]:
    """Every value of a file of ``KEY = VALUE`` lines, or of a JSON object: numbers, truths, and texts.

    A number may be NaN or infinite, as programs write them; ``without_endless`` takes these out. Raises ValueError for no value,
    for too many, or for one that is too long.
    """
    stripped = text.lstrip(_BEFORE)
    if stripped.startswith("{"):
        found = _json(stripped, "the file")
        values = {str(key): value for key, value in found.items() if isinstance(value, str | int | float)}
    else:
        values = {key: _plain(value) for key, value in parse_key_values(text).items()}
    if not values:
        raise ValueError("has no line KEY = VALUE")
    if len(values) > MAX_VALUES:
        raise ValueError(f"has {len(values)} values; at most {MAX_VALUES} are kept")
    for key, value in values.items():
        _whole(key)
        if isinstance(value, str):
            _whole(value)
        if len(key) > MAX_KEY or (isinstance(value, str) and len(value) > MAX_VALUE_TEXT):
            raise ValueError(f"{key[:80]} is too long")
    return values


def without_endless(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The values as JSON can carry them, None for a number that is not finite; and a sentence about these, if there are any."""
    endless = {key: _endless(value) for key, value in values.items() if _is_endless(value)}
    kept = {key: None if key in endless else value for key, value in values.items()}
    told = ", ".join(f"{key} is {word}" for key, word in list(endless.items())[:SHOWN_ENDLESS])
    more = f" and {len(endless) - SHOWN_ENDLESS} more are not finite" if len(endless) > SHOWN_ENDLESS else ""
    return kept, f"{told}{more}; no JSON has such a number, so null is kept" if endless else ""


def _plain(text: str) -> Any:
    """A number or a truth where the text is one, else the text."""
    if text in _TRUTHS:
        return _TRUTHS[text]
    number = _as_number(text)
    return text if number is None else number


def _at_key(key: str, source: str, text: str) -> Any:
    """What the source holds under that key: of a JSON document any value, else the text of a line ``KEY = VALUE``."""
    if _is_json(text):
        return _walk(_json(text.lstrip(_BEFORE), source), key, source)
    return _line_value(key, source, text)


def _is_json(text: str) -> bool:
    return text.lstrip(_BEFORE).startswith(("{", "["))


def _found(regex: str, source: str, text: str) -> str:
    """The last match: its first group that took part, or all of it where the pattern has no group."""
    last = None
    for last in re.finditer(regex, text, re.MULTILINE):  # noqa: B007
        pass
    if last is None:
        raise ValueError(f"nothing in {source} matches {regex}")
    return next((group for group in last.groups() if group is not None), last[0])


def _line_value(key: str, source: str, text: str) -> str:
    values = parse_key_values(text)
    if key in values:
        return values[key]
    near = closest(key, list(values))
    meant = f"; did you mean {near}?" if near is not None else ""
    raise ValueError(f"{source} has no line '{key} = ...'{meant}")


def _walk(document: Any, key: str, source: str) -> Any:
    """``a.b[0].c`` in a JSON document; a key that is written with its dots comes first."""
    if isinstance(document, dict) and key in document:
        return document[key]
    at = document
    for match in _STEP.finditer(key):
        at = _step(at, match)
        if at is _MISSING:
            near = (
                closest(key, [name for name in document if not _HALF.search(name)])
                if isinstance(document, dict)
                else None
            )
            meant = f"; did you mean {near}?" if near is not None else ""
            raise ValueError(f"{source} has no {key}: {match[0].lstrip('.')} is missing{meant}")
    return at


def _step(at: Any, match: re.Match[str]) -> Any:
    if match[1] is not None:
        return at[int(match[1])] if isinstance(at, list) and int(match[1]) < len(at) else _MISSING
    return at.get(match[2], _MISSING) if isinstance(at, dict) else _MISSING


def _convert(spec: OutputSpec, found: Any) -> Any:
    """``found`` (text, or a value out of JSON) as the output's type."""
    if isinstance(found, str) and len(found) > MAX_VALUE_TEXT:
        raise ValueError(f"has {len(found)} characters; at most {MAX_VALUE_TEXT} are kept as a value (use type: file)")
    if spec.type is OutputType.JSON:
        return _checked_json(_json(found, spec.source))
    if spec.type is OutputType.STRING:
        return _string(found)
    if spec.type is OutputType.BOOLEAN:
        return _boolean(found)
    number = _number(found)
    if spec.type is OutputType.INTEGER and isinstance(number, float):
        if not number.is_integer():
            raise ValueError(f"{_short(found)} is not an integer")
        return int(number)
    return number


def _string(found: Any) -> str:
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    text = _whole(text[:-1] if text.endswith("\n") else text)
    return text[:-1] if text.endswith("\r") else text


def _boolean(found: Any) -> bool:
    if isinstance(found, bool):
        return found
    value = _BOOLEANS.get(str(found).strip().lower()) if isinstance(found, str | int) else None
    if value is None:
        raise ValueError(f"{_short(found)} is not true or false")
    return value


def _number(found: Any) -> float:
    """An int where the text is one, so that large counts stay exact. Fortran's ``1.0D+02`` is understood."""
    value = _as_number(found)
    if value is None:
        raise ValueError(f"{_short(found)} is not a number")
    if _is_endless(value):
        raise ValueError(f"{_short(found)} is not a finite number, and JSON can carry no other")
    return value


def _as_number(found: Any) -> float | None:
    """The number that a value of JSON is, or that a text is written as; it may be NaN or infinite. None: it is none."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found
    text = found.strip() if isinstance(found, str) else ""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text.replace("D", "e").replace("d", "e"))
    return float(text) if _ENDLESS.fullmatch(text) else None


def _is_endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _endless(value: float) -> str:
    """As JavaScript and Python's json write it."""
    return json.dumps(value)


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)  # NaN and Infinity too: a document may hold them beside what is sought
    except RecursionError:
        raise ValueError(f"{source} is JSON that is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{source} is not JSON: {error.msg} in line {error.lineno}") from None


def _checked_json(value: Any) -> Any:
    """``$file`` is refused: a program could name by it a file that it was never given."""
    stack = [(0, value)]
    while stack:
        depth, item = stack.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, dict):
            if "$file" in item:
                raise ValueError("holds the key $file, which is reserved")
            _whole(*item)
            stack.extend([(depth + 1, child) for child in item.values()])
        elif isinstance(item, list):
            stack.extend([(depth + 1, child) for child in item])
        elif isinstance(item, str):
            _whole(item)
        elif _is_endless(item):
            where, endless = next(_places(value, ""))
            at = f" at {where}" if where else ""
            raise ValueError(f"holds {_endless(endless)}{at}, no finite number, and JSON can carry no other")
    return value


def _places(value: Any, at: str) -> Iterator[tuple[str, float]]:
    """Numbers that are not finite and where they stand, written as a key is. ``value`` is not nested deep."""
    if _is_endless(value):
        yield at, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from _places(member, f"{at}[{key}]" if isinstance(key, int) else f"{at}.{key}".lstrip("."))


def _whole(*texts: str) -> str:
    """The first of the texts. JSON's ``\\ud800`` alone is refused: no UTF-8 has it, so no message to the server could carry it."""
    for text in texts:
        if not text.isascii() and (half := _HALF.search(text)):
            raise ValueError(f"holds \\u{ord(half[0]):x}, half of a character, which no text in UTF-8 can have")
    return texts[0] if texts else ""


def _short(found: Any) -> str:
    text = json.dumps(found, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
