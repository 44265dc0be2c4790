"""Numbers, sizes and times as scientists write them: units, thin spaces in thousands, three significant digits in lists."""

import math
from datetime import UTC, datetime

THIN_SPACE = "\u2009"
UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
SIZE_WORDS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{c}b": 1000**n for n, c in enumerate("kmgtp", 1)},
    **{f"{c}ib": 1024**n for n, c in enumerate("kmgtp", 1)},
}
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def count(number: int) -> str:
    """1 204 567."""
    return f"{number:,}".replace(",", THIN_SPACE)


def number(value: float | int) -> str:
    """Three significant digits; whole numbers whole."""
    if isinstance(value, int):
        return count(value)
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e6:
        digits = f"{value:.3g}"
        return count(round(float(digits))) if "e" in digits else digits
    return f"{value:.2e}"


def size(size_bytes: int | float | None) -> str:
    """2.1 KB, 48 KB, 1.5 GB (powers of a thousand)."""
    if size_bytes is None:
        return ""
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 99.95 else f"{value:.3g} {UNITS[unit]}"


def memory(size_bytes: int | float | None) -> str:
    """512 MiB, 23.5 GiB: memory is asked for in powers of 1024, so it is shown in them, as on the pages."""
    if size_bytes is None:
        return ""
    value, unit = size_bytes / 2**20, "MiB"
    if value >= 1000:
        value, unit = value / 1024, "GiB"
    return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f}".removesuffix(".0") + f" {unit}"


def duration(seconds: float | None) -> str:
    """45 ms, 6.2 s, 4 min 12 s, 3 h 5 min, 1 d 3 h."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, length, smaller, smaller_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // smaller_length
            return f"{whole // length} {name} {rest} {smaller}" if rest else f"{whole // length} {name}"
    return f"{whole} s"


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction * 100:.0f} %"


def moment(text: str | None, now: datetime | None = None) -> str:
    """A time of the API in local time: 14:02 today, 11-20 14:02 this year, else with the year."""
    if not text:
        return ""
    when = datetime.fromisoformat(text)
    local = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone()
    today = (now or datetime.now(UTC)).astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%m-%d %H:%M" if local.year == today.year else "%Y-%m-%d")


def parse_size(text: str) -> int:
    """Bytes in ``50GB``, ``512 MiB``, ``1000``. Raises ValueError."""
    figure, word = _split(text)
    if word not in SIZE_WORDS:
        raise ValueError(f"{text!r} is not a size; write 500 MB, 50 GB or 512 MiB")
    bytes_: float = figure * SIZE_WORDS[word]
    return round(bytes_)


def parse_duration(text: str) -> float:
    """Seconds in ``90d``, ``10 min``, ``3600``. Raises ValueError."""
    figure, word = _split(text)
    if word not in SECONDS:
        raise ValueError(f"{text!r} is not a duration; write 30 s, 10 min, 6 h or 90 d")
    return figure * SECONDS[word]


def _split(text: str) -> tuple[float, str]:
    stripped = text.strip()
    digits = stripped.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    try:
        return float(digits), stripped[len(digits) :].strip().lower()
    except ValueError:
        raise ValueError(f"{text!r} does not begin with a number") from None
