"""Expressions, grids and Everest's plan files: without a server."""

import sys
from fractions import Fraction

import pytest

from sirdar.domain.expressions import Expression, ExpressionError, Kind, compile_expression
from sirdar.domain.plan import Criterion, Named, Plan, fill, parse_plan
from sirdar.domain.sweep import Condition, Parameter, SweepError, chosen, number_of, read_texts, steps, values_of

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
        ("3 ** 1000 % 7 + 2 ** 2048 % 3", 5),
        ("10 ** 300 * 10 ** 300 > 1e308", True),
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
        ("a.real", "^a.real is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[1][0]", "is not allowed"),
        ("a if b else 1", "is not allowed"),
        ("f'{a}'", "is not allowed"),
        ("t * 1000", "arithmetic takes numbers, and t is a text"),
        ("'x' * 10 ** 9", "arithmetic takes numbers, and 'x' is a text"),
        ("sqrt(a) + (a > 1)", "arithmetic takes numbers, and a > 1 is a truth"),
        ("sqrt($t)", "sqrt takes numbers, and t is a text"),
        ("t > 1", "a text with a text; here t is a text, 1 is a number"),
        ("t and a", "take comparisons, and t is a text"),
        ("a in (1, 2)", "of comparisons there are"),
        ("sqrt(a, b)", "takes 1 value"),
        ("a << 1000000", "is not allowed"),
        ("1" * 5000, "at most 4000"),
        ("+".join(["a"] * 800), "too long"),
        ("(" * 3000 + "a" + ")" * 900, "is no expression"),
        ("_p0 > 1", "there is no parameter _p0"),
        ("_\uff500 > 1", "there is no parameter _p0"),  # Python reads it as _p0
        ("$a(1) > 1", "a is a parameter, and no function"),
        ("(0x" + "f" * 3900 + ").real", "over 4096 bits"),
    ],
)
def test_what_is_no_expression(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        made(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / (a - 3)", "a division by zero"),
        ("1 // (a - 3) + 1 % (a - 3)", "a division by zero"),
        ("(a - 3) ** -1", "a division by zero"),
        ("sqrt(-a)", "sqrt(-3) has no value"),
        ("log(a - 3)", "log(0) has no value"),
        ("log(a, 1)", "log(3, 1) has no value"),
        ("10.0 ** 400", "a number grows too large"),
        ("sin(10 ** 400)", "sin(a whole number of 1329 bits) grows too large"),
        ("a * 1.5 * 10 ** 400", "a number grows too large"),
        ("9 ** 99999", "a number grows too large"),
        ("(-8) ** b", "-8 to the power of 0.5 is no real number"),
        ("exp(1000)", "exp(1000) grows too large"),
        ("floor(1e300 * 1e300)", "floor(inf) has no value"),
        ("int(1e300 * 1e300 - 1e300 * 1e300)", "int(nan) has no value"),
        ("sqrt(-(2 ** 1000))", "sqrt(a whole number of 1001 bits) has no value"),
    ],
)
def test_an_expression_without_a_value_says_why_in_words_of_its_own(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        made(text)(VALUES)
    assert str(caught.value) == f"{text}: {says}"


def test_a_condition_without_a_value_names_the_combination() -> None:
    ratio = compile_expression("1 / (a - b) > 0", {"a": "number", "b": "number", "t": "text"})
    with pytest.raises(ExpressionError) as caught:
        chosen([2, 1, 3], [Condition(ratio, ["a", "t", "b"], [(1, 2.5), ("x",), (5, 2.5, 1)])], 9, paired=False)
    assert str(caught.value) == "1 / (a - b) > 0: a division by zero, where a is 1 and b is 1"
    with pytest.raises(ExpressionError) as caught:
        chosen([1], [Condition(compile_expression("1 / 0 > 1", {"a": "number"}), ["a"], [(1,)])], 9, paired=False)
    assert str(caught.value) == "1 / 0 > 1: a division by zero"


@pytest.mark.parametrize(
    "text",
    [
        "((9**999)**999)**6",
        "pow(pow(pow(9, 999), 999), 6)",
        "*".join(["9**999"] * 40),
        "(((a**999) * (a**999)) ** 999) ** 999",
        "2 ** a ** 99 ** 9",
        "2 ** (2 ** 4000) > 1",
        "a * (a + 10**1200) * 10**1200",
    ],
)
def test_whole_numbers_do_not_grow_without_bounds(text: str) -> None:
    with pytest.raises(ExpressionError):
        made(text)(VALUES)


def test_deep_expressions_are_told_and_do_not_fail_otherwise() -> None:
    def deeper(levels: int) -> None:
        if levels:
            return deeper(levels - 1)
        with pytest.raises(ExpressionError, match="nested too deeply"):
            made("-" * 248 + "a")
        return None

    deeper(sys.getrecursionlimit() - 300)


def test_a_parameter_may_be_called_as_a_function_is() -> None:
    kinds: dict[str, Kind] = {"min": "number", "x": "number", "_p1": "number"}
    values = {"min": 2, "x": 5, "_p1": 7}
    assert compile_expression("max(min($min, x), 1)", kinds)(values) == 2
    assert compile_expression("min (min, 1) + min", kinds)(values) == 3
    assert compile_expression("$x + _p1 * 10 + $_p1 * 100", kinds)(values) == 775


def test_steps_count_in_decimals() -> None:
    tenths = steps("0", "1", "0.1")
    assert (len(tenths), tenths[3], tenths[-1]) == (11, 0.3, 1.0)
    assert steps("1", "10", "3") == (1, 4, 7, 10)
    assert steps("5", "1", "-2") == (5, 3, 1)
    assert steps("1", "2", "5") == (1,)
    for wrong in (("1", "2", "0"), ("1", "2", "-1"), ("a", "2", "1"), ("0", "1e9", "1"), ("0", "inf", "1")):
        with pytest.raises(SweepError):
            steps(*wrong)


@pytest.mark.parametrize(
    "text",
    [
        "1e500000..1e500000",
        "1..1e6000:*10",
        "1e99999999999999999999..2",
        "1..2:1e-5000000",
        "0e5000000..1",
        "1e-400..1e-399:1e-400",
        "1" * 5000 + ".." + "1" * 5000,
        f"0.{'1' * 41}..1",
        "1e30..1e31:0.5",  # each would be the same number as the one before
        "1e22..1.00000000000000000001e22:0.5",
        "1..2:*1.00000000000000000000000001",
    ],
)
def test_numbers_that_no_program_could_read(text: str) -> None:
    with pytest.raises(SweepError):
        read_texts(text)


def test_no_step_is_lost() -> None:
    assert read_texts("1e30..1000000000000000000000000000002") == [str(10**30 + number) for number in range(3)]
    assert read_texts("1..1e40:*3") == [str(3**number) for number in range(84)]
    assert read_texts("1..1e60:*1.5")[-1] == repr(float(Fraction(3, 2) ** 340))


def test_numbers_are_told_from_texts() -> None:
    assert [number_of(text) for text in ("7", "-1e3", "0x1", "nan", "1_0.5", "v1")] == [
        7,
        -1000.0,
        "0x1",
        "nan",
        "1_0.5",
        "v1",
    ]


def test_combinations_are_chosen_by_their_places() -> None:
    condition = compile_expression("$a != 2", {"a": "number", "b": "text"})
    left = Condition(condition, ["a", "b"], [(1, 2, 3), ("x", "y")])
    assert chosen([3, 2], [left], 100, paired=False) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert chosen([3, 1, 3], [], 3, paired=True) == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]
    for axes, conditions, most, paired, says in (
        ([3, 2], [left], 3, False, "more than 3"),
        ([1000], [], 999, False, "1000 combinations are too many"),
        ([2, 3], [], 10, True, "equally many; here are 2 and 3"),
        ([10**9, 2], [left], 10, False, "too many"),
        (
            [3, 2],
            [Condition(compile_expression("a > 9", {"a": "number"}), ["a"], [(1, 2, 3)])],
            9,
            False,
            "none of the 6",
        ),
    ):
        with pytest.raises(SweepError, match=says):
            chosen(axes, conditions, most, paired=paired)


