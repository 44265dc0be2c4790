"""Finding lines in streams: in blocks, by text, by what looks like an error; fed in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.services.log_scan import BLOCK_BYTES, LONGEST_LINE, MOST_LINES, LineIndex, LineSearch, is_error

ERRORS = (
    "Traceback (most recent call last):", "ValueError: bad", "ERROR something", "[ERROR] disk full", "KeyError",
    "2026-01-01 12:00:00 ERROR root: failed", "a.c:3:5: error: expected ;", "bash: foo: command not found",
    "numpy.linalg.LinAlgError: Singular matrix", "fatal: not a git repository", "Segmentation fault (core dumped)",
    "Error: cannot open", "\x1b[31mError\x1b[0m: boom", "java.lang.RuntimeException: x", "Killed",
    "fatal error: stdio.h: No such file", "thread 'main' panicked: panic: at the disco", "FATAL: no memory",
    "sh: 1: cannot open x: No such file or directory",
)  # fmt: skip
RESULTS = (
    "CV error 0.186", "error: 0.3", "training error: nan", "0 errors", '  File "x", line 3', "INFO max error = 3",
    "error_rate: high", "ERROR=0.3", "MSE Error 0.5", "memory used 3", "epoch 3, loss 0.2, error: 0.1", "ERROR 0.12",
    "Error: -1.5e-3", "std error: .5", "", "rounding error", "no ERROR-like thing", "the game: Killed 3",
)  # fmt: skip


@pytest.mark.parametrize("line", ERRORS)
def test_errors(line: str) -> None:
    assert is_error(line.encode())


@pytest.mark.parametrize("line", RESULTS)
def test_results_are_no_errors(line: str) -> None:
    assert not is_error(line.encode())


CONTENT = st.lists(
    st.sampled_from([b"", b"epoch", b"ValueError: x", b"abc", b"\xff\xfe", "Ошибка".encode(), b"a\rb", b"x" * 300]),
    max_size=60,
).map(b"\n".join)


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(CONTENT, st.integers(1, 400))
def test_lines_are_found_whatever_the_pieces(content: bytes, size: int) -> None:
    lines = content.split(b"\n")
    for text, holds in (
        ("EPOCH", lambda line: b"epoch" in line),
        ("ошиб", lambda line: "Ошиб".encode() in line),
        ("", is_error),
    ):
        search = LineSearch(text)
        for piece in pieces(content, size):
            search.feed(piece)
        search.finish()
        assert search.lines == [number for number, line in enumerate(lines) if holds(line)]
        assert (search.line, search.offset) == (len(lines) - 1, content.rfind(b"\n") + 1)


@given(CONTENT, st.integers(1, 400))
def test_the_index_counts_newlines(content: bytes, size: int) -> None:
    index = LineIndex()
    for piece in pieces(content * 40, size):
        index.feed(piece)
    whole = content * 40
    assert index.counts == [whole[at : at + BLOCK_BYTES].count(b"\n") for at in range(0, len(whole), BLOCK_BYTES)]
    assert (index.size, index.open) == (len(whole), bool(whole) and not whole.endswith(b"\n"))


def test_a_search_goes_on_where_it_stopped() -> None:
    content = b"".join(b"hit %d\n" % number if number % 2 else b"miss\n" for number in range(3 * MOST_LINES))
    found: list[int] = []
    search = LineSearch("hit")
    for _ in range(10):
        for piece in pieces(content[search.offset :], 1000):
            search.feed(piece)
        search.finish()
        found += search.lines
        if not search.full:
            break
        search = LineSearch("hit", line=search.line, offset=search.offset)
    assert found == [number for number in range(3 * MOST_LINES) if number % 2]


def test_colours_do_not_hide_words_nor_move_places() -> None:
    content = b"".join(b"\x1b[32mstep\x1b[0m %d\n" % number for number in range(MOST_LINES + 5))
    search = LineSearch("Step 7")
    search.feed(content)
    assert search.lines[:3] == [7, 70, 71]
    full = LineSearch("step")
    full.feed(content)
    assert full.full and content[full.offset :].startswith(b"\x1b[32mstep\x1b[0m %d\n" % full.line)


def test_a_line_without_end_takes_no_memory() -> None:
    search = LineSearch("needle")
    start = b"first\n" + b"x" * 100 + b"needle"
    search.feed(start)
    for _ in range(40):
        search.feed(b"y" * (LONGEST_LINE // 8))
        assert len(search._rest) <= LONGEST_LINE * 2
    search.feed(b"\nneedle again\n")
    search.finish()
    assert search.lines == [1, 2]
    assert (search.line, search.offset) == (3, len(start) + 5 * LONGEST_LINE + len(b"\nneedle again\n"))
