"""Values in words: what an input takes, a value in short, what is wrong with one."""

import json
from typing import Any

from sirdar.domain.app import InputSpec, InputType
from sirdar.domain.names import is_text
from sirdar.domain.units import format_size

FILE_EXPECTED = "a file: the uri of an upload (/api/files/...) or an http(s) address"
ARTICLE: dict[InputType, str] = {
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
_WORDS = {True: "true", False: "false", None: "null"}


class Invalid(ValueError):
    """A value that its input does not take. ``place`` says where inside the value, as in ``[2]``."""

    def __init__(self, detail: str, expected: str | None = None, place: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.expected = expected
        self.place = place


def describe(spec: InputSpec) -> str:
    """What ``spec`` takes, in words: 'an integer from 1 to 9'."""
    kind = spec.type
    if kind is InputType.ENUM:
        return f"one of {either(tuple(map(str, spec.values)))}"
    if kind is InputType.LIST and spec.items is not None:
        return f"a list{_count(spec, 'elements')}, each {describe(spec.items)}"
    words = FILE_EXPECTED if kind in {InputType.FILE, InputType.DIRECTORY} else ARTICLE[kind]
    words += f" ending in {either(spec.suffixes)}" if spec.suffixes else ""
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


def either(choices: tuple[str, ...]) -> str:
    shown = ", ".join(choices[:12])
    return f"{shown} and {len(choices) - 12} more" if len(choices) > 12 else shown


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
