"""The first ``sirdar.yaml``, from a command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.app import InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.command import render
from sirdar.domain.problems import Problem
from sirdar.wire.description import parse_yaml
from sirdar.wire.skeleton import skeleton


def test_files_and_numbers_of_a_command_become_inputs() -> None:
    text = skeleton(
        alias="fit",
        command="python fit.py data.csv --power 2 --eps=1e-5 -o plot.png 'a b' -v",
        outputs=["total:number=result.json#total"],
        existing={"fit.py", "data.csv"},
    )
    app = parse_yaml(text)
    assert app.command == (
        "python", "fit.py", "${data}", "--power", "${power}", "--eps=${eps}", "-o", "plot.png", "a b", "-v"
    )  # fmt: skip
    assert app.inputs == (
        InputSpec("data", InputType.FILE, suffixes=(".csv",), required=True),
        InputSpec("power", InputType.INTEGER, default=2, has_default=True),
        InputSpec("eps", InputType.NUMBER, default=1e-05, has_default=True),
    )
    assert app.outputs == (
        OutputSpec("total", OutputType.NUMBER, "result.json", key="total"),
        OutputSpec("result", OutputType.FILE, "plot.png"),
    )
    assert "#" in text


def test_what_is_declared_comes_before_what_is_guessed() -> None:
    text = skeleton(
        alias="a",
        command=["./tool", "${label}", "--steps", "7"],
        inputs=["label", "steps:integer=5", "mode:enum=a,b", "key:secret", "many:list", "note:text=x: y", "rate=0.5"],
        existing={"tool"},
    )
    app = parse_yaml(text)
    assert app.command == ("./tool", "${label}", "--steps", "${steps}")
    assert [(spec.name, spec.type.value, spec.default) for spec in app.inputs] == [
        ("label", "string", None),
        ("steps", "integer", 5),
        ("mode", "enum", None),
        ("key", "secret", None),
        ("many", "list", None),
        ("note", "text", "x: y"),
        ("rate", "number", 0.5),
    ]


def test_pipes_become_a_script() -> None:
    app = parse_yaml(
        skeleton(alias="wc", command="sort data | uniq -c > out.txt", inputs=["data:file"], outputs=["out=out.txt"])
    )
    assert app.shell == "set -e\nsort data | uniq -c > out.txt\n"
    assert app.command == ()


def test_a_program_alone_and_two_of_a_kind() -> None:
    assert parse_yaml(skeleton(alias="a", command="./tool")).command == ("./tool",)
    app = parse_yaml(skeleton(alias="a", command="prog 1 2 x.dat x.dat", existing={"x.dat"}))
    assert app.command == ("prog", "${number}", "${number_2}", "${x}", "${x_2}")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"inputs": ["a b"]}, "'a b' does not describe an input"),
        ({"inputs": ["x:int"]}, "does not describe an input"),
        ({"outputs": ["x=../y"]}, "does not describe an output"),
        ({"command": "p 'x"}, "cannot be split into words"),
        ({"command": ""}, "command: line"),
        ({"alias": "A B"}, "'A B' cannot be an alias"),
        ({"inputs": ["x:integer=two"]}, "is not an integer"),
    ],
)
def test_what_cannot_be_written(more: dict[str, object], says: str) -> None:
    with pytest.raises(Problem) as caught:
        skeleton(**{"alias": "a", "command": "p", **more})  # type: ignore[arg-type]
    assert says in caught.value.detail


WORDS = st.lists(st.text("ab1.-=o$ {}'\"\\#:%é", min_size=1, max_size=8), max_size=6)


@given(WORDS)
def test_whatever_the_words_the_program_gets_them_by_default(words: list[str]) -> None:
    """What was guessed to be an input has the word as its default, so the command means the same as before."""
    app = parse_yaml(skeleton(alias="a", command=["prog", *words]))
    if app.shell is None:
        values = {spec.name: spec.default for spec in app.inputs}
        argv = render(app, values, {}).argv
        assert len(argv) == len(words) + 1
        for said, meant in zip(argv[1:], words, strict=True):
            prefix, _, value = meant.rpartition("=")
            assert said == meant or float(said.rpartition("=")[2]) == float(value), (prefix, said, meant)
