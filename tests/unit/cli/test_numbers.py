"""Numbers, sizes, durations and tables."""

from datetime import UTC, datetime

import pytest

from sirdar.cli import numbers
from sirdar.cli.draw import cut, table, width
from sirdar.cli.session import Terminal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.18612, "0.186"),
        (1204567, "1 204 567"),
        (0.0, "0"),
        (12345.6, "12 300"),
        (1e-7, "1.00e-07"),
        (-2.5, "-2.5"),
        (float("nan"), "nan"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert numbers.number(value) == text.replace(" ", numbers.THIN_SPACE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (2100, "2.1 KB"),
        (48_000, "48 KB"),
        (999_999, "1 MB"),
        (1_500_000_000, "1.5 GB"),
        (123_456_789, "123 MB"),
    ],
)
def test_sizes(value: int, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.045, "45 ms"),
        (0.9999, "1.0 s"),
        (6.21, "6.2 s"),
        (59.97, "1 min"),
        (252, "4 min 12 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_moments() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    local = datetime(2026, 11, 22, 11, 30, tzinfo=UTC).astimezone()
    assert numbers.moment("2026-11-22T11:30:00.000Z", now) == local.strftime("%H:%M:%S")
    assert numbers.moment("2026-03-02T11:30:00Z", now).startswith("03-02")
    assert numbers.moment("2025-03-02T11:30:00Z", now) == "2025-03-02"
    assert numbers.moment(None) == ""


def test_sizes_and_durations_are_read() -> None:
    assert numbers.parse_size("50GB") == 50_000_000_000 and numbers.parse_size("512 MiB") == 512 * 1024**2
    assert (
        numbers.parse_duration("90d") == 90 * 86400
        and numbers.parse_duration("10 min") == 600
        and numbers.parse_duration("5") == 5
    )
    for wrong in ("", "GB", "5 parsecs", "1e"):
        with pytest.raises(ValueError, match=r"is not a|does not begin"):
            numbers.parse_size(wrong)


def test_tables_fit_and_align() -> None:
    rows = [("● Running", "x" * 60, 5), ("✓ Done", "日本", 12345)]
    wide = table(("state", "name", "n>"), rows, Terminal())
    assert wide[1].endswith("    5") and wide[2].endswith("12345") and len({width(line) for line in wide}) == 1
    narrow = table(("state", "name", "n>"), rows, Terminal(True, False, 40))
    assert all(width(line) <= 40 for line in narrow) and "…" in narrow[1]
    assert cut("日本語", 4) == "日…"
    assert "\x1b[34m● Running\x1b[0m" in table(("state", "name", "n>"), rows, Terminal(True, True, 80))[1]


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    assert "\x1b" not in "".join(table(("name",), [("a\x1b[2Jb\nc",)], Terminal()))


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(None, ""), (512 << 20, "512 MiB"), (25_249_000_000, "23.5 GiB"), (1 << 30, "1 GiB"), (256 << 30, "256 GiB")],
)
def test_memory_in_the_units_of_the_pages(size_bytes: int | None, words: str) -> None:
    assert numbers.memory(size_bytes) == words
