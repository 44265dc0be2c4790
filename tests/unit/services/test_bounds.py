"""What one request may cost, however many files it names."""

import pytest

from sirdar.domain.app import FileRef
from sirdar.domain.problems import Problem
from sirdar.services import plans
from sirdar.services.file_batches import READ_BYTES, _fitting
from sirdar.services.job_files import InlineFile

MIB = 2**20


def test_only_what_goes_into_an_answer_is_read() -> None:
    files = [FileRef("f", f"{number:064x}", size) for number, size in enumerate([MIB, READ_BYTES + 1, *[MIB] * 9, 10])]
    fits = _fitting([Problem("not_found", "none"), *files])
    assert list(fits) == [0, 1, *range(3, 10)]


def test_short_streams_count_like_files() -> None:
    stream = InlineFile("stdout", b"x" * 16384)
    assert len(_fitting([stream] * 2000)) == READ_BYTES // 16384


def test_a_small_file_that_comes_later_fits_still() -> None:
    files = [FileRef("f", f"{number:064x}", size) for number, size in enumerate([READ_BYTES - 10, MIB, 10])]
    assert list(_fitting(files)) == [0, 2]


def test_names_are_compared_with_few_of_a_large_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def closest(word: str, choices: list[str]) -> str | None:
        asked.append(len(choices))
        return real(word, choices)

    real = plans.closest
    monkeypatch.setattr(plans, "closest", closest)
    names = [f"data/{place}/run-{number}.csv" for place in ("oslo", "bergen") for number in range(20_000)]
    archive = FileRef("files.zip", "0" * 64, 1)
    lines = [(f"plan:{line}", [f"data/oslo/run{line}.csv"]) for line in range(50)]
    told = plans._sentences([*names, "archive/run0.csv"], archive, lines)
    assert len(told) == 50 and len(asked) == plans.SHOWN and max(asked) <= plans.COMPARED
    assert told[0].detail.startswith("files.zip has no file data/oslo/run0.csv; did you mean data/oslo/run-0.csv?")
    assert "It holds" in told[-1].detail
