"""Regular expressions of descriptions, tried on values that strangers send."""

import re
from functools import lru_cache

MAX_PATTERN = 500  # characters of a pattern
MAX_PATTERN_VALUE = 1000  # characters of a value that a pattern is tried on


def matches(pattern: str, text: str) -> bool:
    """True where the whole of ``text`` matches. Raises re.error for a pattern that is none."""
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=512)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
