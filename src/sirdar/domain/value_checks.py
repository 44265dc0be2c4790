"""One check for each type of an input: the value as the input takes it, or ``Invalid``.

Limits that hold where the description sets no narrower one stand in the constants below.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from sirdar.domain.app import InputSpec, InputType
from sirdar.domain.names import closest, is_text
from sirdar.domain.patterns import MAX_PATTERN_VALUE, matches
from sirdar.domain.value_files import check_file
from sirdar.domain.value_words import FILE_EXPECTED, Invalid, describe, short

MAX_STRING = 32_768  # characters of a string or secret: an argument of the command can hold them in any script
MAX_TEXT = 1_000_000  # characters of a text
MAX_LIST = 10_000  # elements of a list
MAX_FILES = 10_000  # files of one input
MAX_JSON_DEPTH = 32
MAX_JSON_SIZE = 1_000_000  # characters of all texts and keys, plus 8 for each element
MAX_INTEGER_BITS = 4096
RESERVED_KEYS = frozenset({"$file", "$secret", "$url"})  # what stands for a file, a secret, an address in stored inputs

INTEGER_TEXT = re.compile(r"[+-]?\d{1,1200}", re.ASCII)
NUMBER_TEXT = re.compile(r"[+-]?(\d{1,1200}\.?\d{0,1200}|\.\d{1,1200})([eE][+-]?\d{1,5})?", re.ASCII)


def _string(spec: InputSpec, value: Any) -> str:
    text = _text(spec, value, MAX_STRING)
    if "\n" in text or "\r" in text:
        raise Invalid(f"{short(text)} has several lines", "one line")
    return text


def _long_text(spec: InputSpec, value: Any) -> str:
    return _text(spec, value, MAX_TEXT)


def _secret(spec: InputSpec, value: Any) -> str:
    """As a text, but no message ever repeats it."""
    if not isinstance(value, str):
        raise Invalid("the secret is not a string")
    try:
        return _text(spec, value, MAX_STRING)
    except Invalid:
        raise Invalid("the secret is not what the application takes") from None


def _text(spec: InputSpec, value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{short(value)} is not a string")
    size = len(value)
    if spec.max_length is not None:
        limit = min(limit, spec.max_length)
    if size > limit:
        raise Invalid(f"{short(value)} has {size} characters, and at most {limit} are taken")
    if spec.min_length is not None and size < spec.min_length:
        raise Invalid(f"{short(value)} has {size} characters, and at least {spec.min_length} are needed")
    if "\0" in value or not is_text(value):
        raise Invalid(f"{short(value)} holds a zero byte or half a character")
    if spec.pattern is not None:
        _check_pattern(spec.pattern, value)
    return value


def _check_pattern(pattern: str, value: str) -> None:
    if len(value) > MAX_PATTERN_VALUE:
        raise Invalid(f"{short(value)} is longer than the {MAX_PATTERN_VALUE} characters that a pattern is tried on")
    if not matches(pattern, value):
        raise Invalid(f"{short(value)} does not match {pattern}")


def _integer(spec: InputSpec, value: Any) -> int:
    if type(value) is float and value.is_integer() and abs(value) <= 2**53:
        value = int(value)  # JSON does not tell 3.0 from 3
    if type(value) is not int:
        raise Invalid(f"{short(value)} is not an integer{_quoted_hint(value)}")
    if value.bit_length() > MAX_INTEGER_BITS:
        raise Invalid(f"{short(value)} is too large")
    if spec.minimum is not None or spec.maximum is not None:
        _check_bounds(spec, value)
    return value


def _number(spec: InputSpec, value: Any) -> float:
    if type(value) is int:
        return _integer(spec, value)
    if type(value) is not float:
        raise Invalid(f"{short(value)} is not a number{_quoted_hint(value)}")
    if not math.isfinite(value):
        raise Invalid(f"{short(value)} is not a finite number")
    if spec.minimum is not None or spec.maximum is not None:
        _check_bounds(spec, value)
    return value


def _quoted_hint(value: Any) -> str:
    quoted = isinstance(value, str) and NUMBER_TEXT.fullmatch(value[:100]) is not None
    return " (it is in quotes)" if quoted else ""


def _check_bounds(spec: InputSpec, value: float) -> None:
    if spec.minimum is not None and value < spec.minimum:
        raise Invalid(f"{short(value)} is less than {spec.minimum}")
    if spec.maximum is not None and value > spec.maximum:
        raise Invalid(f"{short(value)} is more than {spec.maximum}")


def _boolean(spec: InputSpec, value: Any) -> bool:
    if type(value) is not bool:
        raise Invalid(f"{short(value)} is not true or false")
    return value


def _enum(spec: InputSpec, value: Any) -> Any:
    if type(value) in {str, int, float}:
        for choice in spec.values:
            if value == choice and isinstance(value, str) == isinstance(choice, str):
                return choice
    near = closest(value, [choice for choice in spec.values if isinstance(choice, str)]) if type(value) is str else None
    meant = f" (did you mean {near}?)" if near is not None else ""
    raise Invalid(f"{short(value)} is not one of the choices{meant}")


def _files(spec: InputSpec, value: Any) -> Any:
    """A list of files; one file alone is taken as a list of one."""
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list):
        raise Invalid(f"{short(value)} is not a list of files")
    return _elements(spec, value, spec, check_file, MAX_FILES)


def _list(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, list):
        raise Invalid(f"{short(value)} is not a list")
    if spec.items is None:
        return _elements(spec, value, spec, lambda _, item: _free_json(item), MAX_LIST)
    return _elements(spec, value, spec.items, CHECKS[spec.items.type], MAX_LIST)


def _elements(
    spec: InputSpec, value: list[Any], items: InputSpec, one: Callable[[InputSpec, Any], Any], limit: int
) -> list[Any]:
    count = len(value)
    limit = limit if spec.max_length is None else min(limit, spec.max_length)
    if count > limit:
        raise Invalid(f"there are {count} elements, and at most {limit} are taken")
    if count < (spec.min_length or 0):
        raise Invalid(f"there are {count} elements, and at least {spec.min_length} are needed")
    checked = []
    for position, item in enumerate(value):
        try:
            checked.append(one(items, item))
        except Invalid as error:
            raise Invalid(error.detail, error.expected or _item_words(items), f"[{position}]{error.place}") from None
    return checked


def _item_words(items: InputSpec) -> str:
    return FILE_EXPECTED if items.type is InputType.FILES else describe(items)


def _json_value(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, dict | list):
        raise Invalid(f"{short(value)} is not a JSON object or array")
    return _free_json(value)


def _free_json(value: Any) -> Any:
    """Any JSON within the limits of depth and size. Reserved keys are refused: by them stored files are told from data."""
    size = 0
    for depth, item in _walk(value):
        if depth > MAX_JSON_DEPTH:
            raise Invalid(f"the JSON is nested deeper than {MAX_JSON_DEPTH} levels")
        size += 8 + (len(item) if isinstance(item, str) else 0)
        if size > MAX_JSON_SIZE:
            raise Invalid(f"the JSON is larger than {MAX_JSON_SIZE} characters")
        if isinstance(item, float) and not math.isfinite(item):
            raise Invalid(f"the JSON holds {item!r}, which is not a finite number")
        if isinstance(item, str) and not is_text(item):
            raise Invalid("the JSON holds half a character")
        if isinstance(item, dict) and (reserved := RESERVED_KEYS & item.keys()):
            raise Invalid(f"the JSON holds the key {min(reserved)}, which is reserved")
        if isinstance(item, int) and item.bit_length() > MAX_INTEGER_BITS:
            raise Invalid("the JSON holds a number that is too large")
        if not isinstance(item, str | int | float | dict | list | None):
            raise Invalid(f"{short(item)} is not JSON")
    return value


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Every value and key inside ``value`` with its depth, without recursion."""
    stack = [(0, value)]
    while stack:
        depth, item = stack.pop()
        yield depth, item
        if isinstance(item, dict):
            stack.extend([(depth + 1, child) for pair in item.items() for child in pair])
        elif isinstance(item, list):
            stack.extend([(depth + 1, child) for child in item])


CHECKS: dict[InputType, Callable[[InputSpec, Any], Any]] = {
    InputType.STRING: _string,
    InputType.TEXT: _long_text,
    InputType.NUMBER: _number,
    InputType.INTEGER: _integer,
    InputType.BOOLEAN: _boolean,
    InputType.ENUM: _enum,
    InputType.FILE: check_file,
    InputType.FILES: _files,
    InputType.DIRECTORY: check_file,
    InputType.JSON: _json_value,
    InputType.LIST: _list,
    InputType.SECRET: _secret,
}
