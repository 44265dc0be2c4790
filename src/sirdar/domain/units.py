"""Sizes and durations as people write them: ``512 MiB``, ``2 GB``, ``10 min``, ``1 h 30 min``."""

import re

_SIZE_UNITS: dict[str, int] = {
    "": 1,
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{unit: 1000**power for power, letter in enumerate("kmgt", 1) for unit in (letter, f"{letter}b")},
    **{unit: 1024**power for power, letter in enumerate("kmgt", 1) for unit in (f"{letter}i", f"{letter}ib")},
}
_DURATION_UNITS = {
    **dict.fromkeys(["ms", "millisecond", "milliseconds"], 0.001),
    **dict.fromkeys(["s", "sec", "secs", "second", "seconds"], 1.0),
    **dict.fromkeys(["m", "min", "mins", "minute", "minutes"], 60.0),
    **dict.fromkeys(["h", "hr", "hrs", "hour", "hours"], 3600.0),
    **dict.fromkeys(["d", "day", "days"], 86400.0),
    **dict.fromkeys(["w", "week", "weeks"], 604800.0),
}
_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_SIZE = re.compile(_NUMBER + r"\s*([A-Za-z]*)", re.ASCII)
_DURATION_PART = re.compile(_NUMBER + r"\s*([A-Za-z]+)\s*,?\s*", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,4})-)?(\d{1,4}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)

SIZE_EXPECTED = "a size such as 512 MiB, 2 GB or a number of bytes"
DURATION_EXPECTED = "a duration such as 30 s, 10 min, 1 h 30 min, 2 d or a number of seconds"


def parse_size(text: str) -> int:
    """Bytes of ``512 MiB`` (1024), ``2 GB`` (1000), ``4G``, ``1048576``. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text[:40]!r} is not {SIZE_EXPECTED}")
    whole, _, fraction = match[1].partition(".")
    size: int = int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)
    if size >= 2**63:
        raise ValueError(f"{text[:40]!r} is larger than any disk")
    return size


def parse_duration(text: str) -> float:
    """Seconds of ``10 min``, ``1 h 30 min``, ``01:30:00``, ``2-12:00:00`` (days), ``90``. Raises ValueError."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        return _clock_seconds(*clock.groups())
    total = 0.0
    end = 0
    while match := _DURATION_PART.match(text, end):
        if (factor := _DURATION_UNITS.get(match[2].lower())) is None:
            break
        total += round(float(match[1]) * factor, 6)
        end = match.end()
    if not text or end != len(text):
        raise ValueError(f"{text[:40]!r} is not {DURATION_EXPECTED}")
    return total


def _clock_seconds(days: str | None, first: str, second: str, third: str | None) -> float:
    """``H:MM:SS`` with days before it, or ``MM:SS`` (after days: ``H:MM``), as batch systems write them."""
    if third is None and days is None:
        return int(first) * 60.0 + int(second)
    return int(days or 0) * 86400.0 + int(first) * 3600.0 + int(second) * 60.0 + int(third or 0)


def format_size(size_bytes: int) -> str:
    """A size in the largest binary unit it reaches, with one decimal where it is not whole: ``512 MiB``, ``1.5 KiB``."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size_bytes >= 1024**power:
            amount = size_bytes / 1024**power
            return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"
    return f"{size_bytes} B"


def format_duration(seconds: float) -> str:
    """``1 h 30 min``, ``45 s``, ``0.25 s``: the largest units first, exact to the second above a minute."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    rest = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts)
