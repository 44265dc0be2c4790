"""Solution files, logs, options and statuses: what ``sirdar.optim`` reads, without a solver."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from sirdar.optim.doubts import doubts_of, told_together
from sirdar.optim.progress import Bar, said
from sirdar.optim.records import Records, Solved, Status, counts, status_of
from sirdar.optim.sets import option_words
from sirdar.optim.sol_reader import read_sol
from sirdar.optim.solver_log import read_log, refusal

SOL = """
Ipopt 3.14.19: Optimal Solution Found

Options
3
1
1
0
2
2
3
3
0.5
-1e-07
1
4.25
Infinity
objno 0 0
suffix 4 2 13 0 0
ipopt_zL_out
0 1.5
2 -2
suffix 1 1 7 12 1
basis
0 nonbasic
1 3
"""


def test_a_solution_is_read_whole() -> None:
    sol = read_sol(SOL)
    assert (sol.message, sol.code) == ("Ipopt 3.14.19: Optimal Solution Found", 0)
    assert (sol.y, sol.x) == ([0.5, -1e-07], [1.0, 4.25, float("inf")])
    bounds, basis = sol.suffixes
    assert (bounds.name, bounds.kind, bounds.values) == ("ipopt_zL_out", "variable", {0: 1.5, 2: -2.0})
    assert (basis.name, basis.kind, basis.values) == ("basis", "constraint", {1: 3})


def test_a_solution_with_a_tolerance_and_without_values() -> None:
    text = "cbc: infeasible\n\nOptions\n5\n1\n1\n0\n2\n0\n3\n0\n1e-06\nobjno 0 220\n"
    sol = read_sol(text.replace("5\n1\n1\n0\n2\n0", "5\n1\n1\n0\n2\n0", 1))
    assert (sol.message, sol.code, sol.x, sol.y) == ("cbc: infeasible", 220, [], [])
    assert read_sol("x\nOptions\n3\n1\n1\n0\n0\n0\n1\n1\n2.5\n").code is None


@pytest.mark.parametrize("end", [40, 60, 75])
def test_a_part_of_a_solution_is_none(end: int) -> None:
    with pytest.raises(ValueError):
        read_sol(SOL[:end])


def test_codes_mean_statuses() -> None:
    codes = (0, 99, 100, 199, 200, 299, 300, 399, 400, 499, 500, 599, 999, -1, None)
    optimal, infeasible, unbounded = [Status.OPTIMAL] * 4, [Status.INFEASIBLE] * 2, [Status.UNBOUNDED] * 2
    assert [status_of(code) for code in codes] == [
        *(*optimal, *infeasible, *unbounded),
        *([Status.LIMIT] * 2 + [Status.FAILED] * 5),
    ]


def test_logs_are_understood() -> None:
    ipopt = """
Number of Iterations....: 7

                                   (scaled)                 (unscaled)
Objective...............:   1.7014017140224134e+01    1.7e+02
Total CPU secs in IPOPT (w/o function evaluations)   =      0.002
Total seconds in IPOPT                               = 0.004
"""
    facts = read_log(ipopt)
    assert (facts.iterations, facts.solver_s, facts.minimised) == (7, 0.004, 170.0)
    highs = read_log("Simplex   iterations: 12\nHiGHS run time      :          0.25\n")
    assert (highs.iterations, highs.solver_s, highs.minimised) == (12, 0.25, None)
    nothing = read_log("")
    assert (nothing.iterations, nothing.solver_s, nothing.minimised) == (None, None, None)


def test_options_become_words() -> None:
    given = {"tol": 1e-8, "max_iter": 50, "linear_solver": "mumps", "flag": True, "off": False, "unset": None}
    assert option_words(given) == ["tol=1e-08", "max_iter=50", "linear_solver=mumps", "flag=yes", "off=no"]
    assert option_words("tol=1e-8  max_iter=50") == ["tol=1e-8", "max_iter=50"]
    assert option_words(None) == []


def test_the_bar_says_counts_and_the_last_objective() -> None:
    records = {
        0: Solved(0, "a", Status.OPTIMAL, objective=17.0140173),
        1: Solved(1, "b", Status.FAILED, reason="exit_code"),
        2: Solved(2, "c", Status.OPTIMAL),
    }
    assert counts(records) == {Status.OPTIMAL: 2, Status.FAILED: 1}
    assert said(records, records[0]) == "2 optimal, 1 failed; a: optimal, objective 17.014"
    assert said(records, records[1]) == "2 optimal, 1 failed; b: failed"
    text = io.StringIO()
    for wanted in (None, False):
        with Bar(3, "quiet", wanted, Console(file=text)) as bar:
            bar.show(records, records[0])
    assert text.getvalue() == "", "nobody looks at a file"
    with Bar(3, "lively", None, Console(file=text, force_terminal=True, width=120)) as bar:
        bar.show(records, records[2])
    assert "3/3" in text.getvalue() and "2 optimal, 1 failed" in text.getvalue()


def test_what_must_be_said_is_said_whether_progress_is_wanted_or_not() -> None:
    for wanted in (None, False, True):
        text = io.StringIO()
        with Bar(3, "set", wanted, Console(file=text)) as bar:
            bar.note("it waits [bold]")
        assert text.getvalue() == "set: it waits [bold]\n"
    text = io.StringIO()
    with Bar(3, "set", None, Console(file=text, force_terminal=True, width=60)) as bar:
        bar.note("it waits")
    assert text.getvalue().count("set: it waits") == 1, "above the bar, which is drawn again"


def test_records_print_as_a_table() -> None:
    records = Records(
        [
            Solved(
                0, "alpha0.1", Status.OPTIMAL, "Ipopt 3.14: Optimal", 0, 17.01401734, 8, run_s=0.0123, resource="lab"
            ),
            Solved(
                1,
                "b",
                Status.FAILED,
                "the program ended with exit code 1: ipopt:\nthere is no option",
                reason="exit_code",
            ),
            Solved(2, "c", Status.OPTIMAL, objective=-1.0, warnings=["Ipopt takes integers as continuous"]),
        ]
    )
    assert (
        str(records)
        == repr(records)
        == """\
