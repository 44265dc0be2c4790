"""Expressions, grids and Everest's plan files: without a server."""

import pytest

from sirdar.domain.expressions import Expression, ExpressionError, Kind, compile_expression
from sirdar.domain.plan import Criterion, Named, Plan, fill, parse_plan
from sirdar.domain.sweep import Grid, Parameter, SweepError, number_of, steps

KINDS: dict[str, Kind] = {"a": "number", "b": "number", "t": "text", "lambda": "number"}
VALUES = {"a": 3, "b": 0.5, "t": "x", "lambda": 2}


def made(text: str) -> Expression:
    return compile_expression(text, KINDS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$a * 2 < 15", True),
        ("${a}+${b}", 3.5),
        ("a**2 - b", 8.5),
        ("$t == 'x' && $a != 3", False),
        ('$t == "$a" || !($a > 4)', True),
        ("1 < a <= 3", True),
        ("min(a, b, 7) + sqrt(16) + floor(2.9)", 6.5),
        ("$lambda ** -1", 0.5),
        ("2 ** 10", 1024),
        ("pi > 3 and not e > 3", True),
        ("-a % 2", 1),
    ],
)
def test_expressions(text: str, value: object) -> None:
    assert made(text)(VALUES) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no expression"),
        ("$a <", "is no expression"),
        ("$c > 1", "there is no parameter c"),
        ("c > 1", "there is no parameter c"),
        ("__import__('os')", "there is no function __import__"),
        ("a.real", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[1][0]", "is not allowed"),
        ("a if b else 1", "is not allowed"),
        ("f'{a}'", "is not allowed"),
        ("t * 1000", "arithmetic takes numbers"),
        ("'x' * 10 ** 9", "arithmetic takes numbers"),
        ("t > 1", "a text with a text"),
        ("t and a", "take comparisons"),
        ("a in (1, 2)", "of comparisons there are"),
        ("sqrt(a, b)", "takes 1 value"),
        ("a << 1000000", "is not allowed"),
        ("1" * 5000, "at most 4000"),
        ("+".join(["a"] * 800), "too long"),
        ("(" * 3000 + "a" + ")" * 900, "is no expression"),
    ],
)
def test_what_is_no_expression(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        made(text)


@pytest.mark.parametrize("text", ["1 / (a - 3)", "sqrt(-a)", "10.0 ** 400", "9 ** 99999", "(-8) ** b", "exp(1000)"])
def test_an_expression_without_a_value(text: str) -> None:
    with pytest.raises(ExpressionError):
        made(text)(VALUES)


def test_steps_count_in_decimals() -> None:
    tenths = steps("0", "1", "0.1")
    assert (len(tenths), tenths[3], tenths[-1]) == (11, 0.3, 1.0)
    assert steps("1", "10", "3") == (1, 4, 7, 10)
    assert steps("5", "1", "-2") == (5, 3, 1)
    assert steps("1", "2", "5") == (1,)
    for wrong in (("1", "2", "0"), ("1", "2", "-1"), ("a", "2", "1"), ("0", "1e9", "1"), ("0", "inf", "1")):
        with pytest.raises(SweepError):
            steps(*wrong)


def test_numbers_are_told_from_texts() -> None:
    assert [number_of(text) for text in ("7", "-1e3", "0x1", "nan", "1_0.5", "v1")] == [
        7,
        -1000.0,
        "0x1",
        "nan",
        "1_0.5",
        "v1",
    ]


def test_a_grid_makes_what_it_is_asked_for() -> None:
    grid = Grid((Parameter("a", (1, 2, 3)), Parameter("b", ("x", "y"))))
    assert (grid.total, grid.at(0), grid.at(5)) == (6, {"a": 1, "b": "x"}, {"a": 3, "b": "y"})
    condition = compile_expression("$a != 2", grid.kinds)
    assert list(grid.kept([condition], 100)) == [0, 1, 4, 5]
    assert len(grid.kept([], 6)) == 6
    with pytest.raises(IndexError):
        grid.at(6)
    with pytest.raises(SweepError, match="more than 3"):
        grid.kept([condition], 3)
    with pytest.raises(SweepError, match="too many"):
        Grid((Parameter("a", tuple(range(1000))),) * 1).kept([], 999)


PLAN = """\
# the oscillator
parameter alpha from 0 to 0.2 step 0.1   # three
parameter model "first one" second\\
  third
constraint $alpha > 0 && $model != 'second'

input_files run.sh @options-${model}.txt
command sh run.sh "${model}" ${alpha} > out # kept: the shell's own
output_files out @values.txt stdout
criterion min $error
"""


def parsed(text: str) -> Plan:
    plan, errors = parse_plan(text)
    assert not errors and plan is not None, errors
    return plan


def test_a_plan() -> None:
    plan = parsed(PLAN)
    assert plan.grid.parameters == (
        Parameter("alpha", (0.0, 0.1, 0.2)),
        Parameter("model", ("first one", "second", "third")),
    )
    kept = [plan.grid.at(index) for index in plan.grid.kept(plan.constraints, 100)]
    assert kept == [{"alpha": alpha, "model": model} for alpha in (0.1, 0.2) for model in ("first one", "third")]
    assert plan.inputs == (Named("run.sh"), Named("options-${model}.txt", special=True))
    assert plan.outputs == (Named("out"), Named("values.txt", special=True), Named("stdout"))
    assert plan.criterion == Criterion("min", "error")
    assert fill(plan.command, kept[0]).startswith('sh run.sh "first one" 0.1 > out')
    assert fill("${alpha} ${HOME} $alpha", kept[0]) == "0.1 ${HOME} $alpha"


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("parametre x 1\ncommand a", "plan:1", "did you mean parameter"),
        ("\nparameter x\ncommand a", "plan:2", "has no values"),
        ("parameter x 1\nparameter x 2\ncommand a", "plan:2", "is there already"),
        ("parameter 1x 1\ncommand a", "plan:1", "cannot be a parameter's name"),
        ("parameter x 'a\ncommand a", "plan:1", "a quote is opened"),
        ("parameter x from 1 to 0 step 1\ncommand a", "plan:1", "leads away"),
        ("parameter x 1\nconstraint $y > 1\ncommand a", "plan:2", "there is no parameter y"),
        ("parameter x 1\ncommand a\ncommand b", "plan:3", "stands in line 2"),
        ("parameter x 1\ncommand a\noutput_files ../b", "plan:3", "no path below"),
        ("parameter x 1\ncommand a\ncriterion least e", "plan:3", "criterion takes"),
        ("parameter x 1\ncommand a\ninput_files ${y}.txt", "plan", "there is no parameter y"),
        ("command a", "plan", "there is no parameter"),
        ("parameter x 1", "plan", "there is no command"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_by_line(text: str, field: str, words: str) -> None:
    plan, errors = parse_plan(text)
    assert plan is None
    assert any(error.field == field and words in error.detail for error in errors), errors
