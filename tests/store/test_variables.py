"""Variables that the tasks of a job share: on both databases."""

from typing import Any

import pytest
from tests.store.ledger import Ledger

from sirdar.domain.problems import Problem
from sirdar.store import variables
from sirdar.store.engine import Tx
from sirdar.store.variables import Change, Value


def apply(
    ledger: Ledger, resource: str, job: str, *ops: tuple[str, str, str | None]
) -> tuple[list[Value], list[Change]]:
    def run(tx: Tx) -> Any:
        return variables.apply(tx, resource, job, ops), list(tx.hints.variables)

    values, changes = ledger.store.write_now(run)
    return values, changes


def two_agents(ledger: Ledger) -> tuple[str, str, str]:
    """A job with a live attempt on each of two resources."""
    job = ledger.submit(2)
    first, second = ledger.attach(), ledger.attach()
    assert len(first.take()) == len(second.take()) == 1
    return job, first.resource_id, second.resource_id


def test_changes_are_numbered_and_told_to_the_other_resources(ledger: Ledger) -> None:
    job, first, second = two_agents(ledger)
    ledger.attach()  # it does not run the job, and hears nothing
    values, changes = apply(
        ledger, first, job, ("get", "x", None), ("set", "x", "1"), ("set", "y", ""), ("set", "x", "1")
    )
    assert values == [Value(None, 0), Value("1", 1), Value("", 2), Value("1", 1)]
    assert changes == [
        Change(job, "x", "1", 1, frozenset({second})),
        Change(job, "y", "", 2, frozenset({second})),
    ]
    values, changes = apply(ledger, second, job, ("set", "x", "2"), ("get", "y", None))
    assert values == [Value("2", 3), Value("", 2)]
    assert [change.resources for change in changes] == [{first}]
    read = ledger.store.read_now(lambda conn: variables.read_all(conn, second, job))
    assert read == {"x": Value("2", 3), "y": Value("", 2)}


def test_a_smaller_number_alone_replaces(ledger: Ledger) -> None:
    job, first, _ = two_agents(ledger)
    said = ["nan", "text", "1e3:a b", "1000:same", "5", "nan:x", "inf", "-0.5:лучше", "", ":1", "-inf", "-1e400"]
    values = [apply(ledger, first, job, ("set_md", "best", text))[0][0].text for text in said]
    kept = [None, None, "1e3:a b", "1e3:a b", "5", "5", "5", "-0.5:лучше", "-0.5:лучше", "-0.5:лучше", "-inf", "-inf"]
    assert values == kept
    apply(ledger, first, job, ("set", "best", "no number"))
    assert apply(ledger, first, job, ("set_md", "best", "7"))[0][0].text == "7"


def test_names_and_values_are_any_text_within_limits(ledger: Ledger) -> None:
    job, first, _ = two_agents(ledger)
    odd = "имя'\"%_\\\U0001f3d4"
    assert apply(ledger, first, job, ("set", odd, "a\nb\t" + odd))[0][0].text == "a\nb\t" + odd
    refused = [
        ("set", "a\0b", "1"),
        ("get", "\0", None),
        ("set", "x", "\0"),
        ("set", "n" * 257, "1"),
        ("set", "x", "v" * 65537),
    ]
    for op in refused:
        with pytest.raises(Problem, match=r"zero byte|at most"):
            apply(ledger, first, job, op)  # type: ignore[arg-type]
    many = [("set", f"n{number}", "1") for number in range(variables.NAMES_PER_JOB)]
    with pytest.raises(Problem, match="1000 variables"):
        apply(ledger, first, job, *many)
    assert ledger.store.read_now(lambda conn: list(variables.read(conn, job))) == [odd], "half of a call was kept"


def test_only_where_the_job_runs(ledger: Ledger) -> None:
    job, first, _ = two_agents(ledger)
    stranger = ledger.attach()
    apply(ledger, first, job, ("set", "x", "1"))
    with pytest.raises(Problem, match="No task of job"):
        apply(ledger, stranger.resource_id, job, ("get", "x", None))
    assert ledger.store.read_now(lambda conn: variables.read_all(conn, stranger.resource_id, job)) == {}
