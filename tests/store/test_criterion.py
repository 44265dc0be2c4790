"""A job that seeks the best of its tasks, in the ledger: the best so far, stopping early, failures by kind."""

import json
from typing import Any

from tests.store.ledger import CRITERION, Ledger, check

from sirdar.store import tables as t

BY_INPUT = json.dumps(
    {
        "key": "loss",
        "maximize": True,
        "stop": "loss > i * 10 and i > 0",
        "kinds": {"loss": "number", "i": "number"},
        "inputs": ["i"],
    }
)


def best(ledger: Ledger, job: str) -> Any:
    row = ledger.job(job)
    return row.best_task, row.best_value, row.met_task


def test_the_best_is_kept_as_tasks_end_and_a_met_condition_ends_the_job(ledger: Ledger) -> None:
    job = ledger.submit(600, criterion_json=CRITERION, on_failure="ignore")
    agent = ledger.attach()
    keys = agent.take(4)
    for key, loss in zip(keys, [float("nan"), 0.75, 0.5, 0.5], strict=True):
        agent.final(key, outputs={"loss": loss})
        check(ledger)
    assert best(ledger, job) == (2, 0.5, None)
    keys = agent.take(4)
    agent.phase(keys[0])
    agent.final(keys[0], "exit_code")
    agent.final(keys[1], outputs={"loss": 0.125})
    assert best(ledger, job) == (5, 0.125, 5)
    row = ledger.job(job)
    assert (row.state, row.cancel_requested_by, row.waiting) == ("RUNNING", "stop_when: met", 0)
    assert ledger.explain(job).why[0].text.startswith("It stops early: task 5 met loss < 0.25; 2 task(s)")
    check(ledger)
    agent.heartbeat()
    assert agent.cancels == {keys[2], keys[3]}
    agent.final(keys[2], "cancelled")
    agent.final(keys[3], outputs={"loss": 0.0625})  # it was quicker than the wish
    row = ledger.job(job)
    assert (row.state, row.reason, row.cancelled) == ("DONE", "ok", 593)
    assert row.message == (
        "Stopped early: task 5 met loss < 0.25; 6 of 600 tasks done, 593 not needed, "
        "1 failed: 1 by exit_code (task 4: It ended: exit_code)"
    )
    assert best(ledger, job) == (7, 0.0625, 5)
    check(ledger)


def test_a_condition_over_inputs_reads_the_input_sets_of_those_that_ended(ledger: Ledger) -> None:
    job = ledger.submit(300, criterion_json=BY_INPUT)
    agent = ledger.attach()
    keys = agent.take(4)
    finals = [agent.make_final(key, outputs={"loss": loss}) for key, loss in zip(keys, [5, 10, 21, 31], strict=True)]
    agent.sync(finals=finals)  # one call: two meet it, and the lower number is told
    assert best(ledger, job) == (3, 31.0, 2)
    assert ledger.job(job).message.startswith("Stopped early: task 2 met loss > i * 10 and i > 0; 4 of 300 tasks done")


def test_failures_are_counted_by_kind(ledger: Ledger) -> None:
    job = ledger.submit(6, on_failure="ignore")
    agent = ledger.attach()
    words = ["no point 1", "no point 2", "no memory", "no point 3"]
    keys = agent.take(4)
    agent.final(keys[2], "exit_code", message=words[2])
    agent.sync(finals=[agent.make_final(keys[no], "exit_code", message=words[no]) for no in (3, 1)])
    agent.final(keys[0], "exit_code", message=words[0])
    groups = {row.message: (row.count, row.example, row.differ) for row in ledger.rows(t.job_failures, job_id=job)}
    assert groups == {"no point 1": (3, 0, 1), "no memory": (1, 2, 0)}
    for key in agent.take(2):
        agent.final(key)
    assert ledger.job(job).message == (
        "2 of 6 tasks done, 4 failed: 3 by exit_code (task 0: no point 1), 1 by exit_code (task 2: no memory)"
    )
    check(ledger)
