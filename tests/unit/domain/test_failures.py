"""Failures that are alike: what of a message differs from task to task, and what does not."""

import time

import pytest

from sirdar.domain.failures import common_words, kind_of

CODE = "the program ended with exit code 1: "


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no point 17", "ValueError: no point 3"),
        ("did not converge: residual 1.5e-3 after 200 steps", "did not converge: residual −.25 after 7 steps"),
        ("KeyError: 'alpha'", 'KeyError: "a longer one"'),
        ("cannot read /tmp/a/job-1/data.csv", "cannot read /home/anna/b.csv"),
        ("cannot read data/run_1.csv: no such file", "cannot read data/deeper/run_2.csv: no such file"),
        (r"cannot read C:\runs\1\data.csv", r"cannot read D:\x.csv"),
        ("GET https://example.org/a?b=1 failed", "GET http://10.0.0.7:8080/c failed"),
        ("segment at 0x7ffe12", "segment at 0xdeadbeef01"),
        ("run 123e4567-e89b-12d3-a456-426614174000 is gone", "run 00000000-e89b-12d3-a456-42661417aaaa is gone"),
        ("blob 9f86d081884c7d65 is spoiled", "blob 60303ae22b998861 is spoiled"),
        ("shape (3, 4) does not fit", "shape (12, 1, 7) does not fit"),
        ("fold  3\tfailed", "fold 4 failed"),
    ],
)
def test_what_differs_from_task_to_task_does_not_count(one: str, other: str) -> None:
    assert kind_of(CODE + one) == kind_of(CODE + other), (common_words(one), common_words(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no point 17", "KeyError: 17"),
        ("ValueError: no point 17", "ValueError: no line 17"),
        ("the program was ended by SIGSEGV", "the program was ended by SIGKILL"),
        ("can't open it", "can't close it"),
        ("no memory and/or disk", "no memory"),
        ("", "ValueError: no point 17"),
    ],
)
def test_other_words_are_another_failure(one: str, other: str) -> None:
    assert kind_of(CODE + one) != kind_of(CODE + other)


def test_an_apostrophe_quotes_nothing() -> None:
    assert common_words("can't read it, it's gone") == "can't read it, it's gone"


def test_words_that_are_made_to_be_slow_are_not() -> None:
    began = time.perf_counter()
    for nasty in (
        "/" * 100_000,
        "a" * 100_000,
        "'" * 99_999,
        "1," * 50_000,
        "a/" * 50_000,
        "#" * 99_999 + "x",
        ". " * 50_000,
    ):
        kind_of(nasty)
    assert time.perf_counter() - began < 5
