"""The catalogues of words hold every sentence of the pages, and scripts say only what is in them."""

import re
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from sirdar.web import client_words

ROOT = Path(__file__).parents[3]
SAID = re.compile(r"""\bsay\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)""")
ANY_SAID = re.compile(r"\bsay\(")


def load() -> ModuleType:
    spec = spec_from_loader("scripts_words", SourceFileLoader("scripts_words", str(ROOT / "scripts/words")))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load()


def test_each_catalogue_is_whole(script: ModuleType) -> None:
    fresh = script.template()
    catalogues = script.catalogues()
    assert catalogues
    for path in catalogues:
        assert script.faults(path, fresh) == [], f"{path}: run scripts/words, then translate"


def test_a_catalogue_holds_nothing_that_no_page_says(script: ModuleType) -> None:
    fresh = script.template()
    for path in script.catalogues():
        gone = [message.id for message in script.read(path) if message.id and fresh.get(message.id) is None]
        assert gone == [], f"{path}: run scripts/words"


@pytest.mark.parametrize(
    ("sentence", "translated", "wrong"),
    [
        ("By %(name)s", "Автор: %(name)s", False),
        ("By %(name)s", "Автор: %(nam)s", True),
        ("By %(name)s", "", True),
        ("No place", "Место: %(name)s", True),
        (("%(num)s task", "%(num)s tasks"), ("%(num)s задача", "%(num)s задачи", "%(num)s задач"), False),
        (("%(num)s task", "%(num)s tasks"), ("одна задача", "%(num)s задачи", "%(num)s задач"), False),
        (("%(num)s task", "%(num)s tasks"), ("%(n)s задача", "%(num)s задачи", "%(num)s задач"), True),
        (("%(num)s task", "%(num)s tasks"), ("%(num)s задача", "%(num)s задачи", ""), True),
    ],
)
def test_faults_of_a_translation_are_named(
    script: ModuleType,
    tmp_path: Path,
    sentence: str | tuple[str, str],
    translated: str | tuple[str, str, str],
    wrong: bool,
) -> None:
    path = tmp_path / "ru" / "LC_MESSAGES" / "sirdar.po"
    path.parent.mkdir(parents=True)
    fresh = script.Catalog()
    fresh.add(sentence)
    written = script.Catalog(locale="ru")
    written.add(sentence, translated)
    path.write_bytes(script.text_of(written))
    assert bool(script.faults(path, fresh)) is wrong


def said() -> Iterator[str]:
    """What scripts of the pages say."""
    for path in sorted((ROOT / "ui/src").rglob("*.ts")):
        text = re.sub(r"^\s*(\*|//|/\*).*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        text = text.replace("function say(", "function(")
        found = [next(part for part in match.groups() if part is not None) for match in SAID.finditer(text)]
        assert len(found) == len(ANY_SAID.findall(text)), f"{path}: a sentence stands whole where it is said"
        yield from found


def test_sentences_of_scripts_are_in_the_catalogue() -> None:
    assert sorted(set(said())) == sorted(set(client_words.SENTENCES))
