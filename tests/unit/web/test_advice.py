"""A page advises what a page does: no command or call of the interface for programs, and a link to where it is done."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sirdar.services import explain
from sirdar.web import service_words, words
from sirdar.web.advice import ADVICE, Advice
from sirdar.web.problem_sentences import PROBLEMS
from sirdar.web.service_sentences import SENTENCES

SOURCES = Path(__file__).parents[3] / "src/sirdar"
FOR_PROGRAMS = re.compile(r"\b(GET|POST|PUT|DELETE) /|\bsirdar [a-z]+|'sirdar ")
# Said to agents, command lines and programs that send requests by themselves; no page shows them.
NOT_ON_PAGES = re.compile(
    r"Run sirdar login again|Make a new one: sirdar resource join|A machine is attached by a token of its resource"
    r"|It is let in when the other has ended|Send each with PUT /api/apps/publish|sirdar (job logs|agent join)"
)
# Only that machine's own command line can do it.
ELSEWHERE = "where no agent runs: sirdar agent start, on that machine"


def test_no_known_sentence_of_a_page_names_a_command() -> None:
    for sentence in (*SENTENCES, *PROBLEMS):
        assert not FOR_PROGRAMS.search(sentence) or ELSEWHERE in sentence, sentence


def test_what_services_advise_by_commands_is_said_in_a_pages_way() -> None:
    found = [text for text in hints() if FOR_PROGRAMS.search(text) and not NOT_ON_PAGES.search(text)]
    assert len(found) > 10
    for text in found:
        shown = service_words.advise(text.strip())
        assert not FOR_PROGRAMS.search(str(shown)), text


@pytest.mark.parametrize("advice", ADVICE, ids=lambda advice: advice.said[:40])
def test_a_link_stands_where_there_is_an_address(advice: Advice) -> None:
    for language in words.LANGUAGES:
        told = words.catalogue(language).gettext(advice.shown)
        assert ("%(link)s" in told) == ("%(end)s" in told) == bool(advice.address)


def test_a_link_holds_only_what_is_safe_in_one() -> None:
    shown = service_words.advise('GET /api/apps/me/<b>"x/versions lists them.')
    assert 'href="/apps/me/%3Cb%3E%22x/versions"' in shown


def test_two_sentences_of_which_one_advises() -> None:
    text = "No resource is shared with anna." + explain.ATTACH
    assert service_words.advise(text) == 'No resource is shared with anna. <a href="/resources">Attach a machine</a>.'
    assert service_words.say(text) == "No resource is shared with anna. Attach a machine."
    assert service_words.advise("<b> & more") == "&lt;b&gt; &amp; more"


def hints() -> Iterator[str]:
    """What services try to help with: ``hint=...``, with an x in each place."""
    for path in sorted((SOURCES / "services").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                yield from texts(node.value)
    yield explain.ATTACH
    yield explain.ASK


def texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
