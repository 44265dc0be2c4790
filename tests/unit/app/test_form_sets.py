"""Input sets of many tasks as a form takes them: JSON, JSON lines, tables; what is wrong stands with its line."""

import tracemalloc
from typing import Any

import pytest

from sirdar.domain.problems import FieldError
from sirdar.web.form_sets import Sets, check_sets, placed, read_sets, sample
from sirdar.wire.description import parse_yaml

APP = parse_yaml("""\
alias: fit
inputs:
  data: {type: file, suffixes: [.csv]}
  folds: {type: integer, minimum: 2, maximum: 20, default: 7}
  beta: {type: number, default: 0.03}
  solver: {type: enum, values: [ipopt, newton]}
  comment: string
  start: {type: list, items: number}
  key: {type: secret, env: KEY}
command: fit ${folds}
""").inputs


@pytest.mark.parametrize(
    ("text", "items", "lines"),
    [
        ('[{"folds": 2}, {"folds": 3}]', [{"folds": 2}, {"folds": 3}], [1, 1]),
        ('\n [\n {"folds": 2},\n\n {"folds":\n 3}\n]\n', [{"folds": 2}, {"folds": 3}], [3, 5]),
        ('{"folds": 2}\n\n{"folds": 3}\n', [{"folds": 2}, {"folds": 3}], [1, 3]),
        ("folds,beta\n2,0.1\n\n3,\n", [{"folds": 2, "beta": 0.1}, {"folds": 3}], [2, 4]),
        ("\ufefffolds;comment\r\n2;a, b\r\n", [{"folds": 2, "comment": "a, b"}], [2]),
        ("folds\tbeta\n2\t1e-3\n", [{"folds": 2, "beta": 0.001}], [2]),
        (
            'comment, folds\n"two\nlines", 2\nnext,3',
            [{"comment": "two\nlines", "folds": 2}, {"comment": "next", "folds": 3}],
            [2, 4],
        ),
        ('start,solver\n"1,2",newton\n', [{"start": [1, 2], "solver": "newton"}], [2]),
    ],
)
def test_shapes_of_a_list(text: str, items: list[dict[str, Any]], lines: list[int]) -> None:
    assert read_sets(APP, text) == Sets(items, lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"folds": 2},\n {"folds" 3}]', "Line 2: not JSON: Expecting ':' delimiter, column 11"),
        ('[{"folds": 2}\n {"folds": 3}]', "Line 2: a comma or ] is missing"),
        ('[{"folds": 2},\n 3]', 'Line 2: not a set of inputs, as in {"x": 1}'),
        ('[{"folds": 2}]\nmore', "Line 1: something follows the list: more"),
        ("[" * 100_000, "Line 1: not JSON: nested too deep"),
        ('{"folds": 2}\n{"folds": }', "Line 2: not JSON: Expecting value, column 11"),
        ('{"folds": 2}\n[1]', 'Line 2: not a set of inputs, as in {"x": 1}'),
        ("fold\n1\n", "Line 1: no input is called “fold”; known: folds"),
        ("folds,folds\n1,2\n", "Line 1: folds stands in the header twice"),
        ("folds\n2\n3,4\n", "Line 3: 2 cells, and the header has 1"),
        ("beta;folds\n0,5;2\n", 'Line 2: beta: "0,5" is not a number (write a decimal point, not a comma)'),
        ("folds\n", "It holds no input sets: the lines after the header are missing."),
        ("[]", "It holds no input sets."),
    ],
)
def test_a_fault_names_its_line(text: str, says: str) -> None:
    assert [error.detail for error in read_sets(APP, text).errors] == [says]


def test_values_are_looked_at_over_what_the_sets_have_in_common() -> None:
    sets = read_sets(APP, "folds,beta\n2,\n99,\n3,\n")
    assert check_sets(APP, {"beta": 1}, sets) == [FieldError("foreach", "Line 3: folds: 99 is more than 20")]
    assert check_sets(APP, {}, sets, most=1) == []
    again = "data,folds\n/api/files/x/a.txt,2\n,3\n"
    assert [error.field for error in check_sets(APP, {"folds": 99, "beta": "x"}, read_sets(APP, again))] == [
        "foreach",
        "inputs.beta",
    ]
    of_job = Sets([{"folds": 99}], job="j")
    assert check_sets(APP, {}, of_job) == [FieldError("foreach", "Set 1: folds: 99 is more than 20")]


def test_a_fault_that_the_submission_finds_gets_its_line_too() -> None:
    sets = read_sets(APP, "data\n/api/files/temp/x/a.csv\n/api/files/temp/x/b.csv\n")
    assert placed(FieldError("foreach[1].data", "There is no file."), sets).detail == "Line 3: data: There is no file."
    elsewhere = FieldError("inputs.folds", "is required")
    assert placed(elsewhere, sets) is elsewhere


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        ("{folds: {type: integer, minimum: 2, maximum: 3}}", "folds\n2\n3"),
        ("{n: {type: integer, minimum: 1, maximum: 9}, x: {type: number, default: 0.5}}", "n,x\n1,0.5\n2,1.0\n3,1.5"),
        ("{way: {type: enum, values: [a, 'b, c']}, on: boolean}", 'way,on\na,true\n"b, c",false'),
        ("{data: {type: file, suffixes: [.csv]}}", "data\nhttps://example.org/1.csv\nhttps://example.org/2.csv"),
        ("{options: json}", '{"options": {}}'),
    ],
)
def test_the_sample_is_of_the_application_itself(inputs: str, shown: str) -> None:
    specs = parse_yaml(f"alias: a\ninputs: {inputs}\ncommand: a").inputs
    assert sample(specs) == shown
    sets = read_sets(specs, shown)
    assert not sets.errors
    assert not check_sets(specs, {}, sets)


@pytest.mark.parametrize(
    "text",
    [
        "folds\n2\n3\n4\nnot read\n",
        '{"folds": 2}\n{"folds": 3}\n{"folds": 4}\nnot read',
        '[{"folds": 2}, {"folds": 3}, {"folds": 4}, not read',
    ],
)
def test_reading_ends_at_the_set_that_is_too_much(text: str) -> None:
    said = "This server takes at most 2 sets of one job."
    assert read_sets(APP, text, most=2) == Sets(errors=[FieldError("foreach", said)])


@pytest.mark.slow
@pytest.mark.parametrize("text", ["folds\n" + "2\n" * 1_000_000, "{}\n" * 700_000, "{" + "\n" * 2_000_000])
def test_a_file_of_many_sets_takes_no_more_memory_than_a_form_has_sets(text: str) -> None:
    """A million sets of 2 MB took 270 MB; 64 MiB are taken."""
    tracemalloc.start()
    try:
        sets = read_sets(APP, text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6 if sets.errors[0].detail.startswith("A form takes") else peak < 5e6
    assert not sets.items
