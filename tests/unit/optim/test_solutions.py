"""Solution files, logs, options and statuses: what ``sirdar.optim`` reads, without a solver."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from sirdar.optim.progress import Bar, said
from sirdar.optim.records import Solved, Status, counts, status_of
from sirdar.optim.sets import option_words
from sirdar.optim.sol_reader import read_sol
from sirdar.optim.solver_log import read_log

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


def test_the_package_is_light_until_it_is_used() -> None:
    script = "import sirdar.optim, sys; assert not {'pyomo', 'numpy', 'httpx', 'rich'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", script], check=True)
