"""The fields of a form and the text of a description are kept in step; what was not changed keeps its lines and comments."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirdar.domain.problems import Problem
from sirdar.wire.description import parse_yaml, to_document
from sirdar.wire.description_form import Form, Row, apply_form, read_form
from sirdar.wire.yaml_lines import TextError

TEXT = """\
# How it is run
sirdar: 1
alias: svf  # its address
name: "Simplicity: and fit"

inputs:
  # the measurements
  data: {type: file, suffixes: [.csv, .tsv], required: true}  # as the lab sends them
  folds:
    type: integer
    # seven is enough
    default: 7
  beta: number

command: [python, fit.py, "${data}", --folds, "${folds}"]
outputs:
  fit: fit.png
  error: {type: number, from: result.json, key: cv}
env: {OMP_NUM_THREADS: "1"}  # one thread
resources: {cpus: 1, memory: 512 MiB}
"""


def row(form: Form, name: str) -> Row:
    return next(one for one in (*form.inputs, *form.outputs) if one.name == name)


def with_input(form: Form, name: str, **values: str) -> Form:
    changed = [replace(one, values={**one.values, **values}) if one.name == name else one for one in form.inputs]
    return replace(form, inputs=tuple(changed))


def changed_lines(new: str) -> tuple[list[str], list[str]]:
    old_lines, new_lines = TEXT.splitlines(), new.splitlines()
    return [one for one in old_lines if one not in new_lines], [one for one in new_lines if one not in old_lines]


def test_the_fields_of_a_text() -> None:
    form = read_form(TEXT)
    assert form.texts["name"] == "Simplicity: and fit" and form.texts["annotation"] == ""
    assert form.texts["command"] == "python fit.py ${data} --folds ${folds}"
    assert form.resources == {"cpus": "1", "memory": "512 MiB", "time": "", "gpus": "", "disk": ""}
    assert [one.name for one in form.inputs] == ["data", "folds", "beta"]
    assert row(form, "data").values["suffixes"] == ".csv, .tsv" and row(form, "data").values["required"] == "true"
    assert row(form, "beta").values["type"] == "number"
    assert row(form, "fit").values == {"type": "file", "from": "fit.png", "key": "", "title": "", "optional": ""}


def test_no_change_is_no_change() -> None:
    form = read_form(TEXT)
    assert apply_form(TEXT, form, form) == TEXT


def test_one_value_changes_one_line_and_keeps_its_comment() -> None:
    form = read_form(TEXT)
    new = apply_form(TEXT, form, replace(form, texts={**form.texts, "alias": "svf2"}))
    assert changed_lines(new) == (["alias: svf  # its address"], ["alias: svf2  # its address"])
    new = apply_form(TEXT, form, with_input(form, "data", title="Data, raw"))
    line = '  data: {type: file, suffixes: [.csv, .tsv], required: true, title: "Data, raw"}  # as the lab sends them'
    assert changed_lines(new)[1] == [line]
    new = apply_form(TEXT, form, replace(form, resources={**form.resources, "cpus": "4", "memory": ""}))
    assert changed_lines(new)[1] == ["resources: {cpus: 4}"]


def test_rows_are_added_moved_renamed_and_removed() -> None:
    form = read_form(TEXT)
    more = (*form.inputs, Row("gamma", {"type": "number", "default": "1e-3", "minimum": "0"}))
    assert changed_lines(apply_form(TEXT, form, replace(form, inputs=more))) == (
        [],
        ["  gamma: {type: number, default: 1e-3, minimum: 0}"],
    )
    a, b, c = form.inputs
    moved = apply_form(TEXT, form, replace(form, inputs=(c, a, b)))
    assert [one.name for one in read_form(moved).inputs] == ["beta", "data", "folds"]
    assert sorted(moved.splitlines()) == sorted(TEXT.splitlines())  # every line, every comment
    assert moved.index("# the measurements") < moved.index("  data:")
    renamed = apply_form(TEXT, form, replace(form, inputs=(a, b, replace(c, name="slope"))))
    assert changed_lines(renamed) == (["  beta: number"], ["  slope: {type: number}"])
    removed = apply_form(TEXT, form, replace(form, inputs=(a, c)))
    assert "seven is enough" not in removed and "the measurements" in removed
    none = apply_form(TEXT, form, replace(form, inputs=(), outputs=()))
    assert read_form(none).inputs == () and "inputs" not in none and "outputs" not in none


def test_a_section_that_is_new_stands_where_one_looks_for_it() -> None:
    text = "sirdar: 1\nalias: a\ncommand: echo\nresources: {cpus: 1}\n"
    form = read_form(text)
    new = apply_form(
        text, form, Form(form.texts | {"name": "A"}, form.resources, (Row("size", {"type": "integer"}),), ())
    )
    assert (
        new == "sirdar: 1\nalias: a\nname: A\ninputs:\n  size: {type: integer}\ncommand: echo\nresources: {cpus: 1}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{sirdar: 1, alias: a, command: echo, inputs: {n: integer}}",
        '{"sirdar": 1, "alias": "a", "inputs": [{"name": "n", "type": "integer"}], "command": ["echo", "a b"]}',
        "sirdar: 1\nalias: a\ninputs:\n- name: n\n  type: integer\n- {name: m, type: string}\ncommand: echo\n",
        "sirdar: 1\nalias: a\ninputs: {n: integer, m: {type: string}}\ncommand: echo\n",
    ],
)
def test_other_layouts_are_written_anew_and_mean_the_same(text: str) -> None:
    form = read_form(text)
    new = apply_form(text, form, with_input(form, "n", default="3"))
    before, after = to_document(parse_yaml(text)), to_document(parse_yaml(new))
    assert after["inputs"][0]["default"] == 3
    del after["inputs"][0]["default"]
    assert after == before


def test_texts_and_numbers_are_written_as_what_they_are() -> None:
    text = "sirdar: 1\nalias: a\ncommand: echo\n"
    form = read_form(text)
    rows = (
        Row("version", {"type": "string", "default": "1.10"}),
        Row("flag", {"type": "boolean", "default": "true"}),
        Row("word", {"type": "string", "default": "true"}),
        Row("mode", {"type": "enum", "values": "fast, 2, true", "default": "2"}),
        Row("table", {"type": "json", "default": '{"a": [1, 2]}'}),
        Row("note", {"type": "text", "default": "# no comment: here"}),
    )
    app = parse_yaml(apply_form(text, form, replace(form, inputs=rows)))
    assert [spec.default for spec in app.inputs] == ["1.10", True, "true", 2, {"a": [1, 2]}, "# no comment: here"]
    assert app.inputs[3].values == ("fast", 2, "true")


def test_what_is_no_yaml_has_no_fields() -> None:
    for text in ("a: [", "", "- a", "just words"):
        with pytest.raises(TextError):
            read_form(text)


WORDS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=12).map(
    str.strip
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in {"y", "n", "no", "on", "yes", "off"}
)
ROWS = st.builds(
    lambda was, name, title, default: Row(name, {"type": "string", "title": title, "default": default}, was),
    st.sampled_from(["", "data", "folds", "beta"]),
    NAMES,
    WORDS,
    WORDS,
)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.lists(ROWS, max_size=4, unique_by=lambda one: one.name))
def test_whatever_is_filled_in_is_what_the_text_says(name: str, rows: list[Row]) -> None:
    form = read_form(TEXT)
    new = replace(form, texts={**form.texts, "name": name}, inputs=tuple(rows))
    found = read_form(apply_form(TEXT, form, new))
    assert found.texts["name"] == name
    assert [(one.name, one.values["title"], one.values["default"]) for one in found.inputs] == [
        (one.name, one.values["title"], one.values["default"]) for one in rows
    ]
    assert found.outputs == form.outputs and found.resources == form.resources


def test_examples_are_changed_apart_from_the_rest() -> None:
    text = TEXT + "# to try\nexamples:\n  - {title: Seven, inputs: {folds: 7}}\nretries: 1\n"
    form = read_form(text)
    assert form.examples == (Row("Seven", {"annotation": "", "inputs": "{folds: 7}"}),)
    assert apply_form(text, form, form) == text
    more = (*form.examples, Row("Yes: two", {"annotation": "quick", "inputs": "{folds: 2, beta: 0.1}"}))
    changed = apply_form(text, form, replace(form, examples=more))
    assert changed == TEXT + (
        "# to try\nexamples:\n  - title: Seven\n    inputs: {folds: 7}\n"
        '  - title: "Yes: two"\n    annotation: quick\n    inputs: {folds: 2, beta: 0.1}\nretries: 1\n'
    )
    assert apply_form(text, form, replace(form, examples=())) == TEXT + "retries: 1\n"
    wrong = apply_form(text, form, replace(form, examples=(Row("", {"annotation": "", "inputs": "folds: 7"}),)))
    with pytest.raises(Problem, match=r"examples"):
        parse_yaml(wrong)
    anew = apply_form("{alias: a, command: echo}", read_form("{alias: a, command: echo}"), replace(form, examples=more))
    assert [one.title for one in parse_yaml(anew).examples] == ["Seven", "Yes: two"]
