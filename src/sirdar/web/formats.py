"""How pages write numbers, sizes, durations and times, with units in the page's language (English where no page is served).
No clock, no request.

Lists show three significant digits; what is cut stands whole in a title, for hover and copy. Thousands are set apart by thin
spaces, which do not break.
"""

import json
import math
import re
from datetime import UTC, datetime, tzinfo
from typing import Any

from sirdar.web.words import N_
from sirdar.web.words import gettext as _

THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
_SIZES = (N_("B"), N_("KB"), N_("MB"), N_("GB"), N_("TB"), N_("PB"))
_SPANS = ((86400, N_("d")), (3600, N_("h")), (60, N_("min")), (1, N_("s")))
_MS = N_("ms")
UNITS = (*_SIZES, N_("KiB"), N_("MiB"), N_("GiB"), N_("TiB"), *(unit for _seconds, unit in _SPANS), _MS)
_WORD = re.compile(r"[^\W\d_]+")
_NUMBERED_UNIT = re.compile(rf"(?<=\d[ {THIN}])[A-Za-z]+")
_MONTHS = (N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun"),
           N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec"))  # fmt: skip


def in_page_units(text: str) -> str:
    """``10 min`` with its units in the page's language, where another than pages wrote it."""
    return _NUMBERED_UNIT.sub(lambda found: _(found[0]) if found[0] in UNITS else found[0], text)


def in_plain_units(text: str) -> str:
    """What was written with units of the page's language, as ``sirdar.domain.units`` reads it."""
    names = {_(unit).casefold(): unit for unit in UNITS}
    plain = text.replace(THIN, " ")
    return _WORD.sub(lambda found: names.get(found[0].casefold(), found[0]), plain)


def integer(value: int) -> str:
    """``1 204``; four digits stay together only in years."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def number(value: float) -> str:
    """Three significant digits, and all digits of a whole number: ``0.186``, ``1 204``, ``6.02e23``."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return integer(int(value))
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: f"{MINUS}∞"}.get(value, _("not a number"))
    if 1e-4 <= abs(value) < 1e6:
        places = max(0, 2 - math.floor(math.log10(abs(value))))
        return _trimmed(f"{value:,.{places}f}").replace(",", THIN).replace("-", MINUS)
    digits, _e, exponent = f"{value:.2e}".partition("e")
    return f"{_trimmed(digits)}e{int(exponent)}".replace("-", MINUS)


def _trimmed(digits: str) -> str:
    """``0.03``, not ``0.0300``: nobody measured those noughts."""
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def size(size_bytes: int | None) -> str:
    """``2.1 KB``; a kilobyte has 1000 bytes."""
    if size_bytes is None:
        return NOTHING
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{size_bytes}{THIN}{_(_SIZES[0])}"
    return f"{value:.1f}{THIN}{_(_SIZES[unit])}" if value < 9.95 else f"{value:.0f}{THIN}{_(_SIZES[unit])}"


def memory(size_bytes: int | None) -> str:
    """``512 MiB``: memory is asked for in these units, so it is shown in them."""
    if size_bytes is None:
        return NOTHING
    value, unit = size_bytes / 2**20, _("MiB")
    if value >= 1000:
        value, unit = value / 1024, _("GiB")
    return f"{_trimmed(f'{value:.1f}') if value < 99.5 else f'{value:.0f}'}{THIN}{unit}"


def duration(span_s: float | None) -> str:
    """``12 ms``, ``6.2 s``, ``4 min 12 s``, ``1 d 3 h``: never more than two units."""
    if span_s is None:
        return NOTHING
    if 0 < span_s < 0.0995:
        return f"{span_s * 1000:.0f}{THIN}{_(_MS)}" if span_s >= 0.0005 else f"<{THIN}1{THIN}{_(_MS)}"
    if span_s <= 0:
        return f"0{THIN}{_(_SPANS[-1][1])}"
    if span_s < 59.95:
        return f"{span_s:.1f}{THIN}{_(_SPANS[-1][1])}" if span_s < 9.95 else f"{span_s:.0f}{THIN}{_(_SPANS[-1][1])}"
    left = (
        round(span_s) if span_s < 3600 else round(span_s / 60) * 60 if span_s < 86400 else round(span_s / 3600) * 3600
    )
    words = []
    for seconds, unit in _SPANS:
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count}{THIN}{_(unit)}")
    return " ".join(words[:2])


def growing(span_s: float | None) -> str:
    """A span that grows on the page, in whole units, as the page's script goes on with it: ``6 s``, ``4 min 12 s``."""
    if span_s is None:
        return NOTHING
    left, words = max(0, math.floor(span_s)), []
    for seconds, unit in _SPANS:
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count}{THIN}{_(unit)}")
    return " ".join(words[:2]) or f"0{THIN}{_(_SPANS[-1][1])}"


def seconds(span_s: float) -> str:
    """All of it, for hover and copy, to the millisecond: ``304.906 s``."""
    return f"{_trimmed(f'{span_s:.3f}')} {_(_SPANS[-1][1])}"


def whole_bytes(size_bytes: int) -> str:
    """All of it, for hover and copy: ``48123 B``."""
    return f"{size_bytes} {_(_SIZES[0])}"


def rough(span_s: float) -> str:
    """How long something may still take, as far as one can know: ``5 min``."""
    for seconds, unit in _SPANS:
        if span_s >= seconds * 1.5:
            return f"{round(span_s / seconds)}{THIN}{_(unit)}"
    return f"1{THIN}{_(_SPANS[-1][1])}"


def moment(at: float | None, now: float, zone: tzinfo | None = None) -> str:
    """A time in the zone (None: this machine's): ``14:02:11`` today, ``21 Nov 14:02`` this year, else with the year."""
    if at is None:
        return NOTHING
    there, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    if there.date() == today.date():
        return f"{there:%H:%M:%S}"
    day = f"{there.day} {_(_MONTHS[there.month - 1])}"
    return f"{day} {there:%H:%M}" if there.year == today.year else f"{day} {there.year}"


def utc(at: float) -> str:
    """The whole of it, for hover and copy: ``2026-11-22 06:40:00.123 UTC``."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}.{math.floor(at * 1000) % 1000:03d} UTC"


def percent(share: float) -> str:
    return f"{math.floor(min(1.0, max(0.0, share)) * 100)}{THIN}%"


def subject(whom: str) -> str:
    """Whom a share names: ``user:boris``, ``group:svf`` or ``everyone``."""
    kind, _colon, name = whom.partition(":")
    if kind == "group":
        return _("group %(name)s", name=name)
    return name or _("everyone")


def value(given: Any, longest: int = 200) -> str:
    """A value of an input or output on one line."""
    if isinstance(given, bool):
        return _("yes") if given else _("no")
    if isinstance(given, int | float):
        return number(given)
    if given is None:
        return NOTHING
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def exact(given: Any) -> str:
    """A value in full, for hover and copy."""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
