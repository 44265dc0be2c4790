"""Names of output files that hold values of inputs; outputs whose keys are values of their own."""

from pathlib import Path

import pytest

from sirdar.agent.stage_out import collect, with_values
from sirdar.domain.outcome import Reason
from sirdar.domain.outputs import read_values, without_endless
from sirdar.domain.problems import Problem
from sirdar.wire.description import check_files, parse_yaml

HEAD = """sirdar: 1
alias: named
command: "true"
inputs: {n: {type: integer, default: 3}, data: {type: file}, key: {type: secret, env: K}}
"""


def test_values_stand_in_names(tmp_path: Path) -> None:
    app = parse_yaml(
        HEAD + "outputs:\n  one: 'n-${n}.txt'\n  some: {type: files, from: '${n}/*.dat', required: false}\n"
    )
    work = tmp_path / "dir"
    (work / "7").mkdir(parents=True)
    (work / "n-7.txt").write_text("x")
    (work / "7" / "a.dat").write_text("x")
    found = collect(with_values(app, {"n": 7}), tmp_path)
    assert {name: [path.name for path in paths] for name, paths in found.files.items()} == {
        "one": ["n-7.txt"],
        "some": ["a.dat"],
    }
    assert not found.faults
    missing = collect(with_values(app, {}), tmp_path)
    assert "n-3.txt" in missing.faults[0].message


def test_a_value_is_no_pattern_and_leads_nowhere_else(tmp_path: Path) -> None:
    app = parse_yaml("sirdar: 1\nalias: named\ncommand: 'true'\ninputs: {s: {type: string}}\noutputs: {one: '${s}'}\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.txt").write_text("x")
    (tmp_path / "secret").write_text("x")
    for value in ("*", "[a].txt", "../secret", "?.txt"):
        assert not collect(with_values(app, {"s": value}), tmp_path).files, value
    (tmp_path / "dir" / "[a].txt").write_text("y")
    assert collect(with_values(app, {"s": "[a].txt"}), tmp_path).files["one"][0].name == "[a].txt"


@pytest.mark.parametrize(
    ("source", "says"),
    [("${m}.txt", "names no input"), ("${data}.txt", "is a file"), ("${key}.txt", "holds the secret")],
)
def test_what_may_not_stand_in_a_name(source: str, says: str) -> None:
    with pytest.raises(Problem) as caught:
        check_files(parse_yaml(HEAD + f"outputs: {{one: '{source}'}}\n"), [])
    assert says in str(caught.value.detail) + str(caught.value.errors)


def test_keys_are_values() -> None:
    assert read_values("a = 1\n# no\nb: 2.5\nname = 'x y'\nbig = 1.0D+02\n") == {
        "a": 1,
        "b": 2.5,
        "name": "x y",
        "big": 100,
    }
    assert read_values('{"a": 1, "deep": {"b": 2}, "t": true}') == {"a": 1, "t": True}
    assert read_values("a = nanometre")["a"] == "nanometre"
    assert read_values("a = True\nb = false\nc = yes") == {"a": True, "b": False, "c": "yes"}
    for text in ("", "no line", "{}", '{"deep": {}}'):
        with pytest.raises(ValueError, match="no line KEY"):
            read_values(text)
    for text in (r'{"a": "\ud800"}', r'{"\ud800": 1}'):
        with pytest.raises(ValueError, match="half of a character"):
            read_values(text)
    assert read_values(r'{"a": "\ud83d\ude00"}') == {"a": "\U0001f600"}
    with pytest.raises(ValueError, match="at most"):
        read_values("\n".join(f"k{n} = 1" for n in range(2000)))


@pytest.mark.parametrize(
    "text",
    [
        "loss = nan\nrate = -INF\nbig = 1e999\nsteps = 7\nname = x",
        '{"loss": NaN, "rate": -Infinity, "big": 1e999, "steps": 7, "name": "x"}',
    ],
)
def test_a_number_that_is_not_finite_is_null_and_told_and_the_others_are_kept(text: str) -> None:
    kept, told = without_endless(read_values(text))
    assert kept == {"loss": None, "rate": None, "big": None, "steps": 7, "name": "x"}
    assert told == "loss is NaN, rate is -Infinity, big is Infinity; no JSON has such a number, so null is kept"
    assert without_endless({"a": 1, "b": "nan"}) == ({"a": 1, "b": "nan"}, "")
    many, told = without_endless({f"k{no}": float("nan") for no in range(7)})
    assert set(many.values()) == {None}
    assert "k4 is NaN and 2 more are not finite; no JSON" in told


def test_of_several_outputs_only_that_which_is_not_finite_is_refused(tmp_path: Path) -> None:
    app = parse_yaml(
        "sirdar: 1\nalias: named\ncommand: 'true'\noutputs:\n  named: {type: values, from: v.txt}\n"
        "  loss: {type: number, from: r.json, key: loss}\n  steps: {type: integer, from: r.json, key: steps}\n"
    )
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "r.json").write_text('{"loss": NaN, "steps": 7}')
    (tmp_path / "dir" / "v.txt").write_text("gap = nan\nrate = 0.5\n")
    found = collect(app, tmp_path)
    assert found.values == {"gap": None, "rate": 0.5, "steps": 7}
    assert [(fault.reason, fault.message) for fault in found.faults] == [
        (Reason.OK, "output named: in v.txt gap is NaN; no JSON has such a number, so null is kept"),
        (
            Reason.OUTPUT_INVALID,
            "output loss: loss of r.json: NaN is not a finite number, and JSON can carry no other",
        ),
    ]


def test_an_output_of_its_own_name_is_not_what_the_values_say(tmp_path: Path) -> None:
    app = parse_yaml(
        "{sirdar: 1, alias: a, name: A, command: x, outputs: {all: {type: values, from: v.txt}, n: {type: integer, from: n.txt}}}"
    )
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "v.txt").write_text("n = 2.75\nm = 3\n")
    (tmp_path / "dir" / "n.txt").write_text("2")
    assert collect(app, tmp_path).values == {"n": 2, "m": 3}
