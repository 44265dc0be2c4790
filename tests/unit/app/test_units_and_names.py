"""Sizes, durations, names, paths, refs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.names import closest, is_reserved_env, path_fault, ref_fault
from sirdar.domain.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512 MiB", 512 * 1024**2),
        ("2 GB", 2 * 10**9),
        ("1.5KiB", 1536),
        ("4G", 4 * 10**9),
        ("7", 7),
        ("1Ti", 1024**4),
        ("3 b", 3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "5 parsecs", "1 2", "1e9", "9999999999 TiB", "1..5 GB", "٣ GB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"512 MiB|larger than any disk"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 min", 600),
        ("1 h 30 min", 5400),
        ("1h30m", 5400),
        ("2 d", 172800),
        ("90", 90),
        ("0.5", 0.5),
        ("250 ms", 0.25),
        ("01:30:00", 5400),
        ("10:30", 630),
        ("1-12:00", 129600),
        ("1-12:00:30", 129630),
        ("1 week, 1 day", 691200),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 apples", "h", "1 h x", "-5 s", "1:99"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)


@given(st.integers(1, 10**9))
def test_durations_come_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**50))
def test_sizes_come_back_to_five_percent(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size / 20
    assert format_size(512 * 1024**2) == "512 MiB"


@given(st.text(max_size=30))
def test_units_raise_nothing_else(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            assert parse(text) >= 0
        except ValueError:
            pass


@pytest.mark.parametrize("path", ["a", "a/b.txt", "a b", ".hidden", "é/x", "..a/b"])
def test_paths(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    "path", ["", ".", "/etc", "..", "a/../b", "~/x", "a\\b", "C:/x", "a\0", "a\nb", "x" * 2000, "\ud800"]
)
def test_no_paths(path: str) -> None:
    assert path_fault(path)


@pytest.mark.parametrize("ref", ["main", "v1.2", "feature/x", "3f2a"])
def test_refs(ref: str) -> None:
    assert ref_fault(ref) is None


@pytest.mark.parametrize(
    "ref", ["", "-x", "--upload-pack=x", "a..b", "a b", "a:b", "x^", "@{u}", "a.lock", "/a", "a//b", "\n"]
)
def test_no_refs(ref: str) -> None:
    assert ref_fault(ref)


def test_reserved_variables_and_near_names() -> None:
    assert all(is_reserved_env(name) for name in ("PATH", "LD_PRELOAD", "IFS", "SIRDAR_TOKEN", "everest_task_token"))
    assert not is_reserved_env("OMP_NUM_THREADS")
    assert closest("max-length", ["min_length", "max_length"]) == "max_length"
    assert closest("zzz", ["min_length"]) is None