PROBLEM   STATUS   OBJECTIVE  ITERATIONS  TIME      RESOURCE
alpha0.1  optimal  17.014017  8           0.0123 s  lab
b         failed                                              the program ended with exit code 1: ipopt: there is no option
c         optimal  -1                                         Ipopt takes integers as continuous
3 problems: 2 optimal, 1 failed"""
    )
    assert (str(records[0]), repr(records[0])) == ("alpha0.1: optimal, objective 17.014017", f"<Solved {records[0]}>")
    assert str(records[1]).startswith("b: failed (the program ended with exit code 1: ipopt:")
    assert str(Records(records[2:])).splitlines()[1:] == [
        "c        optimal  -1         Ipopt takes integers as continuous",
        "1 problem: 1 optimal",
    ]
    assert str(Records()) == "PROBLEM  STATUS\n0 problems"
    many = str(Records(Solved(n, f"p{n}", Status.OPTIMAL) for n in range(200))).splitlines()
    assert len(many) == 53 and many[41] == "... 150 more" and many[42].startswith("p190")
    assert many[-1] == "200 problems: 200 optimal"


HEADER = "g3 1 1 0\n 3 0 {objectives} 0 0\n 0 0\n 0 0\n 0 0 0\n 0 0 0 1\n {discrete}\n 0 0\n 0 0\n 0 0 0 0 0\nb\n"


@pytest.mark.parametrize("discrete", ["1 0 0 0 0", "0 2 0 0 0", "0 0 1 0 0", "0 0 0 1 0", "0 0 0 0 1"])
def test_integers_are_doubtful_with_ipopt(discrete: str) -> None:
    nl = HEADER.format(objectives=1, discrete=discrete).encode()
    assert [len(doubts_of(nl, solver, [])) for solver in ("ipopt", "highs", "scip", "baron")] == [1, 0, 0, 0]


def test_of_several_objectives_one_is_taken() -> None:
    nl = HEADER.format(objectives=3, discrete="0 0 0 0 0").encode()
    assert doubts_of(nl, "highs", ["tol=1"]) == [
        "it has 3 objectives, of which solvers take the first (another one by the option objno)"
    ]
    assert doubts_of(nl, "highs", ["objno=2"]) == []
    assert doubts_of(nl, "ipopt", []) == doubts_of(nl, "scip", []) == [], "these refuse it"
    assert doubts_of(b"no such file", "ipopt", []) == []


def test_doubts_are_told_once() -> None:
    assert told_together([("a", ["x", "y"]), ("b", []), ("c", ["x"])]) == ["a, c: x", "a: y"]
    assert told_together([(name, ["x"]) for name in "abcd"]) == ["a, b, c, d: x"]
    assert told_together([(name, ["x"]) for name in "abcde"]) == ["a, b, c and 2 more: x"]


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ('Ipopt 3.14.19: Unknown keyword "no_such"\n', 'Unknown keyword "no_such"'),
        (
            'x\nSetting: "ma99" is not a valid setting for Option: linear_solver. Check the option documentation.\n',
            'Setting: "ma99" is not a valid setting for Option: linear_solver',
        ),
        (
            'Exception of type: OPTION_INVALID in file "IpOptionsList.cpp" at line 732:\n'
            ' Exception message: Read Option: "nosuch". It is not a valid option. Check the list of available options.\n',
            'Read Option: "nosuch". It is not a valid option',
        ),
        (
            "Exception of type: DYNAMIC_LIBRARY_FAILURE in file\n Exception message: libhsl.so: cannot open shared object file\n",
            "libhsl.so: cannot open shared object file",
        ),
        (
            "\n***** Ipopt does not support complementarity constraints.  Aborting. *****\n",
            "Ipopt does not support complementarity constraints",
        ),
        (
            "There is more than one objective function in the AMPL model, but it has not been called.\n",
            "There is more than one objective function in the AMPL model, but it has not been called",
        ),
        ("EXIT: Optimal Solution Found.\n", ""),
    ],
)
def test_why_ipopt_would_not_begin_is_read_from_its_log(log: str, why: str) -> None:
    assert refusal(log) == why


def test_the_package_is_light_until_it_is_used() -> None:
    script = "import sirdar.optim, sys; assert not {'pyomo', 'numpy', 'httpx', 'rich'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", script], check=True)
