"""The page's language: English, or one that there is a catalogue for (``locale/LANGUAGE/LC_MESSAGES/sirdar.mo``).

A browser says which it prefers; a choice made on a page is kept in a cookie. While a request is served, its language and the
reader's time zone stand in context variables, so that formats and words need not be handed through.
"""

import gettext as catalogues
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from datetime import UTC, tzinfo
from functools import cache
from importlib.resources import as_file, files
from typing import TypeVar
from zoneinfo import ZoneInfo

from fastapi import Request

COOKIE = "sirdar_language"
ZONE_COOKIE = "sirdar_zone"
LANGUAGES: Mapping[str, str] = {"en": "English", "ru": "Русский"}
LONGEST_ZONE = 64

Given = TypeVar("Given")
Told = TypeVar("Told")

_language: ContextVar[str] = ContextVar("language", default="en")
_zone: ContextVar[tzinfo | None] = ContextVar("zone", default=None)


def begin(request: Request) -> None:
    """From now on this request's language and zone hold."""
    _language.set(language_of(request))
    _zone.set(_zone_named(request.cookies.get(ZONE_COOKIE, "").replace("%2F", "/")))


def elsewhere(run: Callable[[Given], Told]) -> Callable[[Given], Told]:
    """To be called in a thread of another's, such as one that reads the ledger: with the language and the zone of this page."""
    context = copy_context()
    return lambda given: context.run(run, given)


def language() -> str:
    return _language.get()


def zone() -> tzinfo:
    """The reader's zone; UTC where the browser has not told yet."""
    return _zone.get() or UTC


def gettext(text: str, **given: object) -> str:
    """The sentence in the page's language, with ``%(name)s`` replaced by what is given; a percent sign is doubled in it."""
    return raw_gettext(text) % given


def ngettext(one: str, many: str, n: int, **given: object) -> str:
    """As ``gettext``, in the form for that number, which stands for ``%(num)s``."""
    return raw_ngettext(one, many, n) % {"num": n, **given}


def N_(text: str) -> str:
    """Marks a sentence for the catalogue, where it stands; it is translated where it is shown."""
    return text


def raw_gettext(text: str) -> str:
    """For templates, which put values in themselves, escaped."""
    return catalogue(language()).gettext(text)


def raw_ngettext(one: str, many: str, n: int) -> str:
    return catalogue(language()).ngettext(one, many, n)


@cache
def catalogue(language: str) -> catalogues.NullTranslations:
    """English is in the sources themselves."""
    place = files("sirdar.web") / "locale" / language / "LC_MESSAGES" / "sirdar.mo"
    if language == "en" or not place.is_file():
        return catalogues.NullTranslations()
    with as_file(place) as path, path.open("rb") as file:
        return catalogues.GNUTranslations(file)


def language_of(request: Request) -> str:
    """What was chosen, else the first of the browser's languages that there is."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return preferred(request.headers.get("accept-language", ""))


def preferred(accepted: str) -> str:
    """Of an ``Accept-Language`` (RFC 9110, section 12.5.4): the heaviest that there is; English where there is none."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        tag, _, more = part.strip().partition(";")
        weight = _weight(more)
        if weight > 0:
            wanted.append((-weight, place, tag.partition("-")[0].lower()))
    return next((name for _, _, name in sorted(wanted) if name in LANGUAGES), "en")


def _weight(text: str) -> float:
    name, _, number = text.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(number)
    except ValueError:
        return 0.0


@cache
def _zone_named(name: str) -> tzinfo | None:
    if not name or len(name) > LONGEST_ZONE or not name.isascii():
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # KeyError: there is none of that name
        return None
