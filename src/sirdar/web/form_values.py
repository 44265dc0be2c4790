"""Values out of a form's fields. All raise Problem ``invalid_field``, with the field's name; an empty field is None."""

from collections.abc import Mapping

from sirdar.domain.problems import Problem
from sirdar.domain.units import DURATION_EXPECTED, SIZE_EXPECTED, parse_duration, parse_size

LARGEST = 2**62
LONGEST_S = 100 * 366 * 86400.0


def text(fields: Mapping[str, str], name: str) -> str | None:
    return fields.get(name, "").strip() or None


def ticked(fields: Mapping[str, str], name: str) -> bool:
    return bool(fields.get(name))


def whole(fields: Mapping[str, str], name: str) -> int | None:
    """A whole number that is not negative; spaces may set its thousands apart."""
    given = "".join(fields.get(name, "").split())
    if not given:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > 19 or int(given) > LARGEST:
        raise _wrong(fields, name, "a whole number, 0 or more")
    return int(given)


def size(fields: Mapping[str, str], name: str) -> int | None:
    """Bytes of ``50 GB``."""
    given = text(fields, name)
    try:
        found = parse_size(given.replace("\N{NARROW NO-BREAK SPACE}", " ")) if given else None
    except ValueError:
        raise _wrong(fields, name, SIZE_EXPECTED) from None
    if found is not None and found > LARGEST:
        raise _wrong(fields, name, SIZE_EXPECTED)
    return found


def span(fields: Mapping[str, str], name: str) -> float | None:
    """Seconds of ``30 d``; more than none, and at most a hundred years."""
    given = text(fields, name)
    try:
        found = parse_duration(given.replace("\N{NARROW NO-BREAK SPACE}", " ")) if given else None
    except ValueError:
        raise _wrong(fields, name, DURATION_EXPECTED) from None
    if found is not None and not 0 < found <= LONGEST_S:
        raise _wrong(fields, name, DURATION_EXPECTED)
    return found


def _wrong(fields: Mapping[str, str], name: str, expected: str) -> Problem:
    return Problem("invalid_field", f"It cannot be {fields[name].strip()[:80]!r}.", field=name, expected=expected)
