"""Values out of a form's fields. All raise Problem ``invalid_field``, with the field's name; an empty field is None."""

from collections.abc import Mapping

from sirdar.domain.problems import Problem
from sirdar.domain.units import parse_duration, parse_size
from sirdar.web import formats
from sirdar.web.words import gettext as _

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
        raise _wrong(fields, name, _("a whole number, 0 or more"))
    return int(given)


def size(fields: Mapping[str, str], name: str) -> int | None:
    """Bytes of ``50 GB``."""
    given = text(fields, name)
    try:
        found = parse_size(formats.in_plain_units(given)) if given else None
    except ValueError:
        raise _wrong(fields, name, _("a size such as 512 MiB, 2 GB or a number of bytes")) from None
    if found is not None and found > LARGEST:
        raise _wrong(fields, name, _("a size such as 512 MiB, 2 GB or a number of bytes"))
    return found


def span(fields: Mapping[str, str], name: str) -> float | None:
    """Seconds of ``30 d``; more than none, and at most a hundred years."""
    given = text(fields, name)
    try:
        found = parse_duration(formats.in_plain_units(given)) if given else None
    except ValueError:
        raise _wrong(
            fields, name, _("a duration such as 30 s, 10 min, 1 h 30 min, 2 d or a number of seconds")
        ) from None
    if found is not None and not 0 < found <= LONGEST_S:
        raise _wrong(fields, name, _("a duration such as 30 s, 10 min, 1 h 30 min, 2 d or a number of seconds"))
    return found


def _wrong(fields: Mapping[str, str], name: str, expected: str) -> Problem:
    return Problem(
        "invalid_field", _("It cannot be %(given)s.", given=fields[name].strip()[:80]), field=name, expected=expected
    )
