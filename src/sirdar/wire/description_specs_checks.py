"""What is wrong with one input or one output by itself."""

import re
from collections.abc import Iterator
from typing import Any

from sirdar.domain.app import FILE_INPUTS, FILE_OUTPUTS, InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.names import path_fault
from sirdar.domain.patterns import MAX_PATTERN, pattern_fault
from sirdar.domain.problems import FieldError
from sirdar.domain.value_checks import MAX_STRING
from sirdar.domain.value_words import Invalid, describe
from sirdar.domain.values import check_value

_STRINGS = frozenset({InputType.STRING, InputType.TEXT, InputType.SECRET})
_NUMBERS = frozenset({InputType.NUMBER, InputType.INTEGER})
_LISTS = frozenset({InputType.LIST, InputType.FILES})
_TAKEN_BY = {
    "minimum": _NUMBERS,
    "maximum": _NUMBERS,
    "min_length": _STRINGS | _LISTS,
    "max_length": _STRINGS | _LISTS,
    "pattern": _STRINGS,
    "values": frozenset({InputType.ENUM}),
    "suffixes": FILE_INPUTS,
    "max_size": FILE_INPUTS,
    "writable": FILE_INPUTS,
    "items": frozenset({InputType.LIST}),
    "unit": _NUMBERS | {InputType.LIST},
}
_ATTRIBUTES = {"max_size": "max_size_bytes"}
_STREAMS = frozenset({"stdout", "stderr"})


def input_faults(spec: InputSpec, field: str) -> Iterator[FieldError]:
    """Keys that its type does not take, limits that contradict each other, a default that it would refuse."""
    for key, kinds in _TAKEN_BY.items():
        value = getattr(spec, _ATTRIBUTES.get(key, key))
        if value not in (None, (), False) and spec.type not in kinds:
            yield FieldError(f"{field}.{key}", f"an input of type {spec.type} takes no {key}", _kinds(kinds))
    yield from _limit_faults(spec, field)
    if spec.pattern is not None and (fault := pattern_fault(spec.pattern)):
        yield FieldError(f"{field}.pattern", fault, f"a regular expression of at most {MAX_PATTERN} characters")
    if spec.type is InputType.ENUM:
        yield from _enum_faults(spec, field)
    if spec.type is InputType.LIST:
        yield from _items_faults(spec, field)
    for position, suffix in enumerate(spec.suffixes):
        if not re.fullmatch(r"\.[\w.+-]{1,30}", suffix):
            yield FieldError(f"{field}.suffixes[{position}]", f"{suffix[:40]} is no suffix", "a suffix such as .csv")
    if spec.advanced and spec.required:
        yield FieldError(
            f"{field}.advanced", "is folded away in a form, and yet required", "a default instead of required"
        )
    if spec.has_default:
        yield from _default_faults(spec, field)


def _kinds(kinds: frozenset[InputType]) -> str:
    return "only with type " + ", ".join(kind.value for kind in InputType if kind in kinds)


def _limit_faults(spec: InputSpec, field: str) -> Iterator[FieldError]:
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        yield FieldError(
            f"{field}.minimum", f"{spec.minimum} is more than maximum, {spec.maximum}", "minimum <= maximum"
        )
    if spec.min_length is not None and spec.max_length is not None and spec.min_length > spec.max_length:
        detail = f"{spec.min_length} is more than max_length, {spec.max_length}"
        yield FieldError(f"{field}.min_length", detail, "min_length <= max_length")
    if spec.type in {InputType.STRING, InputType.SECRET} and (spec.max_length or 0) > MAX_STRING:
        yield FieldError(f"{field}.max_length", f"a {spec.type} has at most {MAX_STRING} characters", "type: text")
    if spec.required and spec.has_default:
        yield FieldError(f"{field}.required", "an input with a default is never missing", "either required or default")


def _enum_faults(spec: InputSpec, field: str) -> Iterator[FieldError]:
    if not spec.values:
        yield FieldError(f"{field}.values", "an enum needs its choices", "values: [one, two]")
    seen: list[Any] = []
    for position, value in enumerate(spec.values):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield FieldError(f"{field}.values[{position}]", "cannot be a choice", "a text or a number")
        if str(value) in seen:
            yield FieldError(f"{field}.values[{position}]", f"{str(value)[:60]} is given twice", "each choice once")
        seen.append(str(value))


def _items_faults(spec: InputSpec, field: str) -> Iterator[FieldError]:
    items = spec.items
    if items is None:
        yield FieldError(f"{field}.items", "a list needs the type of its elements", "items: integer")
        return
    if items.type in FILE_INPUTS or items.type is InputType.SECRET:
        yield FieldError(f"{field}.items", f"a list of {items.type} is not taken", "type: files, for a list of files")
    for key in ("required", "has_default", "path", "env", "title", "description"):
        if getattr(items, key):
            name = key.removeprefix("has_")
            yield FieldError(
                f"{field}.items.{name}", f"an element of a list has no {name} of its own", "type and limits"
            )
    yield from input_faults(items, f"{field}.items")


def _default_faults(spec: InputSpec, field: str) -> Iterator[FieldError]:
    if spec.type is InputType.SECRET:
        yield FieldError(f"{field}.default", "a secret has no default", "no default")
        return
    if spec.type in FILE_INPUTS and isinstance(spec.default, str) and not spec.default.startswith("http"):
        yield FieldError(f"{field}.default", "only an http(s) address can be a file's default", "https://...")
        return
    try:
        check_value(spec, spec.default)
    except Invalid as error:
        hint = " (yes, no, on and off are text here)" if str(spec.default).lower() in {"yes", "no", "on", "off"} else ""
        yield FieldError(f"{field}.default{error.place}", error.detail + hint, error.expected or describe(spec))


def output_faults(spec: OutputSpec, field: str) -> Iterator[FieldError]:
    """A source outside the task's directory, or a way of reading that its type does not have."""
    if fault := path_fault(spec.source):
        expected = "a path or pattern relative to the task's directory, or stdout, or stderr"
        yield FieldError(f"{field}.from", f"{spec.source[:80]!r} {fault}", expected)
    is_file = spec.type in FILE_OUTPUTS
    for key in ("key", "regex"):
        if (is_file or spec.type is OutputType.VALUES) and getattr(spec, key) is not None:
            yield FieldError(f"{field}.{key}", f"an output of type {spec.type} has no {key}", "a type such as number")
    if spec.unit is not None and spec.type not in {OutputType.NUMBER, OutputType.INTEGER}:
        yield FieldError(f"{field}.unit", f"an output of type {spec.type} has no unit", "type: number")
    if spec.key is not None and spec.regex is not None:
        yield FieldError(f"{field}.regex", "stands beside key", "either key or regex")
    if spec.key == "":
        yield FieldError(f"{field}.key", "is empty", "the name of a key")
    if not is_file and re.search(r"[*?\[]", spec.source):
        yield FieldError(f"{field}.from", "a value is read from one file, not from a pattern", "the name of one file")
    if spec.type in FILE_OUTPUTS and spec.type != "file" and spec.source in _STREAMS:
        yield FieldError(f"{field}.from", f"{spec.source} is one file", "type: file")
    if spec.regex is not None and (fault := pattern_fault(spec.regex, searched=True)):
        yield FieldError(f"{field}.regex", fault, f"a regular expression of at most {MAX_PATTERN} characters")