def test_making_combinations_ends_when_its_time_is_over() -> None:
    none = Condition(compile_expression("a < 0", {"a": "number"}), ["a"], [range(3000)])
    asked = 0

    def expired() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(SweepError, match="takes too long"):
        chosen([3000, 3000], [none], 10, paired=False, expired=expired)
    assert asked == 3
    with pytest.raises(SweepError, match="at most 100 conditions"):
        chosen([3], [none] * 101, 10, paired=False)
    with pytest.raises(SweepError, match="10000001 combinations are too many"):
        chosen([10_000_001], [none], 10, paired=False)


def test_a_hundred_thousand_combinations_come_at_once() -> None:
    condition = compile_expression("a*2 < 2000000 && b >= 0", {"a": "number", "b": "number"})
    left = Condition(condition, ["a", "b"], [range(1000), range(100)])
    assert len(chosen([1000, 100], [left], 100_000, paired=False)) == 100_000


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..4", ["1", "2", "3", "4"]),
        ("0..1:0.25", ["0.0", "0.25", "0.5", "0.75", "1.0"]),
        ("0.01..1:*10", ["0.01", "0.1", "1"]),
        ("8..1:*0.5", ["8", "4", "2", "1"]),
        ("3..1:-1, 9", ["3", "2", "1", "9"]),
        ("x, y ,z", ["x", "y", "z"]),
        ("'a,b',c", ["a,b", "c"]),
        ('"1..3",2', ["1..3", "2"]),
        (r"a\,b,c", ["a,b", "c"]),
        ("it's", ["it's"]),
        ("a..b", ["a..b"]),
    ],
)
def test_values_are_written_shortly(text: str, values: list[str]) -> None:
    assert read_texts(text) == values


