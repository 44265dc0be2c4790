"""How many columns of a job are kept in order, and for whom."""

from collections.abc import Callable

import pytest
from tests.store.ledger import Ledger, caller

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import Column, Kind, read_condition
from sirdar.services import task_table
from sirdar.store import job_views
from sirdar.store import tables as t
from sirdar.store.task_table import TaskFilter

TOTAL = 40
Ask = Callable[[Caller | None, str], None]


@pytest.fixture
def ask(ledger: Ledger) -> Ask:
    """A question that needs the values of one column in order."""
    made = ledger.submit(TOTAL)

    def asked(who: Caller | None, name: str) -> None:
        job = ledger.read(lambda conn: job_views.find_job(conn, made))
        assert job is not None
        where = [read_condition([Column(name, Kind.NUMBER, path=(name,))], f"{name}<1")]
        ledger.run(task_table._in_order(ledger.services, who, job, TaskFilter(where=where), None))

    return asked


def test_a_link_of_a_large_job_has_nothing_further_put_in_order(
    ledger: Ledger, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(None, "outputs.small")
    monkeypatch.setattr(task_table, "LINKED_TASKS", TOTAL - 1)
    with pytest.raises(Problem, match="columns that are kept in order: outputs") as refused:
        ask(None, "outputs.loss")
    assert refused.value.code == "forbidden"
    assert len(ledger.rows(t.task_columns)) == 1
    ask(caller("anna", admin=True), "outputs.loss")
    ask(None, "outputs.loss")
    assert len(ledger.rows(t.task_columns)) == 2


def test_a_job_has_so_many_columns_in_order_and_no_more(
    ledger: Ledger, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_table, "MOST_KEPT", 2)
    monkeypatch.setattr(task_table, "LINKED_TASKS", TOTAL)
    anna = caller("anna", admin=True)
    for name in ("outputs.a", "outputs.b", "outputs.a"):
        ask(anna, name)
    with pytest.raises(Problem, match="at most 2 columns are kept in order, and it has 2"):
        ask(anna, "outputs.c")
    assert len(ledger.rows(t.task_columns)) == 2
