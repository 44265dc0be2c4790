"""The pages of errors and reasons stand in each language, and say the same in the same order."""

import re
from importlib.resources import files

import pytest

from sirdar.domain.outcome import Reason
from sirdar.domain.problems import CODES
from sirdar.web import words
from sirdar.web.error_pages import explanation
from sirdar.web.reason_words import REASON_WORDS

PAGES = [("errors", code) for code in CODES] + [("reasons", reason.value) for reason in Reason]
OTHERS = [name for name in words.LANGUAGES if name != "en"]
EMPHASISED = re.compile(r"\*([^*\n]+)\*")


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(("kind", "code"), PAGES)
def test_each_code_is_explained_in_each_language(kind: str, code: str, language: str) -> None:
    english, other = explanation(kind, code, "en"), explanation(kind, code, language)
    assert english and other
    assert shape(english) == shape(other)
    assert set(re.findall(r"`([^`]+)`", english)) == set(re.findall(r"`([^`]+)`", other)), "what stands as code"


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(("kind", "code"), PAGES)
def test_what_stands_on_a_page_is_named_as_the_page_names_it(kind: str, code: str, language: str) -> None:
    names = EMPHASISED.findall(explanation(kind, code, "en"))
    catalogue = words.catalogue(language)
    told = EMPHASISED.findall(explanation(kind, code, language))
    assert sorted(told) == sorted(catalogue.gettext(name) for name in names)
    assert all(catalogue.gettext(name) != name for name in names), "a page has no such word"


def test_nothing_is_explained_that_is_no_code() -> None:
    for kind, codes in (("errors", set(CODES)), ("reasons", {reason.value for reason in Reason})):
        for language in OTHERS:
            folder = files("sirdar.web") / "locale" / language / kind
            assert {place.name.removesuffix(".md") for place in folder.iterdir()} == codes


def test_each_reason_has_a_name_that_people_read() -> None:
    assert set(REASON_WORDS) == {reason.value for reason in Reason}


def shape(text: str) -> list[str]:
    """Headings and paragraphs, one letter each."""
    return ["h" if block.startswith("#") else "p" for block in re.split(r"\n\s*\n", text)]