@pytest.mark.parametrize("text", ["1..10:-1", "1..10:0", "'open", "1..10:*1", "1..10:*0.5", "-1..1:*2", "0..1:1e-9"])
def test_values_that_are_none(text: str) -> None:
    with pytest.raises(SweepError):
        read_texts(text)


def test_words_become_numbers_where_nothing_is_lost() -> None:
    assert values_of(["1", "2.5", "-3"]) == (1, 2.5, -3)
    assert values_of(["001", "002"]) == ("001", "002")
    assert Parameter("n", ("001", "010")).kind == "number"
    assert Parameter("n", ("001", "010")).compared == (1, 10)
    assert values_of(["1", "x"]) == ("1", "x")
    assert Parameter("n", ("1", "x")).kind == "text"


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
    read = parse_plan(text)
    assert not read.errors and read.plan is not None, read.errors
    return read.plan


def test_a_plan() -> None:
    plan = parsed(PLAN)
    assert plan.parameters == (
        Parameter("alpha", (0.0, 0.1, 0.2)),
        Parameter("model", ("first one", "second", "third")),
    )
    kept = plan.combinations(100)
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
        ("parameter x from 1e5000000 to 1e5000000\ncommand a", "plan:1", "1e5000000 is no number"),
        ("parameter x 1" + "\nconstraint x > 0" * 101 + "\ncommand a", "plan:102", "at most 100"),
        ("parameter x 1\ncommand a\ncommand b", "plan:3", "stands in line 2"),
        ("parameter x 1\ncommand a\noutput_files ../b", "plan:3", "no path below"),
        ("parameter x 1\ncommand a\ncriterion least e", "plan:3", "criterion takes"),
        ("parameter x 1\ncommand a\ninput_files ${y}.txt", "plan:3", "there is no parameter y"),
        ("command a", "plan", "there is no parameter"),
        ("parameter x 1", "plan", "there is no command"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_by_line(text: str, field: str, words: str) -> None:
    read = parse_plan(text)
    assert read.plan is None
    assert any(error.field == field and words in error.detail for error in read.errors), read.errors


@pytest.mark.parametrize("words", ["from 1 to 6 step", "from 1 to 3 stp 1", "from 1", "from", "from 1 to 3 step 1 2"])
def test_half_a_range_is_no_list_of_words(words: str) -> None:
    (error,) = parse_plan(f"parameter a {words}\ncommand true").errors
    assert error.field == "plan:1" and f"{words} is no range" in error.detail


def test_the_word_from_may_be_a_value_in_quotes_or_later() -> None:
    plan = parsed("parameter a 'from' 1\nparameter b to from\ncommand true")
    assert [one.values for one in plan.parameters] == [("from", "1"), ("to", "from")]


@pytest.mark.parametrize(
    "text",
    [
        "parameter a\ncommand echo ${a}\ninput_files ${a}.txt\nconstraint $a > 1\n",
        "parameter 1a 2\ncommand true\n",
        "parameter\ncommand true\n",
        "parameter a 1\ncommand\n",
        "parameter a 1\ncommand true\noutput_files ../../etc/passwd ok /etc/passwd\n",
    ],
)
def test_a_mistake_is_told_once(text: str) -> None:
    (error,) = parse_plan(text).errors
    if "passwd" in text:
        assert error.detail == "../../etc/passwd, /etc/passwd are no paths below the task's directory"


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("parameter x{0} from 1 to 900000\n", "plan:3", "more than 2000000 values of all parameters together"),
        ("parameter x{0} 1\n", "plan:101", "at most 100 parameters"),
        ("input_files a b c d e f g h i j\n", "plan:1001", "more than 10000 names of files"),
    ],
)
def test_a_plan_that_holds_too_much_is_not_read_to_its_end(text: str, field: str, words: str) -> None:
    read = parse_plan("".join(text.format(number) for number in range(5000)))
    assert (read.plan, [error.field for error in read.errors]) == (None, [field])
    assert words in read.errors[0].detail


def test_a_plan_of_wrong_lines_is_told_of_the_first_ones_and_one_that_takes_long_of_where_it_stopped() -> None:
    read = parse_plan("nothing\n" * 100_000)
    assert [error.field for error in read.errors] == [f"plan:{number}" for number in range(1, 51)]
    asked = iter([False, False, True])
    read = parse_plan("input_files a\n" * 100, lambda: next(asked))
    assert read.plan is None
    assert [(error.field, "takes too long" in error.detail) for error in read.errors] == [("plan:3", True)]
    assert [(one.path, one.line) for one in read.inputs] == [("a", 1), ("a", 2), ("a", 3)]
