"""The tasks of a job as a table: sorted by values that stand in JSON, filtered, paged, with tasks that have no row yet."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.ledger import START, Ledger, count_failures

from sirdar.domain.plot_data import Choice, Sense
from sirdar.domain.task_table import FIXED, Column, Kind, Sort
from sirdar.services.pace import left_of_job
from sirdar.services.plots import looked_at
from sirdar.store import job_views, task_table
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.task_table import TaskFilter

RATE = Column("inputs.rate", Kind.NUMBER, path=("rate",))
FILE = Column("inputs.data", Kind.TEXT, path=("data", "$file", "name"))
BETA = Column("inputs.beta", Kind.NUMBER, path=("beta",))
ERROR = Column("outputs.error", Kind.NUMBER, path=("error",))
LABEL = Column("outputs.label", Kind.TEXT, path=("label",))
COLUMNS = (*FIXED, RATE, FILE, BETA, ERROR, LABEL)
BY_NAME = {column.name: column for column in COLUMNS}

#            state      rate  file        run  error  label     message
TASKS = [
    ("DONE", 10, "b.csv", 5.0, 9, "ten", "ok"),
    ("DONE", 9, "a.csv", 1.0, 10, "é nine", "ok"),
    ("FAILED", 100, "c.csv", 2.0, None, None, "exit code 3"),
    ("FAILED", -1.5, "d.csv", 0.5, None, None, "exit code 3"),
    ("FAILED", 0, "e.csv", 0.25, None, None, "out of 100% memory"),
    ("DONE", 7, "f.csv", 4.0, -2.5e3, "a_b\\c", "ok"),
    ("RUNNING", 8, "g.csv", None, None, None, None),
]
TOTAL = 10  # the last three have no row yet


@pytest.fixture
def job(ledger: Ledger) -> str:
    made = ledger.submit(TOTAL)
    ledger.attach("lab")
    rates = [task[1] for task in TASKS] + [1, 2, 3]
    items: list[dict[str, Any]] = [
        {"rate": rate, "data": {"$file": {"name": f"{no}"}}} for no, rate in enumerate(rates)
    ]
    for item, task in zip(items, TASKS, strict=False):
        item["data"] = {"$file": {"name": task[2], "sha256": "0", "size": 1}}
    items[1]["beta"] = 0.5  # the others have it in common

    def write(tx: Tx) -> None:
        tx.conn.execute(sa.update(t.job_items).values(items_json=json.dumps(items)))
        tx.conn.execute(sa.insert(t.tasks), [_row(made, no) for no in range(len(TASKS))])
        tx.conn.execute(
            sa.update(t.jobs).values(
                inputs_json='{"beta": 0.25}',
                state="RUNNING",
                expanded=len(TASKS),
                waiting=3,
                leased=1,
                done=3,
                failed=3,
            )
        )
        count_failures(tx, made)

    ledger.store.write_now(write)
    return made


def _row(job: str, no: int) -> dict[str, Any]:
    state, _rate, _file, run_s, error, label, message = TASKS[no]
    ended = state in ("DONE", "FAILED")
    result = json.dumps({"error": error, "label": label}, ensure_ascii=False) if state == "DONE" else None
    return {
        "job_id": job,
        "no": no,
        "state": state,
        "attempt": 1,
        "last_attempt": 1,
        "resource_id": "res0000000000000",
        "ready_at": START,
        "started_at": START + 2 + no,
        "ended_at": START + 2 + no + run_s if run_s is not None else None,
        "reason": {"DONE": "ok", "FAILED": "exit_code"}.get(state),
        "message": message,
        "exit_code": 3 if state == "FAILED" else None,
        "result_json": result,
        "stats_json": json.dumps({"staged_in_s": 1.5 if no != 6 else 0.5}) if ended else None,
    }


def numbers(
    ledger: Ledger,
    job: str,
    sort: str = "",
    columns: Sequence[Column] = COLUMNS,
    more: dict[str, Any] | None = None,
    **wanted: Any,
) -> list[int]:
    by = Sort(BY_NAME[sort.removeprefix("-")], sort.startswith("-")) if sort else None

    def read(conn: sa.Connection) -> list[int]:
        found = job_views.find_job(conn, job)
        assert found is not None
        return task_table.find_numbers(conn, found, TaskFilter(**wanted), columns, by, **(more or {}))

    return ledger.read(read)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("no", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("-no", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("inputs.rate", [3, 4, 7, 8, 9, 5, 6, 1, 0, 2]),
        ("-inputs.rate", [2, 0, 1, 6, 5, 9, 8, 7, 4, 3]),
        ("inputs.data", [7, 8, 9, 1, 0, 2, 3, 4, 5, 6]),
        ("-inputs.beta", [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("outputs.error", [5, 0, 1, 2, 3, 4, 6, 7, 8, 9]),
        ("-outputs.error", [1, 0, 5, 2, 3, 4, 6, 7, 8, 9]),
        ("runS", [4, 3, 1, 2, 5, 0, 6, 7, 8, 9]),
        ("-runS", [0, 5, 2, 1, 3, 4, 6, 7, 8, 9]),
        ("-waitS", [6, 5, 4, 3, 2, 1, 0, 7, 8, 9]),
        ("state", [0, 1, 5, 2, 3, 4, 7, 8, 9, 6]),
        ("resource", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_every_column_sorts_numbers_as_numbers_and_what_has_no_value_last(
    ledger: Ledger, job: str, sort: str, order: list[int]
) -> None:
    assert numbers(ledger, job, sort) == order
    paged = [no for first in (0, 4, 8) for no in numbers(ledger, job, sort, more={"offset": first, "limit": 4})]
    assert paged == order


def test_filters(ledger: Ledger, job: str) -> None:
    assert numbers(ledger, job) == list(range(10))
    assert numbers(ledger, job, more={"after": 5, "limit": 3}) == [6, 7, 8]
    assert numbers(ledger, job, state=["FAILED"]) == [2, 3, 4]
    assert numbers(ledger, job, state=["READY", "RUNNING"]) == [6, 7, 8, 9]
    assert numbers(ledger, job, "-inputs.rate", state=["READY", "FAILED"]) == [2, 9, 8, 7, 4, 3]
    assert numbers(ledger, job, reason="exit_code", text="memory") == [4]
    assert numbers(ledger, job, resource="lab") == numbers(ledger, job, resource="res0000000000000") == list(range(7))
    assert numbers(ledger, job, resource="elsewhere") == []
    assert numbers(ledger, job, text="100%") == [4]
    assert numbers(ledger, job, text="A_B\\") == [5]
    assert numbers(ledger, job, text="100") == [2, 4], "values of the table are looked at, and messages"
    assert numbers(ledger, job, text="é nine") == [1]
    assert numbers(ledger, job, text="a.csv") == [1]
    assert numbers(ledger, job, text="0.25") == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert numbers(ledger, job, text="code", columns=FIXED) == [2, 3]


def count(ledger: Ledger, job: str, **wanted: Any) -> int:
    def read(conn: sa.Connection) -> int:
        found = job_views.find_job(conn, job)
        assert found is not None
        return task_table.count_tasks(conn, found, TaskFilter(**wanted), COLUMNS)

    return ledger.read(read)


def test_counts_are_of_what_the_pages_show(ledger: Ledger, job: str) -> None:
    for wanted in ({}, {"state": ["READY"]}, {"state": ["DONE", "READY"]}, {"text": "0.25"}, {"resource": "lab"}):
        assert count(ledger, job, **wanted) == len(numbers(ledger, job, **wanted)), wanted


def test_texts_that_postgres_takes_for_no_json_are_only_without_a_value(ledger: Ledger, job: str) -> None:
    bad = [
        '{"error": 5, "label": "a\\u0000b"}',
        '{"error": 6, "label": "\\ud800x"}',
        '{"error": 7, "label": "\\ud83d\\ude00"}',
    ]

    def write(tx: Tx) -> None:
        for no, text in enumerate(bad):
            tx.conn.execute(sa.update(t.tasks).where(t.tasks.c.no == no).values(result_json=text))

    ledger.store.write_now(write)
    found = numbers(ledger, job, "-outputs.error", state=["DONE", "FAILED"])
    assert found.index(2) < found.index(5)
    assert set(found) == {0, 1, 2, 3, 4, 5}


def test_failures_by_why_and_a_sample(ledger: Ledger, job: str) -> None:
    def read(conn: sa.Connection) -> Any:
        found = job_views.find_job(conn, job)
        assert found is not None
        groups = task_table.failures(conn, found, 10)
        return (
            groups,
            task_table.failed_numbers(conn, found),
            [
                task_table.sample(conn, found, columns, 2)
                for columns in ([RATE, ERROR], [RATE, BY_NAME["runS"]], [ERROR])
            ],
        )

    groups, failed, samples = ledger.read(read)
    assert [(group.message, group.exit_code, group.count, group.example) for group in groups] == [
        ("exit code 3", 3, 2, 2),
        ("out of 100% memory", 3, 1, 4),
    ]
    assert not any(group.differ for group in groups)
    assert failed == [2, 3, 4]
    assert samples == [([0, 5], 3), ([0, 5], 6), ([0, 5], 3)]


def test_a_sample_has_all_values_that_come_back_with_a_period(ledger: Ledger) -> None:
    """Every fourth of tasks whose inner parameter has four values would show one of these alone."""
    job = ledger.submit(80)
    columns = {"state": "DONE", "attempt": 1, "last_attempt": 1, "ended_at": START, "reason": "ok", "result_json": "{}"}
    rows = [{"job_id": job, "no": no, **columns} for no in range(80)]
    ledger.store.write_now(lambda tx: tx.conn.execute(sa.insert(t.tasks), rows) and None)

    def read(conn: sa.Connection) -> tuple[list[int], int]:
        found = job_views.find_job(conn, job)
        assert found is not None
        return task_table.sample(conn, found, [ERROR], 20)

    numbers, count = ledger.read(read)
    assert (len(numbers), count, {no % 4 for no in numbers}) == (20, 80, {0, 1, 2, 3})


def test_a_plot_of_some_tasks_has_the_best_of_all(ledger: Ledger, job: str) -> None:
    def read(conn: sa.Connection, best: Sense | None) -> tuple[list[int], int]:
        found = job_views.find_job(conn, job)
        assert found is not None
        return looked_at(conn, found, Choice(ERROR, (RATE,), None, best, False), most=1)

    assert ledger.read(lambda conn: read(conn, Sense.MIN)) == ([0, 5], 3)
    assert ledger.read(lambda conn: read(conn, Sense.MAX)) == ([0, 1], 3)
    assert ledger.read(lambda conn: read(conn, None)) == ([0], 3)


@pytest.mark.parametrize(("like", "same"), [(2, [2, 3]), (3, [2, 3]), (4, [4]), (0, []), (6, []), (8, [])])
def test_tasks_that_failed_as_one_did(ledger: Ledger, job: str, like: int, same: list[int]) -> None:
    def read(conn: sa.Connection) -> list[int]:
        found = job_views.find_job(conn, job)
        assert found is not None
        return task_table.failed_like(conn, found, like)

    assert ledger.read(read) == same


def test_messages_that_differ_in_numbers_alone_are_one_failure_with_its_words(ledger: Ledger) -> None:
    job = ledger.submit(9)
    agent = ledger.attach()
    keys = agent.take(9)
    for no, key in enumerate(keys[:5]):
        agent.final(key, "exit_code", message=f"the program ended with exit code 1: ValueError: no point {no + 10}")
    agent.final(keys[5], "exit_code", message="the program ended with exit code 1: KeyError: 'x'")
    agent.final(keys[6], "exit_code", message="the program ended with exit code 1: KeyError: 'y'")
    agent.final(keys[7], "signal", message="the program ended with exit code 1: KeyError: 'y'")
    agent.final(keys[8])

    def read(conn: sa.Connection) -> Any:
        found = job_views.find_job(conn, job)
        assert found is not None
        return (
            [
                (group.count, group.example, group.message[36:], group.differ)
                for group in task_table.failures(conn, found, 10)
            ],
            [task_table.failed_like(conn, found, no) for no in (3, 6, 7, 8)],
            task_table.find_numbers(conn, found, TaskFilter(like=4, text="point 12"), COLUMNS),
            task_table.count_tasks(conn, found, TaskFilter(like=4), COLUMNS),
        )

    groups, alike, narrowed, counted = ledger.read(read)
    assert groups == [
        (5, 0, "ValueError: no point 10", True),
        (2, 5, "KeyError: 'x'", True),
        (1, 7, "KeyError: 'y'", False),
    ]
    assert alike == [[0, 1, 2, 3, 4], [5, 6], [7], []]
    assert (narrowed, counted) == ([2], 5)


def test_what_was_called_off_can_be_told_from_what_failed(ledger: Ledger) -> None:
    job = ledger.submit(6)
    agent = ledger.attach()
    one, two, three = agent.take(3)
    agent.final(one, "exit_code")
    agent.final(two)
    ledger.cancel(job)
    agent.final(three, "cancelled")

    def read(conn: sa.Connection) -> Any:
        found = job_views.find_job(conn, job)
        assert found is not None
        return task_table.failed_numbers(conn, found), task_table.cancelled_numbers(conn, found)

    assert ledger.read(read) == ([0], [2, 3, 4, 5])


def test_tasks_that_never_got_a_row_failed_alike(ledger: Ledger) -> None:
    """Their job could not be prepared: all of them are found, sorted and searched too."""
    job = ledger.submit(4)
    ledger.store.write_now(
        lambda tx: tx.conn.execute(
            sa.update(t.jobs).values(
                state="FAILED", waiting=0, failed=4, ended_at=tx.now, reason="stage_in", message="a file is gone"
            )
        )
    )
    for sort in ("", "-no"):
        found = numbers(ledger, job, sort, like=2)
        assert sorted(found) == [0, 1, 2, 3], sort


def test_an_estimate_stays_while_the_next_task_is_on_its_way(ledger: Ledger) -> None:
    """Between the end of one task and the start of the next nothing runs; that is no reason to know nothing."""
    job = ledger.submit(30)
    agent = ledger.attach()
    for _ in range(4):
        (key,) = agent.take()
        agent.phase(key)
        ledger.clock.now += 10.0
        agent.final(key)

    def left() -> float | None:
        def read(conn: sa.Connection) -> float | None:
            found = job_views.find_job(conn, job)
            assert found is not None
            return left_of_job(conn, found, ledger.clock())

        return ledger.read(read)

    assert left() is None, "nobody works on it"
    (key,) = agent.take()
    assert left() == pytest.approx(260.0, rel=0.1)
    agent.phase(key)
    assert left() == pytest.approx(260.0, rel=0.1)
    ledger.cancel(job)
    assert left() is None


def test_when_a_program_said_how_far_it_is_is_kept(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    agent.phase(key)

    def said(seq: int, **words: Any) -> Any:
        ledger.clock.now += 30.0
        agent.sync(messages=[{"key": key, "seq": seq, "at": 1.0, **words}])
        task = ledger.task(job)
        return task.progress, task.progressed_at - START if task.progressed_at else None

    begun = ledger.clock.now - START
    assert said(1, text="reading") == (None, None)
    assert said(2, text="half", progress=0.5) == (0.5, begun + 60)
    assert said(3, text="still half") == (0.5, begun + 60)
    assert said(4, text="more", progress=0.75) == (0.75, begun + 120)
