"""Values out of forms: what people write, and what is refused at its field."""

from collections.abc import Callable
from typing import Any

import pytest

from sirdar.domain.problems import Problem
from sirdar.web import form_values
from sirdar.web.admin_users import _SIZES, _SPANS, _even

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (form_values.whole, "", None),
        (form_values.whole, " 1 200 ", 1200),
        (form_values.whole, f"10{THIN}000", 10_000),
        (form_values.whole, "0", 0),
        (form_values.size, "50 GB", 50 * 10**9),
        (form_values.size, f"50{THIN}GB", 50 * 10**9),
        (form_values.size, "512 MiB", 2**29),
        (form_values.size, " ", None),
        (form_values.span, "90 d", 90 * 86400.0),
        (form_values.span, "1 h 30 min", 5400.0),
        (form_values.text, "  ", None),
        (form_values.text, " a b ", "a b"),
    ],
)
def test_what_people_write(read: Callable[..., Any], text: str, expected: Any) -> None:
    assert read({"field": text}, "field") == expected


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (form_values.whole, "-1"),
        (form_values.whole, "1.5"),
        (form_values.whole, "٣"),
        (form_values.whole, "9" * 30),
        (form_values.whole, str(2**63)),
        (form_values.size, "much"),
        (form_values.size, "9000000 TB"),
        (form_values.span, "0"),
        (form_values.span, "soon"),
        (form_values.span, "200000 d"),
    ],
)
def test_what_is_refused_names_its_field(read: Callable[..., Any], text: str) -> None:
    with pytest.raises(Problem) as refused:
        read({"field": text}, "field")
    assert (refused.value.code, refused.value.field) == ("invalid_field", "field")


@pytest.mark.parametrize("value", [0, 1, 999, 1000, 1024, 50 * 10**9, 2**40, 1_500_000])
def test_a_size_is_read_as_it_was_written(value: int) -> None:
    assert form_values.size({"x": _even(value, _SIZES)}, "x") == value


@pytest.mark.parametrize("value", [1.0, 90.0, 86400.0, 90 * 86400.0, 5400.0, 0.25])
def test_a_span_is_read_as_it_was_written(value: float) -> None:
    assert form_values.span({"x": _even(value, _SPANS)}, "x") == value
