"""What solve_all is given is judged before it looks for a server."""

from pathlib import Path
from typing import Any

import pytest

from sirdar.optim import solve_all
from sirdar.optim.arguments import check_limits

pyo = pytest.importorskip("pyomo.environ")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call would be refused at once, as an error of another kind."""
    monkeypatch.setenv("SIRDAR_URL", "http://127.0.0.1:1")


def model() -> Any:
    made = pyo.ConcreteModel()
    made.x = pyo.Var(bounds=(0, 1))
    made.o = pyo.Objective(expr=made.x)
    return made


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (model(), r"models is one model; give a list: solve_all\(\[model\]\)"),
        ("a.nl", "models is one path; give a list"),
        (Path("a.nl"), "models is one path; give a list"),
        (7, "models is a int; give a list"),
    ],
)
def test_what_is_no_list_is_told(models: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        solve_all(models)


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf"), "10", True])
def test_an_impossible_time_limit_is_named(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"time_limit_s is .*; it takes seconds above 0, or None"):
        solve_all([model()], time_limit_s=seconds)


@pytest.mark.parametrize("retries", [-1, 101, 1.5, "2", False])
def test_impossible_retries_are_named(retries: Any) -> None:
    with pytest.raises(ValueError, match=r"retries is .*; it takes a whole number from 0 to 100"):
        solve_all([model()], retries=retries)


def test_limits_that_are_some() -> None:
    check_limits(None, None)
    check_limits(0.5, 0)
    check_limits(7, 100)
