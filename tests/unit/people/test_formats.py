"""How pages write things."""

import math
from datetime import UTC, datetime

import pytest

from sirdar.web import formats, markdown
from sirdar.web.session import local_path


def plain(text: str) -> str:
    return text.replace(formats.THIN, " ").replace(formats.MINUS, "-")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0"), (7, "7"), (1204, "1 204"), (-1_234_567, "-1 234 567"), (0.18612345, "0.186"), (0.03, "0.03"),
        (1.5, "1.5"), (12.0, "12"), (1234.567, "1 235"), (-0.5, "-0.5"), (6.02e23, "6.02e23"), (1.5e-9, "1.5e-9"),
        (0.000123456, "0.000123"), (math.inf, "∞"), (-math.inf, "-∞"), (math.nan, "not a number"), (999_999.5, "1 000 000"),
    ],
)  # fmt: skip
def test_numbers(given: float, shown: str) -> None:
    assert plain(formats.number(given)) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (2100, "2.1 KB"), (48_123, "48 KB"), (999_499, "999 KB"),
        (999_500, "1.0 MB"), (5_300_000_000, "5.3 GB"), (10**18, "1000 PB"), (None, "–"),
    ],
)  # fmt: skip
def test_sizes(given: int | None, shown: str) -> None:
    assert plain(formats.size(given)) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, "–"), (-1, "0 s"), (0, "0 s"), (0.0001, "< 1 ms"), (0.012, "12 ms"), (0.0994, "99 ms"), (0.0996, "0.1 s"),
        (6.2, "6.2 s"), (9.96, "10 s"), (59.9, "60 s"), (59.96, "1 min"), (252, "4 min 12 s"), (3599.6, "1 h"),
        (3660, "1 h 1 min"), (7200, "2 h"), (97_200, "1 d 3 h"), (86_399, "1 d"), (8_640_000, "100 d"),
    ],
)  # fmt: skip
def test_durations(given: float | None, shown: str) -> None:
    assert plain(formats.duration(given)) == shown


@pytest.mark.parametrize(
    ("given", "shown"), [(0.2, "1 s"), (40, "40 s"), (80, "80 s"), (335, "6 min"), (7000, "2 h"), (10**6, "12 d")]
)
def test_rough(given: float, shown: str) -> None:
    assert plain(formats.rough(given)) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (2**29, "512 MiB"),
        (2**30, "1 GiB"),
        (15_300_000, "14.6 MiB"),
        (0, "0 MiB"),
        (10 * 2**40, "10240 GiB"),
        (None, "–"),
    ],
)
def test_memory(given: int | None, shown: str) -> None:
    assert plain(formats.memory(given)) == shown


def test_times() -> None:
    at = datetime(2026, 11, 22, 14, 2, 11, 123456, UTC).timestamp()
    assert formats.moment(at, at + 60, UTC) == "14:02:11"
    assert formats.moment(at, at + 86_400, UTC) == "22 Nov 14:02"
    assert formats.moment(at, at + 365 * 86_400, UTC) == "22 Nov 2026"
    assert formats.moment(None, at, UTC) == "–"
    assert formats.utc(at) == "2026-11-22 14:02:11.123 UTC"


def test_values() -> None:
    assert formats.value(True) == "yes" and formats.value(False) == "no" and formats.value(None) == "–"
    assert formats.value({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert len(formats.value("x" * 1000)) == 200 and formats.value("x" * 1000).endswith("…")
    assert formats.exact(0.1) == "0.1" and formats.exact("a") == "a"
    assert plain(formats.percent(0.999)) == "99 %" and plain(formats.percent(7)) == "100 %"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/jobs?state=failed", "/jobs?state=failed"), ("", "/"), ("jobs", "/"), ("//evil.example", "/"), ("/\\evil", "/"),
        ("https://evil.example/", "/"), ("javascript:alert(1)", "/"), ("/a\nb", "/"), ("/a\\b", "/"), ("/jobs/ä", "/jobs/ä"),
    ],
)  # fmt: skip
def test_where_a_form_may_lead(text: str, path: str) -> None:
    assert local_path(text) == path


