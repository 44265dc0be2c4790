"""What somebody submits, against what an application takes."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.app import FileRef, InputSpec, InputType
from sirdar.domain.problems import FieldError
from sirdar.domain.value_checks import MAX_STRING
from sirdar.domain.value_files import file_fault
from sirdar.domain.value_texts import from_text
from sirdar.domain.value_words import Invalid, describe
from sirdar.domain.values import check

SHA = "a" * 64


def spec(kind: str, **more: Any) -> InputSpec:
    if isinstance(more.get("items"), str):
        more["items"] = spec(more["items"])
    return InputSpec("x", InputType(kind), has_default="default" in more, **more)


def ref(name: str = "a.csv", size: int = 5, sha256: str = SHA) -> dict[str, Any]:
    return FileRef(name, sha256, size).to_json()


GOOD: list[tuple[InputSpec, Any]] = [
    (spec("string"), "a 'b'; $(c) é"),
    (spec("string", min_length=0), ""),
    (spec("string", pattern="[a-z]+(,[a-z]+)*"), "ab,c"),
    (spec("text"), "a\nb"),
    (spec("integer", minimum=1, maximum=9), 9),
    (spec("integer"), 2**70),
    (spec("number"), 1e-05),
    (spec("number", maximum=2**63), 2**63),
    (spec("boolean"), False),
    (spec("enum", values=("a", 2, 2.5)), 2),
    (spec("file", suffixes=(".CSV",)), ref("a.csv")),
    (spec("file", suffixes=(".csv",)), "/api/files/temp/1/My%20data.csv"),
    (spec("file", suffixes=(".csv",)), "https://example.org/x?y=1"),
    (spec("files", min_length=1), ["/api/files/temp/1/a", ref()]),
    (spec("directory"), ref("a.zip")),
    (spec("json"), {"a": [1, {"b": None}]}),
    (spec("list", items="integer", max_length=2), [1, 2]),
    (spec("list", items=spec("list", items="number")), [[1], [2.5]]),
    (spec("secret"), "p w"),
]


@pytest.mark.parametrize(("taker", "value"), GOOD)
def test_takes(taker: InputSpec, value: Any) -> None:
    assert check([taker], {"x": value}) == ({"x": value}, [])


BAD: list[tuple[InputSpec, Any, str]] = [
    (spec("string"), 3, "3 is not a string"),
    (spec("string"), "a\nb", "has several lines"),
    (spec("string"), "a\0b", "holds a zero byte"),
    (spec("string"), "\ud800", "half a character"),
    (spec("string", max_length=3), "abcd", '"abcd" has 4 characters, and at most 3 are taken'),
    (spec("string", min_length=3), "a", "at least 3 are needed"),
    (spec("string"), "x" * (MAX_STRING + 1), "characters, and at most 32768 are taken"),
    (spec("string", pattern="[a-z]+"), "a1", '"a1" does not match [a-z]+'),
    (spec("string", pattern="[a-z]+"), "a" * 1001, "longer than the 1000 characters that a pattern is tried on"),
    (spec("text"), ["a"], "is not a string"),
    (spec("integer"), "3", '"3" is not an integer (it is in quotes)'),
    (spec("integer"), True, "true is not an integer"),
    (spec("integer"), 2.5, "2.5 is not an integer"),
    (spec("integer"), 1e300, "1e+300 is not an integer"),
    (spec("integer", minimum=1), 0, "0 is less than 1"),
    (spec("integer", maximum=2**60), 2**60 + 1, "is more than 1152921504606846976"),
    (spec("integer"), 1 << 5000, "a number of 5001 bits is too large"),
    (spec("number"), math.nan, "nan is not a finite number"),
    (spec("number"), -math.inf, "-inf is not a finite number"),
    (spec("number"), False, "false is not a number"),
    (spec("number", maximum=1.5), 1.6, "1.6 is more than 1.5"),
    (spec("boolean"), 1, "1 is not true or false"),
    (spec("boolean"), "yes", '"yes" is not true or false'),
    (spec("enum", values=("fast", "slow")), "fsat", "is not one of the choices (did you mean fast?)"),
    (spec("enum", values=("1", "2")), 1, "1 is not one of the choices"),
    (spec("enum", values=("a",)), {"a": 1}, "is not one of the choices"),
    (spec("file"), "data.csv", '"data.csv" is not a file\'s uri'),
    (spec("file"), "file:///etc/passwd", "is not a file's uri"),
    (spec("file"), "http://[::1", "is not a well-formed address"),
    (spec("file"), "/api/files/temp/1/a b", "is not a file's uri"),
    (spec("file"), {"$file": {"name": "a"}}, "$file needs name, sha256 and size"),
    (spec("file"), ref(sha256="../x"), "is not a sha256"),
    (spec("file"), ref("../a.csv"), "holds a slash"),
    (spec("file"), ref("\ud800"), "holds a slash or control"),
    (spec("file", suffixes=(".csv", ".txt")), ref("a.exe"), 'the file "a.exe" has another suffix than .csv, .txt'),
    (spec("file", suffixes=(".csv",)), "/api/files/temp/1/a.exe", "has another suffix"),
    (spec("file", max_size_bytes=1024), ref(size=2048), "has 2 KiB, and at most 1 KiB are taken"),
    (spec("json"), "text", "is not a JSON object or array"),
    (spec("json"), {"a": math.nan}, "the JSON holds nan"),
    (spec("json"), {"a": ref()}, "holds the key $file, which is reserved"),
    (spec("json"), {"a": "x" * 1_000_001}, "larger than 1000000 characters"),
    (spec("json"), {"a": object()}, "is not JSON"),
    (spec("json"), json.loads("[" * 40 + "]" * 40), "nested deeper than 32 levels"),
    (spec("list", items="integer"), 3, "3 is not a list"),
    (spec("list", items="integer", max_length=1), [1, 2], "there are 2 elements, and at most 1 are taken"),
    (spec("list", items="integer", min_length=1), [], "at least 1 are needed"),
    (spec("files"), 3, "3 is not a list of files"),
    (spec("secret", max_length=3), "hunter2", "the secret is not what the application takes"),
    (spec("secret"), 12345, "the secret is not a string"),
]


@pytest.mark.parametrize(("taker", "value", "says"), BAD)
def test_refuses_and_says_why(taker: InputSpec, value: Any, says: str) -> None:
    values, errors = check([taker], {"x": value})
    assert values == {}
    assert [error.field for error in errors] == ["inputs.x"]
    assert says in errors[0].detail
    assert errors[0].expected
    assert len(errors[0].detail) < 250


def test_an_element_of_a_list_is_named() -> None:
    matrix = spec("list", items=spec("list", items=spec("integer", minimum=0)))
    assert check([matrix], {"x": [[1], [2, -3]]})[1] == [
        FieldError("inputs.x[1][1]", "-3 is less than 0", "an integer of at least 0")
    ]


def test_required_defaults_null_and_unknown_names() -> None:
    specs = [
        InputSpec("need", InputType.INTEGER, required=True, minimum=1, maximum=9),
        InputSpec("power", InputType.INTEGER, default=2, has_default=True),
        InputSpec("free", InputType.STRING),
    ]
    assert check(specs, {"need": 1}) == ({"need": 1, "power": 2}, [])
    assert check(specs, {"need": 1, "power": None, "free": None}) == ({"need": 1, "power": 2}, [])
    assert check(specs, {}, partial=True) == ({}, [])
    values, errors = check(specs, {"need": None, "pwoer": 3}, where="foreach[7]")
    assert values == {"power": 2}
    assert errors == [
        FieldError("foreach[7].need", "is required", "an integer from 1 to 9"),
        FieldError(
            "foreach[7].pwoer", "the application has no such input; did you mean power?", "one of need, power, free"
        ),
    ]


def test_integers_stay_exact_and_whole_floats_become_integers() -> None:
    values, _ = check([spec("integer")], {"x": 3.0})
    assert type(values["x"]) is int
    assert check([spec("integer")], {"x": 2**53 + 1})[0]["x"] == 2**53 + 1


def test_stored_references_are_refused_at_an_edge() -> None:
    assert "is not a file's uri" in check([spec("file")], {"x": ref()}, file_refs=False)[1][0].detail
    errors = check([spec("files")], {"x": ["/api/files/temp/1/a", ref()]}, file_refs=False)[1]
    assert errors[0].field == "inputs.x[1]"


def test_a_secret_is_never_repeated() -> None:
    _, errors = check([spec("secret", pattern="[0-9]+")], {"x": "hunter2"})
    assert "hunter2" not in str(errors)


@pytest.mark.parametrize(
    ("taker", "text", "value"),
    [
        (spec("string"), " a ", " a "),
        (spec("integer"), " 3 ", 3),
        (spec("integer"), "", None),
        (spec("number"), "1e-3", 0.001),
        (spec("number"), "3", 3),
        (spec("number"), ".5", 0.5),
        (spec("boolean"), "Yes", True),
        (spec("boolean"), "", False),
        (spec("boolean"), "off", False),
        (spec("enum", values=(1, 2)), "2", 2),
        (spec("json"), '{"a": 1}', {"a": 1}),
        (spec("list", items="integer"), "1, 2,3", [1, 2, 3]),
        (spec("list", items="string"), "a, b\nc\n", ["a, b", "c"]),
        (spec("list", items="number"), "[1, 2.5]", [1, 2.5]),
        (spec("file"), "/api/files/temp/1/a", "/api/files/temp/1/a"),
        (spec("files"), "/api/files/temp/1/a\nhttps://x.org/b", ["/api/files/temp/1/a", "https://x.org/b"]),
    ],
)
def test_text_of_a_form_as_a_value(taker: InputSpec, text: str, value: Any) -> None:
    found = from_text(taker, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("taker", "text", "says"),
    [
        (spec("integer"), "3.5", '"3.5" is not an integer'),
        (spec("integer"), "1_000", "is not an integer"),
        (spec("number"), "0,5", "write a decimal point"),
        (spec("number"), "nan", "is not a number"),
        (spec("boolean"), "maybe", "is not true or false"),
        (spec("json"), "{", "is not JSON"),
        (spec("json"), "[" * 100_000, "nested too deep"),
        (spec("list", items="integer"), "1,b", '"b" is not an integer'),
    ],
)
def test_text_that_is_no_value(taker: InputSpec, text: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_text(taker, text)
    assert says in caught.value.detail


def test_the_rule_for_files_can_be_asked_for_alone() -> None:
    taker = spec("file", suffixes=(".csv",), max_size_bytes=10)
    assert file_fault(taker, FileRef("a.csv", SHA, 10)) is None
    assert "another suffix" in str(file_fault(taker, FileRef("a.txt", SHA, 10)))


def test_what_is_expected_reads_well() -> None:
    assert describe(spec("integer", minimum=1, maximum=9)) == "an integer from 1 to 9"
    assert describe(spec("list", items="number", min_length=2)) == "a list of at least 2 elements, each a number"
    assert describe(spec("file", suffixes=(".csv",))).endswith("ending in .csv")
    assert (
        describe(spec("string", max_length=5, pattern="a+"))
        == "a string of one line of at most 5 characters matching a+"
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("$file"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from([taker for taker, _ in GOOD]), JSON_VALUES)
def test_nothing_that_is_json_breaks_a_check(taker: InputSpec, value: Any) -> None:
    values, errors = check([taker], {"x": value, "other": value})
    assert [error.field for error in errors if error.field == "inputs.other"]
    if "x" in values:
        json.dumps(values, allow_nan=False)
