"""Which failures are alike: their words without what differs from task to task. Pure.

A hundred tasks that ended with ``ValueError: no point 17`` and ``no point 18`` failed for one reason, and are shown as one.
"""

import hashlib
import re

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
