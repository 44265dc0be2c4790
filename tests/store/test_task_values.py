"""The values of a job's table in order: the same answers as by looking through the job, kept up as tasks end."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.ledger import Ledger, check

from sirdar.domain.problems import Problem
from sirdar.domain.task_table import FIXED, RUN, Column, Compare, Condition, Kind, Sort, read_condition
from sirdar.store import job_views, task_table, task_values
from sirdar.store import tables as t
from sirdar.store.task_table import TaskFilter

I = Column("inputs.i", Kind.NUMBER, path=("i",))  # noqa: E741
LOSS = Column("outputs.loss", Kind.NUMBER, path=("loss",))
WORD = Column("outputs.word", Kind.TEXT, path=("word",))
GOOD = Column("outputs.good", Kind.BOOLEAN, path=("good",))
VALUES = (I, LOSS, WORD, GOOD, RUN)
COLUMNS = (*FIXED, I, LOSS, WORD, GOOD)
TOTAL = 40


def fill(ledger: Ledger, job: str) -> None:
    view = ledger.read(lambda conn: job_views.find_job(conn, job))
    assert view is not None
    for column in VALUES:
        while ledger.write(lambda tx, column=column: task_values.fill(tx, view, column)) < view.total:  # type: ignore[misc]
            pass
    ledger.write(task_values.learn)


def run_some(ledger: Ledger, job: str, n: int, chance: random.Random) -> None:
    agent = ledger.attach()
    keys: list[str] = []
    while len(keys) < n:
        for key in agent.take(4):
            keys.append(key)
            agent.phase(key)
            ledger.clock.now += chance.choice([1.0, 2.0, 2.0, 5.5])
            outputs = {"loss": chance.choice([1, 2.5, -3, 1e300, None]), "word": chance.choice(["a", "B", "é", "a b"])}
            outputs["good"] = chance.random() < 0.5
            given = {name: value for name, value in outputs.items() if value is not None}
            if chance.random() < 0.2:
                agent.final(key, "exit_code", started_at=ledger.clock() - 1)
            else:
                agent.final(key, outputs=given, started_at=ledger.clock() - chance.choice([1.0, 3.0]))


def found(ledger: Ledger, job: str, wanted: TaskFilter, sort: Sort | None, *, ordered: bool, **more: Any) -> list[int]:
    def read(conn: sa.Connection) -> list[int]:
        view = job_views.find_job(conn, job)
        assert view is not None
        if not ordered:
            view = replace(view, ordered=False)
        assert task_table.is_ordered(conn, view, wanted, sort) == ordered
        numbers = task_table.find_numbers(conn, view, wanted, COLUMNS, sort, **{"limit": TOTAL, **more})
        if ordered and "limit" not in more and sort is None:
            assert task_table.count_tasks(conn, view, wanted, COLUMNS) == len(numbers)
        return numbers

    return ledger.read(read)


@pytest.fixture(params=["asked before", "asked after", "asked between"])
def job(ledger: Ledger, request: pytest.FixtureRequest) -> str:
    """Thirty of forty tasks have ended; its values were put in order before, after, or in the midst of that."""
    chance = random.Random(8)
    made = ledger.submit(TOTAL)
    if request.param == "asked before":
        fill(ledger, made)
    run_some(ledger, made, 12, chance)
    if request.param == "asked between":
        fill(ledger, made)
    run_some(ledger, made, 16, chance)
    if request.param == "asked after":
        fill(ledger, made)
    check(ledger)
    return made


def value_of(ledger: Ledger, job: str, column: Column) -> Callable[[int], Any]:
    def read(conn: sa.Connection) -> dict[int, Any]:
        view = job_views.find_job(conn, job)
        assert view is not None
        rows = task_table.read_rows(conn, view, range(TOTAL))
        if column is I:
            return {row.no: row.no for row in rows}
        if column is RUN:
            return {row.no: row.ended_at - (row.started_at or 0) if row.ended_at else None for row in rows}
        return {row.no: row.outputs.get(column.path[0]) for row in rows}

    return ledger.read(read).__getitem__


@pytest.mark.parametrize("column", VALUES, ids=lambda column: column.name)
def test_sorted_pages_are_those_that_looking_through_the_job_gives(ledger: Ledger, job: str, column: Column) -> None:
    for wanted in (TaskFilter(), TaskFilter(state=["DONE"]), TaskFilter(state=["FAILED"]), TaskFilter(state=["READY"])):
        plain = found(ledger, job, wanted, Sort(column), ordered=False)
        assert found(ledger, job, wanted, Sort(column), ordered=True) == plain
        pages = [
            found(ledger, job, wanted, Sort(column), ordered=True, offset=at, limit=7) for at in range(0, TOTAL, 7)
        ]
        assert [no for page in pages for no in page] == plain
        value = value_of(ledger, job, column)
        valued = [no for no in plain if value(no) is not None]
        assert found(ledger, job, wanted, Sort(column, True), ordered=True) == valued[::-1] + plain[len(valued) :]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("outputs.loss<2.5", lambda row: row["loss"] is not None and row["loss"] < 2.5),
        ("outputs.loss >= 1", lambda row: row["loss"] is not None and row["loss"] >= 1),
        ("outputs.loss=-3", lambda row: row["loss"] == -3),
        ("outputs.word=a b", lambda row: row["word"] == "a b"),
        ("outputs.word!=é", lambda row: row["word"] not in (None, "é")),
        ("outputs.word>a", lambda row: row["word"] is not None and row["word"] > "a"),
        ("outputs.good=true", lambda row: row["good"] is True),
        ("inputs.i>=35", lambda row: row["no"] >= 35),
    ],
)
def test_conditions_on_values(ledger: Ledger, job: str, text: str, holds: Callable[[Any], bool]) -> None:
    loss, word, good = (value_of(ledger, job, column) for column in (LOSS, WORD, GOOD))
    rows = [{"no": no, "loss": loss(no), "word": word(no), "good": good(no)} for no in range(TOTAL)]
    fitting = [row["no"] for row in rows if holds(row)]
    wanted = TaskFilter(where=[read_condition(COLUMNS, text)])
    assert found(ledger, job, wanted, None, ordered=True) == fitting
    assert sorted(found(ledger, job, wanted, Sort(LOSS), ordered=True)) == fitting
    both = TaskFilter(where=[*wanted.where, Condition(I, Compare.LESS, 12)], state=["DONE"])
    some = [no for no in fitting if no < 12 and loss.__self__ is not None and word(no) is not None]  # type: ignore[attr-defined]
    assert found(ledger, job, both, None, ordered=True) == some
    assert found(ledger, job, both, Sort(I, True), ordered=True) == some[::-1]


@pytest.mark.parametrize("text", ["", "outputs.loss", "outputs.loss<abc", "outputs.good=maybe", "state=DONE", "nope<1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_condition(COLUMNS, text)
    assert caught.value.field == "where"


def test_a_column_that_is_filled_in_part_is_not_used_yet(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks end between two steps of the filling: their values are there when it is whole."""
    monkeypatch.setattr(task_values, "AT_ONCE", 7)
    job = ledger.submit(TOTAL)
    chance = random.Random(8)
    run_some(ledger, job, 12, chance)
    view = ledger.read(lambda conn: job_views.find_job(conn, job))
    assert view is not None
    by_loss = Sort(LOSS)
    while (upto := ledger.write(lambda tx: task_values.fill(tx, view, LOSS))) < TOTAL:
        now = ledger.read(lambda conn: job_views.find_job(conn, job))
        assert now is not None and now.ordered
        assert ledger.read(lambda conn: task_values.missing(conn, now, [LOSS, WORD])) == [LOSS, WORD], upto  # noqa: B023
        run_some(ledger, job, 4, chance)
    plain = found(ledger, job, TaskFilter(), by_loss, ordered=False)
    assert found(ledger, job, TaskFilter(), by_loss, ordered=True) == plain


def test_what_is_kept_in_order_goes_with_its_job(ledger: Ledger) -> None:
    job = ledger.submit(TOTAL)
    fill(ledger, job)
    assert len(ledger.rows(t.task_values)) == TOTAL
    ledger.cancel(job)
    assert ledger.delete(job)
    ledger.advance()
    assert not ledger.rows(t.task_values) and not ledger.rows(t.task_columns)
