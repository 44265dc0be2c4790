"""Words of the command and text of .nl files, without a solver."""

import pytest

from sirdar.optim.casadi_driver.nl_text import NotForCasadi, read_nl_text
from sirdar.optim.casadi_driver.words import BadWords, read_options_file, read_words, split_settings
from sirdar.optim.ipopt_options import IpoptOption, OptionKind, read_options

KNOWN = (
    IpoptOption("max_iter", OptionKind.INTEGER, ""),
    IpoptOption("tol", OptionKind.NUMBER, ""),
    IpoptOption("output_file", OptionKind.STRING, ""),
)
HEADER = """g3 1 1 0\t# problem unknown
 2 1 1 0 1 \t# vars, constraints, objectives, ranges, eqns
 1 1 0 0 0 0\t# nonlinear constrs, objs; ccons: lin, nonlin, nd, nzlb
 0 0\t# network constraints: nonlinear, linear
 2 2 2 \t# nonlinear vars in constraints, objectives, both
 0 0 0 1\t# linear network variables; functions; arith, flags
 0 0 0 0 0 \t# discrete variables: binary, integer, nonlinear (b,c,o)
 2 2 \t# nonzeros in Jacobian, obj. gradient
 0 0\t# max name lengths: constraints, variables
 0 0 0 0 0\t# common exprs: b,c,o,c1,o1
"""
BODY = """S4 2 ipopt_zL_in
0 1.5
1 -2
S6 1 scaling_factor
0 0.5
C0\t# c
o2
v0
v1
O0 1
o0
v0
v1
x1
1 0.25
r
4 1
b
3
3
k1
1
J0 2
0 0
1 0
"""


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("a=1 b=2", [("a", "1"), ("b", "2")]),
        ("a 1  b = x", [("a", "1"), ("b", "x")]),
        ("""f="a b" g='c "d"' h=1""", [("f", "a b"), ("g", 'c "d"'), ("h", "1")]),
        ("""f="say ""yes""\"""", [("f", 'say "yes"')]),
        ("", []),
    ],
)
def test_settings_are_names_and_values(text: str, settings: list[tuple[str, str]]) -> None:
    assert list(split_settings(text)) == settings


def test_the_command_line_comes_over_the_environment() -> None:
    asked = read_words(["p.nl", "-AMPL", "maxit=7"], {"ipopt_options": "max_iter=1 tol 1d-3 output_file=7"}, KNOWN)

    assert (asked.stub, asked.ampl, asked.writes_sol) == ("p", True, True)
    assert asked.options == {"max_iter": 7, "tol": 1e-3, "output_file": "7"}
    assert asked.echo == ["max_iter=1", "tol=1d-3", "output_file=7", "maxit=7"]


@pytest.mark.parametrize("word", ["none=1", "max_iter=1.5", "tol=", "halt_on_ampl_error=maybe"])
def test_a_wrong_word_is_named(word: str) -> None:
    with pytest.raises(BadWords, match=word.split("=", maxsplit=1)[0]):
        read_words(["p", word], {}, KNOWN)


def test_an_options_file_holds_names_and_values_by_turns() -> None:
    text = '# a remark\nmax_iter 5 # another\n\ntol\n1e-4\noutput_file "a # b"\n'

    assert read_options_file(text, KNOWN) == {"max_iter": 5, "tol": 1e-4, "output_file": "a # b"}
    with pytest.raises(BadWords, match="has no value"):
        read_options_file("max_iter", KNOWN)


def test_suffixes_are_taken_out_of_the_file_and_the_rest_is_left() -> None:
    text = read_nl_text((HEADER + BODY).encode())

    assert (text.options, text.n_vars, text.n_rows, text.maximize, text.started) == (("1", "1", "0"), 2, 1, True, {1})
    assert text.suffixes == {("x", "ipopt_zL_in"): {0: 1.5, 1: -2.0}, ("f", "scaling_factor"): {0: 0.5}}
    assert "scaling_factor" not in text.plain
    assert text.plain.splitlines()[10:14] == ["C0", "o2", "v0", "v1"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"b3 1 1 0\n", "binary"),
        (b"hello", "no .nl file"),
        (HEADER.replace("2 1 1 0 1", "2 1 2 0 1").encode(), "more than one objective"),
        (HEADER.replace(" 1 1 0 0 0 0", " 1 1 1 0 0 0").encode(), "complementarity"),
        ((HEADER + "S4 x name\n").encode(), "corrupt"),
    ],
)
def test_a_file_that_is_not_for_casadi_is_told_why(content: bytes, why: str) -> None:
    with pytest.raises(NotForCasadi, match=why):
        read_nl_text(content)


def test_options_are_read_from_the_documentation_that_ipopt_prints() -> None:
    text = (
        "\\anchor OPT_tol\n<strong>tol</strong>: Desired tolerance.\n<blockquote>\n More. The valid range for this real option"
        " is 0 < tol.\n</blockquote>\n\n\\anchor OPT_x\n<strong>x</strong> (<em>advanced</em>): A word.\n<blockquote>\n"
        ' The default value for this string option is "a".\n</blockquote>\n'
    )

    assert list(read_options(text)) == [
        IpoptOption("tol", OptionKind.NUMBER, "Desired tolerance."),
        IpoptOption("x", OptionKind.STRING, "A word."),
    ]
