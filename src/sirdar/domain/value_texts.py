"""From the text of a form's field or a command line to the value that a person means by it."""

import json
from typing import Any

from sirdar.domain.app import InputSpec, InputType
from sirdar.domain.value_checks import INTEGER_TEXT, NUMBER_TEXT
from sirdar.domain.value_words import ARTICLE, Invalid, describe, short

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_PLAIN_TEXT = frozenset({InputType.STRING, InputType.TEXT, InputType.SECRET, InputType.FILE, InputType.DIRECTORY})


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
    if kind is InputType.INTEGER and INTEGER_TEXT.fullmatch(stripped):
        return int(stripped)
    if kind is InputType.NUMBER and NUMBER_TEXT.fullmatch(stripped):
        return int(stripped) if INTEGER_TEXT.fullmatch(stripped) else float(stripped)
    if kind is InputType.ENUM:
        return next((value for value in spec.values if str(value) == stripped), text)
    if kind is InputType.JSON:
        return _json(stripped)
    if kind is InputType.LIST or kind is InputType.FILES:
        return _list_from_text(spec, stripped)
    comma = " (write a decimal point, not a comma)" if kind is InputType.NUMBER and "," in stripped else ""
    raise Invalid(f"{short(text)} is not {ARTICLE[kind]}{comma}", describe(spec))


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