# ---------------------------------------------------------------- descriptions


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Title", "<h2>Title</h2>"),
        ("a\nb\n\nc", "<p>a b</p>\n<p>c</p>"),
        ("- a\n- **b**", "<ul><li>a</li><li><strong>b</strong></li></ul>"),
        ("1. a\n   more\n2. b", "<ol><li>a more</li><li>b</li></ol>"),
        ("```\n<x> *y*\n```", "<pre><code>&lt;x&gt; *y*</code></pre>"),
        ("use `a*b*c` and *this*", "<p>use <code>a*b*c</code> and <em>this</em></p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("[x](https://a.org/b)", '<p><a href="https://a.org/b" rel="noopener nofollow">x</a></p>'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](//evil.example)", "<p>[x](//evil.example)</p>"),
        ('[x](https://a.org/"onclick=)', "<p>[x](https://a.org/&#34;onclick=)</p>"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("text\n# Head\ntext", "<p>text</p>\n<h2>Head</h2>\n<p>text</p>"),
        ("", ""),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        ("a | b\n---", "<p>a | b ---</p>"),
        ("a | b\nno rule", "<p>a | b no rule</p>"),
        ("| a | b |\n|---|--x|", "<p>| a | b | |---|--x|</p>"),
    ],
)
def test_descriptions(text: str, html: str) -> None:
    assert str(markdown.render(text)) == html


def test_a_table_of_a_description() -> None:
    text = "before\n| name | mean |\n|:-----|:---:|----:|".replace("| mean", "| *x* | mean")
    text += "\n| `a\\|b` | <script> | 3 |\n| [x](javascript:alert(1)) |\n| 1 | 2 | 3 | too much |\n# After"
    assert str(markdown.render(text)).replace("\n", "") == (
        '<p>before</p><div class="scroll" tabindex="0"><table class="written">'
        '<thead><tr><th class="text">name</th><th class="middle"><em>x</em></th><th class="number">mean</th></tr></thead>'
        '<tbody><tr><td class="text"><code>a|b</code></td><td class="middle">&lt;script&gt;</td>'
        '<td class="number">3</td></tr>'
        '<tr><td class="text">[x](javascript:alert(1))</td><td class="middle"></td><td class="number"></td></tr>'
        '<tr><td class="text">1</td><td class="middle">2</td><td class="number">3</td></tr></tbody></table></div>'
        "<h2>After</h2>"
    )


def test_a_long_description_is_quick() -> None:
    for text in (
        "|-" + " " * 90_000 + "x\n|-" + " " * 9_000 + "x",
        "|a|b|\n|-|-|\n" * 8_000,
        "|-" * 50_000,
        "a|b\n-|-\n" + "|" * 90_000,
    ):
        assert markdown.render(text)
    for text in ("*a" * 50_000, "[" * 100_000, "`" * 99_999, "**a " * 25_000, "[x](https://" * 8_000):
        assert markdown.render(text)


def test_a_table_does_not_multiply_what_was_written() -> None:
    """3 KB made 5 MB: each short row was filled up to a header of 500 columns."""
    wide = "|a" * 500 + "\n" + "|-" * 500 + "\n" + "a\n" * 500
    assert "<table" not in markdown.render(wide)
    assert len(markdown.render(wide)) < 2 * len(wide)
    assert "<table" in markdown.render("|a" * 50 + "\n" + "|-" * 50 + "\na")
    high = "|a" * 50 + "\n" + "|-" * 50 + "\n" + "<\n" * 30_000
    assert markdown.render(high).count("<td") == 0
    assert markdown.render(high).count("&lt;") == 30_000  # all of it stands there, as it was typed


def test_the_tables_of_a_text_share_a_number_of_cells() -> None:
    one = "|a|b|\n|-|-|\n" + "|1|2|\n" * 999 + "\n"  # 2,000 cells
    found = markdown.render(one * 3 + "|c|\n|-|\n|3|\n")
    assert (found.count("<table"), found.count("<pre>")) == (3, 1)
    assert found.count("<td") == 2 * 2 * 999 + 1


def test_a_heading_of_many_spaces_is_read_at_once() -> None:
    """It took minutes, on the server's event loop."""
    assert "<h2>a" in markdown.render("# a" + " " * 90_000 + "x")
    assert markdown.render("## fold ##  ") == "<h3>fold</h3>"
