"""References, subjects, cursors: what a client writes to name things."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.api.apps import cursor_of, parse_cursor
from sirdar.domain.app import RESERVED_ALIASES
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.apps import Reference, check_subject, parse_reference
from sirdar.store.apps import AppRecord

ANNA = Caller("id-anna", "anna")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "key", "number"),
    [
        ("anna/svf", ("anna", "svf"), None),
        ("me/svf@3", ("anna", "svf"), 3),
        ("vladimirv/solve-set-opt-probs@12", ("vladimirv", "solve-set-opt-probs"), 12),
        ("0123456789abcdef", "0123456789abcdef", None),
        ("0123456789abcdef@1", "0123456789abcdef", 1),
    ],
)
def test_references(text: str, key: object, number: int | None) -> None:
    found = parse_reference(text)
    assert (found.key(ANNA), found.number) == (key, number)


@pytest.mark.parametrize(
    "text",
    ["", "/", "@", "anna", "anna/", "/svf", "a/b/c", "anna/SVF", "anna/svf@", "anna/svf@0", "anna/svf@-1", "anna/svf@1@2",
     "anna/svf@²", "anna/svf@99999999999", "an na/svf", "anna/svf\n", "anna/../svf", "0123456789abcdeI", "x" * 5000],
)  # fmt: skip
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_reference(text)
    assert caught.value.code == "not_found"
    assert len(caught.value.detail) < 500


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_not_found(text: str) -> None:
    try:
        assert isinstance(parse_reference(text), Reference)
    except Problem as problem:
        assert problem.code == "not_found"


def test_words_of_addresses_are_no_aliases() -> None:
    """Else /api/apps/OWNER/versions would mean two things."""
    words = {"versions", "source", "openapi.json", "export", "share", "archive", "secrets"}
    assert words <= RESERVED_ALIASES


@pytest.mark.parametrize("subject", ["user:boris", "group:lab", "everyone"])
def test_subjects(subject: str) -> None:
    assert check_subject(subject) == subject


@pytest.mark.parametrize(
    "subject", ["", "boris", "user:", "user:a b", "group:\0", "everybody", "everyone:lab", "admin:x"]
)
def test_nobody(subject: str) -> None:
    with pytest.raises(Problem):
        check_subject(subject)


def test_a_cursor_survives_the_way_through_an_address() -> None:
    for at in (0.1 + 0.2, 1_800_000_000.123456, 5e-324, math.nextafter(1e9, 2e9)):
        app = AppRecord("0123456789abcdef", "u", "anna", "svf", "", "", (), 1, at, at, None)  # type: ignore[arg-type]
        found = parse_cursor(cursor_of(app))
        assert found is not None
        assert (found.updated_at, found.id) == (at, app.id)


@pytest.mark.parametrize("text", ["x", "_", "nan_a", "inf_a", "-1_a", "1_", "1_a'b", "1_a;", "1e300_a", "1_é"])
def test_no_place_in_a_list(text: str) -> None:
    with pytest.raises(Problem):
        parse_cursor(text)
