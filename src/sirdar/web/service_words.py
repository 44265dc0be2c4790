"""What services say in English, in the page's language: a sentence whose wording is known is translated where it is shown.

Services, agents and the ledger speak English, and what they said is stored so. The sentences that people meet most stand in
``service_sentences.py``, ``problem_sentences.py`` and ``sweep_sentences.py``, as the catalogue has them: with ``%(name)s`` in the
place of each value. What is known in none of them is shown as it was said.

A place's name says what stands there: ``count...`` a number, ``span...`` and ``size...`` an amount whose units are translated,
``field...`` a field of a request, ``place...`` a name or a known phrase, ``said...`` a known sentence, ``list...`` known phrases
between commas; any other, whatever stands there.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from urllib.parse import quote

from markupsafe import Markup, escape

from sirdar.web import formats, words
from sirdar.web.advice import ADVICE, Advice
from sirdar.web.problem_sentences import PROBLEMS
from sirdar.web.service_sentences import SENTENCES
from sirdar.web.sweep_sentences import SWEEPS

LONGEST = 2000  # characters; what is longer is shown as it was said
_PLACE = re.compile(r"%\((\w+)\)s")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_PATTERNS = {"count": r"-?\d(?:[\d.,]*\d)?(?:e[+-]?\d+)?", "field": r"[\w.\[\]$-]+"}


def say(text: str | None) -> str:
    """In the page's language as far as it is known: sentence by sentence, else what stands between semicolons; what names
    commands or calls, as pages say it (``advice.py``)."""
    if not text or len(text) > LONGEST:
        return text or ""
    return _said(text, words.language())


def advise(text: str | None) -> Markup:
    """As ``say``; what a page advises leads to the page that does it."""
    if not text or len(text) > LONGEST:
        return escape(text or "")
    parts = _BETWEEN_SENTENCES.split(text)
    if len(parts) > 1 and _advised(text) is None:
        return Markup(" ").join(advise(part) for part in parts)
    found = _advised(text)
    if found is None:
        return escape(say(text))
    advice, given = found
    address = advice.address.format(**{name: quote(value) for name, value in given.items()})
    link = Markup('<a href="{}">').format(address) if address else Markup()
    return Markup(words.raw_gettext(advice.shown)) % {"link": link, "end": Markup("</a>" if address else "")}  # noqa: S704


@lru_cache(maxsize=4096)
def _said(text: str, language: str) -> str:
    """``language`` is the page's, for the cache."""
    if (found := _advised(text)) is not None:
        return words.gettext(found[0].shown, link="", end="")
    parts = _BETWEEN_SENTENCES.split(text)
    if len(parts) > 1:
        return " ".join(_said(part, language) for part in parts)
    if language == "en":
        return text
    if (whole := _known(text)) is not None:
        return whole
    return "; ".join(_known(part) or part for part in text.split("; "))


# ---------------------------------------------------------------- sentences


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of the catalogue, and what a text looks like that says it."""

    message: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, message: str) -> "_Sentence":
        parts = _PLACE.split(message.rstrip("."))  # literal, name, literal, ...
        pattern = _literal(parts[0], first=True)
        for name, literal in zip(parts[1::2], parts[2::2], strict=True):
            kind = re.match(r"[a-z]+", name)
            pattern += f"(?P<{name}>{_PATTERNS.get(kind[0] if kind else '', '.+?')}){_literal(literal)}"
        return cls(message, re.compile(pattern + r"(?P<_stop>\.?)", re.DOTALL))

    def translate(self, text: str) -> str | None:
        """None where it is another sentence."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        given: dict[str, str] = {}
        for name, value in match.groupdict().items():
            if name != "_stop":
                inside = _inside(name, value)
                if inside is None:
                    return None
                given[name] = inside
        told = words.gettext(self.message, **given).removesuffix(".") + match["_stop"]
        return _with_case_of(text, told) if self.message[0] != "%" else told


def _literal(text: str, *, first: bool = False) -> str:
    """A sentence may stand after a semicolon, too: its first letter is of either case."""
    if first and text[:1].isalpha():
        return f"[{text[0].upper()}{text[0].lower()}]{re.escape(text[1:])}"
    return re.escape(text)


def _inside(name: str, value: str) -> str | None:
    """What stands in a place; None where that cannot stand there."""
    if name.startswith(("span", "size")):
        return formats.in_page_units(value)
    if name.startswith("said"):
        return _known(value)
    if name.startswith("place"):
        return (_known(value) if " " in value else None) or value  # no name has a space
    if name.startswith("list"):
        return ", ".join(_known(part) or part for part in value.split(", "))
    return value


def _with_case_of(text: str, told: str) -> str:
    if text[0].islower() and not told[1:2].isupper():
        return told[0].lower() + told[1:]
    return told[0].upper() + told[1:] if text[0].isupper() else told


@cache
def sentences() -> tuple[_Sentence, ...]:
    """Those with the most words of their own first: they are the surest."""
    every = dict.fromkeys((*SENTENCES, *PROBLEMS, *SWEEPS))
    return tuple(_Sentence.of(text) for text in sorted(every, key=lambda text: -len(_PLACE.sub("", text))))


@cache
def _advices() -> tuple[tuple[re.Pattern[str], Advice], ...]:
    return tuple((_Sentence.of(advice.said).pattern, advice) for advice in ADVICE)


def _advised(text: str) -> tuple[Advice, dict[str, str]] | None:
    for pattern, advice in _advices():
        if match := pattern.fullmatch(text):
            return advice, {name: value for name, value in match.groupdict().items() if name != "_stop"}
    return None


def _known(text: str) -> str | None:
    for sentence in sentences():
        if (told := sentence.translate(text)) is not None:
            return told
    return None
