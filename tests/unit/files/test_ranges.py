"""``api.ranges`` and the description of files: pure tables."""

import pytest

from sirdar.api.blob_response import describe, media_type_of
from sirdar.api.ranges import Span, is_unchanged, span_of

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 10, False)),
        ("bytes=0-0", (0, 1, True)),
        ("bytes=0-", (0, 10, True)),
        ("bytes=3-5", (3, 6, True)),
        ("bytes=3-500", (3, 10, True)),
        ("bytes=9-9", (9, 10, True)),
        ("bytes=-3", (7, 10, True)),
        ("bytes=-30", (0, 10, True)),
        ("Bytes = 2-4 ", (2, 5, True)),
        ("bytes=0-99999999999999999999999", (0, 10, True)),
        ("bytes=10-", None),
        ("bytes=10-12", None),
        ("bytes=99999999999999999999999-", None),
        ("bytes=-0", None),
        # no range that we know: the whole file
        ("bytes=5-3", (0, 10, False)),
        ("bytes=0-1,3-4", (0, 10, False)),
        ("bytes=-", (0, 10, False)),
        ("bytes=a-b", (0, 10, False)),
        ("items=0-1", (0, 10, False)),
        ("bytes=\u0663-", (0, 10, False)),
        ("", (0, 10, False)),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int, bool] | None) -> None:
    span = span_of(10, ETAG, header, None)
    assert span == (None if expected is None else Span(expected[0], expected[1], 10, expected[2]))


def test_ranges_of_an_empty_file() -> None:
    assert span_of(0, ETAG, None, None) == Span(0, 0, 0)
    assert span_of(0, ETAG, "bytes=0-", None) is None
    assert span_of(0, ETAG, "bytes=-5", None) is None


def test_a_range_holds_only_for_the_file_that_was_meant() -> None:
    assert span_of(10, ETAG, "bytes=2-3", ETAG) == Span(2, 4, 10, True)
    assert span_of(10, ETAG, "bytes=2-3", '"other"') == Span(0, 10, 10)
    assert span_of(10, ETAG, "bytes=2-3", 'W/"abc"') == Span(0, 10, 10)  # weak: not for ranges
    assert span_of(10, ETAG, "bytes=2-3", "Sun, 22 Nov 2026 00:00:00 GMT") == Span(0, 10, 10)


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [(None, False), (ETAG, True), ('W/"abc"', True), ('"x", "abc"', True), ("*", True), ('"x"', False), ("abc", False)],
)
def test_validators(header: str | None, unchanged: bool) -> None:
    assert is_unchanged(header, ETAG) is unchanged


@pytest.mark.parametrize(
    ("name", "media_type", "shown"),
    [
        ("page.html", "text/plain; charset=utf-8", True),
        ("page.HTM", "text/plain; charset=utf-8", True),
        ("page.xhtml", "text/plain; charset=utf-8", True),
        ("plot.svg", "text/plain; charset=utf-8", True),
        ("script.js", "text/plain; charset=utf-8", True),
        ("feed.xml", "text/plain; charset=utf-8", True),
        ("plot.png", "image/png", True),
        ("table.csv", "text/csv; charset=utf-8", True),
        ("data.json", "application/json; charset=utf-8", True),
        ("paper.pdf", "application/pdf", True),
        ("stdout", "text/plain; charset=utf-8", True),
        ("model.bin", "application/octet-stream", False),
        ("archive.zip", "application/octet-stream", False),
        ("plot.svg.gz", "application/octet-stream", False),
        ("no-suffix", "application/octet-stream", False),
    ],
)
def test_no_file_is_a_page_of_this_site(name: str, media_type: str, shown: bool) -> None:
    assert media_type_of(name) == media_type
    assert describe(name)["content-disposition"].startswith("inline" if shown else "attachment")
    assert describe(name, download=True)["content-disposition"].startswith("attachment")
    assert ("sandbox" in describe(name)["content-security-policy"]) is (media_type != "application/pdf")


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a.bin", 'attachment; filename="a.bin"'),
        ('quo"te.bin', "attachment; filename=\"quo_te.bin\"; filename*=UTF-8''quo%22te.bin"),
        (
            "\u0434\u0430\u043d\u043d\u044b\u0435.bin",
            "attachment; filename=\"______.bin\"; filename*=UTF-8''%D0%B4%D0%B0%D0%BD%D0%BD%D1%8B%D0%B5.bin",
        ),
        ("50%.bin", "attachment; filename=\"50_.bin\"; filename*=UTF-8''50%25.bin"),
        ("a;b=c.bin", 'attachment; filename="a;b=c.bin"'),
    ],
)
def test_names_in_headers(name: str, disposition: str) -> None:
    found = describe(name)["content-disposition"]
    assert found == disposition and found.isascii() and "\n" not in found
