"""Which failures are alike: their words without what differs from task to task. Pure.

A hundred tasks that ended with ``ValueError: no point 17`` and ``no point 18`` failed for one reason, and are shown as one.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_VARIES = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "#"),
    (re.compile(r"\"[^\"]*\"|`[^`]*`|«[^»]*»|“[^”]*”|‘[^’]*’|(?<!\w)'[^']*'(?!\w)"), "'…'"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "/…"),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|\\\\)[^\s:;,)\]'\"]+"), "/…"),
    (re.compile(r"(?<![\w/])(?:~|\.{1,2}|[\w.+-]+)?(?:/[\w.+@%=-]+)+/?"), "/…"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "#"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "#"),
    (re.compile(r"[-+−]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][-+]?\d+)?"), "#"),
    (re.compile(r"#(?:(?:\s*[,;x×:]\s*|\s+)#)+"), "#"),
    (re.compile(r"\s+"), " "),
)
KINDS_TOLD = 6  # at a job's end; the list of its failures has all
_BRIEFLY, _FEW, _MORE_BRIEFLY = (
    160,
    3,
    90,
)  # letters of one message among several: of a few kinds, and of more than these
_LONGEST = 500  # letters that are looked at; agents send half as many of what a program said last


def common_words(message: str) -> str:
    """The message with ``#`` for numbers and ids, ``/…`` for paths and addresses, ``'…'`` for what stands in quotes."""
    words = message[:_LONGEST]
    for pattern, sign in _VARIES:
        words = pattern.sub(sign, words)
    return words.strip()


def kind_of(message: str) -> str:
    """A short key that is the same for messages that differ in such things only."""
    return hashlib.sha256(common_words(message).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Tasks of a job that failed alike: messages that differ in numbers, paths and quoted words only.

    ``differ``: they do. ``example``: the first of them; ``message``: its own.
    """

    reason: str
    message: str
    exit_code: int | None
    count: int
    example: int
    differ: bool = False

    @property
    def key(self) -> str:
        """The same for failures that are alike."""
        return f"{self.reason} {self.exit_code} {kind_of(self.message)}"

    def joined(self, other: "FailureGroup") -> "FailureGroup":
        """This one and another of the same key."""
        first = self if self.example <= other.example else other
        differ = self.differ or other.differ or self.message != other.message
        return replace(first, count=self.count + other.count, differ=differ)


def in_words(groups: Sequence[FailureGroup], failed: int) -> str:
    """How many failed, and why, by kind: ``3 failed: 2 by exit_code (task 5: ...), 1 by time_limit (task 9: ...)``.

    ``groups``: the most frequent kinds; what is left of ``failed`` is told as a number.
    """
    letters = _BRIEFLY if len(groups) <= _FEW else _MORE_BRIEFLY
    told = [
        f"{group.count} by {group.reason} (task {group.example}: {_brief(group.message, letters)})" for group in groups
    ]
    rest = failed - sum(group.count for group in groups)
    kinds = ", ".join([*told, *([f"{rest} of other kinds"] if rest > 0 else [])])
    return f"{failed} failed: {kinds}" if told else f"{failed} failed"


def _brief(message: str, letters: int) -> str:
    words = " ".join(message.split()).rstrip(".")
    return words if len(words) <= letters else f"{words[:letters]}…"
