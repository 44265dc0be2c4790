"""Files of ``KEY = VALUE`` or ``KEY: VALUE`` lines, as simulation programs write them."""

import re

_LINE = re.compile(r"\s*([^\s=:#][^=:]*?)\s*[=:]\s*(.*?)\s*", re.DOTALL)


def parse_key_values(text: str) -> dict[str, str]:
    """Keys and values of all lines that have the form; other lines are passed over. A later line wins over an earlier.

    The first ``=`` or ``:`` of a line ends the key. A value within one pair of quotes is taken out of them.
    """
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            values[match[1]] = _unquoted(match[2])
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted and value[0] not in value[1:-1] else value
