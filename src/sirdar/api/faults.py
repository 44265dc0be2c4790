"""What Pydantic found wrong with a request, in our own words and at the caller's own places.

Pydantic names the branches of a union (``foreach.list[dict[str,any]]``) and speaks of its own types; the caller knows
neither. A place is what can be followed in what was sent: ``foreach[2].y``. Where a union refuses a value, the branch that
went deepest into it is the one that was meant; what the others say of it is left out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sirdar.domain.problems import FieldError

MAX_FIELDS = 50
MAX_NAME = 200  # characters of a client's own name in an error
NOWHERE = object()  # what was sent is not at hand, or does not go on here

Found = Mapping[str, Any]


def field_errors(found: Iterable[Found], given: object = NOWHERE) -> list[FieldError]:
    """The errors of one request, each place once. ``given``: what was sent, parsed.

    Values are never repeated: they may be passwords.
    """
    faults = [_fault(item, item["loc"], given) for item in found]
    deepest: dict[str, int] = {}
    for fault in faults:
        if fault.union is not None:
            deepest[fault.union] = max(deepest.get(fault.union, 0), fault.depth)
    meant = [fault for fault in faults if fault.union is None or fault.depth > 0 or not deepest[fault.union]]
    places: dict[str, list[_Fault]] = {}
    for fault in meant:
        places.setdefault(fault.place, []).append(fault)
    return [_joined(same) for same in list(places.values())[:MAX_FIELDS]]


def parameter_error(item: Found) -> FieldError:
    """The error of one parameter of the address or the headers, which names what was given (a body's value it never does)."""
    name = item["loc"][1] if len(item["loc"]) > 1 else item["loc"][0]
    detail, expected = _words(item)
    given = item.get("input")
    if item["loc"][0] in {"query", "path"} and isinstance(given, str | int | float | bool):
        detail += f" (given: {echo(given)})"
    return FieldError(str(name), detail, expected)


def echo(value: object) -> str:
    """A client's own text as an error repeats it: cut, and without half characters."""
    text = repr(value)
    text = text if len(text) <= MAX_NAME else text[:MAX_NAME] + "..."
    return text.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error. ``union``: the place of the union in whose branch it lies, and ``depth``: how far inside."""

    place: str
    detail: str
    expected: str | None
    union: str | None = None
    depth: int = 0


def _fault(item: Found, location: Sequence[str | int], given: object) -> _Fault:
    detail, expected = _words(item)
    place, union, depth = "", None, 0
    for number, part in enumerate(location):
        last = number == len(location) - 1
        inner = _inner(given, part)
        if given is not NOWHERE and inner is NOWHERE and not (last and item["type"] == "missing"):
            union = place if union is None else union
            continue  # the name of a branch: nothing in what was sent has it
        given = inner
        place += _step(part, place)
        depth += union is not None
    return _Fault(place or "body", detail, expected, union, depth)


def _inner(given: object, part: str | int) -> object:
    if isinstance(given, dict) and part in given:
        return given[part]
    if isinstance(given, list) and isinstance(part, int) and part < len(given):
        return given[part]
    return NOWHERE


def _step(part: str | int, before: str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part[:MAX_NAME]}" if before else part[:MAX_NAME]


def _joined(same: list[_Fault]) -> FieldError:
    """One error for a place; of several branches that all refuse it, what any of them would take."""
    first = same[0]
    expected = list(dict.fromkeys(fault.expected for fault in same if fault.expected))
    if len(expected) < 2:
        return FieldError(first.place, first.detail, first.expected)
    either = " or ".join(expected)
    return FieldError(first.place, f"{first.detail.partition(', not ')[0]}, not {either}", either)


# ---------------------------------------------------------------- the table


_KINDS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}
_RULES: dict[str, tuple[str, str | None]] = {
    "missing": ("is required", None),
    "extra_forbidden": ("is not known here", None),
    "greater_than": ("is too small", "more than {gt}"),
    "greater_than_equal": ("is too small", "at least {ge}"),
    "less_than": ("is too large", "less than {lt}"),
    "less_than_equal": ("is too large", "at most {le}"),
    "int_parsing_size": ("is too large", "a number of fewer digits"),
    "too_short": ("holds too few elements", "at least {min_length}"),
    "too_long": ("holds too many elements", "at most {max_length}"),
    "string_too_short": ("is too short", "{min_length} or more characters"),
    "string_too_long": ("is too long", "at most {max_length} characters"),
    "string_pattern_mismatch": ("has characters that are not taken", "text matching {pattern}"),
    "string_unicode": ("holds half a character", "a string of whole characters"),
    "literal_error": ("is not one of the choices", "{expected}"),
    "enum": ("is not one of the choices", "{expected}"),
    "recursion_loop": ("is nested too deeply", None),
}


def _words(item: Found) -> tuple[str, str | None]:
    """What is wrong, and what was expected."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind in _KINDS:
        return f"is {_kind_of(item.get('input'))}, not {_KINDS[kind]}", _KINDS[kind]
    if kind in _RULES:
        detail, expected = _RULES[kind]
        return detail, expected and expected.format_map({name: _plain(value) for name, value in context.items()})
    if kind == "value_error":
        return str(context["error"]), None  # a validator of ours said it
    return "is not what is expected", None


def _plain(value: object) -> str:
    """A limit without the .0 of a float, choices without their quotes."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value).replace("'", "")


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        return "a fraction"
    kinds: tuple[tuple[type, str], ...] = ((str, "a string"), (int, "a number"), (float, "a number"), (list, "a list"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "an object")
