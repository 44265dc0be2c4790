"""Values that programs write, as outputs of each type."""

import math

import pytest

from sirdar.domain.app import OutputSpec, OutputType
from sirdar.domain.outputs import read_value

JSON = '{"total": 55, "mean": 1e-05, "ok": true, "a.b": 1, "runs": [{"best": "x 1"}, 2], "none": null}'
LINES = "# a comment\ntotal = 55\nbest: 0.1234D+02\n name of it = two words\nok = yes\nquoted = 'a b'\ntotal = 56\nno value here\n"


def output(kind: str, **more: object) -> OutputSpec:
    return OutputSpec("out", OutputType(kind), str(more.pop("source", "result.txt")), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "text", "value"),
    [
        (output("number"), " 3.5 \n", 3.5),
        (output("number"), "12345678901234567890\n", 12345678901234567890),
        (output("number", key="mean"), JSON, 1e-05),
        (output("integer", key="total"), JSON, 55),
        (output("integer"), "3.0", 3),
        (output("number", key="a.b"), JSON, 1),
        (output("string", key="runs[0].best"), JSON, "x 1"),
        (output("number", key="runs[1]"), JSON, 2),
        (output("boolean", key="ok"), JSON, True),
        (output("number", key="x"), '{"x": 1.5, "other": NaN, "more": [Infinity]}', 1.5),
        (output("json", key="x"), '{"x": [1], "other": NaN}', [1]),
        (
            output("json"),
            JSON,
            {"total": 55, "mean": 1e-05, "ok": True, "a.b": 1, "runs": [{"best": "x 1"}, 2], "none": None},
        ),
        (output("json", key="runs"), JSON, [{"best": "x 1"}, 2]),
        (output("string", key="runs"), JSON, '[{"best": "x 1"}, 2]'),
        (output("number", key="best"), LINES, 12.34),
        (output("integer", key="total"), LINES, 56),
        (output("string", key="name of it"), LINES, "two words"),
        (output("string", key="quoted"), LINES, "a b"),
        (output("boolean", key="ok"), LINES, True),
        (output("json", key="k"), "k = [1, 2]\n", [1, 2]),
        (output("string"), "line 1\nline 2\r\n", "line 1\nline 2"),
        (output("number", regex=r"objective:\s*(\S+)"), "objective: 1\nobjective:  2.5\n", 2.5),
        (output("integer", regex=r"^\d+$"), "a1\n17\nb\n", 17),
    ],
)
def test_reads(spec: OutputSpec, text: str, value: object) -> None:
    found = read_value(spec, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("spec", "text", "says"),
    [
        (output("number"), "NaN", '"NaN" is not a finite number'),
        (output("number"), "-inf", "is not a finite number"),
        (output("number"), "1e999", "is not a finite number"),
        (output("number"), "", '"" is not a number'),
        (output("integer"), "2.5", '"2.5" is not an integer'),
        (output("number", key="x"), '{"x": NaN}', "x of result.txt: NaN is not a finite number"),
        (
            output("number", key="a.b[1]"),
            '{"a": {"b": [1, -Infinity]}}',
            "a.b[1] of result.txt: -Infinity is not a finite",
        ),
        (output("integer", key="x"), "x = -inf", 'x of result.txt: "-inf" is not a finite number'),
        (output("json"), '{"a": {"b": [1, NaN]}, "c": NaN}', "holds NaN at "),
        (output("json", key="a"), '{"a": {"b": [1, NaN]}}', "a of result.txt: holds NaN at b[1], no finite number"),
        (output("json"), "NaN", "holds NaN, no finite number"),
        (output("number", key="x"), '{"x": null}', "null is not a number"),
        (output("number", key="totle"), JSON, "result.txt has no totle: totle is missing; did you mean total?"),
        (output("number", key="runs[7]"), JSON, "[7] is missing"),
        (output("number", key="total.deep"), JSON, "deep is missing"),
        (output("number", key="totl"), LINES, "result.txt has no line 'totl = ...'; did you mean total?"),
        (output("number", key="x"), "{not json", "result.txt is not JSON"),
        (output("json"), "[" * 100_000, "nested"),
        (output("json"), "[" * 100 + "]" * 100, "nested deeper than 64"),
        (output("json"), '{"a": {"$file": {"name": "x"}}}', "the key $file, which is reserved"),
        (output("json"), '{"a": 1e999}', "holds Infinity at a, no finite number"),
        (output("json"), r'{"a": ["\ud800"]}', r"holds \ud800, half of a character"),
        (output("json"), r'{"a": {"\ud800": 1}}', r"holds \ud800, half of a character"),
        (output("string", key="x"), r'{"x": "so \udfff"}', r"holds \udfff, half of a character"),
        (output("string", key="x"), r'{"x": ["\ud800"]}', r"holds \ud800, half of a character"),
        (output("number", key="x"), r'{"x": "\ud800"}', r'"\ud800" is not a number'),
        (output("boolean"), "maybe", '"maybe" is not true or false'),
        (output("number", regex="x=(.*)", source="stdout"), "y=1", "nothing in stdout matches x=(.*)"),
        (output("string"), "x" * 1_000_001, "has 1000001 characters"),
        (output("file"), "x", "is a file"),
    ],
)
def test_says_what_is_wrong(spec: OutputSpec, text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_value(spec, text)
    assert says in str(caught.value)
    assert str(caught.value).encode()  # can be told to the server


def test_odd_texts_among_values_are_texts() -> None:
    found = read_value(output("values"), "loss = 0.25\nbounds = +-inf\nsign = --nan\nplain = -inf\n")
    assert found == {"loss": 0.25, "bounds": "+-inf", "sign": "--nan", "plain": -math.inf}
