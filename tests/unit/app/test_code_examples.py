"""The same call in other languages: what is shown is well-formed, and says what was given."""

import ast
import json
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirdar.web.code_examples import Local, command_line, curl, examples, notebook, python, shell_word, values_of
from sirdar.wire.description import parse_yaml

URL = "http://127.0.0.1:8848"
APP = parse_yaml("""\
sirdar: 1
alias: svf
inputs:
  data: {type: file, suffixes: [.csv], required: true}
  more: {type: files}
  folds: {type: integer, default: 7, minimum: 2}
  beta: {type: number, required: true, minimum: 0.5}
  note: {type: text}
  key: {type: secret, env: KEY}
  weights: {type: list, items: number}
command: run ${data} ${folds}
""")


def code(way: str, values: dict[str, Any] | None = None) -> str:
    return next(one.code for one in examples(APP, "anna/svf", URL, values) if one.way == way)


def test_without_values_required_and_default_ones_are_shown() -> None:
    assert values_of(APP) == {"data": Local("data.csv"), "folds": 7, "beta": 0.5}
    assert code("cli") == "sirdar run anna/svf -i data=@data.csv -i folds=7 -i beta=0.5 --wait"
    assert "client.app('anna/svf').run(data=Path('data.csv'), folds=7, beta=0.5)" in code("python")
    assert code("notebook").splitlines()[-1].startswith("job  #")


def test_given_values_stand_as_they_are_and_defaults_are_left_to_the_application() -> None:
    ref = {"$file": {"name": "a b.csv", "sha256": "0" * 64, "size": 3}}
    values = {"data": "/api/files/temp/x/wells.csv", "more": [ref, "c.csv"], "note": "it's\n@two", "weights": [1, 2.5]}
    assert values_of(APP, values) == {
        "data": "/api/files/temp/x/wells.csv",
        "more": [Local("a b.csv"), Local("c.csv")],
        "beta": 0.5,
        "note": "it's\n@two",
        "weights": [1, 2.5],
    }
    words = shlex.split(code("cli", values).replace("\\\n", ""))
    assert words[3:] == [
        "-i", "data=/api/files/temp/x/wells.csv", "-i", "more=@a b.csv", "-i", "more=@c.csv", "-i", "beta=0.5",
        "-i", "note=it's\n@two", "-i", "weights=[1, 2.5]", "--wait",
    ]  # fmt: skip


def test_what_each_task_has_of_its_own_is_no_input_of_all() -> None:
    sweep = {"sweep": {"parameters": {"beta": "1..3", "folds": "2, 3"}}}
    cli, python_ = (
        next(one.code for one in examples(APP, "anna/svf", URL, {"beta": 2.0}, sweep) if one.way == way)
        for way in ("cli", "python")
    )
    assert cli.replace(" \\\n ", "") == "sirdar sweep anna/svf -i data=@data.csv -i beta=1..3 -i 'folds=2, 3' --wait"
    assert "beta=" not in python_ and "'beta': '1..3'" in python_
    sets = {"foreach": [{"beta": 1, "folds": 2}, {"beta": 2}]}
    inputs = json.loads(
        curl_body(next(one.code for one in examples(APP, "anna/svf", URL, {}, sets) if one.way == "curl"))
    )
    assert "beta" not in inputs["inputs"] and inputs["foreach"] == sets["foreach"]


def curl_body(code: str) -> str:
    line = next(line for line in code.splitlines() if line.lstrip().startswith("-d "))
    return shlex.split(line.replace("'\"$data_uri\"'", "URI").rstrip("\\"))[1]


def test_a_secret_is_never_shown() -> None:
    for one in examples(APP, "anna/svf", URL, {"data": "a.csv", "key": "hunter2"}):
        assert "hunter2" not in one.code and "..." in one.code


def test_names_that_are_no_arguments_of_python_stand_in_a_mapping() -> None:
    text = python("anna/svf", URL, {"lambda": 1, "max-iter": 2})
    assert ".submit({'lambda': 1, 'max-iter': 2})" in text
    assert ".submit({'_x': 1})" in python("anna/svf", URL, {"_x": 1})


def test_a_text_that_begins_with_an_at_sign_is_not_taken_for_a_file() -> None:
    assert "-i name=@@anna" in command_line("anna/svf", {"name": "@anna"})


def test_curl_uploads_each_file_once_and_puts_its_address_in() -> None:
    text = curl("anna/svf", URL, {"path": Local("it's.csv"), "more": [Local("b.csv"), Local("it's.csv")], "n": 1})
    assert text.count("/api/files/temp") == 2
    assert """'{"inputs": {"path": "'"$path_uri"'", "more": ["'"$more_uri"'", "'"$path_uri"'"], "n": 1}}'""" in text
    assert "$PATH" not in text


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_survives_the_shell(text: str) -> None:
    assert shlex.split(shell_word(text)) == [text]
    words = shlex.split(curl("anna/svf", URL, {"note": text}).replace("\\\n", ""))
    assert json.loads(words[words.index("-d") + 1]) == {"inputs": {"note": text}}


@pytest.mark.parametrize("write", [python, notebook])
@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b-c", "class", "_x"]),
        st.one_of(
            st.text(max_size=60), st.floats(allow_nan=False), st.lists(st.integers()), st.builds(Local, st.text())
        ),
    )
)
def test_python_is_python(write: Any, values: dict[str, Any]) -> None:
    ast.parse(write("anna/svf", URL, values))


def test_options_stand_in_each_way() -> None:
    options = {"name": "first try", "resources": ["lab1"], "overrides": {"cpus": 4}, "retries": 2, "onFailure": "stop"}
    options |= {"foreach": [{"n": 1}], "notify": [{"email": "a@example.org"}], "debug": True}
    ways = {one.way: one.code for one in examples(APP, "anna/svf", URL, {"data": "a.csv"}, options)}
    words = shlex.split(ways["cli"].replace("\\\n", ""))
    assert shlex.join(words[words.index("--name") :]) == (
        "--name 'first try' --on-failure stop --retries 2 --resource lab1 --cpus 4 --notify a@example.org"
        " --debug --foreach rows.jsonl --wait"
    )
    assert "_on_failure='stop'" in ways["python"] and "_overrides={'cpus': 4}" in ways["notebook"]
    ast.parse(ways["python"])
    assert '"onFailure": "stop"' in ways["curl"]


def test_options_of_a_call_whose_inputs_are_no_arguments() -> None:
    text = python("anna/svf", URL, {"max-iter": 2}, {"name": "a", "retries": 1})
    assert ".submit({'max-iter': 2}, name='a', retries=1)" in text
