"""What CasADi's reader of .nl leaves out: the header, suffixes, and which variables have a starting value. Text files only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SEGMENTS = frozenset("FSVCLOdxrbkJG")
SUFFIX = "S"
HEADER_LINES = 10
VTOL_FOLLOWS = "3"  # second option: one more number stands on the first line


class NotForCasadi(ValueError):
    """The file is none that CasADi can read; the message says why and what to do."""


@dataclass(slots=True)
class NlText:
    """``suffixes``: by letter of what they belong to ("x", "g", "f") and name; index to value. ``plain``: the file for CasADi."""

    options: tuple[str, ...]
    n_vars: int
    n_rows: int
    n_objectives: int
    n_discrete: tuple[int, int]
    plain: str
    maximize: bool = False
    started: set[int] = field(default_factory=set)
    suffixes: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)


def read_nl_text(content: bytes) -> NlText:
    """Raises NotForCasadi."""
    if content[:1] == b"b":
        raise NotForCasadi(
            "binary .nl files are not read by the driver on CasADi: write it as text (AMPL: write gNAME), or build the driver in C"
        )
    lines = [line.split("#", 1)[0].rstrip() for line in content.decode("latin-1").splitlines()]
    if content[:1] != b"g" or len(lines) < HEADER_LINES:
        raise NotForCasadi("it is no .nl file: its header is not one")
    try:
        text = _header(lines)
        _body(text, lines)
    except NotForCasadi:
        raise
    except (ValueError, IndexError) as error:
        raise NotForCasadi(f"corrupt .nl file: {error}") from None
    return text


def _header(lines: list[str]) -> NlText:
    words = lines[0].split()
    n = int(words[0][1:] or "0")
    options = words[1 : 1 + n]
    if n > 1 and options[1] == VTOL_FOLLOWS:
        options += words[1 + n : 2 + n]
    numbers = [[int(word) for word in line.split()] + [0] * 6 for line in lines[1:HEADER_LINES]]
    sizes, complements, discrete = numbers[0], numbers[1], numbers[5]
    if complements[2] or complements[3]:
        raise NotForCasadi("Ipopt does not support complementarity constraints.")
    if sizes[2] > 1:
        raise NotForCasadi("There is more than one objective function: deactivate all but one in the model.")
    return NlText(tuple(options), sizes[0], sizes[1], sizes[2], (discrete[0], sum(discrete[1:5])), "")


def _body(text: NlText, lines: list[str]) -> None:
    kept = lines[:HEADER_LINES]
    for letter, segment in _segments(lines[HEADER_LINES:]):
        if letter == SUFFIX:
            _suffix(text, segment)
            continue
        kept += segment
        if letter == "x":
            text.started.update(int(line.split()[0]) for line in segment[1:])
        elif letter == "O":
            text.maximize = segment[0].split()[1:2] == ["1"]
    text.plain = "\n".join(kept) + "\n"


def _segments(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """No line within a segment begins with a letter that begins one: expressions are n, o, v, f, h and numbers."""
    begins = [number for number, line in enumerate(lines) if line[:1] in SEGMENTS]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        yield lines[begin][0], [line for line in lines[begin:end] if line]


def _suffix(text: NlText, segment: list[str]) -> None:
    found = re.match(r"S(\d+)\s+(\d+)\s+(\S+)", segment[0])
    if found is None:
        raise ValueError(f"a suffix begins with {segment[0]!r}")
    kind = "xgfp"[int(found[1]) & 3]
    values = (line.split() for line in segment[1 : 1 + int(found[2])])
    text.suffixes[kind, found[3]] = {int(index): float(value) for index, value in values}
