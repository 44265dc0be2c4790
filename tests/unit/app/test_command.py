"""From values to arguments, environment, files and standard input."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirdar.domain.app import App, InputSpec, InputType
from sirdar.domain.command import as_text, fill_template, places, render
from sirdar.wire.description import parse_yaml

NASTY = [
    "a b",
    "'",
    '"',
    "; rm -rf /",
    "$(id)",
    "`id`",
    "${other}",
    "$${x}",
    "\\",
    "*",
    "~",
    "é\u2028",
    "",
    "-x",
    "a\nb",
]


def app(command: str = "", inputs: dict[str, str] | None = None, **more: Any) -> App:
    specs = tuple(InputSpec(name, InputType(kind)) for name, kind in (inputs or {"x": "text"}).items())
    return App("a", inputs=specs, command=tuple(command.split()), **more)


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_exactly_one_argument_of_a_real_process(value: str) -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    rendered = render(
        App("a", inputs=(InputSpec("x", InputType.TEXT),), command=("P", "-c", "C", "${x}", "--x=${x}!")),
        {"x": value},
        {},
    )
    done = subprocess.run([sys.executable, "-c", program, *rendered.argv[3:]], capture_output=True, check=True)
    assert json.loads(done.stdout) == [value, f"--x={value}!"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50))
def test_no_character_of_a_value_makes_another_word(value: str) -> None:
    assert render(app("p ${x} a${x}b"), {"x": value}, {}).argv == ("p", value, f"a{value}b")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=40))
def test_values_arrive_whole_in_a_shell_too(values: list[str]) -> None:
    inputs = {f"v{number}": "text" for number in range(len(values))}
    words = " ".join(f'"$v{number}"' for number in range(len(values)))
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    shell = app(inputs=inputs, shell=f"{sys.executable} -c '{program}' {words}")
    rendered = render(shell, {f"v{number}": value for number, value in enumerate(values)}, {})
    done = subprocess.run(rendered.argv, env=dict(rendered.env), capture_output=True, check=True)
    assert json.loads(done.stdout) == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (2**70, str(2**70)),
        (1e-05, "1e-05"),
        (0.1, "0.1"),
        (None, ""),
        ([1, "a b", 2.5], "1 a b 2.5"),
        ([[1, 2], [3]], "[1, 2] [3]"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ({"$file": {"name": "a.csv", "sha256": "0", "size": 1}}, "a.csv"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_a_list_that_is_a_whole_word_becomes_words_and_what_is_not_given_vanishes() -> None:
    words = app(
        "p ${many} ${none} x${none}y ${empty} [${many}] $${many}", {"many": "list", "none": "string", "empty": "list"}
    )
    assert render(words, {"many": [1, "a b"], "empty": []}, {}).argv == ("p", "1", "a b", "xy", "[1 a b]", "${many}")


def test_files_are_their_paths_and_none_is_taken_for_an_option() -> None:
    files = app("p ${one} ${more}", {"one": "file", "more": "files"})
    staged: dict[str, str | list[str]] = {"one": "-rf.csv", "more": ["a b.csv", "--x"]}
    assert render(files, {}, staged).argv == ("p", "./-rf.csv", "a b.csv", "./--x")


def test_environment_files_templates_and_standard_input() -> None:
    described = parse_yaml("""
alias: a
command: p
inputs:
  n: {type: integer, env: N}
  unset: {type: string, env: UNSET}
  names: {type: list, items: string, path: names.txt, env: NAMES}
  note: {type: text, path: sub/note.txt}
  data: file
env: {MODE: "n=${n} ${unset}", PLAIN: 4}
templates: {config.ini: config.ini.in}
params: params.json
stdin: data
""")
    values = {"n": 7, "names": ["a b", "c"], "note": "line\nline", "data": "/api/files/temp/1/d.csv"}
    rendered = render(described, values, {"data": "d.csv"})
    assert rendered.env == {"MODE": "n=7 ", "PLAIN": "4", "N": "7", "NAMES": "a b\nc"}
    assert rendered.files.keys() == {"names.txt", "sub/note.txt", "params.json"}
    assert rendered.files["names.txt"] == "a b\nc\n"
    assert rendered.files["sub/note.txt"] == "line\nline"
    assert json.loads(rendered.files["params.json"]) == {**values, "data": "d.csv"}
    assert rendered.templates == {"config.ini": "config.ini.in"}
    assert fill_template("n = ${n}\nunset = '${unset}'\n${HOME} $${n}", rendered.template_values) == (
        "n = 7\nunset = ''\n${HOME} ${n}"
    )
    assert (rendered.stdin_path, rendered.stdin_text) == ("d.csv", None)


def test_standard_input_from_a_text() -> None:
    text = app("p", {"n": "integer"}, stdin="n ${n}\nend\n")
    assert render(text, {"n": 3}, {}).stdin_text == "n 3\nend\n"
    assert render(app("p", {"d": "file"}, stdin="${d}"), {}, {"d": "x"}).stdin_path == "x"
    assert render(app("p", {"d": "file"}, stdin="d"), {}, {}) == render(app("p", {"d": "file"}), {}, {})


def test_a_secret_reaches_environment_and_files_and_nothing_else() -> None:
    secret = App(
        "a",
        inputs=(InputSpec("key", InputType.SECRET, env="KEY", path="key.txt"),),
        command=("p", "${key}", "x${key}"),
        env={"URL": "u:${key}"},
        templates={"c": "c.in"},
        params="params.json",
        stdin="${key}",
    )
    rendered = render(secret, {"key": "s3cret"}, {})
    assert rendered.env == {"URL": "u:s3cret", "KEY": "s3cret"}
    assert rendered.files["key.txt"] == "s3cret"
    assert (
        "s3cret"
        not in f"{rendered.argv} {rendered.template_values} {rendered.files['params.json']} {rendered.stdin_text}"
    )


def test_a_value_too_long_for_an_argument_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"argument 1 of the command has 200000 bytes.*`path`"):
        render(app("p ${x}"), {"x": "x" * 200_000}, {})
    with pytest.raises(ValueError, match="environment variable x has"):
        render(app(shell="p"), {"x": "é" * 70_000}, {})


@given(st.text("${}ax-\\ ", max_size=30))
def test_places_never_fails_and_text_without_places_is_kept(text: str) -> None:
    if "${" not in text:
        assert places(text) == []
        assert fill_template(text, {"a": "1"}) == text
    places(text)
