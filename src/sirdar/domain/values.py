"""Checks what somebody submitted against an application's inputs, strictly and all at once.

Types are strict (``"3"`` is no integer); ``from_text`` is the way from a form's or a command line's text to a value.
Limits that hold where the description sets no narrower one stand in the constants below.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from sirdar.domain.app import FileRef, InputSpec, InputType
from sirdar.domain.names import closest, file_name_fault, is_text
from sirdar.domain.patterns import MAX_PATTERN_VALUE, matches
from sirdar.domain.problems import FieldError
from sirdar.domain.units import format_size

MAX_STRING = 32_768  # characters of a string or secret: an argument of the command can hold them in any script
MAX_TEXT = 1_000_000  # characters of a text
MAX_LIST = 10_000  # elements of a list
MAX_FILES = 10_000  # files of one input
MAX_JSON_DEPTH = 32
MAX_JSON_SIZE = 1_000_000  # characters of all texts and keys, plus 8 for each element
MAX_INTEGER_BITS = 4096
RESERVED_KEYS = frozenset({"$file", "$secret", "$url"})  # what stands for a file, a secret, an address in stored inputs
MAX_URI = 4096

FILE_EXPECTED = "a file: the uri of an upload (/api/files/...) or an http(s) address"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_INTEGER_TEXT = re.compile(r"[+-]?\d{1,1200}", re.ASCII)
_NUMBER_TEXT = re.compile(r"[+-]?(\d{1,1200}\.?\d{0,1200}|\.\d{1,1200})([eE][+-]?\d{1,5})?", re.ASCII)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})

Values = dict[str, Any]


class Invalid(ValueError):
    """A value that its input does not take. ``place`` says where inside the value, as in ``[2]``."""

    def __init__(self, detail: str, expected: str | None = None, place: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.expected = expected
        self.place = place


def check(
    specs: Sequence[InputSpec],
    given: Mapping[str, Any],
    *,
    partial: bool = False,
    file_refs: bool = True,
    where: str = "inputs",
) -> tuple[Values, list[FieldError]]:
    """The values to run with (defaults filled in) and everything that is wrong with those that were given.

    ``null`` is the same as not given. ``partial``: the inputs that tasks of one job have in common, so nothing is
    required yet and no default is filled in. A file may be given as a URI, which the caller resolves and then checks by
    ``file_fault``, or as ``{"$file": ...}``; ``file_refs=False`` refuses the latter, as an edge must where anybody could
    name the digest of somebody else's file. ``where`` begins the errors' field names.
    """
    values: Values = {}
    errors: list[FieldError] = []
    seen = 0
    for spec in specs:
        name = spec.name
        value = given.get(name)
        if name in given:
            seen += 1
        if value is None:
            if spec.has_default and not partial:
                values[name] = spec.default
            elif spec.required and not partial:
                errors.append(FieldError(f"{where}.{name}", "is required", describe(spec)))
            continue
        try:
            values[name] = _CHECKS[spec.type](spec, value)
            if not file_refs and (spec.type in _FILES or (spec.items is not None and spec.items.type in _FILES)):
                _refuse_refs(value)
        except Invalid as error:
            errors.append(FieldError(f"{where}.{name}{error.place}", error.detail, error.expected or describe(spec)))
    if seen != len(given):
        errors.extend(_unknown(specs, given, where))
    return values, errors


def check_value(spec: InputSpec, value: Any) -> Any:
    """``value`` as ``spec`` takes it. Raises ``Invalid``."""
    return _CHECKS[spec.type](spec, value)


def from_text(spec: InputSpec, text: str) -> Any:
    """The value that a person means by ``text`` in a form's field or on a command line. Raises ``Invalid``.

    An empty text of anything but string and text means 'not given' (None). A list is JSON, or one element for each
    line, or, within one line, elements between commas. The result still has to pass ``check``.
    """
    kind = spec.type
    if kind in _PLAIN_TEXT:
        return text
    stripped = text.strip()
    if kind is InputType.BOOLEAN and stripped.lower() in _TRUE | _FALSE:
        return stripped.lower() in _TRUE
    if not stripped:
        return None
    if kind is InputType.INTEGER and _INTEGER_TEXT.fullmatch(stripped):
        return int(stripped)
    if kind is InputType.NUMBER and _NUMBER_TEXT.fullmatch(stripped):
        return int(stripped) if _INTEGER_TEXT.fullmatch(stripped) else float(stripped)
    if kind is InputType.ENUM:
        return next((value for value in spec.values if str(value) == stripped), text)
    if kind is InputType.JSON:
        return _json(stripped)
    if kind is InputType.LIST or kind is InputType.FILES:
        return _list_from_text(spec, stripped)
    comma = " (write a decimal point, not a comma)" if kind is InputType.NUMBER and "," in stripped else ""
    raise Invalid(f"{short(text)} is not {_ARTICLE[kind]}{comma}", describe(spec))


def file_fault(spec: InputSpec, ref: FileRef) -> str | None:
    """Why ``spec`` does not take this file, by its name and size, or None where it does."""
    if fault := file_name_fault(ref.name):
        return f"the file name {short(ref.name)} {fault}"
    if spec.suffixes and not ref.name.lower().endswith(tuple(suffix.lower() for suffix in spec.suffixes)):
        return f"the file {short(ref.name)} has another suffix than {_either(spec.suffixes)}"
    if spec.max_size_bytes is not None and ref.size_bytes > spec.max_size_bytes:
        return (
            f"the file {short(ref.name)} has {format_size(ref.size_bytes)}, "
            f"and at most {format_size(spec.max_size_bytes)} are taken"
        )
    return None


def describe(spec: InputSpec) -> str:
    """What ``spec`` takes, in words: 'an integer from 1 to 9'."""
    kind = spec.type
    if kind is InputType.ENUM:
        return f"one of {_either(tuple(map(str, spec.values)))}"
    if kind is InputType.LIST and spec.items is not None:
        return f"a list{_count(spec, 'elements')}, each {describe(spec.items)}"
    words = FILE_EXPECTED if kind in {InputType.FILE, InputType.DIRECTORY} else _ARTICLE[kind]
    words += f" ending in {_either(spec.suffixes)}" if spec.suffixes else ""
    words += f" of at most {format_size(spec.max_size_bytes)}" if spec.max_size_bytes is not None else ""
    words += _range(spec) if kind in {InputType.NUMBER, InputType.INTEGER} else ""
    words += _count(spec, "files" if kind is InputType.FILES else "characters")
    return words + (f" matching {spec.pattern}" if spec.pattern is not None else "")


def short(value: Any) -> str:
    """A value for a message, cut to 60 characters."""
    if isinstance(value, dict | list) and len(value) > 20:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} elements"
    if isinstance(value, str):
        text = json.dumps(value[:100], ensure_ascii=not is_text(value))
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    else:
        text = _WORDS[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---------------------------------------------------------------- one check for each type


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
    quoted = isinstance(value, str) and _NUMBER_TEXT.fullmatch(value[:100]) is not None
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


def _file(spec: InputSpec, value: Any) -> Any:
    """A URI stays as it is; a ``$file`` is checked for its shape, suffix and size."""
    if isinstance(value, str):
        return _uri(spec, value)
    if not isinstance(value, dict) or value.keys() != {"$file"}:
        raise Invalid(f"{short(value)} is not a file", FILE_EXPECTED)
    if fault := file_fault(spec, _file_ref(value)):
        raise Invalid(fault)
    return value


def _uri(spec: InputSpec, value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise Invalid(f"{short(value)} is not a well-formed address", FILE_EXPECTED) from None
    local = value.startswith("/api/files/")
    remote = parts.scheme in {"http", "https"} and bool(parts.netloc)
    if len(value) > MAX_URI or not (local or remote) or not value.isprintable() or " " in value:
        raise Invalid(f"{short(value)} is not a file's uri", FILE_EXPECTED)
    if local and spec.suffixes and (fault := file_fault(spec, FileRef(_last_segment(parts.path), "", 0))):
        raise Invalid(fault)
    return value


def _last_segment(path: str) -> str:
    return unquote(path.rsplit("/", 1)[-1])


def _file_ref(value: dict[str, Any]) -> FileRef:
    inner = value["$file"]
    if not isinstance(inner, dict) or not {"name", "sha256", "size"} <= inner.keys():
        raise Invalid("$file needs name, sha256 and size", FILE_EXPECTED)
    name, sha256, size = inner["name"], inner["sha256"], inner["size"]
    if not isinstance(name, str) or not isinstance(sha256, str) or type(size) is not int or size < 0:
        raise Invalid("$file needs name, sha256 and size", FILE_EXPECTED)
    if not _SHA256.fullmatch(sha256):
        raise Invalid(f"{short(sha256)} is not a sha256 in hexadecimal digits", FILE_EXPECTED)
    return FileRef(name, sha256, size)


def _files(spec: InputSpec, value: Any) -> Any:
    """A list of files; one file alone is taken as a list of one."""
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list):
        raise Invalid(f"{short(value)} is not a list of files")
    return _elements(spec, value, spec, _file, MAX_FILES)


def _list(spec: InputSpec, value: Any) -> Any:
    if not isinstance(value, list):
        raise Invalid(f"{short(value)} is not a list")
    if spec.items is None:
        return _elements(spec, value, spec, lambda _, item: _free_json(item), MAX_LIST)
    return _elements(spec, value, spec.items, _CHECKS[spec.items.type], MAX_LIST)


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


_CHECKS: dict[InputType, Callable[[InputSpec, Any], Any]] = {
    InputType.STRING: _string,
    InputType.TEXT: _long_text,
    InputType.NUMBER: _number,
    InputType.INTEGER: _integer,
    InputType.BOOLEAN: _boolean,
    InputType.ENUM: _enum,
    InputType.FILE: _file,
    InputType.FILES: _files,
    InputType.DIRECTORY: _file,
    InputType.JSON: _json_value,
    InputType.LIST: _list,
    InputType.SECRET: _secret,
}
_FILES = frozenset({InputType.FILE, InputType.FILES, InputType.DIRECTORY})
_WORDS = {True: "true", False: "false", None: "null"}
_PLAIN_TEXT = frozenset({InputType.STRING, InputType.TEXT, InputType.SECRET, InputType.FILE, InputType.DIRECTORY})
_ARTICLE: dict[InputType, str] = {
    InputType.STRING: "a string of one line",
    InputType.TEXT: "a text",
    InputType.NUMBER: "a number",
    InputType.INTEGER: "an integer",
    InputType.BOOLEAN: "true or false",
    InputType.ENUM: "one of the choices",
    InputType.FILE: "a file",
    InputType.FILES: "a list of files",
    InputType.DIRECTORY: "an archive",
    InputType.JSON: "a JSON object or array",
    InputType.LIST: "a list",
    InputType.SECRET: "a secret string",
}


# ---------------------------------------------------------------- messages and texts


def _unknown(specs: Sequence[InputSpec], given: Mapping[str, Any], where: str) -> list[FieldError]:
    names = [spec.name for spec in specs]
    known = frozenset(names)
    errors = []
    for name in given:
        if name in known:
            continue
        near = closest(str(name), names)
        meant = f"; did you mean {near}?" if near is not None else ""
        expected = f"one of {_either(tuple(names))}" if names else "no inputs"
        errors.append(FieldError(f"{where}.{str(name)[:80]}", f"the application has no such input{meant}", expected))
    return errors


def _refuse_refs(value: Any) -> None:
    for position, item in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(item, str):
            place = f"[{position}]" if isinstance(value, list) else ""
            raise Invalid(f"{short(item)} is not a file's uri", FILE_EXPECTED, place)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise Invalid(f"{short(text)} is not JSON: {reason}", "JSON") from None


def _list_from_text(spec: InputSpec, text: str) -> Any:
    if text.startswith("["):
        return _json(text)
    parts = text.splitlines() if "\n" in text else text.split(",")
    items = [part.strip() for part in parts if part.strip()]
    if spec.type is InputType.FILES or spec.items is None:
        return items
    return [from_text(spec.items, item) for item in items]


def _range(spec: InputSpec) -> str:
    if spec.minimum is not None and spec.maximum is not None:
        return f" from {spec.minimum} to {spec.maximum}"
    if spec.minimum is not None:
        return f" of at least {spec.minimum}"
    return f" of at most {spec.maximum}" if spec.maximum is not None else ""


def _count(spec: InputSpec, noun: str) -> str:
    if spec.min_length is not None and spec.max_length is not None:
        return f" of {spec.min_length} to {spec.max_length} {noun}"
    if spec.min_length is not None:
        return f" of at least {spec.min_length} {noun}"
    return f" of at most {spec.max_length} {noun}" if spec.max_length is not None else ""


def _either(choices: tuple[str, ...]) -> str:
    shown = ", ".join(choices[:12])
    return f"{shown} and {len(choices) - 12} more" if len(choices) > 12 else shown
