"""Which words start a program that serves many tasks, and what may be said of it."""

import pytest

from sirdar.domain.keep_alive import KeepAlive, program_words
from sirdar.domain.problems import Problem
from sirdar.wire.description import parse_document, parse_yaml, to_document
from sirdar.wire.description_text import author_yaml


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("ipopt x.nl -AMPL", 1),
        ("./solve a b", 1),
        ("python solve.py a", 2),
        ("/usr/bin/python3.11 -u -B solve.py a", 4),
        ("python -m pkg.solve a b", 3),
        ("julia --project=. solve.jl a", 3),
        ("python", 1),
        ("bash -c", 2),
    ],
)
def test_the_words_that_start_a_program(command: str, count: int) -> None:
    assert program_words(command.split()) == count


def test_whether_a_task_is_handed_to_a_kept_program() -> None:
    assert [KeepAlive().is_wanted(wish) for wish in (None, True, False)] == [True, True, False]
    assert [KeepAlive(asked=True).is_wanted(wish) for wish in (None, True, False)] == [False, True, False]


APP = "sirdar: 1\nalias: x\ncommand: python w.py ${n} ${files}\ninputs: {n: {type: integer, required: true}, files: files}\n"


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("keep_alive: true", KeepAlive()),
        ("keep_alive: false", None),
        ("keep_alive: {idle: 2 min, most: 7, program: 1, when: asked}", KeepAlive(120.0, 7, 1, asked=True)),
        ("keep_alive: {}", KeepAlive()),
    ],
)
def test_it_is_read_and_written(text: str, keep: KeepAlive | None) -> None:
    app = parse_yaml(APP + text)
    document = to_document(app)
    assert app.keep_alive == keep
    assert parse_document(document) == app
    assert parse_yaml(author_yaml(document)) == app


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("keep_alive: 7", "keep_alive", "not a mapping"),
        ("keep_alive: {most: 0}", "keep_alive.most", "integer from 1"),
        ("keep_alive: {idle: 2 d}", "keep_alive.idle", "longer than a day"),
        ("keep_alive: {when: never}", "keep_alive.when", "none of the choices"),
        ("keep_alive: {program: 9}", "keep_alive.program", "4 words"),
        ("keep_alive: {program: 4}", "command", "no or many words"),
        ("keep_alive: {idel: 3}", "keep_alive.idel", "did you mean idle"),
        ("keep_alive: true\nstdin: text", "keep_alive", "beside stdin"),
    ],
)
def test_what_cannot_be_is_said_at_its_place(text: str, field: str, words: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_yaml(APP + text)
    faults = {fault.field: f"{fault.detail} {fault.expected}" for fault in caught.value.errors}
    assert words in faults[field]


def test_a_shell_script_is_not_kept() -> None:
    with pytest.raises(Problem, match="beside shell"):
        parse_yaml("sirdar: 1\nalias: x\nshell: echo\nkeep_alive: true\n")
