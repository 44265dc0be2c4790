"""What services say in English is shown in the page's language, where its wording is known."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sirdar.domain.outcome import MEANING
from sirdar.domain.problems import CODES
from sirdar.services import explain, never_fits
from sirdar.web import service_words, words
from sirdar.web.problem_sentences import PROBLEMS
from sirdar.web.service_sentences import SENTENCES

SOURCES = Path(__file__).parents[3] / "src/sirdar"
# Put together of more than one string, so that they stand whole nowhere.
COMPOSED = (
    "%(place)s has no label %(key)s; the application asks for %(wanted)s",
    "None of the resources that it was sent to can run it as it is now: %(list)s",
    "None of the resources that are attached now, and that it may use, can run it: %(list)s",
    "Cancelled by on_failure: stop: %(count)s of %(count_total)s tasks done, %(count_cancelled)s cancelled",
    "The agent did not accept the task within %(count)s s",
    "its directory holds nothing",
    "The database does not answer within %(count)s s.",
    "The blob store takes no write within %(count)s s.",
    "No task of job %(id)s has failed among these.",
    "No task of job %(id)s has failed or was cancelled among these.",
    "a number of at least %(count)s",
    "a number of at most %(count)s",
    "an integer of at least %(count)s",
    "an integer of at most %(count)s",
)
SPEAKERS = ("domain", "wire", "services", "agent", "api", "web")


@pytest.fixture
def in_russian() -> Iterator[None]:
    token = words._language.set("ru")
    yield
    words._language.reset(token)


def test_in_english_all_stands_as_it_was_said() -> None:
    assert service_words.say("The token was revoked.") == "The token was revoked."
    assert service_words.say(None) == ""


@pytest.mark.usefixtures("in_russian")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("The token was revoked.", "Токен отозван."),
        ("The program ended with exit code 3", "Программа завершилась с кодом 3"),
        ("the program ended with exit code -11.", "программа завершилась с кодом -11."),
        ("the program ended with exit code 1: KeyError: 'a'", "программа завершилась с кодом 1: KeyError: 'a'"),
        (
            "1 of 9 tasks failed; task 7: the program ended with exit code 1: x is seven",
            "С ошибкой завершено задач: 1 из 9; задача 7: программа завершилась с кодом 1: x is seven",
        ),
        (
            "2 of 7 tasks failed; the program ran longer than 10 min and was ended",
            "С ошибкой завершено задач: 2 из 7; программа выполнялась дольше 10 мин и была остановлена",
        ),
        (
            "Task 0 is on lab1, which is unreachable since 1 min 30 s. It is waited for 8 min 30 s more (lost after 10 min);"
            " then it is tried again elsewhere.",
            "Задача 0 — на ресурсе: lab1; связи с ним нет 1 мин 30 с. Ожидание связи продлится ещё 8 мин 30 с"
            " (ресурс считается потерянным через 10 мин); затем задача будет запущена на другом ресурсе.",
        ),
        (
            "Task 4 is queued on a resource that is not shared with you: its slots are taken.",
            "Задача 4 в очереди на ресурсе (ресурс, к которому у вас нет доступа): все слоты заняты.",
        ),
        (
            "2 of 2 slot(s) of lab1 are held: by this job 1, 3 more job(s) 1.",
            "На ресурсе lab1 занято слотов: 2 из 2 (это задание — 1, другие задания (3) — 1).",
        ),
        (
            "No resource is shared with boris. Ask an administrator, or whoever has a machine, to share one.",
            "Для boris не открыт ни один ресурс. Попросите администратора или владельца машины открыть вам доступ.",
        ),
        (
            "inputs.folds: 25 is more than 20 (and 2 more)",
            "inputs.folds: 25 больше 20 (и ещё 2)",
        ),
        ("Job ab12 has ended already: it is DONE.", "Задание ab12 уже завершено: «Готово»."),
        # What is not known, or a program's own words, stands as it was said; also beside what is known.
        ("Segfault in line 3; see the log.", "Segfault in line 3; see the log."),
        ("1 of 2 tasks failed; Traceback: it broke", "С ошибкой завершено задач: 1 из 2; Traceback: it broke"),
        ("inputs.a: of a kind that nobody knows", "inputs.a: of a kind that nobody knows"),
        ("Cancelled by <b>%(who)s & 100% sure</b>.", "Отменено: <b>%(who)s & 100% sure</b>."),
        ("Cancelled by " + "x" * 5000, "Cancelled by " + "x" * 5000),
    ],
)
def test_known_sentences_are_translated(said: str, shown: str) -> None:
    assert service_words.say(said) == shown


@pytest.mark.usefixtures("in_russian")
def test_the_tables_that_pages_show_whole_are_known() -> None:
    shown = [title for _, title in CODES.values()]
    shown += [
        *MEANING.values(),
        *explain.WHO.values(),
        *explain.WHO_OF.values(),
        explain.ATTACH.strip(),
        explain.ASK.strip(),
        never_fits.NOWHERE,
    ]
    for text in shown:
        for sentence in text.split(". "):
            assert re.search("[а-я]", service_words.say(sentence)), sentence


def test_each_sentence_is_said_somewhere() -> None:
    """A changed wording is to be changed in the tables, too: words between places are looked for in the sources."""
    corpus = "\0".join(said_in_sources())
    missing = [sentence for sentence in (*SENTENCES, *PROBLEMS) if not is_said(sentence, corpus)]
    assert missing == []


def is_said(sentence: str, corpus: str) -> bool:
    """A first letter may be of either case."""
    fragments = (part.strip()[1:] for part in re.split(r"%\(\w+\)s|[.;:,()]", sentence))
    return sentence in COMPOSED or all(fragment in corpus for fragment in fragments if len(fragment) > 3)


def said_in_sources() -> Iterator[str]:
    for speaker in SPEAKERS:
        for path in (SOURCES / speaker).rglob("*.py"):
            if path.name.endswith("_sentences.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
